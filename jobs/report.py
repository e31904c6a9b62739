"""report: one HTML file that says what a store knows about a dataset, to be sent around and opened without network."""

import contextlib
import hashlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click
import pyarrow as pa
import pyarrow.compute as pc

from jobs.commands import JobCommand
from jobs.evaluation_columns import names_of
from jobs.options import dataset_option, json_option, print_summary, store_option
from jobs.progress import progress, say
from schemas import REJECTED
from texture_store.errors import ObjectExistsError, StoragePermissionError, UnsafeStorageError, UsageError
from texture_store.objects import Storage, open_parent
from texture_store.spec import PixelSpec
from texture_store.store.catalog import Catalog
from texture_store.store.layout import report_path
from texture_store.store.members import read_members
from texture_store.store.reader import open_store

if TYPE_CHECKING:
    from jobs.report_pictures import Advance, PictureReader
    from texture_store.report.report_content import Report, Statement
    from texture_store.report.report_question import Question

JOB = "report"
MAX_IMAGES = 80
MAX_BYTES = 25 << 20
"""What can be sent by mail; a larger page is said."""
_NO_SCORES = "There are no scores yet: run evaluate."
_NO_LABELS = "There are no labels, so there are no scores: run index with --labels, then evaluate."
_BY_DEFAULT = "Nothing is featurized yet: these are the default settings of featurize."


@dataclass(frozen=True)
class ReportSummary:
    """Where the report is, and what is in it."""

    page: str
    output: str | None
    bytes: int
    images: int
    """Micrographs that are shown."""
    images_missing: int
    """Micrographs that should be, and could not be read."""
    left_out: list[str]
    """Why parts are left out, one sentence each."""
    seconds: float


def report(
    store_url: str,
    dataset: str,
    *,
    output: str | None = None,
    max_images: int = MAX_IMAGES,
    announce: Callable[[int], None] = lambda _total: None,
    advance: "Advance" = lambda _done, _rejected: None,
) -> ReportSummary:
    """Write the report of a dataset's current snapshot into STORE/reports/dataset=D/, and to `output` if given.

    Args:
        store_url: an existing store.
        dataset: one of its datasets.
        output: URL of a file to write as well. One that is there must have the same content.
        max_images: micrographs that are read from the archive and shown, at most.
        announce: told how many will be read, as far as that is known.
        advance: told how many more were read, and how many of them cannot be shown.

    Raises TextureStoreError: the store cannot be read, or nothing can be written. What is missing in the store, and an
    archive that cannot be read, leave parts out instead.
    """
    from jobs.report_claims import evaluations_of
    from jobs.report_pictures import PictureReader
    from texture_store.report.report_page import report_html
    from texture_store.report.report_question import choose_question

    started = time.monotonic()
    store = open_store(store_url)
    catalog = store.catalog(dataset)
    question = choose_question(evaluations_of(store, dataset))
    reader = PictureReader(catalog.snapshot.archive_url, _pixels(catalog, question), announce, advance)
    content = _content(store_url, catalog, question, reader, max_images)
    page = report_html(content).encode()
    name = f"report-{hashlib.sha256(page).hexdigest()[:12]}.html"
    if output is not None:
        _write_output(output, page)
    return ReportSummary(
        page=_write(store.storage, report_path(dataset, name), page, needed=output is None),
        output=output,
        bytes=len(page),
        images=reader.num_read,
        images_missing=reader.num_missing,
        left_out=_left_out(content, reader.problem),
        seconds=round(time.monotonic() - started, 1),
    )


def _content(
    store_url: str, catalog: Catalog, question: "Question | None", reader: "PictureReader", max_images: int
) -> "Report":
    from jobs.report_audit import quick_audit
    from jobs.report_claims import claims_of_dataset
    from jobs.report_explanations import explanations_of
    from jobs.report_history import history_of_question
    from jobs.report_images import labels_of
    from jobs.report_provenance import newest_entry, provenance_of, shown_specs, when
    from jobs.report_rejected import rejected_of
    from jobs.report_samples import misclassified_of, samples_of
    from texture_store.report.report_content import Absent, Misclassified, Report
    from texture_store.report.report_scores import confusion_of, scores_of

    store, dataset, snapshot = open_store(store_url), catalog.dataset, catalog.snapshot
    column = _label_column(catalog, question)
    labelled = Counter() if column is None else Counter(filter(None, labels_of(snapshot.table, column)))
    specs = shown_specs(catalog, question)
    seen = _not_rejected(catalog, specs)
    none = Absent(_NO_SCORES if snapshot.table.column("label").null_count < len(snapshot) else _NO_LABELS)
    for_mistakes = 0 if question is None or question.is_regression else max_images // 3
    mistakes: Misclassified | Absent = none
    if question is not None:
        mistakes = misclassified_of(store.storage, dataset, question, reader, for_mistakes)
    history = none if question is None else history_of_question(store, dataset, question)
    explained = explanations_of(store, catalog, reader, max_images // 4)
    left = max_images - reader.num_read - reader.num_missing
    samples = samples_of(seen, column, reader, left, note="" if specs else _BY_DEFAULT)
    return Report(
        dataset=dataset,
        state=f"Snapshot {snapshot.number}; the store's newest entry is of {when(newest_entry(catalog, question))}.",
        summary=_summary(catalog, question, specs, sorted(labelled.items(), key=lambda one: (-one[1], one[0]))),
        samples=samples,
        scores=none if question is None else scores_of(question, current_snapshot=snapshot.number),
        claims=none if question is None else claims_of_dataset(store, dataset, question),
        confusion=none if question is None else confusion_of(question),
        misclassified=mistakes,
        audit=quick_audit(store_url, dataset, question),
        rejected=rejected_of(catalog, specs),
        provenance=provenance_of(catalog, question),
        explanations=explained,
        history=history,
    )


def _summary(
    catalog: Catalog, question: "Question | None", specs: list[str], classes: list[tuple[str, int]]
) -> list["Statement"]:
    from texture_store.report.report_content import Statement
    from texture_store.report.report_summary import how_well, what_is_here

    images = len(catalog.snapshot)
    # The feature set that covers least: what can be compared.
    covered = [catalog.coverage(spec, pair) for spec in specs for pair in catalog.pairs(spec)]
    least = min(covered, key=lambda one: one.num_featurized, default=None)
    labelled = sum(number for _, number in classes)
    found = what_is_here(
        classes,
        images=images,
        unlabelled=images - labelled if classes else 0,
        featurized=0 if least is None else least.num_featurized,
        rejected=0 if least is None else least.num_rejected,
        pending=images if least is None else least.num_pending,
    )
    for spec in specs:
        if catalog.spec(spec).is_random:
            text = f"The weights of spec {spec} are RANDOM, for tests only: its features and scores mean nothing."
            found.insert(0, Statement("problem", text))
    return found + (how_well(question) if question is not None else [])


def _label_column(catalog: Catalog, question: "Question | None") -> str | None:
    """What classes are of; None where there are none."""
    if question is not None and question.is_regression:
        return None
    asked = "label" if question is None else str(question.own["label_column"].iloc[0])
    names = names_of(catalog.snapshot.table)
    column = names.get(asked, "label")
    if catalog.snapshot.table.column(column).null_count == len(catalog.snapshot):
        return None
    return asked if asked in names else "label"


def _pixels(catalog: Catalog, question: "Question | None") -> PixelSpec:
    """How the network of the best feature set saw the images; else as the chosen spec, or featurize, would."""
    from jobs.report_provenance import shown_specs

    known = catalog.fingerprints()
    if question is not None:
        best = question.of_best(question.protocols[-1])["spec"].iloc[0].split("+")[0]
        if best in known:
            return catalog.spec(best).pixels
    shown = shown_specs(catalog, None)
    return catalog.spec(shown[0]).pixels if shown else PixelSpec()


def _not_rejected(catalog: Catalog, specs: list[str]) -> pa.Table:
    table = catalog.snapshot.table
    files = [file for spec in specs for file in catalog.rejected_files(spec)]
    rejected = read_members(catalog.storage, files, REJECTED).column("image_id").combine_chunks()
    return table.filter(pc.invert(pc.is_in(table.column("image_id"), value_set=rejected)))


def _left_out(content: "Report", problem: str | None) -> list[str]:
    from texture_store.report.report_content import Absent

    parts = [content.samples, content.scores, content.claims, content.confusion, content.misclassified, content.audit]
    reasons = [part.reason for part in parts if isinstance(part, Absent)]
    return list(dict.fromkeys([*reasons, *([f"pictures: {problem}"] if problem else [])]))


def _write(storage: Storage, path: str, page: bytes, *, needed: bool) -> str:
    """Into the store; where that is not allowed, only a problem when it is `needed`."""
    try:
        with contextlib.suppress(ObjectExistsError):  # the name holds the page's hash: it is there already
            storage.create(path, page)
    except (StoragePermissionError, UnsafeStorageError) as error:
        if needed:
            raise
        say(f"not written into the store: {error}")
        return "not written"
    return storage.url_of(path)


def _write_output(url: str, page: bytes) -> None:
    storage, name = open_parent(url)
    try:
        storage.create(name, page)
    except ObjectExistsError:
        if storage.read(name) != page:
            raise UsageError(
                f"--output {url}: there is another file of this name; remove it, or name another"
            ) from None


@click.command(
    JOB,
    cls=JobCommand,
    epilog="Example: texture-store report --store s3://lab/store --dataset steel --output ./steel.html",
)
@store_option
@dataset_option
@click.option(
    "--output", metavar="FILE", default=None, help="Write it here too.  [default: STORE/reports/dataset=D/ only]"
)
@click.option(
    "--max-images",
    type=click.IntRange(0, 1000),
    default=MAX_IMAGES,
    show_default=True,
    help="Micrographs that are read from the archive and shown; some 75 kB each.",
)
@json_option
def command(*, store_url: str, dataset: str, output: str | None, max_images: int, as_json: bool) -> None:
    """Write what the store knows about a dataset into one HTML file that opens without network.

    Samples of each class, all scores beside what metadata alone reach, the paper's claims, the confusion matrix, the
    images that are misclassified most often, the audit, rejected images, and where everything is from. Nothing is
    computed that a job has written; what is missing is left out and said.
    """
    with progress("report: micrographs") as bar:
        summary = report(
            store_url,
            dataset,
            output=output,
            max_images=max_images,
            announce=bar.total,
            advance=lambda done, rejected: bar.advance(done, rejected=rejected),
        )
    if summary.bytes > MAX_BYTES:
        say(f"the page has {summary.bytes / 2**20:.0f} MB; a smaller --max-images makes it easier to send")
    print_summary(asdict(summary), as_json=as_json)


if __name__ == "__main__":
    command()
