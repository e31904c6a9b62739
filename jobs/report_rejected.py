"""Rejected images of a report."""

from collections.abc import Sequence

from schemas import REJECTED
from texture_store.report.report_content import Absent, Cell, Rejected, Table
from texture_store.store.catalog import Catalog
from texture_store.store.members import read_members

MOST_ROWS = 500


def rejected_of(catalog: Catalog, specs: Sequence[str]) -> Rejected | Absent:
    """Images of the snapshot that have no features in some of these specs, by reason."""
    if not specs:
        return Absent("No image was featurized yet, so none was rejected.")
    found = {
        (row["image_id"], row["error"]): row
        for spec in specs
        for row in read_members(catalog.storage, catalog.rejected_files(spec), REJECTED).to_pylist()
    }
    if not found:
        return Absent("No image was rejected.")
    by_reason: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in found.values():
        by_reason.setdefault((row["stage"], row["error"]), []).append(row)
    ranked = sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    reasons = [
        [
            Cell(error),
            Cell(stage),
            Cell(f"{len(rows):,}", len(rows)),
            Cell(f"{100 * len(rows) / max(1, len(catalog.snapshot)):.1f} %", len(rows)),
            Cell(f"{rows[0]['path']}: {rows[0]['message']}"),
        ]
        for (stage, error), rows in ranked
    ]
    every = [[Cell(row["path"]), Cell(row["error"]), Cell(row["message"])] for row in found.values()]
    left_out = len(every) - MOST_ROWS
    note = f"{left_out:,} more are left out; the view rejected of texture-store sql has all." if left_out > 0 else ""
    return Rejected(
        Table("By reason", ["reason", "found in", "images", "of all", "for example"], reasons, frozenset({2, 3})),
        Table("Rejected images", ["path", "reason", "message"], every[:MOST_ROWS], note=note),
    )
