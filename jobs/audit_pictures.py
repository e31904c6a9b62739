"""Duplicates among the images of a dataset: by hash, and by features that pixels confirm."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jobs.audited import Audited
from texture_store.archive.fetch import fetch
from texture_store.errors import RejectedImageError
from texture_store.evaluation.duplicates import Rows, connected_rows, equal_rows
from texture_store.evaluation.near_duplicates import NearDuplicate, Picture, candidate_pairs, confirmed_pairs
from texture_store.micrograph.reading import read_micrograph
from texture_store.spec import PixelSpec


@dataclass(frozen=True)
class Duplicates:
    """Rows are those of the audited images."""

    files: list[Rows]
    """Sets of identical files."""
    pixels: list[Rows]
    """Sets of identical pixels, without those that are identical files."""
    near: list[NearDuplicate] | None
    """Pairs of the same view, without those of identical pixels; None when they were not looked for."""
    near_from: str | None
    """Feature set and cut that proposed them."""
    unread: int
    """Proposed images that could not be read again."""

    @property
    def near_sets(self) -> list[Rows]:
        """Rows that near duplicates connect."""
        pairs = np.array([(pair.row, pair.other) for pair in self.near or []], dtype=np.intp).reshape(-1, 2)
        return connected_rows(pairs, int(pairs.max(initial=-1)) + 1)


def exact_duplicates(facts: pa.Table) -> tuple[list[Rows], list[Rows]]:
    """Sets of rows of schemas.MICROGRAPHS with identical files, and with identical pixels in different files."""
    files = np.array(facts.column("sha256_bytes").to_pylist(), dtype=object)
    pixels = np.array(facts.column("sha256_pixels").to_pylist(), dtype=object)
    same_pixels = [rows for rows in equal_rows(pixels) if len(set(files[rows])) > 1]
    return equal_rows(files), same_pixels


def find_duplicates(
    audited: Audited, *, near: bool, announce: Callable[[int], None], advance: Callable[[int], None]
) -> Duplicates | None:
    """Duplicates of a dataset, None before any file was read. `announce` is told how many pairs will be looked at."""
    if audited.facts is None:
        return None
    files, pixels = exact_duplicates(audited.facts)
    if not near or audited.features is None or audited.archive_url is None:
        return Duplicates(files, pixels, None, None, 0)
    rows = audited.rows_of(audited.features)
    looked_at = audited.features.subset(rows >= 0)
    candidates = candidate_pairs(looked_at.position_mean())
    pairs = np.sort(rows[rows >= 0][candidates.pairs], axis=1)
    known = audited.facts.column("sha256_pixels").to_pylist()
    pairs = pairs[[known[one] is None or known[one] != known[other] for one, other in pairs.tolist()]]
    announce(len(pairs))
    pictures = SeenPictures(audited.images, audited.archive_url, audited.features.spec.pixels)
    found = confirmed_pairs(pairs[np.lexsort(pairs.T[::-1])], pictures, advance=advance)
    origin = (
        f"{audited.features.encoder} {audited.features.layer}, spec {audited.features.spec.fingerprint}:"
        f" {len(pairs):,} pairs within {candidates.cut:.3g}"
    )
    return Duplicates(files, pixels, found, origin, len(pictures.unread))


class SeenPictures:
    """What the network receives of a row of a snapshot's images, read from the archive again."""

    def __init__(self, images: pa.Table, archive_url: str, pixels: PixelSpec) -> None:
        self._images, self._archive_url, self._pixels = images, archive_url, pixels
        self.unread: dict[int, str] = {}
        """Why a row's picture cannot be had."""

    def __call__(self, row: int) -> Picture | None:
        """(H, W) uint8, or None when the file is not the indexed one or is rejected; raises the errors of storage."""
        [fetched] = fetch(self._images.slice(row, 1), self._archive_url)
        if fetched.data is None:
            self.unread[row] = str(fetched.problem)
            return None
        try:
            seen: npt.NDArray[np.uint8] = read_micrograph(fetched.data, self._pixels, sidecar=fetched.sidecar).seen
        except RejectedImageError as error:
            self.unread[row] = str(error)
            return None
        return seen
