"""evaluate on Ray, on a real store with drawn vectors."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import RidgeCV
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, r2_score
from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import SVC

from jobs.evaluate import command
from jobs.evaluation_plan import make_evaluation_plan
from jobs.evaluation_request import EvaluationRequest
from tests.made_store import MadeStore
from texture_store import open_store, unpack_gram
from texture_store.evaluation.classifiers import RIDGE_PENALTIES
from texture_store.evaluation.metadata import metadata_score
from texture_store.evaluation.trial import estimator_seed

pytestmark = pytest.mark.ray

PATHS = [f"piece{i // 2:02}/{i:02}.tif" for i in range(36)]
LABELS = {path: "abc"[i // 2 % 3] for i, path in enumerate(PATHS)}
VOLTAGE = [5.0 + 10 * (i // 2 % 3 == 0) for i in range(36)]
META = {"hardness": [f"{100 + 3 * (i // 2 % 3) + i % 2}" for i in range(36)]}
PAIRS = [("mean", "conv1_2"), ("mean", "input"), ("gram", "input")]
TREES = ["--trees", "20", "--trials", "2"]


@pytest.fixture
def made(tmp_path: Path, ray_session: None) -> MadeStore:
    made = MadeStore.at(tmp_path / "store")
    made.index("steel", PATHS, labels=LABELS, meta=META)
    made.commit("steel", "s0", PATHS, pairs=PAIRS, facts={"acceleration_voltage_kv": VOLTAGE})
    return made


def run(made: MadeStore, *arguments: str) -> Result:
    return CliRunner().invoke(command, ["--store", made.url, "--dataset", "steel", *arguments])


def plain_trial(
    matrix: np.ndarray, labels: np.ndarray, protocol: str, seed: int, make: object
) -> tuple[np.ndarray, list]:
    """What anybody would write with scikit-learn: predictions and test rows of each fold."""
    groups = np.array([path.split("/")[0] for path in PATHS])
    if protocol == "group":
        folds = StratifiedGroupKFold(3, shuffle=True, random_state=seed).split(matrix, labels, groups)
    elif labels.dtype.kind == "f":
        folds = KFold(3, shuffle=True, random_state=seed).split(matrix)
    else:
        folds = StratifiedKFold(3, shuffle=True, random_state=seed).split(matrix, labels)
    predicted, tested = np.empty_like(labels), []
    for number, (train, test) in enumerate(folds):
        model = make(estimator_seed(seed, number))  # type: ignore[operator]
        predicted[test] = model.fit(matrix[train], labels[train]).predict(matrix[test])
        tested.append(test)
    return predicted, tested


def forest(seed: int) -> RandomForestClassifier:
    return RandomForestClassifier(n_estimators=20, max_features="sqrt", random_state=seed)


def test_scores_equal_a_plain_scikit_learn_loop_exactly(made: MadeStore) -> None:
    assert run(made, *TREES, "--encoders", "mean").exit_code == 0
    labels = np.array([LABELS[path] for path in PATHS])
    rows = open_store(made.url).evaluations("steel")
    assert len(rows) == 2 * 2 * 2  # layers, protocols, trials
    for row in rows.itertuples():
        matrix = made.matrix("steel", PATHS, (row.encoder, row.layer))
        predicted, tested = plain_trial(matrix, labels, row.protocol, row.seed, forest)
        each = {"average": None, "labels": ["a", "b", "c"]}
        assert row.f1_weighted == f1_score(labels, predicted, average="weighted")
        assert row.f1_macro == f1_score(labels, predicted, average="macro")
        assert row.accuracy == accuracy_score(labels, predicted)
        assert row.f1_by_class.tolist() == f1_score(labels, predicted, **each).tolist()
        assert [list(line) for line in row.confusion] == confusion_matrix(labels, predicted).tolist()
        assert row.classes.tolist() == ["a", "b", "c"]
        assert [row.classes[place] for place in row.predicted_class] == predicted.tolist()
        assert row.fold_sizes.tolist() == [len(test) for test in tested]
        assert row.fold_f1_weighted.tolist() == [
            f1_score(labels[test], predicted[test], average="weighted") for test in tested
        ]
        assert sum(np.stack([np.stack(list(fold)) for fold in row.fold_confusion])).tolist() == [
            list(line) for line in row.confusion
        ]
        assert row.majority == pytest.approx(f1_score(labels, np.full(36, "a"), average="weighted"))


def test_the_linear_svm_sees_packed_gram_as_the_full_matrices(made: MadeStore) -> None:
    assert run(made, *TREES, "--encoders", "gram", "--classifier", "svm", "--protocol", "image").exit_code == 0
    labels = np.array([LABELS[path] for path in PATHS])
    full = unpack_gram(made.matrix("steel", PATHS, ("gram", "input"))).reshape(36, -1)

    def svm(seed: int) -> object:
        return make_pipeline(Normalizer(), SVC(kernel="linear", C=1, class_weight="balanced"))

    for row in open_store(made.url).evaluations("steel").itertuples():
        predicted, _ = plain_trial(full, labels, row.protocol, row.seed, svm)
        assert row.f1_weighted == f1_score(labels, predicted, average="weighted")
        assert np.isnan(row.trees)


def test_regression_with_a_column_beside_the_features(made: MadeStore) -> None:
    options = ["--task", "regression", "--classifier", "ridge", "--label-column", "hardness", "--protocol", "image"]
    result = run(made, *TREES, *options, "--encoders", "mean", "--layers", "input", "--with-columns", "specimen")
    assert result.exit_code == 0, result.output
    assert "always the mean" in result.output
    hardness = np.array(META["hardness"], np.float64)
    pieces = np.array([path.split("/")[0] for path in PATHS])
    beside = (pieces[:, None] == np.unique(pieces)).astype(np.float32)
    matrix = np.hstack([made.matrix("steel", PATHS, ("mean", "input")), beside])

    def ridge(seed: int) -> object:
        return make_pipeline(StandardScaler(), RidgeCV(alphas=RIDGE_PENALTIES))

    for row in open_store(made.url).evaluations("steel").itertuples():
        predicted, _ = plain_trial(matrix, hardness, row.protocol, row.seed, ridge)
        assert row.r2 == pytest.approx(r2_score(hardness, predicted), abs=1e-6)
        assert row.predicted_value == pytest.approx(predicted)
        assert row.mae == pytest.approx(np.abs(hardness - predicted).mean(), rel=1e-5)
        assert row.f1_weighted is None or np.isnan(row.f1_weighted)


def test_what_is_there_is_not_run_again_and_more_can_be_added(made: MadeStore) -> None:
    first = json.loads(run(made, *TREES, "--layers", "input", "--json").stdout)
    assert (first["computed"], first["there"]) == (8, 0)
    files = {path: path.read_bytes() for path in Path(made.url).glob("evaluations/**/*.parquet")}
    again = json.loads(run(made, *TREES, "--layers", "input", "--json").stdout)
    assert (again["computed"], again["there"]) == (0, 8)
    assert again["scores"] == first["scores"]
    more = json.loads(run(made, "--trees", "20", "--trials", "3", "--json").stdout)
    assert (more["computed"], more["there"]) == (18 - 8, 8)
    assert {path: path.read_bytes() for path in files} == files


def test_the_baseline_is_that_of_metadata_on_the_same_folds(made: MadeStore) -> None:
    result = run(made, *TREES, "--layers", "conv1_2", "--protocol", "group", "--json")
    request = EvaluationRequest(made.url, "steel", layers=("conv1_2",), trials=2, trees=20, protocols=("group",))
    plan = make_evaluation_plan(request, lambda _: None)
    rows = open_store(made.url).evaluations("steel").sort_values("trial")
    columns = {"acceleration_voltage_kv": np.array(VOLTAGE)}  # hardness is no matter of how the image was taken
    for row, split in zip(rows.itertuples(), plan.splits, strict=True):
        scores = metadata_score(columns, plan.labels, split.folds, trees=20, seed=split.seed)
        assert row.metadata == {
            **{name: field.f1_weighted for name, field in scores.fields.items()},
            "together": scores.together.f1_weighted,
        }
    best = max(np.mean([metadata[name] for metadata in rows["metadata"]]) for name in rows["metadata"].iloc[0])
    assert [one["metadata"] for one in json.loads(result.stdout)["scores"]] == [pytest.approx(best)]


def test_a_trial_that_fails_is_a_row_with_its_error_and_the_next_run_repairs_it(made: MadeStore) -> None:
    [file] = Path(made.url).glob("features/dataset=steel/*/encoder=mean/layer=conv1_2/*.parquet")
    hidden = file.rename(file.with_suffix(".hidden"))
    result = run(made, *TREES, "--encoders", "mean", "--protocol", "image")
    assert result.exit_code == 1
    assert "mean conv1_2 by image, trial 0: " in result.stderr
    assert "2 trials failed, and are tried again by the same command" in result.stdout
    rows = open_store(made.url).evaluations("steel").set_index(["layer", "trial"])
    assert rows["error"].notna().to_dict() == {
        ("conv1_2", 0): True,
        ("conv1_2", 1): True,
        ("input", 0): False,
        ("input", 1): False,
    }
    hidden.rename(file)
    summary = json.loads(run(made, *TREES, "--encoders", "mean", "--protocol", "image", "--json").stdout)
    assert (summary["computed"], summary["there"], summary["failed"]) == (2, 2, {})
    assert open_store(made.url).evaluations("steel")["error"].isna().all()


def test_the_table_shows_protocols_baselines_gap_and_what_is_best(made: MadeStore, tmp_path: Path) -> None:
    result = run(made, *TREES, "--output", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    head, *lines = result.stdout.splitlines()
    beside = "metadata alone majority"
    assert " ".join(head.split()) == f"encoder layer values F1 by image {beside} F1 by group {beside} gap"
    assert [line.split()[:3] for line in lines[:3]] == [
        ["mean", "input", "3"],
        ["mean", "conv1_2", "64"],
        ["gram", "input", "6"],
    ]
    assert "36 images, 18 groups (specimen)" in result.stdout
    assert "believe the score by group for a new specimen" in result.stdout
    assert "best by group: " in result.stdout
    assert "paper, by image: input is never the best layer: " in result.stdout
    names = {re.sub("-[0-9a-f]{8}(?=[.])", "", path.name.split("-", 3)[-1]) for path in (tmp_path / "out").iterdir()}
    assert names == {"scores.csv", "tables.md", "layers.png", "layers.svg"}
    assert len(list(Path(made.url).glob("reports/dataset=steel/evaluation-*"))) == 4


def test_wrong_usage_is_status_2_in_one_line(made: MadeStore) -> None:
    result = run(made, "--label-column", "colour")
    assert result.exit_code == 2
    [line] = [line for line in result.stderr.splitlines() if line.startswith("texture-store evaluate:")]
    assert "--label-column colour: no such column" in line
    assert run(made, "--layers", "conv9").exit_code == 2
    assert run(made, "--protocol", "specimen").exit_code == 2
