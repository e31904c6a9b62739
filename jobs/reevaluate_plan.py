"""What a run of reevaluate would do: counts, time, GPU hours and bytes, from measured rates. Nothing is written."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from jobs.cluster import RaySession, Workers, cluster_workers, local_workers
from jobs.estimate import SAMPLE_IMAGES, measure, rates
from jobs.index import look
from jobs.network import find_network, matching_spec, native_precision, new_spec
from jobs.planning import Request
from jobs.progress import duration, progress, say
from jobs.recipe_requests import featurize_request, index_settings, sample_request
from jobs.recipe_tables import Recipe, VladTable
from jobs.reevaluate_dictionary import known_dictionary
from jobs.reevaluate_findings import told
from jobs.reevaluate_trials import pending_trials
from texture_store.objects import Storage, open_storage
from texture_store.spec import FeatureSpec
from texture_store.store.commits import CommitRecord, list_specs, read_commits
from texture_store.store.layout import STORE_FILE
from texture_store.store.opening import open_for_reading
from texture_store.store.selection import sampled
from texture_store.store.snapshots import Snapshot
from texture_store.store.specs import read_spec
from texture_store.store.work import plan_work


@dataclass(frozen=True)
class StepPlan:
    """One step."""

    count: int
    unit: str
    """Images that go through the network, or trials."""
    hours: float | None
    """On all workers; None where no rate is known."""
    gpu_hours: float | None
    gigabytes: float | None
    """That are written."""
    measured: str
    """Where the rates come from."""


@dataclass(frozen=True)
class RunPlan:
    """All of them."""

    dataset: str
    snapshot: int
    archive: dict[str, Any]
    workers: str
    steps: dict[str, StepPlan]
    hours: float | None
    """Together; None where those of a step are not known."""
    gpu_hours: float | None
    gigabytes: float | None
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


@dataclass(frozen=True)
class _Here:
    """What there is to reckon with."""

    recipe: Recipe
    storage: Storage | None
    """None: there is no store yet."""
    snapshot: Snapshot
    workers: Workers
    cores: int
    """For trials."""


def plan_run(recipe: Recipe) -> RunPlan:
    """Look at archive and store, and reckon. Raises TextureStoreError as the job itself would."""
    url = str(recipe.store)
    with progress("list", unit="files") as bar:
        found, snapshot = look(url, recipe.dataset, recipe.archive, advance=bar.advance, **index_settings(recipe))
    storage = open_for_reading(url) if open_storage(url).exists(STORE_FILE) else None
    here = _Here(recipe, storage, snapshot, *_workers(recipe))
    steps = {"featurize": _network_step(here, featurize_request(recipe), snapshot)}
    notes: list[str] = []
    if recipe.vlad is not None:
        steps |= _vlad_steps(here, recipe.vlad, notes)
    trials = pending_trials(recipe, storage, snapshot, here.cores)
    steps["evaluate"] = StepPlan(trials.count, "trials", trials.hours, 0.0, 0.0, trials.measured)
    return RunPlan(
        dataset=recipe.dataset,
        snapshot=snapshot.number,
        archive=told(found),
        workers=str(here.workers),
        steps=steps,
        hours=_sum([one.hours for one in steps.values()]),
        gpu_hours=_sum([one.gpu_hours for one in steps.values()]),
        gigabytes=_sum([one.gigabytes for one in steps.values()]),
        notes=notes,
    )


def _workers(recipe: Recipe) -> tuple[Workers, int]:
    """Those of the network, and cores for all else."""
    if recipe.address == "local":
        return local_workers(), os.cpu_count() or 1
    with RaySession(recipe.address) as session:
        session.join()
        import ray

        cores = ray.cluster_resources().get("CPU", 1)  # type: ignore[no-untyped-call]
        return cluster_workers(), max(1, int(cores))


def _specs(here: _Here) -> list[FeatureSpec]:
    """Of the dataset, newest first."""
    if here.storage is None:
        return []
    dataset = here.recipe.dataset
    newest = {
        name: max((one.created for one in read_commits(here.storage, dataset, name)), default="")
        for name in list_specs(here.storage, dataset)
    }
    return [read_spec(here.storage, name) for name in sorted(newest, key=lambda name: newest[name], reverse=True)]


def _spec(here: _Here, request: Request) -> FeatureSpec | None:
    """That which the job would find in the store. A file of weights is not read for this."""
    lineage = request.weights if (request.weights or "").startswith("random:") else None
    if request.weights is None:
        lineage = "caffe"
    return matching_spec(
        _specs(here), request.pixels, precision=request.precision, keep_bits=request.keep_bits, lineage=lineage
    )


def _network_step(here: _Here, request: Request, members: Snapshot) -> StepPlan:
    """What a request lacks, and what that costs."""
    spec, dataset = _spec(here, request), here.recipe.dataset
    known = spec is not None and here.storage is not None
    commits = read_commits(here.storage, dataset, spec.fingerprint) if spec is not None and here.storage else []
    units = plan_work(members, commits, request.pairs)
    count = sum(len(unit.rows) for unit in units)
    if not count:
        return StepPlan(0, "images", 0.0, 0.0, 0.0, "nothing to do")
    wanted = set(units[0].pairs)
    alike = [one for one in commits if set(one.pairs) == wanted and one.members]
    if alike:
        return _step(here, count, *rates(alike), measured=f"{len(alike)} committed shards")
    if here.recipe.address != "local":
        return StepPlan(count, "images", None, None, None, "no such shard is committed yet")
    weights = find_network(here.storage, request.weights, allow_foreign=request.allow_foreign, say=say)
    if not known or spec is None:
        precision = native_precision(here.workers.device) if request.precision == "auto" else request.precision
        spec = new_spec(
            request.pixels,
            digest=weights.digest,
            lineage=weights.lineage,
            precision=precision,
            device=here.workers.device,
            keep_bits=request.keep_bits,
        )
    rate = measure(units[0], members.archive_url, spec, weights, here.workers)
    return _step(here, count, *rate, measured=f"{SAMPLE_IMAGES} images, run here just now")


def _step(here: _Here, count: int, seconds: float, size: float, *, measured: str) -> StepPlan:
    busy = count * seconds / 3600
    return StepPlan(
        count=count,
        unit="images",
        hours=round(busy / here.workers.actors, 7),
        gpu_hours=round(busy if here.workers.num_gpus else 0.0, 7),
        gigabytes=round(count * size / 1e9, 7),
        measured=measured,
    )


def _vlad_steps(here: _Here, vlad: VladTable, notes: list[str]) -> dict[str, StepPlan]:
    """Sampling where no dictionary is there, and encoding."""
    request = sample_request(here.recipe, vlad)
    spec, storage = _spec(here, request), here.storage
    name = None
    if spec is not None and storage is not None:
        name = known_dictionary(storage, here.recipe.dataset, vlad, spec)
    if name is None or storage is None:
        members = sampled(here.snapshot, vlad.learning().share)
        sampling = _network_step(here, request, members)
        notes.append("encode: as long an image as sampling takes; VLAD itself adds a tenth to that")
        hours = None if sampling.hours is None or not sampling.count else sampling.hours / sampling.count
        gpu = None if sampling.gpu_hours is None or not sampling.count else sampling.gpu_hours / sampling.count
        images = len(here.snapshot)
        size = sum(_vlad_bytes(vlad, layer) for layer in vlad.layers) * images / 1e9
        encoding = StepPlan(
            images,
            "images",
            None if hours is None else round(hours * images, 7),
            None if gpu is None else round(gpu * images, 7),
            round(size, 4),
            "as sampling" if hours is not None else "no rate yet",
        )
        return {"sample": sampling, "encode": encoding}
    encoded = name.spec.model_copy(update={"dictionary": name.id})
    commits = read_commits(storage, here.recipe.dataset, encoded.fingerprint)
    units = plan_work(here.snapshot, commits, tuple(("vlad", layer) for layer in vlad.layers))
    count = sum(len(unit.rows) for unit in units)
    done = [one for one in commits if one.members]
    if count and vlad.refit != "never":
        notes.append(_refit_note(here, len(here.snapshot), done))
    if not count:
        return {"encode": StepPlan(0, "images", 0.0, 0.0, 0.0, "nothing to do")}
    if not done:
        return {"encode": StepPlan(count, "images", None, None, None, "nothing is encoded yet")}
    return {"encode": _step(here, count, *rates(done), measured=f"{len(done)} committed shards")}


def _refit_note(here: _Here, images: int, done: Sequence[CommitRecord]) -> str:
    text = "if the dictionary does not fit the new images it is learnt again, and all images are encoded anew"
    if not done:
        return text
    seconds, size = rates(done)
    busy = images * seconds
    gpu = f", {busy / 3600:.2f} GPU hours" if here.workers.num_gpus else ""
    return f"{text}: {duration(busy / here.workers.actors)}{gpu}, {images * size / 1e9:.3f} GB"


def _vlad_bytes(vlad: VladTable, layer: Any) -> int:
    from texture_store.spec import vector_width

    return 4 * (vector_width("vlad", layer, vlad.words) + vlad.words)


def _sum(values: Sequence[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return round(float(np.sum(known)), 7) if len(known) == len(values) else None
