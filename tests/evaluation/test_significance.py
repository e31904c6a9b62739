import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from texture_store.errors import DimensionMismatchError, UsageError
from texture_store.evaluation.significance import ALPHA, compare_with_best, corrected_t_test, holm


def test_a_corrected_test_by_hand() -> None:
    # Mean 0.02, variance (0.0001 + 0.0001) / 2 = 0.0001; corrected 0.0001 * (1/3 + 1/2) = 8.3333e-5, of which the root
    # is 0.0091287; t = 0.02 / 0.0091287.
    test = corrected_t_test(np.array([0.01, 0.02, 0.03]), test_share=0.5)
    assert test.mean == pytest.approx(0.02)
    assert test.t == pytest.approx(2.19089)
    assert test.dof == 2
    # The t distribution of 2 degrees of freedom has a closed form: p = 1 - t / sqrt(2 + t^2).
    assert test.p == pytest.approx(1 - 2.19089 / np.sqrt(2 + 2.19089**2), rel=1e-5)


def test_thirty_folds_have_29_degrees_of_freedom_and_the_papers_variance() -> None:
    differences = np.random.default_rng(0).normal(0.01, 0.02, 30)
    test = corrected_t_test(differences, test_share=0.5)
    assert test.dof == 29
    plain = stats.ttest_1samp(differences, 0.0)
    # The plain test divides the variance by 30; the corrected one multiplies it by 1/30 + 1/2 = 16/30.
    assert test.t == pytest.approx(plain.statistic / 4)
    density = lambda t: (1 + t * t / 29) ** -15  # noqa: E731 (but for a factor)
    tail = integrate.quad(density, abs(test.t), np.inf)[0] / integrate.quad(density, 0, np.inf)[0]
    assert test.p == pytest.approx(tail, rel=1e-6)
    assert test.p > plain.pvalue


def test_without_a_difference_between_methods_few_tests_are_significant() -> None:
    """Two rules that ignore everything, over common folds of common data: neither is better."""
    rng = np.random.default_rng(0)
    significant = {"plain": 0, "corrected": 0}
    for _ in range(300):
        correct = rng.random((2, 60)) < 0.7  # which rows each of two fixed rules gets right
        differences = []
        for _ in range(10):
            for fold in np.array_split(rng.permutation(60), 3):
                differences.append(correct[0, fold].mean() - correct[1, fold].mean())
        significant["plain"] += stats.ttest_1samp(differences, 0.0).pvalue < 0.05
        significant["corrected"] += corrected_t_test(np.array(differences), test_share=0.5).p < 0.05
    assert significant["corrected"] / 300 < 0.08
    assert significant["plain"] / 300 > 0.3


def test_the_interval_is_what_the_test_does_not_reject() -> None:
    differences = np.random.default_rng(1).normal(0.01, 0.02, 30)
    low, high = corrected_t_test(differences, test_share=0.5).interval()
    for end in (low, high):
        assert corrected_t_test(differences - end, test_share=0.5).p == pytest.approx(ALPHA)
    assert low < differences.mean() < high


def test_equal_differences_have_no_doubt() -> None:
    none = corrected_t_test(np.zeros(30), test_share=0.5)
    assert (none.mean, none.t, none.p, none.interval()) == (0.0, 0.0, 1.0, (0.0, 0.0))
    rounding = corrected_t_test(np.full(30, 0.3) - (0.1 + 0.2), test_share=0.5)
    assert (rounding.mean, rounding.p) == (0.0, 1.0)
    always = corrected_t_test(np.full(30, -0.1), test_share=0.5)
    assert (always.mean, always.t, always.p) == (-0.1, -np.inf, 0.0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=40), st.floats(0.01, 1))
def test_the_test_is_two_sided(differences, test_share: float) -> None:
    there = corrected_t_test(np.array(differences), test_share=test_share)
    back = corrected_t_test(-np.array(differences), test_share=test_share)
    assert (there.p, there.t) == (back.p, -back.t)
    assert 0 <= there.p <= 1


def test_holm_by_hand() -> None:
    # Sorted 0.005 0.01 0.03 0.04, times 4 3 2 1: 0.02 0.03 0.06 0.04; the last is raised to the one before.
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.5, 0.6]), [1.0, 1.0])
    np.testing.assert_allclose(holm([0.02]), [0.02])
    assert holm([]).shape == (0,)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_rejects_what_its_steps_reject(p_values) -> None:
    adjusted = holm(p_values)
    rejected = set()
    for step, row in enumerate(np.argsort(p_values, kind="stable")):  # Holm's own words: stop at the first that fails
        if p_values[row] * (len(p_values) - step) >= 0.05:
            break
        rejected.add(row)
    assert set(np.flatnonzero(adjusted < 0.05)) == rejected
    assert (adjusted >= p_values).all()


def scores_around(mean: float, seed: int, noise: float = 0.01) -> np.ndarray:
    return mean + np.random.default_rng(seed).normal(0, noise, 30)


def test_the_best_comes_first_and_the_others_with_their_distance() -> None:
    scores = {"low": scores_around(0.6, 1), "best": scores_around(0.9, 2), "close": scores_around(0.897, 3)}
    best, close, low = compare_with_best(scores, n_train=40, n_test=20)
    assert (best.name, best.difference, best.p, best.distinguishable) == ("best", 0.0, 1.0, False)
    assert (close.name, close.distinguishable) == ("close", False)
    assert (low.name, low.distinguishable) == ("low", True)
    assert low.difference == pytest.approx(scores["best"].mean() - scores["low"].mean())
    assert low.mean == scores["low"].mean()


def test_comparisons_are_adjusted_for_all_of_them() -> None:
    best = scores_around(0.9, 0)
    scores = {"best": best}
    for number in range(1, 6):
        noise = stats.zscore(scores_around(0.0, number), ddof=1)
        scores[f"other{number}"] = best - 0.01 - 0.0062 * noise  # t = 0.01 / 0.0062 / sqrt(16 / 30) = 2.2
    ranked = compare_with_best(scores, n_train=40, n_test=20)
    assert ranked[0].name == "best"
    for each in ranked[1:]:
        alone = corrected_t_test(best - scores[each.name], test_share=0.5)
        assert 0.02 < alone.p < ALPHA
        assert each.p == pytest.approx(5 * alone.p)
        assert not each.distinguishable
    (_, single) = compare_with_best({name: scores[name] for name in ("best", "other1")}, n_train=40, n_test=20)
    assert single.distinguishable


def test_fewer_groups_than_rows_make_the_test_no_bolder() -> None:
    scores = {"best": scores_around(0.9, 0), "other": scores_around(0.88, 1, 0.02)}
    by_row = compare_with_best(scores, n_train=400, n_test=200)[1]
    by_group = compare_with_best(scores, n_train=7, n_test=4)[1]
    assert by_group.p > by_row.p


def test_equal_scores_are_in_the_order_of_their_names_and_the_same() -> None:
    same = scores_around(0.9, 0)
    ranked = compare_with_best({"b": same, "a": same}, n_train=2, n_test=1)
    assert [(each.name, each.p, each.distinguishable) for each in ranked] == [("a", 1.0, False), ("b", 1.0, False)]


@pytest.mark.parametrize(("call", "error", "reason"), [
    (lambda: corrected_t_test(np.array([0.1]), test_share=0.5), UsageError, "at least two folds"),
    (lambda: corrected_t_test(np.array([0.1, np.nan]), test_share=0.5), UsageError, "not finite"),
    (lambda: corrected_t_test(np.array([0.1, 0.2]), test_share=0.0), UsageError, "positive"),
    (lambda: holm([0.1, np.nan]), UsageError, "between 0 and 1"),
    (lambda: holm([1.1]), UsageError, "between 0 and 1"),
    (lambda: compare_with_best({}, n_train=2, n_test=1), UsageError, "no scores"),
    (lambda: compare_with_best({"a": np.ones(3)}, n_train=0, n_test=1), UsageError, "folds of 0 rows"),
    (lambda: compare_with_best({"a": np.ones(3), "b": np.ones(2)}, n_train=2, n_test=1), DimensionMismatchError,
     "2 to 3 fold scores"),
])  # fmt: skip
def test_what_cannot_be_compared_is_refused(call, error, reason: str) -> None:
    with pytest.raises(error, match=reason):
        call()
