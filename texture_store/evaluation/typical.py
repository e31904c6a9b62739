"""Which images show what a class usually looks like, which do not, and which are unlike all others."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.neighbors import NearestNeighbors

from texture_store.errors import DimensionMismatchError, UsageError
from texture_store.evaluation.folds import Labels
from texture_store.evaluation.missing import missing
from texture_store.evaluation.standardised import standardised

Values = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

NUM_NEIGHBOURS = 10


@dataclass(frozen=True)
class Typical:
    """Images of one class."""

    most: Indices
    """(k,) rows, nearest to the centre of the class first."""
    least: Indices
    """(k,) rows, farthest first. In a class of fewer than 2 k images some are in both."""


@dataclass(frozen=True)
class Atypical:
    """Images of a dataset."""

    rows: Indices
    """(k,) most atypical first."""
    distances: Values
    """(n,) of all rows: mean distance to the nearest ones, as a multiple of the median over all rows."""
    num_neighbours: int


def class_distances(features: npt.NDArray[np.floating], labels: Labels) -> Values:
    """(n,) how far each row of features (n, d) is from the centre of its own class, labels (n,).

    Root mean square over the columns, each in units of its standard deviation over all rows: 1 is as far as a row is
    from the mean of the dataset. The centre is the median of each column over the class and not the mean: up to half
    of a class may be mislabelled or odd before it leaves the range of the others (breakdown point 1/2: Lopuhaä and
    Rousseeuw 1991, Ann. Statist. 19:229); it is those that are looked for.

    Raises DimensionMismatchError when rows and labels do not correspond, EncodingError for values that are not finite,
    UsageError for an image without a label.
    """
    standard = standardised(features)
    if labels.shape != (len(features),):
        raise DimensionMismatchError(
            f"features {features.shape} and labels {labels.shape} do not correspond; give (n, d) and (n,)"
        )
    if unlabelled := int(missing(labels).sum()):
        raise UsageError(f"{unlabelled} of {len(labels)} images have no usable label; label them or leave them out")
    distances = np.zeros(len(features))
    for name in np.unique(labels):
        rows = np.flatnonzero(labels == name)
        away = standard[rows] - np.median(standard[rows], axis=0)
        distances[rows] = np.sqrt(np.square(away, dtype=np.float64).mean(axis=1))
    return distances


def typical(features: npt.NDArray[np.floating], labels: Labels, number: int) -> dict[str, Typical]:
    """By class, sorted, the `number` most and least typical rows by `class_distances`; all of them in a smaller class.

    Equal distances come in the order of the rows. Raises as `class_distances`; UsageError for a negative number.
    """
    _check_number(number)
    distances = class_distances(features, labels)
    found = {}
    for name in np.unique(labels):
        rows = np.flatnonzero(labels == name)
        nearest = rows[np.argsort(distances[rows], kind="stable")]
        farthest = rows[np.argsort(-distances[rows], kind="stable")]
        found[str(name)] = Typical(nearest[:number], farthest[:number])
    return found


def atypical(features: npt.NDArray[np.floating], number: int, *, num_neighbours: int = NUM_NEIGHBOURS) -> Atypical:
    """The `number` rows of features (n, d) that are farthest from the `num_neighbours` rows nearest to them.

    Mean Euclidean distance to them, columns standardised (Angiulli and Pizzuti 2002, PKDD: 15). It needs no labels, so
    that a whole class of few images is atypical too. scikit-learn has two others: the local outlier factor divides by
    how dense the neighbourhood is and so names images at the edge of tight clusters, which look like the rest of them;
    isolation forests draw columns at random and differ from seed to seed. Distances to nearest neighbours hold their
    own against later methods in the comparison of Campos et al. 2016 (Data Min. Knowl. Discov. 30:891).

    Every pair is compared, in blocks: 10,000 images of 1472 columns take 10 s. With fewer rows than neighbours all
    others are the neighbours. Raises DimensionMismatchError for what is not a matrix, EncodingError for values that
    are not finite, UsageError for fewer than two rows, a negative number, or no neighbour.
    """
    standard = standardised(features)
    _check_number(number)
    if len(features) < 2:
        raise UsageError(f"{len(features)} images have no neighbours; give at least two")
    if num_neighbours < 1:
        raise UsageError(f"{num_neighbours} neighbours; give at least 1")
    among = min(num_neighbours, len(features) - 1)
    distances = NearestNeighbors(n_neighbors=among, algorithm="brute").fit(standard).kneighbors()[0].mean(axis=1)
    median = float(np.median(distances))
    relative = distances.astype(np.float64) / (median if median > 0 else 1.0)
    return Atypical(np.argsort(-relative, kind="stable")[:number], relative, among)


def _check_number(number: int) -> None:
    if number < 0:
        raise UsageError(f"{number} images; give 0 or more")
