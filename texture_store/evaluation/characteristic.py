"""Which filters are characteristic of a class: active on its images, and less so on those of others."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.stats import rankdata

from texture_store.errors import DimensionMismatchError, UsageError
from texture_store.evaluation.folds import Labels, singleton_groups
from texture_store.evaluation.missing import missing
from texture_store.evaluation.ranking import top_columns
from texture_store.evaluation.standardised import check_matrix

Values = npt.NDArray[np.float64]
Method = Literal["difference", "auc"]
METHODS: tuple[Method, ...] = ("difference", "auc")

FEWEST_UNITS = 2
"""Of a class and of all others together. One specimen is above or below others by chance, half of the time."""


@dataclass(frozen=True)
class Characteristics:
    """Of c classes and d columns (filters)."""

    classes: list[str]
    """Sorted."""
    means: Values
    """(c, d) mean over the images of each class, in the unit of the features."""
    differences: Values
    """(c, d) mean of the class minus the mean of the other classes' means."""
    auc: Values
    """(c, d) 0..1, one class against the rest, over specimen means (see `over`); NaN where it is not defined."""
    num_images: npt.NDArray[np.intp]
    """(c,)"""
    num_units: npt.NDArray[np.intp]
    """(c,) specimens, or images, that the AUC compares."""
    over: Literal["specimens", "images"]
    """What the AUC is over. Over images it counts views of one specimen as independent, and is too far from 0.5."""

    def means_of(self, columns: npt.ArrayLike) -> dict[str, Values]:
        """By class, (k,) mean of each of the columns (k,).

        The paper prints these for the three most important filters of steel: spheroidite [559, 329, 33].
        """
        return {name: self.means[number, np.asarray(columns)] for number, name in enumerate(self.classes)}


def characteristics(
    features: npt.NDArray[np.floating], labels: Labels, *, groups: npt.NDArray[Any] | None = None
) -> Characteristics:
    """How much more active each filter is on each class than on others.

    features (n, d) mean features, labels (n,), groups (n,) specimens; an image without one is a specimen of its own.

    - difference (Ling et al. 2017, Figs. 11 and 12: "greatest difference" in mean activation). The paper does not say
      what it takes the difference to. Here: to the plain mean of the other classes' means, so that each class counts
      once however many images there are of it, and the difference is that of the printed means. It has the unit of the
      activation, which falls from about 1000 to about 1 with depth: the top filters are mostly of the first layers.
    - auc: the chance that a specimen of the class is more active than one of another class, ties counting half (Mann
      and Whitney 1947; the area under the ROC curve, Hanley and McNeil 1982). Without unit, so that layers compare.
      Over the mean vectors of specimens; a specimen with images of several classes has one for each of them. Defined
      where the class has two specimens at least, and all others together too.

    Raises:
        DimensionMismatchError: rows, labels and groups do not correspond.
        EncodingError: a value is not finite.
        UsageError: an image without a label; one class only.
    """
    names, of_row = _classes(features, labels, groups)
    means, num_images = _means(features, of_row, len(names))
    others = (means.sum(axis=0) - means) / (len(names) - 1)
    if groups is None:
        units, of_unit = features, of_row
    else:
        specimens = np.unique(singleton_groups(groups)[0], return_inverse=True)[1]
        pairs, of_pair = np.unique(specimens * len(names) + of_row, return_inverse=True)
        units, of_unit = _means(features, of_pair, len(pairs))[0], pairs % len(names)
    return Characteristics(
        classes=names,
        means=means,
        differences=means - others,
        auc=_one_against_rest(units, of_unit, len(names)),
        num_images=num_images,
        num_units=np.bincount(of_unit, minlength=len(names)),
        over="images" if groups is None else "specimens",
    )


def top_filters(
    found: Characteristics,
    number: int,
    *,
    method: Method,
    scale: Values | None = None,
    clusters: npt.NDArray[np.integer] | None = None,
) -> dict[str, npt.NDArray[np.intp]]:
    """By class, the columns that are most characteristic of it, most first, by `difference` or by `auc`.

    Of filters with the same AUC (often 1, with few specimens) those come first whose difference is the greatest, in
    units of `scale` (d,), positive: what is usual in the filter's layer, since activations fall from about 1000 to
    about 1 with depth. (On stripes against dots, where most AUCs are 1: in units of the filter's own spread filters of
    the first layers came first, as a share of its activation filters that see nothing but the padded edge.) With
    clusters (d,) of `correlated_columns` one column of each is taken. A class whose AUC is not defined has none.
    UsageError for a method that does not exist, DimensionMismatchError for a scale of other columns.
    """
    if method not in METHODS:
        raise UsageError(f"{method!r} is no method; take one of {', '.join(METHODS)}")
    if scale is not None and scale.shape != found.differences.shape[1:]:
        raise DimensionMismatchError(f"scale {scale.shape} is not of {found.differences.shape[1]} columns; give (d,)")
    return {
        name: top_columns(
            found.auc[place] if method == "auc" else found.differences[place],
            number,
            ties=found.differences[place] / (1.0 if scale is None else scale),
            clusters=clusters,
        )
        for place, name in enumerate(found.classes)
    }


def _classes(
    features: npt.NDArray[np.floating], labels: Labels, groups: npt.NDArray[Any] | None
) -> tuple[list[str], npt.NDArray[np.intp]]:
    check_matrix(features)
    beside = "" if groups is None else f", groups {groups.shape}"
    if labels.shape != (len(features),) or (groups is not None and groups.shape != labels.shape):
        raise DimensionMismatchError(
            f"features {features.shape}, labels {labels.shape}{beside} do not correspond; give (n, d) and (n,) each"
        )
    if unlabelled := int(missing(labels).sum()):
        raise UsageError(f"{unlabelled} of {len(labels)} images have no usable label; label them or leave them out")
    names, of_row = np.unique(labels.astype(np.str_), return_inverse=True)
    if len(names) < 2:
        raise UsageError(f"{len(names)} class; at least two are needed, one to differ from")
    return [str(name) for name in names], of_row


def _means(
    features: npt.NDArray[np.floating], of_row: npt.NDArray[np.intp], number: int
) -> tuple[Values, npt.NDArray[np.intp]]:
    """(number, d) mean over the rows of each, in float64, and how many rows it has."""
    members = csr_array((np.ones(len(of_row)), (of_row, np.arange(len(of_row)))), shape=(number, len(of_row)))
    counts = np.bincount(of_row, minlength=number)
    return (members @ features) / counts[:, None], counts


def _one_against_rest(units: npt.NDArray[np.floating], of_unit: npt.NDArray[np.intp], number: int) -> Values:
    """(number, d) area under the ROC curve, from the sum of the class's ranks (Mann and Whitney's U)."""
    auc = np.full((number, units.shape[1]), np.nan)
    ranks = rankdata(units, axis=0)
    for place in range(number):
        inside = of_unit == place
        ones, rest = int(inside.sum()), int((~inside).sum())
        if min(ones, rest) >= FEWEST_UNITS:
            above = ranks[inside].sum(axis=0) - ones * (ones + 1) / 2
            auc[place] = above / (ones * rest)
    return auc
