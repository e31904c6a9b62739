import numpy as np
import pytest
from scipy import stats

from tests.evaluation_rows import evaluation_row, evaluation_table
from texture_store.report.score_changes import score_changes
from texture_store.store.evaluations import evaluations_frame

OLD, NEW, BASE, OTHER = ("s" + digit * 20 for digit in "1234")


def frame(*groups):
    return evaluations_frame({"steel": evaluation_table([row for group in groups for row in group])})


def trials(
    mean: float, *, snapshot: int = 1, count: int = 4, seed: int = 0, sd: float = 0.01, folds: int = 3, **changes
):
    rng = np.random.default_rng([seed, snapshot])
    settings = {"snapshot": snapshot, "members": str(snapshot) * 32, "num_images": 20 + 10 * snapshot} | changes
    return [
        evaluation_row(trial=t, folds=rng.normal(mean, sd, folds).tolist(), **settings | {"seed": 100 * snapshot + t})
        for t in range(count)
    ]


def compare(now, every, *, worse_by: float = 0.02, base_of=None):
    return score_changes(now, every, base_of=base_of or {}, worse_by=worse_by, confidence=0.95)


def test_a_fall_between_snapshots_is_tested_on_different_folds():
    before, now = trials(0.95, snapshot=1), trials(0.70, snapshot=2)
    (found,) = compare(frame(now), frame(before, now))
    old, new = (np.concatenate([row["fold_f1_weighted"] for row in rows]) for rows in (before, now))
    assert (found.before, found.now) == (pytest.approx(old.mean()), pytest.approx(new.mean()))
    assert (found.snapshot_before, found.images_before, found.images_now) == (1, 30, 40)
    assert (found.verdict, found.paired) == ("regression", False)
    # 30 images: 10 tested, 20 learnt from. 40: 13 and 27.
    squares = [old.var(ddof=1) * (1 / 12 + 10 / 20), new.var(ddof=1) * (1 / 12 + 13 / 27)]
    dof = sum(squares) ** 2 / sum(square**2 / 11 for square in squares)
    reach = stats.t.ppf(0.975, dof) * np.sqrt(sum(squares))
    assert (found.low, found.high) == (
        pytest.approx(new.mean() - old.mean() - reach),
        pytest.approx(new.mean() - old.mean() + reach),
    )
    assert set(found.keys_before) == {row["key"] for row in before}
    assert set(found.keys_now) == {row["key"] for row in now}


def test_the_same_snapshot_with_another_dictionary_is_tested_fold_by_fold():
    old = trials(0.90, encoder="vlad", spec=OLD)
    new = trials(0.90, encoder="vlad", spec=NEW)
    for before, row in zip(old, new, strict=True):
        row["fold_f1_weighted"] = [score - 0.1 for score in before["fold_f1_weighted"]]
    (found,) = compare(frame(new), frame(old, new), base_of={OLD: BASE, NEW: BASE})
    assert found.paired
    assert found.difference == pytest.approx(-0.1)
    assert (found.low, found.high) == (pytest.approx(-0.1), pytest.approx(-0.1))  # every fold the same
    assert found.verdict == "regression"


def test_the_newest_earlier_snapshot_counts_not_a_later_trial_of_this_one():
    first, second, now = trials(0.9, snapshot=1), trials(0.8, snapshot=2), trials(0.8, snapshot=4)
    later = trials(0.99, snapshot=5)
    (found,) = compare(frame(now), frame(first, second, now, later))
    assert found.snapshot_before == 2
    assert found.verdict == "unchanged"
    old_words = trials(0.99, snapshot=4, spec=OLD, encoder="vlad")
    before = trials(0.9, snapshot=2, spec=OLD, encoder="vlad")
    now = trials(0.9, snapshot=4, spec=NEW, encoder="vlad")
    (found,) = compare(frame(now), frame(before, old_words, now), base_of={OLD: BASE, NEW: BASE})
    assert found.snapshot_before == 2


@pytest.mark.parametrize(
    "difference",
    [
        {"spec": OTHER},
        {"trees": 100},
        {"classifier": "svm", "trees": None},
        {"label_column": "phase"},
        {"conditions": ["a=1"]},
        {"with_columns": ["carbon"]},
        {"layer": "conv5_3"},
        {"folds": 2},
        {"strict": True},
        {"error": "no"},
    ],
    ids=str,
)
def test_another_question_is_not_compared_with(difference: dict):
    before, now = trials(0.95, snapshot=1, **difference), trials(0.7, snapshot=2)
    assert compare(frame(now), frame(before, now)) == []


def test_by_group_groups_are_counted():
    groups = {"protocol": "group", "num_groups": 6}
    before, now = trials(0.9, snapshot=1, **groups), trials(0.9, snapshot=2, seed=1, **groups)
    (found,) = compare(frame(now), frame(before, now))
    old, new = (np.concatenate([row["fold_f1_weighted"] for row in rows]) for rows in (before, now))
    squares = [values.var(ddof=1) * (1 / 12 + 2 / 4) for values in (old, new)]
    dof = sum(squares) ** 2 / sum(square**2 / 11 for square in squares)
    assert found.high - found.low == pytest.approx(2 * stats.t.ppf(0.975, dof) * np.sqrt(sum(squares)))


def test_failed_trials_and_a_first_evaluation():
    now = trials(0.9)
    assert compare(frame(now), frame(now)) == []
    failed = [evaluation_row(trial=t, snapshot=2, members="2" * 32, error="no memory") for t in range(3)]
    assert compare(frame(failed), frame(now, failed)) == []
    assert score_changes(frame(), frame(now), base_of={}, worse_by=0.1, confidence=0.95) == []
