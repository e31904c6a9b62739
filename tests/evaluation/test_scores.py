import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from texture_store.errors import DimensionMismatchError, UsageError
from texture_store.evaluation.scores import majority_score, score, score_regression, spread, weighted_f1

NAMES = ["a", "b", "c", "d"]
pairs_of_names = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), min_size=1, max_size=40)


def test_a_case_by_hand() -> None:
    #        true a: 2 right, 1 taken for b; true b: 1 right, 1 taken for a; true c: taken for a
    labels = np.array(["a", "a", "a", "b", "b", "c"])
    predictions = np.array(["a", "a", "b", "b", "a", "a"])
    scores = score(labels, predictions, ["a", "b", "c"])
    a, b, c = 2 * 2 / (3 + 4), 2 * 1 / (2 + 2), 0.0
    assert scores.f1_by_class == pytest.approx({"a": a, "b": b, "c": c})
    assert scores.f1_weighted == pytest.approx((3 * a + 2 * b + c) / 6)
    assert scores.f1_macro == pytest.approx((a + b + c) / 3)
    assert scores.accuracy == 0.5
    assert scores.confusion.tolist() == [[2, 1, 0], [1, 1, 0], [1, 0, 0]]
    assert scores.confusion.dtype == np.int64
    assert scores.classes == ["a", "b", "c"]


@settings(max_examples=50, deadline=None)
@given(pairs_of_names)
def test_scores_follow_from_the_confusion_matrix(pairs) -> None:
    labels, predictions = (np.array(column) for column in zip(*pairs, strict=True))
    scores = score(labels, predictions, NAMES)
    true, predicted, hits = scores.confusion.sum(axis=1), scores.confusion.sum(axis=0), np.diag(scores.confusion)
    with np.errstate(invalid="ignore"):
        f1 = 2 * hits / (true + predicted)  # NaN where a class does not occur at all
    np.testing.assert_allclose(list(scores.f1_by_class.values()), f1)
    assert scores.f1_macro == pytest.approx(np.nanmean(f1))
    assert scores.f1_weighted == pytest.approx(np.nansum(f1 * true) / len(labels))
    assert scores.accuracy == pytest.approx(hits.sum() / len(labels))
    assert scores.confusion.sum() == len(labels)


@settings(max_examples=50, deadline=None)
@given(pairs_of_names)
def test_scores_are_exactly_those_of_scikit_learn(pairs) -> None:
    labels, predictions = (np.array(column) for column in zip(*pairs, strict=True))
    scores = score(labels, predictions, NAMES)
    assert scores.f1_weighted == f1_score(labels, predictions, average="weighted", zero_division=0)
    assert scores.f1_macro == f1_score(labels, predictions, average="macro", zero_division=0)


def test_majority_score_of_the_papers_steel_set_is_the_published_one() -> None:
    # 374 spheroidite, 212 network, 124 pearlite: always "spheroidite" has accuracy 0.527 and weighted F1 0.363.
    steel = np.repeat(["spheroidite", "network", "pearlite"], [374, 212, 124])
    assert majority_score(steel) == pytest.approx(0.363, abs=0.0005)
    constant = score(steel, np.full(710, "spheroidite"), ["network", "pearlite", "spheroidite"])
    assert constant.accuracy == pytest.approx(0.527, abs=0.0005)
    assert constant.f1_macro == pytest.approx(0.230, abs=0.0005)
    assert weighted_f1(steel, np.full(710, "spheroidite")) == constant.f1_weighted == majority_score(steel)


def test_regression_by_hand() -> None:
    scores = score_regression(np.array([1.0, 2.0, 6.0]), np.array([2.0, 2.0, 5.0]))
    assert scores.r2 == pytest.approx(1 - (1 + 0 + 1) / (4 + 1 + 9))
    assert scores.mae == pytest.approx(2 / 3)


def test_the_mean_explains_nothing_and_one_row_has_no_r2() -> None:
    targets = np.array([1.0, 2.0, 6.0])
    assert score_regression(targets, np.full(3, 3.0)).r2 == 0.0
    alone = score_regression(targets[:1], targets[1:2])
    assert np.isnan(alone.r2)
    assert alone.mae == 1.0


def test_spread_is_the_sample_standard_deviation() -> None:
    mean, deviation = spread([0.8, 0.9, 1.0])
    assert (mean, deviation) == (pytest.approx(0.9), pytest.approx(0.1))
    assert spread([0.5])[0] == 0.5
    assert np.isnan(spread([0.5])[1])


A, B = np.array(["a", "b"]), np.array(["a", "z"])


@pytest.mark.parametrize(("call", "error", "reason"), [
    (lambda: score(A, A[:1], ["a", "b"]), DimensionMismatchError, r"labels \(2,\) and predictions \(1,\)"),
    (lambda: score(A, B, ["a", "b"]), UsageError, "'z' is none of the classes"),
    (lambda: score(B, A, ["a", "b"]), UsageError, "'z' is none of the classes"),
    (lambda: score(A[:0], A[:0], ["a"]), UsageError, "no predictions"),
    (lambda: score_regression(np.zeros(2), np.zeros(3)), DimensionMismatchError, "do not correspond"),
    (lambda: score_regression(np.zeros(0), np.zeros(0)), UsageError, "no predictions"),
    (lambda: majority_score(A[:0]), UsageError, "no labels"),
    (lambda: spread([]), UsageError, "no values"),
])  # fmt: skip
def test_what_cannot_be_scored_is_refused(call, error, reason: str) -> None:
    with pytest.raises(error, match=reason):
        call()
