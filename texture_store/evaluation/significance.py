"""Whether one feature set is really better than another, from their scores on the same folds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from texture_store.errors import DimensionMismatchError, UsageError

Values = npt.NDArray[np.float64]

ROUNDING = 12
"""Decimals that differences keep: scores are ratios of counts, and what is smaller is the rounding of sums."""

ALPHA = 0.05
"""Two feature sets are distinguishable when their adjusted p is below this."""


@dataclass(frozen=True)
class Comparison:
    """A corrected resampled t-test of one series of differences."""

    mean: float
    """Mean difference."""
    t: float
    """Infinite when all differences are the same and not 0; 0 when all are 0."""
    p: float
    """Two-sided."""
    dof: float
    error: float
    """Corrected standard error of the mean: mean / t."""

    def interval(self, confidence: float = 1 - ALPHA) -> tuple[float, float]:
        """Where the mean difference lies with this confidence."""
        reach = float(stats.t.ppf((1 + confidence) / 2, self.dof)) * self.error
        return self.mean - reach, self.mean + reach


@dataclass(frozen=True)
class Ranked:
    """A feature set beside the best one."""

    name: str
    mean: float
    """Mean of its fold scores."""
    difference: float
    """Mean of the best minus its own on the same folds: 0 for the best itself, else at least 0."""
    p: float
    """Of the difference from the best, adjusted by Holm for all the comparisons; 1 for the best itself."""
    distinguishable: bool
    """From the best: p below ALPHA."""


def corrected_t_test(differences: Values, *, test_share: float) -> Comparison:
    """Corrected resampled t-test (Nadeau and Bengio 2003, Machine Learning 52:239, section 3) that the mean is not 0.

    differences (J,): of two scores on each of the J test folds of repeated cross-validation, 30 for the paper's 10
    trials of 3 folds. test_share: rows tested per row learnt from, n_test / n_train, 0.5 for 3 folds; count groups
    where folds are made of groups. The variance of the mean is their variance (ddof 1) x (1 / J + test_share), since
    the training folds overlap: without the second term ever more trials would make any difference significant. J - 1
    degrees of freedom (29).

    UsageError for fewer than two differences, for values that are not finite and for a share that is not positive.
    """
    if differences.ndim != 1 or len(differences) < 2:
        raise UsageError(f"differences {differences.shape} cannot be tested; evaluate at least two folds")
    if not np.isfinite(differences).all():
        raise UsageError("scores that are not finite cannot be compared; leave out the trials that failed")
    if not 0 < test_share < np.inf:
        raise UsageError(f"{test_share} rows tested per row learnt from; give a positive number")
    differences = differences.round(ROUNDING)
    mean = float(differences.mean())
    dof = len(differences) - 1
    if (differences == differences[0]).all():  # the variance of equal numbers comes out as a tiny one
        same = float(differences[0])
        return Comparison(same, float(np.copysign(np.inf, same)) if same else 0.0, float(same == 0), dof, 0.0)
    error = float(np.sqrt(differences.var(ddof=1) * (1 / len(differences) + test_share)))
    return Comparison(mean, mean / error, float(2 * stats.t.sf(abs(mean / error), dof)), dof, error)


def corrected_difference(before: Values, now: Values, *, share_before: float, share_now: float) -> Comparison:
    """Whether the mean of `now` differs from that of `before`, where the two were scored on different folds.

    before (J,), now (K,): fold scores of repeated cross-validation, each series of its own images. share_before,
    share_now: rows tested per row learnt from, as in `corrected_t_test`, whose variance of a mean each series has.
    There are no pairs, so the variances add up (Welch 1947, Biometrika 34:28, with Satterthwaite's degrees of freedom).
    Where the two have images in common their means rise and fall together, and this errs towards "no difference".

    UsageError as `corrected_t_test`.
    """
    means, variances, dofs = [], [], []
    for scores, share in ((before, share_before), (now, share_now)):
        own = corrected_t_test(scores, test_share=share)
        means.append(own.mean)
        variances.append(own.error**2)
        dofs.append(own.dof)
    mean = round(means[1] - means[0], ROUNDING)
    variance = sum(variances)
    if not variance:
        return Comparison(mean, float(np.copysign(np.inf, mean)) if mean else 0.0, float(mean == 0), sum(dofs), 0.0)
    dof = variance**2 / sum(one**2 / own for one, own in zip(variances, dofs, strict=True))
    error = float(np.sqrt(variance))
    return Comparison(mean, mean / error, float(2 * stats.t.sf(abs(mean / error), dof)), float(dof), error)


def holm(p_values: Sequence[float] | Values) -> Values:
    """p values (m,) adjusted for all of them together (Holm 1979, Scand. J. Statist. 6:65), in the given order.

    The i-th smallest is multiplied by m - i + 1; none gets below a smaller one's; at most 1. UsageError for what is no
    probability.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise UsageError("p values are not all between 0 and 1; leave out the comparisons that failed")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted


def compare_with_best(fold_scores: Mapping[str, Values], *, n_train: int, n_test: int) -> list[Ranked]:
    """All feature sets, best mean first, each tested against the best one on the same folds.

    fold_scores: by name, (J,) scores of which the j-th is of the same test fold for every name. n_train, n_test: rows
    in a training and a test fold, or groups where folds are made of groups. The best is chosen by the same scores that
    it is tested with, so that a small p says less than it would of a winner that was named beforehand; "not
    distinguishable" is the cautious answer and stands.

    DimensionMismatchError when the series differ in length; UsageError as `corrected_t_test`, and for nothing to
    compare.
    """
    if not fold_scores:
        raise UsageError("no scores to compare; evaluate at least one feature set")
    if len(lengths := {len(scores) for scores in fold_scores.values()}) > 1:
        raise DimensionMismatchError(
            f"feature sets have {min(lengths)} to {max(lengths)} fold scores; compare those of the same folds"
        )
    if n_train < 1 or n_test < 1:
        raise UsageError(f"folds of {n_train} rows to learn from and {n_test} to test; count at least one of each")
    names = sorted(fold_scores, key=lambda name: (-float(np.mean(fold_scores[name])), name))
    best, *others = names
    tests = [corrected_t_test(fold_scores[best] - fold_scores[name], test_share=n_test / n_train) for name in others]
    adjusted = holm([test.p for test in tests])
    first = Ranked(best, float(np.mean(fold_scores[best])), 0.0, 1.0, distinguishable=False)
    return [first] + [
        Ranked(name, float(np.mean(fold_scores[name])), test.mean, float(p), distinguishable=bool(p < ALPHA))
        for name, test, p in zip(others, tests, adjusted, strict=True)
    ]
