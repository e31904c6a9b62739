"""fit-dictionary: the words of VLAD, learnt from a sample of a dataset's descriptors."""

import sys
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

import click

from jobs.cluster import RaySession, address_option
from jobs.commands import RecordedCommand
from jobs.dictionary_fits import Fit, Learning, fit_set, plan_fit
from jobs.estimate import print_estimate
from jobs.options import (
    EXIT_FAILED,
    dataset_option,
    json_option,
    layers_option,
    list_of,
    max_rejected_option,
    network_options,
    pixel_options,
    pixel_settings,
    print_summary,
    share_of,
    store_option,
)
from jobs.planning import AutoPrecision, Plan, Request, find_spec, plan_for
from jobs.progress import say
from jobs.shards import Outcome, ShardsSummary, exit_status, run_shards, summarize
from texture_store.errors import UsageError
from texture_store.objects import Storage
from texture_store.spec import LAYERS, NUM_WORDS, FeatureSpec, make_pixel_spec
from texture_store.store.commits import Pair
from texture_store.store.dictionaries import (
    JOB,
    DictionarySet,
    list_dictionaries,
    read_dictionaries,
    write_dictionaries,
)
from texture_store.store.opening import open_for_writing
from texture_store.store.selection import sampled
from texture_store.store.snapshots import Snapshot, latest_snapshot

SAMPLE_JOB = "sample"
DEFAULT_SIZE = "255"
"""px; the paper's for VLAD."""


@dataclass(frozen=True)
class DictionarySummary:
    """A dictionary set, and the sample that it was learnt from."""

    dataset: str
    snapshot: int
    dictionary: str
    spec: str
    """The base spec: pixels and network."""
    settings: str
    indexed: int
    sampled: int
    """Images with descriptors."""
    rejected: int
    pending: int
    fitted: int
    held_out: int
    words: int
    error_on_sample: dict[str, float]
    """For each layer the mean squared distance of a descriptor to its word."""
    error_on_held_out: dict[str, float | None]
    """The same for images that the words were not fitted to."""
    was_there: bool
    """Whether a dictionary of just this was there already."""
    seconds: float
    rejected_by_reason: dict[str, int] = field(default_factory=dict)
    changed_since_index: list[str] = field(default_factory=list)
    failed_shards: dict[str, str] = field(default_factory=dict)


def fit_dictionary(
    request: Request, learning: Learning, *, within: RaySession | None = None
) -> tuple[DictionarySummary | None, ShardsSummary]:
    """Sample what is not sampled yet, learn words from it, and keep them; None when images are still pending.

    `within` as in `featurize`.

    Raises:
        TextureStoreError: the job cannot be done.
    """
    with RaySession(request.address, within) as session:
        storage = open_for_writing(request.store_url, create=False)
        snapshot = latest_snapshot(storage, request.dataset)
        spec = find_spec(request, storage, session)
        members = sampled(snapshot, learning.share)
        plan, summary = sample(session, storage, spec, members, learning)
        if summary.pending:
            return None, summary
        fit = plan_fit(storage, plan.snapshot, spec, learning)
        found, was_there = fit_or_read(session, fit)
    return _summary(fit, found, summary, was_there=was_there, indexed=len(snapshot)), summary


def sample(
    session: RaySession,
    storage: Storage,
    spec: FeatureSpec,
    members: Snapshot,
    learning: Learning,
) -> tuple[Plan, ShardsSummary]:
    """Draw descriptors of those `members` (a part of a snapshot) that have none."""
    outcome = Outcome(SAMPLE_JOB)
    pairs: tuple[Pair, ...] = tuple((learning.product, layer) for layer in learning.layers)
    plan = plan_for(storage, members, spec, pairs)
    if plan.units:
        session.join()
        run_shards(plan, outcome, doing="sampling")
    return plan, summarize(plan, outcome)


def fit_or_read(session: RaySession, fit: Fit, *, replaces: str = "") -> tuple[DictionarySet, bool]:
    """The dictionary that `fit` makes, and whether it was there already. `replaces` is noted in its commit record."""
    for name in list_dictionaries(fit.storage, fit.dataset):
        if name.spec == fit.spec and name.snapshot == fit.snapshot and set(name.layers) == set(fit.learning.layers):
            known = read_dictionaries(fit.storage, fit.dataset, name)
            if fit.made(known):
                return known, True
    say(f"learning {fit.learning.num_words} words from {len(fit.images):,} images; {len(fit.held_out):,} are held out")
    session.join()
    found, seconds = fit_set(fit)
    environment = {package: version(package) for package in ("texture-store", "scikit-learn", "numpy")}
    if replaces:
        environment["replaces"] = replaces
    write_dictionaries(fit.storage, found, environment=environment, seconds=seconds)
    return found, False


def _summary(
    fit: Fit, found: DictionarySet, shards: ShardsSummary, *, was_there: bool, indexed: int
) -> DictionarySummary:
    held_out = {layer: one.learnt_from.held_out_error for layer, one in found.layers.items()}
    return DictionarySummary(
        dataset=fit.dataset,
        snapshot=fit.snapshot,
        dictionary=found.id,
        spec=shards.spec,
        settings=shards.settings,
        indexed=indexed,
        sampled=shards.featurized,
        rejected=shards.rejected,
        pending=shards.pending,
        fitted=len(fit.images),
        held_out=len(fit.held_out),
        words=fit.learning.num_words,
        error_on_sample={layer: _rounded(one.learnt_from.error) for layer, one in found.layers.items()},
        error_on_held_out={layer: None if error is None else _rounded(error) for layer, error in held_out.items()},
        was_there=was_there,
        seconds=shards.seconds,
        rejected_by_reason=shards.rejected_by_reason,
        changed_since_index=shards.changed_since_index,
        failed_shards=shards.failed_shards,
    )


def _rounded(error: float) -> float:
    return float(f"{error:.5g}")


@click.command(
    JOB,
    cls=RecordedCommand,
    epilog="Example: texture-store fit-dictionary --store s3://lab/store --dataset steel --size 255 --sample 20%",
)
@store_option
@dataset_option
@pixel_options(default_size=DEFAULT_SIZE)
@layers_option
@click.option(
    "--words", type=click.IntRange(2, 4096), default=NUM_WORDS, show_default=True, help="Words of each layer."
)
@click.option(
    "--sample", "share", default="20%", show_default=True, metavar="SHARE", help="Of the images, 250 to 1024."
)
@click.option(
    "--positions",
    type=click.Choice(["sample", "all"]),
    default="sample",
    show_default=True,
    help="Of each image: 256 descriptors a layer, or all that it has, which takes much memory and storage.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of k-means.")
@click.option(
    "--starts", type=click.IntRange(1, 100), default=4, show_default=True, help="Of k-means; the best is kept."
)
@network_options
@max_rejected_option
@click.option("--dry-run", is_flag=True, help="Only print what the sampling pass would cost.")
@address_option
@json_option
def command(
    *,
    store_url: str,
    dataset: str,
    layers: str,
    words: int,
    share: str,
    positions: str,
    seed: int,
    starts: int,
    precision: AutoPrecision,
    weights: str | None,
    foreign_weights: bool,
    max_rejected: str,
    dry_run: bool,
    address: str,
    as_json: bool,
    **pixels: Any,
) -> None:
    """Learn the words of VLAD: k-means on descriptors of a sample of the images, layer by layer.

    Of each sampled image 256 descriptors a layer are kept (or all: --positions), so that words can be learnt again
    later without the network. The same images and settings give the same dictionary, bit for bit. Then run encode.
    """
    allowed_share = share_of(max_rejected, "--max-rejected")
    layer_list, share_taken = list_of(layers, LAYERS, "--layers"), share_of(share, "--sample")
    learning = Learning(layer_list, words, share_taken, seed, starts, positions == "all")
    if learning.share == 0:
        raise UsageError(f"--sample {share}: a sample of no image; write a share such as 20%")
    request = Request(
        store_url=store_url,
        dataset=dataset,
        pixels=make_pixel_spec(**pixel_settings(**pixels, default_size=DEFAULT_SIZE)),
        encoders=(learning.product,),
        layers=learning.layers,
        precision=precision,
        weights=weights,
        allow_foreign=foreign_weights,
        address=address,
    )
    if dry_run:
        _dry_run(request, learning, as_json=as_json)
        return
    summary, shards = fit_dictionary(request, learning)
    if summary is None:
        print_summary(asdict(shards), as_json=as_json)
        say(f"{shards.pending} sampled images are pending, so no words were learnt")
        sys.exit(exit_status(shards, allowed_share) or EXIT_FAILED)
    print_summary(asdict(summary), as_json=as_json)
    sys.exit(exit_status(shards, allowed_share))


def _dry_run(request: Request, learning: Learning, *, as_json: bool) -> None:
    with RaySession(request.address) as session:
        storage = open_for_writing(request.store_url, create=False)
        spec = find_spec(request, storage, session)
        members = sampled(latest_snapshot(storage, request.dataset), learning.share)
        plan = plan_for(storage, members, spec, request.pairs)
        print_estimate(plan, request.address, as_json=as_json)


if __name__ == "__main__":
    command()
