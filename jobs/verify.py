"""verify: a whole store against its checksums, names and records, and a sample of images made anew."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import click

from jobs.commands import JobCommand
from jobs.options import EXIT_FAILED, json_option, print_summary, printable, store_option
from jobs.progress import progress, say
from texture_store.errors import DatasetNotFoundError
from texture_store.objects import Storage, open_storage
from texture_store.store import layout
from texture_store.verification.committed import Committed
from texture_store.verification.datasets import Balance
from texture_store.verification.findings import Finding, Note
from texture_store.verification.recomputed import TOLERANCES, Recomputed, recompute
from texture_store.verification.set_aside import new_folder, repair
from texture_store.verification.whole import Verified, verify_store

JOB = "verify"
SAMPLE = 3
"""Images of each spec that are made anew, unless said: some seconds each on two cores."""


@dataclass(frozen=True)
class VerifySummary:
    """What verify found."""

    files: int
    bytes: int
    kinds: dict[str, int]
    balances: list[Balance]
    recomputed_images: int
    vectors_bit_identical: int
    vectors_within_tolerance: int
    findings: list[Finding]
    notes: list[Note]
    set_aside: list[str] = field(default_factory=list)
    """Paths that were moved, relative to STORE."""
    set_aside_to: str | None = None


def verify(
    store_url: str, dataset: str | None = None, *, sample: int = SAMPLE, seed: int = 0, mend: bool = False
) -> VerifySummary:
    """Check a store; `sample` images of each spec are made anew, `mend` sets aside what is damaged.

    Raises StoreFormatError when there is no store, DatasetNotFoundError, and the errors of storage.
    """
    storage = open_storage(store_url)
    with progress("verify", unit="files") as bar:
        found = verify_store(storage, dataset, on_total=bar.total, on_file=bar.advance)
    if dataset is not None and dataset not in found.snapshots:
        layout.check_dataset(dataset)
        raise DatasetNotFoundError(f"{storage.url}: no readable snapshot of dataset {dataset}; run index first")
    again = _recompute(storage, found, sample, seed) if sample else Recomputed()
    findings = sorted([*found.findings, *again.findings], key=lambda one: one.path)
    folder = new_folder()
    moved = repair(storage, findings, found.infos, folder) if mend and findings else []
    return VerifySummary(
        files=found.files,
        bytes=found.bytes,
        kinds=dict(sorted(found.kinds.items())),
        balances=found.balances,
        recomputed_images=again.images,
        vectors_bit_identical=again.exact,
        vectors_within_tolerance=again.close,
        findings=findings,
        notes=[*found.notes, *again.notes],
        set_aside=moved,
        set_aside_to=folder if moved else None,
    )


def _recompute(storage: Storage, found: Verified, sample: int, seed: int) -> Recomputed:
    """The sample of every dataset and spec that has no finding of its own."""
    total = Recomputed()
    broken = {path.split("/spec=")[-1].split("/")[0] for one in found.findings for path in (one.path, *one.set_aside)}
    wanted = [
        (dataset, found.specs[spec], committed)
        for (dataset, spec), committed in sorted(found.committed.items())
        if spec in found.specs and spec not in broken and dataset in found.snapshots and _is_plain(committed)
    ]
    if not wanted:
        return total
    device = _device()
    with progress("recompute", total=sample * len(wanted)) as bar:
        for dataset, spec, committed in wanted:
            table = found.snapshots[dataset][max(found.snapshots[dataset])]
            archive = (table.schema.metadata or {}).get(b"archive_url", b"").decode()
            one = recompute(
                storage, table, archive, spec, committed, sample=sample, seed=seed, device=device, on_image=bar.advance
            )
            total.images += one.images
            total.vectors += one.vectors
            total.exact += one.exact
            total.close += one.close
            total.findings += one.findings
            total.notes += one.notes
    if total.close:
        shares = ", ".join(f"{name} {share:g}" for name, share in TOLERANCES.items())
        text = (
            f"were made on another processor or with other libraries: they may differ by {shares} of the largest value"
        )
        total.notes.append(Note(f"{total.close} vectors", text))
    return total


def _is_plain(committed: Committed) -> bool:
    """Vectors of fold dictionaries are checked by their checksums alone: a sample would take all dictionaries."""
    records = committed.records.counting.values()
    return any(product != "fold-vlad" for record in records for product, _ in record.pairs)


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@click.command(JOB, cls=JobCommand, epilog="Example: texture-store verify --store s3://lab/store --sample 10 --repair")
@store_option
@click.option("--dataset", metavar="D", default=None, help="Only this one, and what belongs to no dataset; else all.")
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=SAMPLE,
    show_default=True,
    metavar="N",
    help="Images of each spec that are made anew from the archive and compared bit by bit.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides which images.")
@click.option("--repair", "mend", is_flag=True, help="Set aside what is damaged, so that the next run makes it again.")
@json_option
def command(*, store_url: str, dataset: str | None, sample: int, seed: int, mend: bool, as_json: bool) -> None:
    """Check the whole store: every file against its checksum, schema, name and commit, and every image accounted for.

    One line a finding: where, what, and what to do; the exit status is 1 then. --repair moves what is damaged to
    STORE/set-aside/, with the commits that name it, and deletes nothing; run the named commands again after it.
    """
    summary = verify(store_url, dataset, sample=sample, seed=seed, mend=mend)
    if as_json:
        shown = asdict(summary)
        for one in shown["findings"]:
            del one["restore"]
        click.echo(json.dumps(shown))
    else:
        _show(summary, mended=mend)
    sys.exit(EXIT_FAILED if summary.findings else 0)


def _show(summary: VerifySummary, *, mended: bool) -> None:
    for one in summary.findings:
        click.echo(printable(f"{one.path}: {one.problem}; {_what_to_do(one, mended=mended)}"))
    for note in summary.notes:
        few = f", such as {note.paths[0]}" if note.paths else ""
        click.echo(printable(f"note: {note.about}: {note.text}{few}"))
    lines: dict[str, object] = {
        "files": f"{summary.files:,} ({summary.bytes:,} bytes)",
        "of_them": {name: f"{count:,}" for name, count in summary.kinds.items()},
        "recomputed": f"{summary.recomputed_images} images, {summary.vectors_bit_identical} vectors bit-identical",
        "accounted_for": [_balance(one) for one in summary.balances],
        "set_aside": f"{len(summary.set_aside)} files, in {summary.set_aside_to}" if summary.set_aside else None,
        "findings": f"{len(summary.findings)}{_by_remedy(summary.findings)}",
    }
    print_summary(lines, as_json=False)
    if summary.findings and not mended and any(one.set_aside or one.restore for one in summary.findings):
        say("run verify --repair to set aside what is damaged")


def _what_to_do(one: Finding, *, mended: bool) -> str:
    if not one.set_aside and one.restore is None:
        return one.remedy
    return f"{'set aside' if mended else 'verify --repair sets it aside'}, then {one.remedy}"


def _by_remedy(findings: Sequence[Finding]) -> str:
    counts = Counter(one.remedy for one in findings)
    return "".join(f"; {remedy} ({count})" for remedy, count in counts.most_common())


def _balance(one: Balance) -> str:
    return (
        f"{one.dataset} snapshot {one.snapshot}, {one.spec}, {one.what}: {one.indexed:,} indexed = {one.featurized:,}"
        f" featurized + {one.rejected:,} rejected + {one.pending:,} pending"
    )


if __name__ == "__main__":
    command()
