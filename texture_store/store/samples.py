"""Reading sampled descriptors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas import DESCRIPTORS, SAMPLES
from texture_store.encoding.sampling import DESCRIPTORS_PER_IMAGE
from texture_store.errors import FeaturesNotFoundError, SchemaMismatchError
from texture_store.objects import Storage
from texture_store.spec import NUM_CHANNELS, Layer, Product
from texture_store.store import layout
from texture_store.store.commits import CommitRecord
from texture_store.store.tables import read_numbers, read_table


@dataclass(frozen=True)
class Sample:
    """The descriptors of some images at one layer, image by image."""

    image_ids: list[str]
    """Those that were asked for and have descriptors, in the order that was asked for."""
    descriptors: npt.NDArray[np.float32]
    """(N, D)"""
    image_of: npt.NDArray[np.int64]
    """(N,) index in `image_ids`."""


def sampled_ids(commits: Sequence[CommitRecord], layers: Sequence[Layer], product: Product = "sample") -> set[str]:
    """image_ids of which there are descriptors at every one of these layers: samples, or those of all `positions`."""
    at_layer = (
        {image_id for record in commits if (product, layer) in record.pairs for image_id in record.members}
        for layer in layers
    )
    return set.intersection(*at_layer)


def read_sample(
    storage: Storage,
    dataset: str,
    spec: str,
    commits: Sequence[CommitRecord],
    layer: Layer,
    image_ids: Sequence[str],
    product: Product = "sample",
) -> Sample:
    """The descriptors of these images, one file after the other into one array; with `positions` all that they have.

    The order, and so every bit of what is learnt from them, is that of `image_ids`, not that of the files.

    Raises:
        FeaturesNotFoundError: none of them has descriptors.
        SchemaMismatchError: a file of another version, or with another number of values than it says.
    """
    folder = layout.product_folder(dataset, spec, product, layer) + "/"
    there = sampled_ids(commits, [layer], product)
    wanted = [image_id for image_id in image_ids if image_id in there]
    if not wanted:
        raise FeaturesNotFoundError(
            f"dataset {dataset}: no descriptors of layer {layer} in spec {spec}; run fit-dictionary to sample some"
        )
    channels = NUM_CHANNELS[layer]
    place = {image_id: number for number, image_id in enumerate(wanted)}
    members = {file.path: record.members for record in commits for file in record.files if file.path.startswith(folder)}
    paths = [path for path in sorted(members) if place.keys() & members[path]]
    room = DESCRIPTORS_PER_IMAGE
    if product == "positions":
        room = max(read_numbers(storage, path, "num_descriptors").max(initial=1) for path in paths)
    # Every image has room for as many as one has at most; memory that is not touched is not used.
    rooms = np.empty((len(wanted), room, channels), np.float32)
    counts = np.zeros(len(wanted), np.int64)
    for path in paths:
        table = read_table(storage, path, SAMPLES)
        ids, sizes = table["image_id"].to_pylist(), table["num_descriptors"].to_numpy()
        column = table[DESCRIPTORS].combine_chunks()
        values, ends = column.values.to_numpy(), column.offsets.to_numpy()
        for row, image_id in enumerate(ids):
            if image_id not in place:
                continue
            own = values[ends[row] : ends[row + 1]]
            if own.size != sizes[row] * channels or sizes[row] > room:
                raise SchemaMismatchError(
                    f"{storage.url_of(path)}: {own.size} values are not {sizes[row]} descriptors of {channels}; delete"
                    " it and run again"
                )
            rooms[place[image_id], : sizes[row]] = own.reshape(-1, channels)
            counts[place[image_id]] = sizes[row]
    image_of = np.repeat(np.arange(len(wanted)), counts)
    if (counts == room).all():
        return Sample(wanted, rooms.reshape(-1, channels), image_of)
    is_filled = np.arange(room) < counts[:, None]
    return Sample(wanted, rooms[is_filled], image_of)
