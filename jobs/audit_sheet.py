"""The duplicates of an audit as a picture: which sets, read again, on a sheet in the store's reports."""

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.audit_pictures import Duplicates, SeenPictures
from jobs.audited import Audited
from jobs.progress import progress, say
from texture_store.errors import CorpusError, ObjectExistsError, StoreError
from texture_store.evaluation.duplicates import Crossing, Rows, crossing
from texture_store.evaluation.missing import missing
from texture_store.evaluation.near_duplicates import NearDuplicate, Picture
from texture_store.objects import Storage, open_storage
from texture_store.report.duplicate_sheet import MAX_COPIES, PICTURE_PX, Copy, CopySet, duplicate_sheet
from texture_store.report.thumbnail import thumbnail
from texture_store.store.layout import report_path

MAX_SETS = 24

Texts = npt.NDArray[Any]


@dataclass(frozen=True)
class DuplicateSet:
    """Rows that are one picture."""

    what: str
    rows: list[int]
    """Those that contradict each other first."""
    crossing: Crossing


def write_sheet(audited: Audited, duplicates: Duplicates, output: Storage | None) -> list[str]:
    """Draw the duplicates; the URLs of the sheet in the store's reports, and in `output` if given.

    Nothing is drawn when there are none. A store that cannot be written is said on a line, and is no failure. The name
    ends in a hash of the sheet, so that the same one is written once.
    """
    sets = duplicate_sets(duplicates, audited.labels, audited.groups)
    if not sets or audited.spec is None or audited.archive_url is None:
        return []
    read = _reader(SeenPictures(audited.images, audited.archive_url, audited.spec.pixels))
    shown = sets[:MAX_SETS]
    group_name = None if missing(audited.groups).all() else audited.group_column
    with progress("audit: sheet", unit="pictures", total=sum(len(one.rows[:MAX_COPIES]) for one in shown)) as bar:
        drawn = [_copy_set(one, audited, read, bar.advance) for one in shown]
    sheet = duplicate_sheet(
        drawn,
        title=f"Duplicates of {audited.dataset}, snapshot {audited.snapshot}: {_count(len(shown), len(sets))}",
        lines=_lines(sets, duplicates, group_name is not None, audited.spec.describe()),
        label_name=audited.label_column,
        group_name=group_name,
    )
    name = f"audit-{hashlib.sha256(sheet).hexdigest()[:12]}-duplicates.png"
    files = []
    try:
        files.append(_create(open_storage(audited.source), report_path(audited.dataset, name), sheet))
    except StoreError as error:
        say(f"the sheet of duplicates is not in the store, which cannot be written ({error}); --output DIR takes it")
    if output is not None:
        files.append(_create(output, f"{audited.dataset}-{name}", sheet))
    return files


def duplicate_sets(duplicates: Duplicates, labels: Texts, groups: Texts) -> list[DuplicateSet]:
    """All sets: those with different labels first, then those of different groups, then the others.

    labels and groups (n,) of all rows, None where there is none.
    """
    found = []
    for name, sets in (("identical files", duplicates.files), ("identical pixels", duplicates.pixels)):
        for rows in sets:
            ordered = _different_first(rows, labels, groups)
            found.append(DuplicateSet(f"{name}{_shown_of(len(rows))}", ordered, crossing(rows, labels, groups)))
    found += _near_sets(duplicates, labels, groups)
    if missing(groups).all():
        return sorted(found, key=lambda one: not one.crossing.labels)
    return sorted(found, key=lambda one: (not one.crossing.labels, not one.crossing.groups))


def _different_first(rows: Rows, labels: Texts, groups: Texts) -> list[int]:
    """One row of each label, then one of each group, then the others."""
    ordered: list[int] = []
    for column in (labels, groups):
        kinds: dict[str, int] = {}
        for row in [*ordered, *rows.tolist()]:
            if not missing(column[row : row + 1])[0]:
                kinds.setdefault(str(column[row]), row)
        ordered = list(dict.fromkeys([*ordered, *kinds.values()]))
    return list(dict.fromkeys([*ordered, *rows.tolist()]))


def _near_sets(duplicates: Duplicates, labels: Texts, groups: Texts) -> list[DuplicateSet]:
    """The strongest correlation first; in a set first the pairs that contradict, so that what they share is seen."""

    def rank(pair: NearDuplicate) -> tuple[bool, bool, float]:
        between = crossing(np.array([pair.row, pair.other]), labels, groups)
        return not between.labels, not between.groups, -pair.match.correlation

    sets = duplicates.near_sets
    set_of = {int(row): number for number, rows in enumerate(sets) for row in rows}
    pairs: list[list[NearDuplicate]] = [[] for _ in sets]
    for pair in duplicates.near or []:
        pairs[set_of[pair.row]].append(pair)
    found = []
    for rows, linked in zip(sets, pairs, strict=True):
        linked.sort(key=rank)
        ordered = list(dict.fromkeys(row for pair in linked for row in (pair.row, pair.other)))
        found.append((linked, DuplicateSet(_near_text(linked, len(rows)), ordered, crossing(rows, labels, groups))))
    found.sort(key=lambda one: -max(pair.match.correlation for pair in one[0]))
    return [one for _, one in found]


def _near_text(pairs: Sequence[NearDuplicate], images: int) -> str:
    correlations = [pair.match.correlation for pair in pairs]
    if len(pairs) == 1:
        overlap = pairs[0].match.overlap
        return f"same view, correlation {correlations[0]:.3f}; the second shows {100 * overlap:.0f} % of the first"
    between = f"{min(correlations):.3f} to {max(correlations):.3f}"
    return f"same view, correlation {between} in {len(pairs):,} pairs{_shown_of(images)}"


def _shown_of(images: int) -> str:
    return f", {MAX_COPIES} of {images:,} images shown" if images > MAX_COPIES else ""


def _count(shown: int, sets: int) -> str:
    return f"{shown} of {sets:,} sets" if shown < sets else f"{sets} set{'s' if sets > 1 else ''}"


def _lines(sets: Sequence[DuplicateSet], duplicates: Duplicates, has_groups: bool, seen: str) -> list[str]:
    kinds = {
        "of identical files": len(duplicates.files),
        "of identical pixels": len(duplicates.pixels),
        "of the same view": len(duplicates.near_sets),
    }
    counts = ", ".join(f"{number:,} {name}" for name, number in kinds.items() if number)
    differing = f"{sum(one.crossing.labels for one in sets):,} differ in label"
    order = "First those that differ in label"
    if has_groups:
        differing += f", {sum(one.crossing.groups for one in sets):,} in group"
        order += ", then those that differ in group"
    near = "; near duplicates were not looked for" if duplicates.near is None else ""
    return [f"Sets: {counts}{near}. {differing}.", f"{order}. As the network sees them: {seen}."]


def _reader(pictures: SeenPictures) -> Callable[[int], tuple[Picture | None, str]]:
    """A row's picture, no larger than it is drawn, or why there is none."""
    down: list[str] = []

    def read(row: int) -> tuple[Picture | None, str]:
        if down:  # each further picture would wait for storage as long as this one did
            return None, down[0]
        try:
            seen = pictures(row)
        except CorpusError as error:
            return None, str(error)
        except StoreError as error:
            down.append(str(error))
            return None, down[0]
        return (None, pictures.unread[row]) if seen is None else (thumbnail(seen, PICTURE_PX, PICTURE_PX), "")

    return read


def _copy_set(
    one: DuplicateSet,
    audited: Audited,
    read: Callable[[int], tuple[Picture | None, str]],
    advance: Callable[[int], None],
) -> CopySet:
    paths = audited.images.column("path")
    copies = []
    for row in one.rows[:MAX_COPIES]:
        seen, reason = read(row)
        copies.append(Copy(paths[row].as_py(), audited.labels[row], audited.groups[row], seen, reason))
        advance(1)
    return CopySet(one.what, copies, one.crossing.labels, one.crossing.groups)


def _create(target: Storage, path: str, data: bytes) -> str:
    with contextlib.suppress(ObjectExistsError):  # the same sheet was drawn before
        target.create(path, data)
    return target.url_of(path)
