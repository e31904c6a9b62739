"""What is known about each image beside its pixels, as columns that may predict its label."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas import META_PREFIX
from texture_store.errors import UsageError
from texture_store.evaluation.columns import (
    Column,
    num_distinct,
    parse_column,
    role_of,
    um_per_px_of_bar,
    unknown,
)

Kind = Literal["imaging", "picture", "other"]
"""imaging: how an image was taken and stored. picture: of its grey values, which may be real microstructure. other:
what else the labels file says, such as a heat treatment."""

UM_PER_PX = "um_per_px"
MICRON_BAR = ("micron_bar", "micron_bar_px", "micron_bar_units")
"""Columns with the length of the micron bar, its width in px, and its unit; um without the last."""

_FACTS = {
    "magnification": "magnification",
    "image_width": "width",
    "image_height": "height",
    "bit_depth": "bit_depth",
    "file_type": "file_format",
    "is_colour": "is_colour",
    "vendor": "vendor",
    "detector": "detector",
    "acceleration_voltage_kv": "acceleration_voltage_kv",
    "working_distance_mm": "working_distance_mm",
    "databar": "databar_method",
    "time_stamp": "acquired",
    "mean_grey": "grey_mean",
    "contrast": "grey_std",
}
"""Field -> column of schemas.MICROGRAPHS."""
_PICTURE = ("mean_grey", "contrast")
_IMAGING = re.compile(
    r"(um_per_px|pixel_?size|mag(nification)?|(acceleration_?)?voltage|kv|eht|ht|working_?distance|wd)(_[a-z]+)?"
    r"|(detector|databar|vendor|instrument|microscope|operator|file_?(type|format)|bit_?depth|dwell_?time|tilt)"
    r"|(spot_?size|aperture|beam_?current|scan_?(speed|rate|mode)|stage_?[xyzrt])(_[a-z]+)?"
    r"|(image_?)?(width|height|size)(_px)?|num_positions|(time_?stamp|acquired|date|datetime)(_[a-z]+)?|is_colour",
    re.IGNORECASE,
)
_PIECE_IN_PATH = re.compile(
    r"(?:^|[^A-Za-z0-9])(specimen|sample|piece|coupon|heat|batch|lot|ingot|wafer)[-_ ]?([A-Za-z0-9]+)", re.IGNORECASE
)


@dataclass(frozen=True)
class MetadataField:
    """One column that may predict."""

    kind: Kind
    column: Column


@dataclass(frozen=True)
class MetadataFields:
    """What is known about n images."""

    fields: dict[str, MetadataField]
    """That may predict, by name."""
    um_per_px: npt.NDArray[np.float64]
    """(n,) NaN where it is not known."""
    um_per_px_source: str | None
    """Where it is from."""
    groups: dict[str, Column]
    """Columns that name pieces, days or files: to be the groups of folds, not to predict."""
    identities: tuple[str, ...]
    """Columns that are different for nearly every image."""
    constants: tuple[str, ...]
    """Columns that are the same for all."""

    def columns(self, *kinds: Kind) -> dict[str, Column]:
        """The columns of some kinds (imaging when none is named), by name."""
        wanted = kinds or ("imaging",)
        return {name: field.column for name, field in self.fields.items() if field.kind in wanted}


def metadata_fields(
    images: pa.Table,
    facts: pa.Table | None = None,
    *,
    not_used: Sequence[str] = (),
    only: Sequence[str] = (),
) -> MetadataFields:
    """What is known about the rows of `images`: columns path and meta_<name>, as a snapshot has them.

    Args:
        images: (n rows).
        facts: schemas.MICROGRAPHS of the same rows, null where a file was not read; what it knows comes before what the
            labels file says.
        not_used: columns of the labels file that are labels or groups.
        only: fields or columns to predict from, all that can when empty. Those that are named count as imaging, unless
            they are of the picture.

    Raises UsageError for a name in `only` that is neither.
    """
    columns = {
        name.removeprefix(META_PREFIX): images.column(name).to_pylist()
        for name in images.column_names
        if name.startswith(META_PREFIX) and name.removeprefix(META_PREFIX) not in not_used
    }
    known = {name: parse_column(values) for name, values in columns.items()}
    scale, source = _um_per_px(images.num_rows, columns, known, facts)
    if source == "micron bar":
        known = {name: column for name, column in known.items() if name not in MICRON_BAR or name in only}
    read = _facts(facts) if facts is not None else {}
    paths = images.column("path").to_pylist()
    if "file_type" not in read:
        suffixes = [PurePosixPath(path).suffix.lower().lstrip(".") or None for path in paths]
        read["file_type"] = np.array(suffixes, dtype=object)
    every = known | read | ({UM_PER_PX: scale} if source is not None else {})
    if absent := [name for name in only if name not in every]:
        raise UsageError(f"--columns {absent[0]}: no such column; there are {', '.join(sorted(every))}")
    by_path = _pieces_in_paths(paths)
    roles = {name: "field" if name in read else role_of(name, column) for name, column in every.items()}
    roles |= {name: "constant" for name, column in every.items() if _says_nothing(column)}
    fields = {
        name: MetadataField(_kind(name, read, only), column)
        for name, column in sorted(every.items())
        if (name in only if only else roles[name] == "field")
    }
    return MetadataFields(
        fields=fields,
        um_per_px=scale,
        um_per_px_source=source,
        groups={name: every[name] for name in every if roles[name] == "group" and name not in fields} | by_path,
        identities=tuple(name for name in every if roles[name] == "identity" and name not in fields),
        constants=tuple(name for name in every if roles[name] == "constant" and name not in fields),
    )


def _um_per_px(
    number: int, columns: Mapping[str, Sequence[str | None]], known: Mapping[str, Column], facts: pa.Table | None
) -> tuple[npt.NDArray[np.float64], str | None]:
    """Um per px of what the network saw where files were read, else of the file as it is; and where that is from."""
    found, source = np.full(number, np.nan), None
    length, pixels, units = MICRON_BAR
    if UM_PER_PX in known and known[UM_PER_PX].dtype.kind == "f":
        found, source = np.where(known[UM_PER_PX] > 0, known[UM_PER_PX], np.nan), f"column {UM_PER_PX}"
    elif length in columns and pixels in columns:
        found, source = um_per_px_of_bar(columns[length], columns[pixels], columns.get(units)), "micron bar"
    if facts is None:
        return found, source
    seen, shrunk = _numbers(facts, "um_per_px_x"), _numbers(facts, "px_per_px_x")
    if not np.isfinite(seen).any():
        return found * shrunk, source
    return np.where(np.isfinite(seen), seen, found * shrunk), f"files and {source}" if source else "files"


def _facts(facts: pa.Table) -> dict[str, Column]:
    """The fields that files say, those of which nothing is known left out."""
    found: dict[str, Column] = {}
    for field, name in _FACTS.items():
        column = facts.column(name)
        if pa.types.is_string(column.type) or pa.types.is_boolean(column.type):
            values = parse_column(column.cast(pa.string()).to_pylist())
        else:
            values = _numbers(facts, name)
        # A picture without a databar has the method none, which is something known.
        if field == "databar":
            values = np.array(column.to_pylist(), dtype=object)
        if not unknown(values).all():
            found[field] = values
    # In proportion to the positions of any layer.
    found["num_positions"] = _numbers(facts, "seen_width") * _numbers(facts, "seen_height")
    return found


def _numbers(facts: pa.Table, name: str) -> npt.NDArray[np.float64]:
    column = pc.fill_null(facts.column(name).cast(pa.float64()), np.nan)
    return np.asarray(column.to_numpy(), np.float64)


def _says_nothing(column: Column) -> bool:
    absent = unknown(column)
    return num_distinct(column) == 0 or (num_distinct(column) == 1 and not absent.any())


def _kind(name: str, read: Mapping[str, Column], only: Sequence[str]) -> Kind:
    if name in _PICTURE and name in read:
        return "picture"
    return "imaging" if name in read or name in only or _IMAGING.fullmatch(name) else "other"


def _pieces_in_paths(paths: Sequence[str]) -> dict[str, Column]:
    """What paths such as `specimen-01_image3.png` call a piece, when all of them do: `path: specimen` -> (n,) text."""
    found: dict[str, list[str]] = {}
    for path in paths:
        words: dict[str, str] = {}
        for word, value in _PIECE_IN_PATH.findall(path):
            words.setdefault(word.lower(), value)
        for word, value in words.items():
            found.setdefault(word, []).append(value)
    return {
        f"path: {word}": np.array(values, dtype=object)
        for word, values in found.items()
        if len(values) == len(paths) and len(set(values)) > 1
    }
