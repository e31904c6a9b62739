"""Columns of metadata: text turned into numbers where it is numbers, and into what a classifier takes.

A column is float64 (n,) with NaN where nothing is known, or text (n,) of objects with None there.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[Any]
"""(n,) float64 with NaN, or objects: str or None."""

Role = Literal["field", "group", "identity", "constant"]
"""field: may predict. group: says which piece, day or file an image is of. identity: differs from image to image.
constant: says the same of all images."""

NOTHING = frozenset({"", "nan", "na", "n/a", "none", "null", "unknown", "-", "--", "?"})
"""Spellings, in lower case, of a value that is not known."""
MICROMETRES = {"um": 1.0, "µm": 1.0, "μm": 1.0, "micron": 1.0, "microns": 1.0, "nm": 1e-3, "mm": 1e3, "pm": 1e-6}
"""Units of a micron bar, in lower case. µ is the micro sign and, the second time, the Greek letter."""

_NUMBER = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?)\s*([a-zµμ%°×]{0,4})", re.IGNORECASE)
_LEADING_ZERO = re.compile(r"0\d+")
_ALWAYS_ID = frozenset({"id", "key", "uuid", "guid", "hash", "sha256", "md5", "filename", "path", "url", "serial"})
_PIECE = re.compile(
    "sample|specimen|piece|coupon|heat|batch|lot|ingot|billet|plate|wafer|part|weld|session|series"
    "|image|micrograph|file"
)
_NUMBERING = frozenset(["no", "nr", "num", "number", "name", "code"])
_MANY = 20
_SHARE_OF_GROUPS = 0.1
_SHARE_OF_IDENTITY = 0.9


def parse_column(values: Sequence[str | None] | npt.NDArray[Any]) -> Column:
    """Text as written -> a column of numbers if all that is there are numbers, else of text.

    Numbers may share one unit (`15 kV`, `4910x` and `1964X`); times (ISO 8601) become seconds since 1970. Codes with
    leading zeros stay text: `01` and `1` differ.
    """
    texts = [None if value is None or str(value).strip().lower() in NOTHING else str(value).strip() for value in values]
    known = [text for text in texts if text is not None]
    numbers = _numbers(known) or _times(known)
    if numbers is None:
        return np.array(texts, dtype=object)
    column = np.full(len(texts), np.nan)
    column[[text is not None for text in texts]] = numbers
    return column


def um_per_px_of_bar(
    length: Sequence[str | None], pixels: Sequence[str | None], unit: Sequence[str | None] | None
) -> npt.NDArray[np.float64]:
    """(n,) um per px of the picture as scanned, from the micron bar: its length, its width in px, and the unit.

    Without units lengths are um. NaN where one of them is missing, not above zero, or of a unit that is none.
    """
    units = ["um"] * len(length) if unit is None else unit
    found = np.full(len(length), np.nan)
    for row, (bar, px, name) in enumerate(zip(length, pixels, units, strict=True)):
        factor = MICROMETRES.get((name or "").strip().lower(), np.nan)
        micrometres, width = _positive(bar) * factor, _positive(px)
        found[row] = micrometres / width
    return found


def unknown(column: Column) -> npt.NDArray[np.bool_]:
    """(n,) where nothing is known."""
    if column.dtype.kind == "f":
        return np.isnan(column)
    return np.array([value is None for value in column], dtype=np.bool_)


def num_distinct(column: Column) -> int:
    """How many different known values there are."""
    return len(set(column[~unknown(column)].tolist()))


def role_of(name: str, column: Column) -> Role:
    """Whether a column may predict a label, or is a name of something.

    By its name (`sample_id`, `heat`, `micrograph`), else by what it holds: text of more than 20 different values, and
    more than one for ten images; whole numbers that just count the rows.
    """
    absent = unknown(column)
    known, distinct = int((~absent).sum()), num_distinct(column)
    if distinct == 0 or (distinct == 1 and known == len(column)):
        return "constant"
    unique = distinct > _SHARE_OF_IDENTITY * known
    if column.dtype.kind == "f":
        id_like = unique and known > _MANY and _counts_rows(column[~absent])
    else:
        id_like = distinct > max(_MANY, _SHARE_OF_GROUPS * known)
    if not (id_like or _is_id_name(name)):
        return "field"
    return "identity" if unique else "group"


def tree_matrix(columns: Sequence[Column]) -> npt.NDArray[np.float32]:
    """(n, columns) for forests: text as the place of its value in alphabetical order, NaN where nothing is known.

    One column each, so that a text of many values gets no more of a forest's attention than a number.
    """
    return np.stack([_codes(column) for column in columns], axis=1).astype(np.float32)


def linear_matrix(columns: Sequence[Column]) -> npt.NDArray[np.float32]:
    """(n, d) for linear classifiers: a 0/1 column for each value of a text; unknown numbers as the median, and a
    column that says so.
    """
    parts: list[npt.NDArray[np.float64]] = []
    for column in columns:
        absent = unknown(column)
        if column.dtype.kind == "f":
            middle = float(np.median(column[~absent])) if not absent.all() else 0.0
            parts.append(np.where(absent, middle, column))
        else:
            parts += [np.array(column == value, dtype=np.float64) for value in sorted(set(column[~absent].tolist()))]
        if absent.any():
            parts.append(absent.astype(np.float64))
    return np.stack(parts, axis=1).astype(np.float32)


def _codes(column: Column) -> npt.NDArray[np.float64]:
    if column.dtype.kind == "f":
        return column
    absent = unknown(column)
    codes = np.full(len(column), np.nan)
    codes[~absent] = np.unique(column[~absent].astype(np.str_), return_inverse=True)[1]
    return codes


def _numbers(texts: Sequence[str]) -> list[float] | None:
    found = [_NUMBER.fullmatch(text) for text in texts]
    if any(match is None for match in found) or any(_LEADING_ZERO.fullmatch(text) for text in texts):
        return None
    matches = [match for match in found if match is not None]
    if len({match[2].lower() for match in matches}) > 1:
        return None
    return [float(match[1]) for match in matches]


def _times(texts: Sequence[str]) -> list[float] | None:
    if not texts:
        return None
    try:
        times = [datetime.fromisoformat(text) for text in texts]
    except ValueError:
        return None
    # A clock without a zone is taken as UTC: differences, not hours of the day, separate sessions.
    return [(time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() for time in times]


def _positive(text: str | None) -> float:
    try:
        number = float(text or "")
    except ValueError:
        return float("nan")
    return number if 0 < number < float("inf") else float("nan")


def _is_id_name(name: str) -> bool:
    words = ["", *(word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", name))]
    if words[-1] in _NUMBERING:
        return _PIECE.fullmatch(words[-2]) is not None
    return words[-1] in _ALWAYS_ID or _PIECE.fullmatch(words[-1]) is not None


def _counts_rows(values: Column) -> bool:
    return bool((values == np.rint(values)).all() and values.max() - values.min() < 1.5 * len(values))
