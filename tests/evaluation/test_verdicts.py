import numpy as np
import pytest

from texture_store.evaluation.verdicts import ALIKE, about_as_good, at_least_as_good, better


def around(mean: float, noise: float = 0.002, seed: int = 0) -> np.ndarray:
    """(30,) of exactly this mean; its 95 % interval reaches about 1.5 times `noise` to each side."""
    values = np.random.default_rng(seed).normal(0, 1, 30)
    return mean + (values - values.mean()) / values.std(ddof=1) * noise


@pytest.mark.parametrize(("means", "noise", "verdict"), [
    ((0.1, 0.05), 0.002, "held"),
    ((0.1, -0.05), 0.002, "not held"),
    ((0.1, 0.0), 0.002, "undecided"),
    ((0.1, 0.05), 0.5, "undecided"),
    ((-0.1, -0.05), 0.5, "undecided"),
])  # fmt: skip
def test_better(means, noise: float, verdict: str) -> None:
    differences = {f"d{row}": around(mean, noise, row) for row, mean in enumerate(means)}
    found, line = better(differences, test_share=0.5)
    assert found == verdict
    assert f"d0 {means[0]:+.3f} (t = " in line
    assert f"d1 {means[1]:+.3f} (t = " in line


@pytest.mark.parametrize(("means", "noise", "verdict"), [
    ((0.1, 0.0), 0.002, "held"),
    ((0.1, -0.01), 0.002, "not held"),  # significantly worse, if only by a third of what would be seen
    ((0.1, -0.01), 0.01, "held"),
    ((0.1, 0.0), 0.1, "undecided"),
])  # fmt: skip
def test_at_least_as_good(means, noise: float, verdict: str) -> None:
    found, line = at_least_as_good({"a": around(means[0], noise), "b": around(means[1], noise, 1)}, test_share=0.5)
    assert found == verdict
    assert line.startswith(f"b {means[1]:+.3f} (t = ")
    assert "is the least of 2" in line


@pytest.mark.parametrize(("mean", "noise", "verdict"), [
    (0.0, 0.002, "held"),
    (-0.02, 0.002, "held"),
    (0.02, 0.002, "held"),
    (0.0, 0.1, "undecided"),
    (ALIKE, 0.002, "undecided"),
    (0.05, 0.002, "not held"),
    (-0.05, 0.002, "not held"),
])  # fmt: skip
def test_about_as_good(mean: float, noise: float, verdict: str) -> None:
    found, line = about_as_good("one - other", around(mean, noise), test_share=0.5)
    assert found == verdict
    assert line.startswith(f"one - other {mean:+.3f}, 95 % interval ")
