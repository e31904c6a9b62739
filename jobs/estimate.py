"""What a run would cost: images, bytes, files and hours, from measured rates."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from jobs.cluster import RaySession, Workers, cluster_workers, local_workers
from jobs.options import print_summary
from jobs.planning import Plan
from jobs.progress import say
from texture_store.spec import FeatureSpec, Layer
from texture_store.store.commits import CommitRecord
from texture_store.store.work import Unit

if TYPE_CHECKING:
    from texture_store.backbone.weights import Weights

SAMPLE_IMAGES = 6


@dataclass(frozen=True)
class Estimate:
    """The cost of a run that was not started."""

    images: int
    shards: int
    files: int
    gigabytes: float
    hours: float
    seconds_per_image: float
    """Of one extract actor."""
    workers: str
    measured: str
    """Where the rates come from."""


def print_estimate(plan: Plan, address: str, *, words: Mapping[Layer, np.ndarray] | None = None, as_json: bool) -> None:
    """What `--dry-run` prints: the cost on the workers at `address`. Raises UsageError when no Ray answers there."""
    with RaySession(address) as session:
        if address == "local":
            workers = local_workers()
        else:
            session.join()
            workers = cluster_workers()
        print_summary(asdict(estimate(plan, workers, words=words)), as_json=as_json)


def estimate(
    plan: Plan,
    workers: Workers,
    *,
    words: Mapping[Layer, np.ndarray] | None = None,
    fold_words: Mapping[Layer, Mapping[str, np.ndarray]] | None = None,
) -> Estimate:
    """From this spec's commits of the same pairs, else from a few of the images, run through the network here."""
    wanted = {tuple(pair) for unit in plan.units for pair in unit.pairs} or {tuple(pair) for pair in plan.pairs}
    alike = [commit for commit in plan.commits if {tuple(pair) for pair in commit.pairs} == wanted and commit.members]
    if alike:
        seconds, size, measured = *rates(alike), f"{len(alike)} committed shards"
    elif plan.units:
        seconds, size, measured = (
            *_sample(plan, workers, words, fold_words),
            f"{SAMPLE_IMAGES} images, run here just now",
        )
    else:
        seconds, size, measured = 0.0, 0.0, "nothing to do"
    files = sum(len(unit.pairs) + int(unit.writes_facts) + 1 for unit in plan.units)
    return Estimate(
        images=plan.num_images,
        shards=len(plan.units),
        files=files,
        gigabytes=round(plan.num_images * size / 1e9, 3),
        hours=round(plan.num_images * seconds / workers.actors / 3600, 3),
        seconds_per_image=round(seconds, 3),
        workers=str(workers),
        measured=measured,
    )


def rates(commits: Sequence[CommitRecord]) -> tuple[float, float]:
    """(seconds in an extract actor, bytes) per image of commits that have some."""
    images = sum(len(commit.members) for commit in commits)
    seconds = sum(commit.seconds.get("extract", 0.0) for commit in commits)
    return seconds / images, sum(file.bytes for commit in commits for file in commit.files) / images


def _sample(
    plan: Plan,
    workers: Workers,
    words: Mapping[Layer, np.ndarray] | None,
    fold_words: Mapping[Layer, Mapping[str, np.ndarray]] | None,
) -> tuple[float, float]:
    from texture_store.backbone.weights import from_safetensors
    from texture_store.store.specs import read_weights

    weights = from_safetensors(
        read_weights(plan.storage, plan.spec.weights), digest=plan.spec.weights, allow_foreign=True
    )
    archive_url = plan.snapshot.archive_url
    return measure(plan.units[0], archive_url, plan.spec, weights, workers, words=words, fold_words=fold_words)


def measure(
    unit: Unit,
    archive_url: str,
    spec: FeatureSpec,
    weights: "Weights",
    workers: Workers,
    *,
    words: Mapping[Layer, np.ndarray] | None = None,
    fold_words: Mapping[Layer, Mapping[str, np.ndarray]] | None = None,
) -> tuple[float, float]:
    """(seconds in an extract actor, bytes) per image, of a few images that go through the network here and now."""
    from texture_store.pipeline import Extractor, load_shard
    from texture_store.products import product_tables
    from texture_store.store.tables import parquet_bytes

    say(f"measuring {SAMPLE_IMAGES} images")
    unit = unit.head(SAMPLE_IMAGES)
    extract = Extractor(
        weights,
        spec,
        words=words,
        fold_words=fold_words,
        device=workers.device,
        threads=min(workers.threads, os.cpu_count() or 1) if workers.device == "cpu" else None,
    )
    loaded = load_shard(unit, archive_url, spec.pixels)
    images = max(1, len(loaded.seen))
    extract(loaded)  # the first call prepares kernels
    started = time.monotonic()
    encoded = extract(loaded)
    seconds = time.monotonic() - started
    size = sum(len(parquet_bytes(table)) for table in product_tables(encoded.products, encoded.loaded.members).values())
    return seconds / images, size / images
