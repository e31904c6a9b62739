"""Whether scores have got worse by more than is allowed, and how sure that is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from scipy import stats

from texture_store.errors import UsageError
from texture_store.evaluation.significance import Comparison, holm

Name = TypeVar("Name")

Verdict = Literal["regression", "undecided", "slightly worse", "unchanged", "better"]
"""regression: surely worse by more than is allowed. undecided: worse by more, but that may be chance. slightly worse:
surely worse, by no more than is allowed. better: surely better."""


@dataclass(frozen=True)
class Judgement:
    """What a difference between two evaluations of one feature set means."""

    verdict: Verdict
    p: float
    """Of a fall this far beyond what is allowed, if there were none; two-sided, adjusted by Holm for all that are
    judged together."""
    low: float
    high: float
    """Where the difference lies with the confidence that was asked for, each by itself."""


def judge(changes: Mapping[Name, Comparison], *, worse_by: float, confidence: float) -> dict[Name, Judgement]:
    """Judge differences (now - before) of several feature sets together.

    A regression is a fall that is greater than `worse_by` with this confidence: of one feature set alone, one whose
    interval lies below -worse_by as a whole. Of several, p is adjusted, so that not one of them is more often called a
    regression by chance than 1 - confidence says, however many there are.

    UsageError for a `worse_by` below 0 and a confidence that is not between 0.5 and 1.
    """
    if worse_by < 0 or not 0.5 < confidence < 1:
        raise UsageError(f"worse by {worse_by} at confidence {confidence}: give at least 0, and 0.5 to 1, such as 0.95")
    p_values: list[float] = holm([_p_of_fall(one, worse_by) for one in changes.values()]).tolist() if changes else []
    found = {}
    for (name, one), p in zip(changes.items(), p_values, strict=True):
        low, high = one.interval(confidence)
        found[name] = Judgement(_verdict(one.mean, low, high, float(p), worse_by, confidence), float(p), low, high)
    return found


def _p_of_fall(one: Comparison, worse_by: float) -> float:
    beyond = one.mean + worse_by
    if beyond >= 0:
        return 1.0
    return float(min(1.0, 2 * stats.t.cdf(beyond / one.error, one.dof))) if one.error else 0.0


def _verdict(mean: float, low: float, high: float, p: float, worse_by: float, confidence: float) -> Verdict:
    if p < 1 - confidence:
        return "regression"
    if mean < -worse_by:
        return "undecided"
    if high < 0:
        return "slightly worse"
    return "better" if low > 0 else "unchanged"
