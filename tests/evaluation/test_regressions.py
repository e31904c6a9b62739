import numpy as np
import pytest
from scipy import stats

from texture_store.errors import UsageError
from texture_store.evaluation.regressions import judge
from texture_store.evaluation.significance import Comparison, corrected_difference, corrected_t_test


def fall(mean: float, error: float = 0.01, dof: float = 29) -> Comparison:
    return Comparison(mean, mean / error, 0.5, dof, error)


@pytest.mark.parametrize(
    ("mean", "verdict"),
    [
        (-0.10, "regression"),
        (-0.041, "regression"),  # 0.021 beyond the limit, and the half of the interval is 2.045 * 0.01
        (-0.040, "undecided"),
        (-0.021, "undecided"),
        (-0.020, "unchanged"),  # half of the interval is 0.02045
        (0.0, "unchanged"),
        (0.020, "unchanged"),
        (0.021, "better"),
    ],
)
def test_one_alone_is_a_regression_when_its_interval_lies_beyond_the_limit(mean: float, verdict: str):
    (found,) = judge({"a": fall(mean)}, worse_by=0.02, confidence=0.95).values()
    reach = stats.t.ppf(0.975, 29) * 0.01
    assert (found.low, found.high) == (pytest.approx(mean - reach), pytest.approx(mean + reach))
    assert found.verdict == verdict
    assert (found.verdict == "regression") == (found.high < -0.02)


def test_surely_worse_but_within_the_limit():
    (found,) = judge({"a": fall(-0.03)}, worse_by=0.05, confidence=0.95).values()
    assert found.verdict == "slightly worse"


def test_of_many_each_has_to_be_surer():
    """Holm: the smallest of m p values times m."""
    alone = judge({"a": fall(-0.042)}, worse_by=0.02, confidence=0.95)["a"]
    many = judge({"a": fall(-0.042)} | {f"b{n}": fall(0.0) for n in range(9)}, worse_by=0.02, confidence=0.95)
    assert alone.verdict == "regression"
    assert many["a"].p == pytest.approx(10 * alone.p)
    assert many["a"].verdict == "undecided"
    assert (many["a"].low, many["a"].high) == (alone.low, alone.high)


def test_differences_that_are_all_the_same():
    same = Comparison(-0.1, -np.inf, 0.0, 8, 0.0)
    assert judge({"a": same}, worse_by=0.05, confidence=0.95)["a"].verdict == "regression"
    assert judge({"a": same}, worse_by=0.1, confidence=0.95)["a"].verdict == "slightly worse"
    assert judge({}, worse_by=0.1, confidence=0.95) == {}


@pytest.mark.parametrize(("worse_by", "confidence"), [(-0.1, 0.95), (0.1, 0.5), (0.1, 1.0)])
def test_thresholds_that_mean_nothing(worse_by: float, confidence: float):
    with pytest.raises(UsageError, match=r"give at least 0, and 0\.5 to 1"):
        judge({"a": fall(0.1)}, worse_by=worse_by, confidence=confidence)


def test_without_the_correction_it_is_welch_s_test():
    """A share so small that it corrects nothing, against scipy's."""
    rng = np.random.default_rng(3)
    before, now = rng.normal(0.9, 0.02, 30), rng.normal(0.88, 0.05, 15)
    found = corrected_difference(before, now, share_before=1e-12, share_now=1e-12)
    expected = stats.ttest_ind(now.round(12), before.round(12), equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert found.mean == pytest.approx(now.mean() - before.mean())
    assert found.t == pytest.approx(expected.statistic)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.interval() == (pytest.approx(interval.low), pytest.approx(interval.high))


def test_each_series_has_its_own_correction():
    rng = np.random.default_rng(4)
    before, now = rng.normal(0.9, 0.02, 30), rng.normal(0.88, 0.05, 15)
    found = corrected_difference(before, now, share_before=0.5, share_now=0.25)
    squares = [corrected_t_test(before, test_share=0.5).error ** 2, corrected_t_test(now, test_share=0.25).error ** 2]
    assert found.error == pytest.approx(np.sqrt(sum(squares)))
    assert squares[0] == pytest.approx(before.var(ddof=1) * (1 / 30 + 0.5))


def test_two_series_without_any_spread():
    same = corrected_difference(np.full(6, 0.9), np.full(6, 0.9), share_before=0.5, share_now=0.5)
    assert (same.mean, same.t, same.p, same.error) == (0, 0, 1, 0)
    fallen = corrected_difference(np.full(6, 0.9), np.full(6, 0.8), share_before=0.5, share_now=0.5)
    assert (fallen.mean, fallen.t, fallen.p) == (pytest.approx(-0.1), -np.inf, 0)


def test_false_alarms_are_as_rare_as_promised():
    """Scores of the same distribution before and now: no more alarms than 1 - confidence, all feature sets together."""
    rng = np.random.default_rng(5)
    alarms = 0
    for _ in range(200):
        changes = {
            name: corrected_difference(
                rng.normal(0.9, 0.02, 30), rng.normal(0.9, 0.02, 30), share_before=0.5, share_now=0.5
            )
            for name in range(5)
        }
        judged = judge(changes, worse_by=0.0, confidence=0.95)
        alarms += any(one.verdict == "regression" for one in judged.values())
    assert alarms <= 200 * 0.05 * 1.6  # the correction makes it far rarer for folds that are independent
