"""clean: remove what nothing in a store needs any more."""

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby

import click

from jobs.commands import JobCommand
from jobs.options import json_option, print_summary, printable, store_option
from jobs.progress import progress, say
from texture_store.errors import UsageError
from texture_store.objects import Storage
from texture_store.store.opening import open_for_reading, open_for_writing
from texture_store.verification.inventory import COMMITTED
from texture_store.verification.unneeded import Asked, Unneeded, find_unneeded, used_by_now

JOB = "clean"
LOOK_AGAIN = 100
"""Files that go between two looks at whether a job has begun to use them."""


@dataclass(frozen=True)
class CleanSummary:
    """What went, or would go."""

    files: int
    bytes: int
    reasons: dict[str, int] = field(default_factory=dict)
    """Files by why they go."""
    paths: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """Paths that a job has begun to use meanwhile."""


def clean(
    store_url: str,
    asked: Asked,
    *,
    dry_run: bool = False,
    on_total: Callable[[int], None] | None = None,
    on_file: Callable[[int], None] | None = None,
) -> CleanSummary:
    """Remove what can go; with `dry_run` only say so.

    Killed anywhere, it leaves a whole store, and goes on when it is run again. Raises UsageError for what must stay,
    and the errors of storage.
    """
    storage = open_for_reading(store_url) if dry_run else open_for_writing(store_url, create=False)
    found = find_unneeded(storage, asked, time.time())
    if on_total is not None:
        on_total(len(found))
    kept: list[str] = []
    if not dry_run:
        for _, group in groupby(found, key=_look):
            kept += _remove(storage, list(group), on_file)
    gone = [one for one in found if one.info.path not in kept]
    return CleanSummary(
        files=len(gone),
        bytes=sum(one.info.size for one in gone),
        reasons=dict(Counter(one.why for one in gone).most_common()),
        paths=[one.info.path for one in gone],
        kept=kept,
    )


def _look(one: Unneeded) -> tuple[str, str, bool]:
    """Files of one value go in one go: of a whole spec, the records are gone before its files are met."""
    return one.place.dataset, one.place.spec, one.place.kind in COMMITTED


def _remove(storage: Storage, group: list[Unneeded], on_file: Callable[[int], None] | None) -> list[str]:
    """Remove files. Those that a commit names by now stay, with all of their shard, and are returned."""
    used: set[str] = set()
    kept = []
    for first in range(0, len(group), LOOK_AGAIN):
        some = group[first : first + LOOK_AGAIN]
        used |= used_by_now(storage, some)
        for one in some:
            if one.place.name in used:
                kept.append(one.info.path)
            else:
                storage.remove(one.info.path)
            if on_file is not None:
                on_file(1)
    return kept


def seconds_of(text: str) -> float:
    """Seconds of an age such as `7d`, `12h`, `30min` or `0`. Raises UsageError."""
    found = re.fullmatch(r"([0-9]+)(d|h|min|s|)", text)
    if found is None or (not found[2] and int(found[1])):
        raise UsageError(f"--older-than {text}: write an age such as 7d, 12h or 30min")
    return int(found[1]) * {"d": 86400, "h": 3600, "min": 60, "s": 1, "": 1}[found[2]]


@click.command(JOB, cls=JobCommand, epilog="Example: texture-store clean --store s3://lab/store --folds --dry-run")
@store_option
@click.option("--dataset", metavar="D", default=None, help="Only this one; else all.")
@click.option(
    "--older-than",
    default="7d",
    show_default=True,
    metavar="AGE",
    help="What was written later stays: a job may still be at it, a reader may still read it.",
)
@click.option("--folds", is_flag=True, help="Also what evaluate --strict has encoded; its scores stay.")
@click.option("--set-aside", is_flag=True, help="Also what verify --repair has set aside.")
@click.option(
    "--spec", "specs", multiple=True, metavar="S", help="Also all of this spec of --dataset; may be repeated."
)
@click.option(
    "--keep-snapshots",
    type=click.IntRange(min=1),
    metavar="N",
    default=None,
    help="Also all but the newest N snapshots.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go, and how many bytes.")
@json_option
def command(
    *,
    store_url: str,
    dataset: str | None,
    older_than: str,
    folds: bool,
    set_aside: bool,
    specs: tuple[str, ...],
    keep_snapshots: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove what nothing in the store needs any more.

    That is: what attempts that died have left without a commit, half-written files, checkpoints before the newest two,
    and failed trials that went well later. What is committed stays unless an option names it; the spec that readers
    take, and the newest snapshot, always stay. Look with --dry-run first: what is removed cannot be had back.
    """
    asked = Asked(folds, set_aside, specs, keep_snapshots, dataset, seconds_of(older_than))
    with progress("clean", unit="files") as bar:
        summary = clean(store_url, asked, dry_run=dry_run, on_total=bar.total, on_file=bar.advance)
    lines: dict[str, object] = {
        "would_go" if dry_run else "removed": summary.files,
        "bytes": summary.bytes,
        "reasons": summary.reasons,
        "kept_for_a_running_job": summary.kept,
    }
    if as_json:
        lines["paths"] = summary.paths
    elif dry_run:
        for path in summary.paths:
            click.echo(printable(path))
    print_summary(lines, as_json=as_json)
    if dry_run and summary.files:
        say("nothing was removed; run it without --dry-run")


if __name__ == "__main__":
    command()
