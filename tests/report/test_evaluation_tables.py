import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.evaluation_rows import evaluation_row, evaluation_table
from texture_store.evaluation.significance import compare_with_best
from texture_store.report.evaluation_tables import (
    best_table,
    claims_of,
    classifier_table,
    fold_scores,
    innermost,
    length_table,
    markdown,
    metadata_baseline,
    newest_sets,
    rankings,
    same_question,
    score_table,
    side_by_side,
    sizes,
    strict_differences,
)
from texture_store.store.evaluations import evaluations_frame

SHALLOW, DEEP = ("mean", "conv1_2"), ("mean", "conv4_3")


def frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    return evaluations_frame({"steel": evaluation_table(rows)})


def trials(
    pair: tuple[str, str], scores: list[tuple[float, ...]], protocol: str = "image", **changes: object
) -> list[dict[str, object]]:
    return [
        evaluation_row(*pair, trial=trial, folds=folds, protocol=protocol, **changes)
        for trial, folds in enumerate(scores)
    ]


def test_scores_are_mean_and_standard_deviation_over_trials() -> None:
    table = score_table(frame(trials(DEEP, [(0.8, 0.8), (0.9, 0.9), (1.0, 1.0)])))
    [row] = table.to_dict("records")
    assert row["mean"] == pytest.approx(0.9)
    assert row["sd"] == pytest.approx(0.1)  # ddof 1: sqrt((0.01 + 0 + 0.01) / 2)
    assert (row["trials"], row["failed"], row["num_features"]) == (3, 0, 512)
    assert (row["majority"], row["metadata"]) == (0.25, 0.5)


def test_rows_stand_in_the_order_of_the_paper() -> None:
    pairs = [
        ("vlad", "input"),
        ("mean", "all"),
        ("mean", "conv1_2"),
        ("mean", "input"),
        ("gram", "input"),
        ("max", "input"),
    ]
    table = score_table(frame([evaluation_row(*pair) for pair in pairs]))
    assert list(zip(table["encoder"], table["layer"], strict=True)) == [
        ("mean", "input"),
        ("mean", "conv1_2"),
        ("mean", "all"),
        ("max", "input"),
        ("gram", "input"),
        ("vlad", "input"),
    ]


def test_a_failed_trial_counts_as_failed_and_not_as_a_score() -> None:
    rows = [*trials(DEEP, [(0.8, 0.8)]), evaluation_row(*DEEP, trial=1, error="OSError: gone")]
    rows += [evaluation_row(*SHALLOW, trial=0, error="OSError: gone")]
    table = score_table(frame(rows)).set_index("layer")
    assert table.loc["conv4_3", ["trials", "failed", "mean"]].tolist() == [1, 1, 0.8]
    assert table.loc["conv1_2", ["trials", "failed"]].tolist() == [0, 1]
    assert np.isnan(table.loc["conv1_2", "mean"])
    assert best_table(score_table(frame(rows)))["layer"].tolist() == ["conv4_3"]


def test_one_trial_has_no_spread() -> None:
    assert np.isnan(score_table(frame(trials(DEEP, [(0.8, 0.8)])))["sd"].iloc[0])


def test_protocols_stand_side_by_side_with_their_gap() -> None:
    rows = trials(DEEP, [(0.9, 0.9)]) + trials(DEEP, [(0.6, 0.6)], "group") + trials(SHALLOW, [(0.5, 0.5)])
    wide = side_by_side(score_table(frame(rows))).set_index("layer")
    assert wide.loc["conv4_3", "gap"] == pytest.approx(0.3)
    assert wide.loc["conv4_3", ["mean_image", "mean_group"]].tolist() == [0.9, 0.6]
    assert np.isnan(wide.loc["conv1_2", "gap"])
    assert "gap" not in side_by_side(score_table(frame(trials(DEEP, [(0.9, 0.9)]))))


def test_the_metadata_baseline_is_the_field_that_is_best_over_all_trials() -> None:
    # Not the mean of each trial's best, which is at least as high.
    rows = [
        evaluation_row(*pair, trial=trial, metadata=metadata)
        for pair in (SHALLOW, DEEP)
        for trial, metadata in enumerate(
            [{"um": 0.9, "kv": 0.4, "together": 0.5}, {"um": 0.5, "kv": 0.8, "together": 0.5}]
        )
    ]
    assert metadata_baseline(frame(rows)) == ("um", pytest.approx(0.7))
    name, score = metadata_baseline(frame([evaluation_row(metadata=None)]))
    assert name == ""
    assert np.isnan(score)


def test_fold_scores_are_of_the_trials_that_all_sets_have() -> None:
    rows = trials(DEEP, [(0.1, 0.2), (0.3, 0.4), (0.5, 0.6)]) + trials(SHALLOW, [(0.7, 0.8)])
    rows += [evaluation_row(*SHALLOW, trial=1, error="x"), evaluation_row(*SHALLOW, trial=2, folds=(0.9, 1.0))]
    scores = {(key.encoder, key.layer): values.tolist() for key, values in fold_scores(frame(rows)).items()}
    assert scores == {DEEP: [0.1, 0.2, 0.5, 0.6], SHALLOW: [0.7, 0.8, 0.9, 1.0]}


def test_the_ranking_is_the_corrected_test_with_groups_counted_under_the_group_protocol() -> None:
    rng = np.random.default_rng(0)
    deep, shallow = rng.uniform(0.8, 1, (10, 3)), rng.uniform(0.7, 0.9, (10, 3))
    rows = [
        row
        for p in ("image", "group")
        for pair, s in ((DEEP, deep), (SHALLOW, shallow))
        for row in trials(pair, s.tolist(), p)
    ]
    found = rankings(frame(rows))
    assert list(found) == ["image", "group"]
    scores = {"mean conv4_3": deep.ravel(), "mean conv1_2": shallow.ravel()}
    assert found["image"] == compare_with_best(scores, n_train=20, n_test=10)  # of 30 images
    assert found["group"] == compare_with_best(scores, n_train=8, n_test=4)  # of 12 groups
    assert rankings(frame(trials(DEEP, deep.tolist()))) == {}


def test_sizes_are_whole_numbers() -> None:
    assert sizes(frame([evaluation_row(num_images=31)])) == (21, 10)
    assert sizes(frame([evaluation_row(protocol="group", num_groups=2)])) == (1, 1)


def test_regression_is_scored_by_r2() -> None:
    scores = {"task": "regression", "r2": 0.5, "mae": 3.0, "fold_r2": [0.4, 0.6], "fold_mae": [3.0, 3.0]}
    none = dict.fromkeys(["f1_weighted", "f1_macro", "accuracy", "fold_f1_weighted", "metadata"])
    rows = [evaluation_row(*DEEP, trial=trial, folds=(0, 0), **scores, **none) for trial in range(2)]
    [row] = score_table(frame(rows)).to_dict("records")
    assert (row["mean"], row["sd"], row["mae"]) == (0.5, 0, 3.0)
    [values] = fold_scores(frame(rows)).values()
    assert values.tolist() == [0.4, 0.6, 0.4, 0.6]


def test_the_paper_s_table_1_comes_out_of_what_is_stored() -> None:
    gram = {"input": 6, "conv1_2": 2080, "conv2_2": 8256, "conv3_3": 32896, "conv4_3": 131328, "conv5_3": 131328}
    rows = [evaluation_row("gram", layer, num_features=width) for layer, width in gram.items()]
    rows += [evaluation_row("gram", "all", num_features=305888), evaluation_row("mean", "conv1_2", num_features=64)]
    table = length_table(frame(rows)).set_index("layer")
    assert table["gram"].tolist() == [9, 4096, 16384, 65536, 262144, 262144, 610304]
    assert table["gram stored"].tolist() == [*gram.values(), 305888]
    assert table["mean"].dropna().tolist() == [64]


def test_all_layers_together_have_the_paper_s_length_whatever_else_was_evaluated() -> None:
    rows = [evaluation_row("gram", "conv1_2", num_features=2080), evaluation_row("gram", "all", num_features=305888)]
    assert length_table(frame(rows))["gram"].tolist() == [4096, 610304]


def test_rows_of_other_questions_and_older_specs_are_left_out() -> None:
    mine = evaluation_row()
    rows = [
        mine,
        evaluation_row(classifier="svm", trees=None),
        evaluation_row(members="1" * 32),
        evaluation_row(label_column="grade"),
        evaluation_row(conditions=["label!=a"]),
        evaluation_row(with_columns=["carbon"]),
        evaluation_row(folds=(0.5, 0.5)),
    ]
    kept = same_question(frame(rows), frame([mine]).iloc[0])
    assert sorted(kept["classifier"]) == ["forest", "svm"]
    newer = evaluation_row(spec="s" + "1" * 20, created="2027-01-01")
    few_trees = evaluation_row("max", trees=10)
    assert set(newest_sets(frame([mine, newer, few_trees]))["key"]) == {newer["key"], few_trees["key"]}
    svm = evaluation_row(*DEEP, classifier="svm", trees=None)
    assert set(newest_sets(frame([mine, svm]))["key"]) == {mine["key"], svm["key"]}


def test_strict_rows_stand_for_their_feature_set_and_differ_by_the_corrected_test() -> None:
    outside = [(0.80, 0.90, 0.70), (0.60, 0.90, 0.80)]
    inside = [(0.75, 0.80, 0.70), (0.60, 0.85, 0.75)]
    rows = [evaluation_row("vlad", trial=trial, folds=folds) for trial, folds in enumerate(outside)]
    rows += [evaluation_row("vlad", trial=trial, folds=folds, strict=True) for trial, folds in enumerate(inside)]
    rows += [evaluation_row("mean", trial=trial) for trial in range(2)]
    every = frame(rows)
    kept = innermost(every)
    assert sorted(kept["strict"].tolist()) == [False, False, True, True]
    assert set(kept[kept["encoder"] == "vlad"]["strict"]) == {True}
    (found,) = strict_differences(every).to_dict("records")
    difference = np.subtract(np.ravel(inside), np.ravel(outside))
    error = np.sqrt(difference.var(ddof=1) * (1 / 6 + 10 / 20))
    assert found["encoder"] == "vlad"
    assert found["difference"] == pytest.approx(difference.mean())
    assert found["inside"] - found["outside"] == pytest.approx(difference.mean())
    reach = stats.t.ppf(0.975, 5) * error
    assert (found["low"], found["high"]) == pytest.approx((difference.mean() - reach, difference.mean() + reach))


def test_without_strict_rows_nothing_is_left_out_and_nothing_differs() -> None:
    every = frame([evaluation_row("vlad"), evaluation_row("mean")])
    assert innermost(every) is every
    assert not len(strict_differences(every))
    only_inside = frame([evaluation_row("vlad", strict=True)])
    assert not len(strict_differences(only_inside))


def test_claims_are_tested_on_the_rows_of_one_protocol() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for layer in ("input", "conv1_2"):
        for encoder, level in (("mean", 0.9), ("max", 0.5)):
            scores = np.clip(level - 0.3 * (layer == "input") + rng.normal(0, 0.01, (10, 3)), 0, 1)
            rows += trials((encoder, layer), scores.tolist(), num_images=300)
    verdicts = {claim.text: claim.verdict for claim in claims_of({"steel": frame(rows)}, "image")}
    assert verdicts["max is the worst encoder"] == "held"
    assert verdicts["input is never the best layer"] == "held"
    assert verdicts["mean is about as good as Gram"] == "undecided"
    assert claims_of({"steel": frame(rows)}, "group") == []


def test_classifiers_stand_side_by_side_on_the_sets_that_all_have() -> None:
    folds = [(0.8, 0.9, 1.0), (0.7, 0.7, 0.7)]
    rows = trials(SHALLOW, folds) + trials(DEEP, folds)
    rows += trials(DEEP, [(0.6, 0.6, 0.6), (0.5, 0.5, 0.5)], classifier="svm", trees=None)
    (found,) = classifier_table(score_table(frame(rows))).to_dict("records")
    assert (found["encoder"], found["layer"], found["protocol"]) == (*DEEP, "image")
    assert (found["forest mean"], found["svm mean"]) == pytest.approx((0.8, 0.55))
    assert (found["forest sd"], found["svm sd"]) == pytest.approx((0.2 / 2**0.5, 0.1 / 2**0.5))
    assert not len(classifier_table(score_table(frame(trials(DEEP, folds)))))


def test_markdown_keeps_text_of_files_in_its_cell() -> None:
    text = markdown(pd.DataFrame({"name": ["a|b\n# c"], "score": [0.12345], "none": [np.nan]}))
    assert text.splitlines() == ["| name | score | none |", "| --- | --- | --- |", "| a\\|b # c | 0.123 | - |"]
