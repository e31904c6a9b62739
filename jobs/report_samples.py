"""Pictures of a report: samples of each class, and the images that are misclassified most often."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from jobs.report_images import evaluated_images, labels_of
from jobs.report_pictures import PictureReader, shares_of, spread_evenly
from texture_store.objects import Storage
from texture_store.report.mistakes import Mistakes, find_mistakes
from texture_store.report.report_content import Absent, Cell, ClassSamples, Misclassified, Picture, Samples, Table

if TYPE_CHECKING:
    from texture_store.report.report_question import Question

MOST_OF_A_CLASS = 6
MOST_OF_ONE = 24
"""Where there are no classes."""
MOST_MISCLASSIFIED = 24
MOST_ROWS = 500


def samples_of(
    images: pa.Table, label_column: str | None, reader: PictureReader, most: int, *, note: str = ""
) -> Samples | Absent:
    """Micrographs of each class, spread evenly over its paths; of all images where there are no classes.

    `images` are rows of a snapshot that were not rejected; `note` is said beside them.
    """
    if not images.num_rows:
        return Absent("There is no image that the network can see.")
    if most < 1:
        return Absent("No picture was left for samples (--max-images).")
    classes = _classes(images, label_column)
    most_of = MOST_OF_A_CLASS if len(classes) > 1 else MOST_OF_ONE
    given = shares_of(most, [min(len(rows), most_of) for _, rows in classes])
    chosen = [rows[spread_evenly(len(rows), number)] for (_, rows), number in zip(classes, given, strict=True)]
    pictures = reader.read(images.take(pa.array(np.concatenate(chosen))))
    found, start = [], 0
    for (name, rows), here in zip(classes, chosen, strict=True):
        if len(here):
            found.append(ClassSamples(name, len(rows), pictures[start : start + len(here)]))
        start += len(here)
    notes = [note] if note else []
    if left_out := len(classes) - len(found):
        notes.append(f"{left_out:,} of {len(classes):,} classes are left out (--max-images).")
    if reader.problem:
        notes.append(f"Pictures are left out, since the archive cannot be read: {reader.problem}.")
    return Samples(found, " ".join(notes))


def misclassified_of(
    storage: Storage, dataset: str, question: "Question", reader: PictureReader, most: int
) -> Misclassified | Absent:
    """By the best feature set, over its trials: by group where there are groups, else by image."""
    if question.is_regression:
        return Absent("Numbers are predicted, not classes.")
    protocol = question.protocols[-1]
    rows = question.of_best(protocol)
    rows = rows[rows["predicted_class"].notna()]
    if not len(rows):
        return Absent(
            "The trials of the best feature set do not say what each image was predicted as; run evaluate again."
        )
    images = evaluated_images(storage, dataset, question.rows)
    if images is None:
        return Absent(
            "The store has changed since these trials ran: it is not known any more which images they were of."
        )
    classes = [str(name) for name in rows["classes"].iloc[0]]
    places = {name: place for place, name in enumerate(classes)}
    true = np.array([places[name] for name in labels_of(images, rows["label_column"].iloc[0])])
    found = find_mistakes(np.stack(rows["predicted_class"].to_list()), true, len(classes))
    best = question.best(protocol)
    worst = found.worst
    shown = worst[: min(most, MOST_MISCLASSIFIED)]
    pictures = [
        Picture(one.title, one.pixels, one.alt, [*_told(found, row, true[row], classes), *one.lines])
        for row, one in zip(shown.tolist(), reader.read(images.take(pa.array(shown))), strict=True)
    ]
    often = int((found.shares >= 0.5).sum())
    about = (
        f"By {best['encoder']} {best['layer']}, folds by {protocol}, over {len(rows)} trials: {len(worst):,} of"
        f" {len(true):,} images were misclassified at least once, {often:,} in at least half of the trials."
    )
    if len(shown) < len(worst):
        about += f" Shown are the {len(shown)} that are wrong most often."
    return Misclassified(about, pictures, _table(images, found, true, classes))


def _told(found: Mistakes, row: int, true: int, classes: list[str]) -> list[str]:
    wrong = classes[found.taken_for[row]]
    return [f"{classes[true]}, taken for {wrong}", f"wrong in {100 * found.shares[row]:.0f} % of the trials"]


def _table(images: pa.Table, found: Mistakes, true: "np.ndarray", classes: list[str]) -> Table:
    paths = images.column("path")
    rows = [
        [
            Cell(paths[row].as_py()),
            Cell(classes[true[row]]),
            Cell(classes[found.taken_for[row]]),
            Cell(f"{100 * found.shares[row]:.0f} %", float(found.shares[row])),
        ]
        for row in found.worst[:MOST_ROWS].tolist()
    ]
    left_out = len(found.worst) - len(rows)
    note = f"{left_out:,} more are left out." if left_out else ""
    columns = ["path", "true class", "most often taken for", "wrong in"]
    return Table("Misclassified micrographs", columns, rows, frozenset({3}), note)


def _classes(images: pa.Table, label_column: str | None) -> list[tuple[str | None, "np.ndarray"]]:
    """Rows of each class, by name; those without a label only where there is no class."""
    if label_column is None:
        return [(None, np.arange(images.num_rows))]
    labels = labels_of(images, label_column)
    names = sorted({str(label) for label in labels if label is not None})
    return [(name, np.flatnonzero(labels == name)) for name in names] or [(None, np.arange(images.num_rows))]
