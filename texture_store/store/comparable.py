"""The matrix of a feature set as scores compare it: layers side by side, sums made independent of image size."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from texture_store.encoding.packing import weight_off_diagonals
from texture_store.errors import UsageError
from texture_store.store.features import SUMS, Features

Form = Literal["as stored", "position mean", "normalised"]
FORMS: tuple[Form, ...] = get_args(Form)

Matrix = npt.NDArray[np.float32]


def comparable_form(layers: Sequence[Features], *, raw_sums: bool = False) -> Form:
    """How the vectors of these layers (of one encoder) are to be compared.

    VLAD is normalised (DeCost's intra and L2). Gram, a sum over positions, is divided by their number where that
    differs between images; else the sums differ from means by one factor and stay. `raw_sums` leaves all as stored.
    """
    encoder = layers[0].encoder
    if raw_sums or encoder not in SUMS:
        return "as stored"
    if encoder == "vlad":
        return "normalised"
    return "position mean" if any(features.mixed_positions for features in layers) else "as stored"


def comparable_matrix(layers: Sequence[Features], form: Form, *, inner_product: bool = False) -> Matrix:
    """(n, d1 + d2 ...) float32, the layers side by side; row i belongs to row i of each of them.

    `inner_product` is for whatever multiplies rows (SVM, ridge, logistic): it weights the off-diagonals of packed Gram
    by sqrt(2), so that products are those of the full matrices. At most one layer is in memory beside the result.

    Raises UsageError when the layers are not of the same images, encoder and snapshot.
    """
    _check_same(layers)
    if len(layers) == 1:
        return _matrix(layers[0], form, inner_product=inner_product)
    result = np.empty((len(layers[0]), sum(features.num_features for features in layers)), np.float32)
    start = 0
    for features in layers:
        end = start + features.num_features
        result[:, start:end] = _matrix(features, form, inner_product=inner_product)
        start = end
    return result


def _matrix(features: Features, form: Form, *, inner_product: bool) -> Matrix:
    match form:
        case "as stored":
            vectors = features.to_numpy()
        case "position mean":
            vectors = features.position_mean()
        case "normalised":
            vectors = features.normalised()
    if inner_product and features.encoder == "gram":
        return np.asarray(weight_off_diagonals(vectors), np.float32)
    return vectors


def _check_same(layers: Sequence[Features]) -> None:
    if not layers:
        raise UsageError("an empty feature set: give at least one layer")
    first = layers[0]
    for other in layers[1:]:
        for what in ("dataset", "snapshot", "encoder"):
            if getattr(other, what) != getattr(first, what):
                raise UsageError(
                    f"feature sets of {what} {getattr(first, what)} and {getattr(other, what)} cannot stand side by"
                    f" side; take one {what}"
                )
        if not other.members.column("image_id").equals(first.members.column("image_id")):
            raise UsageError(
                f"{first.encoder} {first.layer} and {other.encoder} {other.layer} are of different images; take the"
                " images that both have with subset()"
            )
