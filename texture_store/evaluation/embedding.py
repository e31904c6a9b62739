"""A map of a dataset: one point an image, alike ones near each other."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from texture_store.errors import UsageError
from texture_store.evaluation.standardised import standardised

Method = Literal["pca", "tsne"]
METHODS: tuple[Method, ...] = ("pca", "tsne")

FEWEST_IMAGES: dict[Method, int] = {"pca": 3, "tsne": 10}
"""Two points are always on a line; with ten images t-SNE looks at three neighbours each."""
PERPLEXITY = 30.0
"""About how many neighbours t-SNE keeps near; van der Maaten and Hinton 2008 take 5 to 50."""
NUM_COMPONENTS = 50
"""What PCA leaves to t-SNE; van der Maaten and Hinton 2008 take 30, Kobak and Berens 2019 50."""


@dataclass(frozen=True)
class Embedding:
    """Where each image lies."""

    points: npt.NDArray[np.float64]
    """(n, 2)"""
    method: Method
    explained: tuple[float, float] | None
    """Of pca: the share of the variance of the standardised features along each axis."""
    perplexity: float | None
    """Of tsne: as used; (n - 1) / 3 where that is less than 30."""


def embed(features: npt.NDArray[np.floating], *, method: Method, seed: int) -> Embedding:
    """A 2-D map of features (n, d), columns standardised.

    - pca: the two directions of greatest variance. Distances mean something, axes too, and little of it is shown.
    - tsne: t-SNE (van der Maaten and Hinton 2008) of the first 50 principal components, started from the first two
      (Kobak and Berens 2019, Nat. Commun. 10:5416: global structure is kept, and seeds hardly matter). Who is next to
      whom means something; sizes of clusters and distances between them do not.

    Equal input and seed give equal points on one machine: it runs on one thread, since how many there are changes the
    points. 600 images of 1472 columns take t-SNE 3 s (with two threads on two busy cores 32 s: they wait for each other
    at every step).

    Raises DimensionMismatchError for what is not a matrix, EncodingError for values that are not finite, UsageError for
    fewer than 3 images (tsne: 10), for images that all have the same features, and for a method that does not exist.
    """
    if method not in METHODS:
        raise UsageError(f"{method!r} is no method of maps; take one of {', '.join(METHODS)}")
    standard = standardised(features)
    if (number := len(standard)) < FEWEST_IMAGES[method]:
        instead = "; take pca" if method == "tsne" and number >= FEWEST_IMAGES["pca"] else ""
        raise UsageError(f"{number} images are too few for {method}: it needs {FEWEST_IMAGES[method]}{instead}")
    if not standard.any():
        raise UsageError("all images have the same features; there is nothing to map")
    with threadpool_limits(1):
        if method == "pca":
            return _pca(standard, seed)
        return _tsne(standard, seed)


def _pca(standard: npt.NDArray[np.float32], seed: int) -> Embedding:
    points = np.zeros((len(standard), 2))
    explained = np.zeros(2)
    found = PCA(n_components=min(2, *standard.shape), random_state=seed)
    width = found.n_components
    points[:, :width] = found.fit_transform(standard)
    explained[:width] = found.explained_variance_ratio_
    return Embedding(points, "pca", (float(explained[0]), float(explained[1])), None)


def _tsne(standard: npt.NDArray[np.float32], seed: int) -> Embedding:
    if min(standard.shape) > NUM_COMPONENTS:
        standard = PCA(n_components=NUM_COMPONENTS, random_state=seed).fit_transform(standard)
    if standard.shape[1] == 1:  # the start needs two
        standard = np.hstack([standard, np.zeros_like(standard)])
    perplexity = min(PERPLEXITY, (len(standard) - 1) / 3)
    points = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(standard)
    return Embedding(points.astype(np.float64), "tsne", None, perplexity)
