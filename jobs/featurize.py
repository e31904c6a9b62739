"""featurize: mean, max and packed Gram of every image of a dataset's latest snapshot."""

import sys
from dataclasses import asdict
from typing import Any

import click

from jobs.cluster import RaySession, address_option
from jobs.commands import RecordedCommand
from jobs.estimate import print_estimate
from jobs.options import (
    dataset_option,
    json_option,
    keep_bits_option,
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
from jobs.planning import AutoPrecision, Request, make_plan
from jobs.shards import Outcome, ShardsSummary, exit_status, run_shards, summarize
from texture_store.spec import ENCODERS, LAYERS, make_pixel_spec

JOB = "featurize"


def featurize(request: Request, *, within: RaySession | None = None) -> ShardsSummary:
    """Bring the features of the latest snapshot up to date: only what no commit covers is computed.

    Ray is that of the session `within` which this is a step, if any; else joined for this alone.

    Raises:
        TextureStoreError: the job cannot be done. A shard that fails does not raise: it is in the summary, and pending.
    """
    outcome = Outcome(JOB)
    with RaySession(request.address, within) as session:
        plan = make_plan(request, session)
        if plan.units:
            session.join()
            run_shards(plan, outcome, doing="featurizing")
    return summarize(plan, outcome)


@click.command(
    JOB,
    cls=RecordedCommand,
    epilog="Example: texture-store featurize --store s3://lab/store --dataset steel --size 512 --encoders mean,gram",
)
@store_option
@dataset_option
@pixel_options()
@click.option("--encoders", default="mean,max,gram", show_default=True, metavar="LIST", help="Of mean, max, gram.")
@layers_option
@network_options
@keep_bits_option
@max_rejected_option
@click.option("--retry-rejected", is_flag=True, help="Try the rejected images again.")
@click.option("--dry-run", is_flag=True, help="Only print images, bytes, files and hours.")
@address_option
@json_option
def command(
    *,
    store_url: str,
    dataset: str,
    encoders: str,
    layers: str,
    precision: AutoPrecision,
    weights: str | None,
    foreign_weights: bool,
    keep_bits: int | None,
    max_rejected: str,
    retry_rejected: bool,
    dry_run: bool,
    address: str,
    as_json: bool,
    **pixels: Any,
) -> None:
    """Compute mean, max and Gram features of every image of the latest snapshot.

    Run the same command again to go on after a crash, to add new images, or to repair: what is committed is never
    computed twice. --encoders gram after a run with mean adds Gram alone.
    """
    computable = [encoder for encoder in ENCODERS if encoder != "vlad"]
    allowed_share = share_of(max_rejected, "--max-rejected")
    request = Request(
        store_url=store_url,
        dataset=dataset,
        pixels=make_pixel_spec(**pixel_settings(**pixels)),
        encoders=list_of(encoders, computable, "--encoders"),
        layers=list_of(layers, LAYERS, "--layers"),
        precision=precision,
        weights=weights,
        allow_foreign=foreign_weights,
        keep_bits=keep_bits,
        retry_rejected=retry_rejected,
        address=address,
    )
    if dry_run:
        with RaySession(address) as session:
            print_estimate(make_plan(request, session), address, as_json=as_json)
        return
    summary = featurize(request)
    print_summary(asdict(summary), as_json=as_json)
    sys.exit(exit_status(summary, allowed_share))


if __name__ == "__main__":
    command()
