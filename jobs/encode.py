"""encode: VLAD features of every image of a dataset's latest snapshot, with a dictionary that still fits."""

import sys
from dataclasses import asdict, dataclass, fields

import click

from jobs.cluster import RaySession, address_option
from jobs.commands import RecordedCommand
from jobs.estimate import print_estimate
from jobs.options import (
    dataset_option,
    json_option,
    list_of,
    max_rejected_option,
    print_summary,
    share_of,
    store_option,
)
from jobs.planning import Plan, plan_for
from jobs.progress import say
from jobs.refit import Refit, RefitReport, keep_or_refit
from jobs.shards import Outcome, ShardsSummary, exit_status, run_shards, summarize
from texture_store.objects import Storage
from texture_store.spec import LAYERS, FeatureSpec, Layer
from texture_store.store.commits import Pair
from texture_store.store.dictionaries import DictionarySet, choose_dictionary, layers_of, read_dictionaries
from texture_store.store.opening import open_for_writing
from texture_store.store.snapshots import Snapshot, latest_snapshot
from texture_store.store.specs import write_spec

JOB = "encode"


@dataclass(frozen=True)
class EncodeRequest:
    """What encode is asked for."""

    store_url: str
    dataset: str
    dictionary: str | None = None
    """Id of a dictionary set; None for the newest."""
    layers: tuple[Layer, ...] | None = None
    """None for all that the dictionary has."""
    refit: Refit = "auto"
    retry_rejected: bool = False
    address: str = "local"


@dataclass(frozen=True, kw_only=True)
class EncodeSummary(ShardsSummary):
    """What a run did, which dictionary it used, and why that one."""

    dictionary: str
    dictionary_verdict: str
    new_images: int
    """Since the dictionary was learnt."""
    drift: dict[str, str]
    replaces: str | None
    moved_words: dict[str, str]


def encode(request: EncodeRequest, *, within: RaySession | None = None) -> EncodeSummary:
    """Bring the VLAD features of the latest snapshot up to date, after a look at whether the dictionary still fits.

    `within` as in `featurize`.

    Raises:
        TextureStoreError: the job cannot be done. A shard that fails does not raise: it is in the summary, and pending.
    """
    outcome = Outcome(JOB)
    with RaySession(request.address, within) as session:
        storage = open_for_writing(request.store_url, create=False)
        snapshot = latest_snapshot(storage, request.dataset)
        name = choose_dictionary(storage, request.dataset, request.dictionary)
        known = read_dictionaries(storage, request.dataset, name)
        say(f"dictionary {known.id}: {_describe(known)}")
        chosen, report = keep_or_refit(session, storage, snapshot, name, known, request.refit)
        say(f"dictionary {chosen.id} {report.verdict}")
        plan = _plan(request, storage, snapshot, name.spec, chosen)
        if plan.units:
            session.join()
            run_shards(plan, outcome, doing="encoding", words=chosen.words)
    return _summary(summarize(plan, outcome), chosen, report)


def _plan(
    request: EncodeRequest, storage: Storage, snapshot: Snapshot, base: FeatureSpec, dictionary: DictionarySet
) -> Plan:
    layers = layers_of(dictionary, request.layers or tuple(dictionary.layers))
    pairs: tuple[Pair, ...] = tuple(("vlad", layer) for layer in layers)
    spec = base.model_copy(update={"dictionary": dictionary.id})
    write_spec(storage, spec)
    say(f"spec {spec.fingerprint}: {spec.describe()}")
    return plan_for(storage, snapshot, spec, pairs, retry_rejected=request.retry_rejected)


def _describe(known: DictionarySet) -> str:
    source = known.learnt_from
    return (
        f"{source.num_words} words of {', '.join(known.layers)}, learnt from {len(source.images):,} images of snapshot"
        f" {source.snapshot}"
    )


def _summary(shards: ShardsSummary, chosen: DictionarySet, report: RefitReport) -> EncodeSummary:
    return EncodeSummary(
        **{one.name: getattr(shards, one.name) for one in fields(shards)},
        dictionary=chosen.id,
        dictionary_verdict=report.verdict,
        new_images=report.new_images,
        drift=report.drift,
        replaces=report.replaces,
        moved_words=report.moved_words,
    )


@click.command(
    JOB, cls=RecordedCommand, epilog="Example: texture-store encode --store s3://lab/store --dataset steel --refit auto"
)
@store_option
@dataset_option
@click.option(
    "--refit",
    type=click.Choice(["auto", "never", "always"]),
    default="auto",
    show_default=True,
    help="Learn the words again: when they no longer fit new images, never, or always.",
)
@click.option("--dictionary", metavar="ID", default=None, help="A dictionary by its id; else the newest.")
@click.option("--layers", default=None, metavar="LIST", help="Of the six; else all that the dictionary has.")
@max_rejected_option
@click.option("--retry-rejected", is_flag=True, help="Try the rejected images again.")
@click.option("--dry-run", is_flag=True, help="Only print images, bytes, files and hours, without a refit.")
@address_option
@json_option
def command(
    *,
    store_url: str,
    dataset: str,
    refit: Refit,
    dictionary: str | None,
    layers: str | None,
    max_rejected: str,
    retry_rejected: bool,
    dry_run: bool,
    address: str,
    as_json: bool,
) -> None:
    """Encode every image as VLAD with the dataset's newest dictionary (see fit-dictionary).

    After images were added, --refit auto compares how well the words describe the new ones with how well they describe
    held-out old ones. Unless that is surely more than 5 % worse, only the new images are encoded. Else the words are
    learnt again from stored descriptors, and everything is encoded anew, under another spec; the old features stay.
    """
    allowed_share = share_of(max_rejected, "--max-rejected")
    request = EncodeRequest(
        store_url=store_url,
        dataset=dataset,
        dictionary=dictionary,
        layers=None if layers is None else list_of(layers, LAYERS, "--layers"),
        refit=refit,
        retry_rejected=retry_rejected,
        address=address,
    )
    if dry_run:
        _dry_run(request, as_json=as_json)
        return
    summary = encode(request)
    print_summary(asdict(summary), as_json=as_json)
    sys.exit(exit_status(summary, allowed_share))


def _dry_run(request: EncodeRequest, *, as_json: bool) -> None:
    storage = open_for_writing(request.store_url, create=False)
    name = choose_dictionary(storage, request.dataset, request.dictionary)
    known = read_dictionaries(storage, request.dataset, name)
    plan = _plan(request, storage, latest_snapshot(storage, request.dataset), name.spec, known)
    print_estimate(plan, request.address, words=known.words, as_json=as_json)


if __name__ == "__main__":
    command()
