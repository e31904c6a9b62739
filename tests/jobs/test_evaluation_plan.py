"""What evaluate decides before it starts; the trials themselves are in test_evaluate."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold

from jobs.evaluation_plan import EvaluationPlan, make_evaluation_plan
from jobs.evaluation_request import EvaluationRequest
from tests.made_store import OTHER_SPEC, RANDOM_SPEC, SPEC, MadeStore
from texture_store.errors import FeaturesNotFoundError, LabelsError, TextureStoreError, UsageError
from texture_store.evaluation.folds import fold_seed
from texture_store.spec import LAYERS, Encoder
from texture_store.store.evaluations import write_evaluation

PATHS = [f"piece{i // 2:02}/{i:02}.tif" for i in range(24)]
"""Pictures by twos of twelve pieces."""
LABELS = {path: "ab"[i // 2 % 2] for i, path in enumerate(PATHS)}
META = {
    "carbon": [f"{0.1 * i:.1f}" for i in range(24)],
    "cooling": ["air" if i % 3 else "water" for i in range(24)],
    "hardness": [str(100 + i) for i in range(24)],
    "holes": ["1.5" if i else None for i in range(24)],
    "grade": ["nan" if i < 2 else "xy"[i % 2] for i in range(24)],
    "rare": ["seldom" if i < 2 else "often" for i in range(24)],
    "empty": [None] * 24,
    "mixed": [str(i) if i else "soft" for i in range(24)],
}
ALL_MEAN = [("mean", layer) for layer in LAYERS]


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    made = MadeStore.at(tmp_path)
    made.index("steel", PATHS, labels=LABELS, meta=META)
    made.commit("steel", "s0", PATHS, pairs=[*ALL_MEAN, ("max", "conv1_2")])
    return made


def plan(made: MadeStore, **changes: object) -> EvaluationPlan:
    return planned(made, **changes)[0]


def planned(made: MadeStore, **changes: object) -> tuple[EvaluationPlan, list[str]]:
    said: list[str] = []
    settings = {"trials": 2, "layers": ("conv1_2",), "encoders": ("mean",)} | changes
    return make_evaluation_plan(EvaluationRequest(made.url, "steel", **settings), said.append), said


def names(one: EvaluationPlan) -> list[tuple[Encoder, str]]:
    return [(s.encoder, s.layer) for s in one.sets]


def test_all_that_exists_is_evaluated_unless_said_otherwise(made: MadeStore) -> None:
    assert names(plan(made, encoders=(), layers=())) == [*ALL_MEAN, ("max", "conv1_2")]
    assert names(plan(made, encoders=("mean",), layers=())) == ALL_MEAN
    assert names(plan(made, encoders=(), layers=("conv1_2",))) == [("mean", "conv1_2"), ("max", "conv1_2")]
    assert names(plan(made, encoders=(), layers=("conv4_3", "all"))) == [("mean", "conv4_3"), ("mean", "all")]
    assert names(plan(made, encoders=("max",), layers=())) == [("max", "conv1_2")]


def test_the_paper_s_grid_adds_all_layers_together_and_tells_what_is_missing(made: MadeStore) -> None:
    one, said = planned(made, encoders=(), layers=(), paper_grid=True)
    assert names(one) == [*ALL_MEAN, ("mean", "all")]
    assert "the paper's grid without max, gram, vlad: not all of its layers have features" in said
    assert one.sets[-1].num_features == 64 + 128 + 256 + 512 + 512
    assert [features.layer for features in one.sets[-1].layers] == list(LAYERS[1:])


def test_the_spec_of_each_encoder_is_told(made: MadeStore) -> None:
    made.commit("steel", "s0", PATHS, spec=OTHER_SPEC, pairs=[("max", "conv1_2")])
    one, said = planned(made, encoders=("mean", "max"))
    assert f"mean: spec {SPEC.fingerprint}: {SPEC.describe()}" in said
    assert f"max: spec {OTHER_SPEC.fingerprint}: {OTHER_SPEC.describe()}" in said
    assert {row["encoder"]: row["spec"] for row in one.rows.values()} == {
        "mean": SPEC.fingerprint,
        "max": OTHER_SPEC.fingerprint,
    }


def test_random_weights_are_taken_only_when_named(made: MadeStore) -> None:
    made.commit("steel", "s0", PATHS, spec=RANDOM_SPEC, pairs=[("mean", "conv1_2"), ("gram", "conv1_2")])
    assert plan(made).sets[0].spec == SPEC.fingerprint
    one, said = planned(made, spec=RANDOM_SPEC.fingerprint, encoders=(), layers=())
    assert names(one) == [("mean", "conv1_2"), ("gram", "conv1_2")]
    assert any("RANDOM" in line for line in said)


def test_folds_are_scikit_learn_s_and_the_same_for_every_feature_set(made: MadeStore) -> None:
    one = plan(made, encoders=("mean", "max"))
    labels = np.array([LABELS[path] for path in sorted(PATHS)])
    groups = np.array([path.split("/")[0] for path in sorted(PATHS)])
    assert [(split.protocol, split.trial) for split in one.splits] == [
        ("image", 0),
        ("image", 1),
        ("group", 0),
        ("group", 1),
    ]
    for split in one.splits:
        seed = fold_seed(dataset="steel", snapshot=1, label="label", protocol=split.protocol, trial=split.trial)
        kind = StratifiedKFold if split.protocol == "image" else StratifiedGroupKFold
        expected = np.empty(24, np.int8)
        of_groups = groups if split.protocol == "group" else None
        for number, (_, test) in enumerate(kind(3, shuffle=True, random_state=seed).split(labels, labels, of_groups)):
            expected[test] = number
        assert split.seed == seed
        assert np.array_equal(split.folds, expected)
    assert len(one.rows) == 8
    assert len(one.keys) == 8


def test_without_groups_it_is_by_image_and_says_so(tmp_path: Path) -> None:
    made = MadeStore.at(tmp_path)
    made.index("steel", PATHS, labels=None, meta={"grade": ["xy"[i % 2] for i in range(24)]})
    made.commit("steel", "s0", PATHS)
    one, said = planned(made, label_column="grade")
    assert {split.protocol for split in one.splits} == {"image"}
    assert any(line.startswith("no groups: by image only") for line in said)
    assert {row["group_column"] for row in one.rows.values()} == {None}
    with pytest.raises(UsageError, match="no image has a group in column specimen"):
        plan(made, label_column="grade", protocols=("group",))


def test_images_without_a_group_are_groups_of_their_own_and_counted(made: MadeStore) -> None:
    one, said = planned(made, group_column="holes", protocols=("group",), folds=2)
    assert one.grouping is not None
    assert (one.grouping.count, one.grouping.num_missing) == (2, 1)
    assert "1 of 24 images have no holes: each is a group of its own" in said
    row = next(iter(one.rows.values()))
    assert (row["group_column"], row["num_groups"], row["num_missing_groups"]) == ("holes", 2, 1)


def test_a_label_that_is_the_group_is_told(made: MadeStore) -> None:
    _, said = planned(made, group_column="label", folds=2)
    assert "label and label coincide: no split can support a claim about a new label" in said
    _, said = planned(made, label_column="rare", group_column="specimen", folds=2)
    assert "seldom: all images are of one specimen, so by group these classes cannot be found" in said


def test_a_group_protocol_that_is_not_possible_stops_only_if_it_was_asked_for(made: MadeStore) -> None:
    one, said = planned(made, group_column="cooling")
    assert {split.protocol for split in one.splits} == {"image"}
    assert one.grouping is None
    assert "by group: not possible: 2 groups are fewer than 3 folds; take fewer folds or finer groups" in said
    with pytest.raises(UsageError, match="by group: 2 groups are fewer than 3 folds"):
        plan(made, group_column="cooling", protocols=("group",))


def test_images_without_label_or_features_are_left_out_of_all_sets_and_counted(tmp_path: Path) -> None:
    made = MadeStore.at(tmp_path)
    labels = {path: label for path, label in LABELS.items() if path != PATHS[0]}
    made.index("steel", PATHS, labels=labels)
    made.commit("steel", "s0", PATHS[:23], rejected=PATHS[23:])
    made.commit("steel", "s0", PATHS[:22], pairs=[("max", "conv1_2")])
    one, said = planned(made, encoders=("mean", "max"), folds=2)
    assert one.images["path"].to_pylist() == PATHS[1:22]
    assert [len(s.layers[0]) for s in one.sets] == [21, 21]
    assert "1 of 24 images have no label: left out" in said
    assert "2 of 23 images lack some of these features (rejected or pending): left out of all sets" in said
    assert any("1 of 24 images are pending" in line for line in said)


def test_other_images_are_another_question(made: MadeStore) -> None:
    assert plan(made).keys.isdisjoint(plan(made, where=("cooling!=water",)).keys)
    assert plan(made).keys == plan(made).keys


def test_only_images_that_meet_all_conditions_are_evaluated(made: MadeStore) -> None:
    one = plan(made, where=("cooling=air", "hardness!=101"))
    assert one.images.num_rows == 15
    assert {tuple(row["conditions"]) for row in one.rows.values()} == {("cooling=air", "hardness!=101")}


def test_regression_takes_numbers_and_plain_folds(made: MadeStore) -> None:
    one, said = planned(made, task="regression", label_column="hardness", protocols=("image",))
    assert one.labels.tolist() == [100.0 + i for i in range(24)]
    expected = np.empty(24, np.int8)
    for number, (_, test) in enumerate(KFold(3, shuffle=True, random_state=one.splits[0].seed).split(one.labels)):
        expected[test] = number
    assert np.array_equal(one.splits[0].folds, expected)
    one, said = planned(made, task="regression", label_column="holes")
    assert one.images.num_rows == 23
    assert "1 of 24 images have no label: left out" in said


def test_what_conditions_leave_out_need_not_be_a_number(made: MadeStore) -> None:
    one = plan(made, task="regression", label_column="mixed", where=("mixed!=soft",), protocols=("image",))
    assert one.labels.tolist() == [float(i) for i in range(1, 24)]


def test_a_label_of_nan_is_no_class(made: MadeStore) -> None:
    one, said = planned(made, label_column="grade")
    assert sorted(set(one.labels)) == ["x", "y"]
    assert "2 of 24 images have no label: left out" in said


def test_columns_beside_the_features_are_numbers_or_one_per_value(made: MadeStore) -> None:
    one = plan(made, with_columns=("carbon", "cooling"))
    assert one.columns is not None
    np.testing.assert_allclose(one.columns[:, 0], [0.1 * i for i in range(24)], rtol=1e-6)
    assert one.columns[:, 1].tolist() == [float(i % 3 != 0) for i in range(24)]
    assert one.columns[:, 2].tolist() == [float(i % 3 == 0) for i in range(24)]
    assert plan(made, with_columns=("carbon",)).keys.isdisjoint(plan(made).keys)
    one, said = planned(made, with_columns=("holes",))
    assert one.images.num_rows == 23
    assert "1 of 24 images have no value of holes: left out" in said


def test_what_is_stored_is_not_pending(made: MadeStore) -> None:
    one = plan(made)
    place, row = next(iter(one.rows.items()))
    scored = row | {"metadata": None, "error": None, "seconds": 0.0, "created": "", "versions": {}}
    write_evaluation(made.storage, "steel", scored)
    assert place not in plan(made).pending
    assert len(plan(made).pending) == len(one.pending) - 1
    assert len(plan(made, trials=3).pending) == 5  # a third trial by image and by group, and what was pending


@pytest.mark.parametrize(
    ("changes", "error", "reason"),
    [
        ({"label_column": "colour"}, UsageError, "--label-column colour: no such column; there are carbon"),
        ({"group_column": "colour"}, UsageError, "--group-column colour: no such column"),
        ({"with_columns": ("colour",)}, UsageError, "--with-columns colour: no such column"),
        ({"where": ("colour=red",)}, LabelsError, "--where: no column colour"),
        ({"where": ("cooling",)}, UsageError, "write it as COLUMN=VALUE"),
        ({"where": ("cooling=oil",)}, UsageError, "no image meets --where cooling=oil"),
        ({"where": ("label=a",)}, UsageError, "all images are 'a': one class only"),
        ({"label_column": "rare"}, UsageError, "'seldom' has 2 images, fewer than 3 folds"),
        ({"label_column": "hardness"}, UsageError, "for labels that are quantities give --task regression"),
        ({"label_column": "empty"}, UsageError, "no image has a label in column empty"),
        ({"task": "regression"}, UsageError, "column label holds 'a', which is not a number"),
        ({"encoders": ("gram",)}, FeaturesNotFoundError, "no features of encoder gram at layer conv1_2"),
        ({"encoders": ("max",), "layers": ("all",)}, FeaturesNotFoundError, "encoder max at layer conv2_2"),
        ({"encoders": ("gram",), "layers": ()}, FeaturesNotFoundError, "no features of encoder gram"),
        ({"spec": "s0000"}, FeaturesNotFoundError, "no such spec"),
        ({"snapshot": 9}, TextureStoreError, "no snapshot 9"),
        ({"trials": 0}, UsageError, "0 trials"),
        ({"folds": 13}, UsageError, "fewer than 13 folds"),
    ],
)
def test_what_cannot_be_answered_is_one_clear_line(
    made: MadeStore, changes: dict[str, object], error: type[Exception], reason: str
) -> None:
    with pytest.raises(error) as caught:
        plan(made, **changes)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_dataset_without_features_is_told_the_way_on(tmp_path: Path) -> None:
    made = MadeStore.at(tmp_path)
    made.index("steel", PATHS, labels=LABELS)
    with pytest.raises(FeaturesNotFoundError, match="no feature set to evaluate; run: texture-store featurize"):
        plan(made, encoders=(), layers=())


def test_feature_sets_without_a_common_image_are_told(tmp_path: Path) -> None:
    made = MadeStore.at(tmp_path)
    made.index("steel", PATHS, labels=LABELS)
    made.commit("steel", "s0", PATHS[:12])
    made.commit("steel", "s1", PATHS[12:], pairs=[("max", "conv1_2")])
    with pytest.raises(FeaturesNotFoundError, match="of 24 images with a label none has features of all"):
        plan(made, encoders=("mean", "max"))


def test_vectors_of_pictures_of_different_sizes_are_made_comparable_and_told(tmp_path: Path) -> None:
    made = MadeStore.at(tmp_path)
    made.index("steel", PATHS, labels=LABELS)
    made.commit("steel", "s0", PATHS, pairs=[("gram", "input")], num_positions=[100, 200] * 12)
    one, said = planned(made, encoders=("gram",), layers=())
    assert one.sets[0].form == "position mean"
    assert any(line.startswith("gram input: images differ in their number of positions") for line in said)
    raw = plan(made, encoders=("gram",), layers=(), raw_sums=True)
    assert raw.sets[0].form == "as stored"
    assert raw.keys.isdisjoint(one.keys)
