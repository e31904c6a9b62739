"""Three things that can be said of differences between scores, each with a verdict and the test in one line.

All by the corrected resampled t-test over common folds. Differences come by name, each (J,): one for each test fold.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

from texture_store.evaluation.significance import ALPHA, Comparison, corrected_t_test, holm

Verdict = Literal["held", "not held", "undecided"]
Differences = Mapping[str, npt.NDArray[np.float64]]

ALIKE = 0.03
"""Scores that differ by less are about as good."""


def better(differences: Differences, *, test_share: float) -> tuple[Verdict, str]:
    """Held when all are significantly positive (Holm over them), not held when one is significantly negative."""
    tests = _tested(differences, test_share)
    line = "; ".join(_told(name, test, p) for name, (test, p) in tests.items())
    return _negative(tests) or (
        "held" if all(test.mean > 0 and p < ALPHA for test, p in tests.values()) else "undecided"
    ), line


def at_least_as_good(differences: Differences, *, test_share: float) -> tuple[Verdict, str]:
    """Not held when one is significantly negative (Holm over them); held when all 95 % intervals end above -ALIKE."""
    tests = _tested(differences, test_share)
    least = min(tests, key=lambda name: tests[name][0].mean)
    lowest = min(test.interval()[0] for test, _ in tests.values())
    line = (
        f"{_told(least, *tests[least])} is the least of {len(tests)}; "
        f"the lowest 95 % interval begins at {lowest:+z.3f} (limit {-ALIKE:+.2f})"
    )
    return _negative(tests) or ("held" if lowest > -ALIKE else "undecided"), line


def about_as_good(name: str, difference: npt.NDArray[np.float64], *, test_share: float) -> tuple[Verdict, str]:
    """Held when the 95 % interval of the one difference lies within +-ALIKE, not held when it lies outside of that."""
    test = corrected_t_test(difference, test_share=test_share)
    low, high = test.interval()
    line = f"{name} {test.mean:+z.3f}, 95 % interval {low:+z.3f} to {high:+z.3f} (limits +-{ALIKE:.2f})"
    if low > -ALIKE and high < ALIKE:
        return "held", line
    return ("not held" if low > ALIKE or high < -ALIKE else "undecided"), line


def _tested(differences: Differences, test_share: float) -> dict[str, tuple[Comparison, float]]:
    tests = {name: corrected_t_test(each, test_share=test_share) for name, each in differences.items()}
    adjusted = holm([test.p for test in tests.values()])
    return {name: (test, float(p)) for (name, test), p in zip(tests.items(), adjusted, strict=True)}


def _negative(tests: Mapping[str, tuple[Comparison, float]]) -> Literal["not held"] | None:
    return "not held" if any(test.mean < 0 and p < ALPHA for test, p in tests.values()) else None


def _told(name: str, test: Comparison, adjusted: float) -> str:
    return f"{name} {test.mean:+z.3f} (t = {test.t:z.1f}, p = {adjusted:.2g})"
