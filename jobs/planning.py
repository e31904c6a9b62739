"""What a featurize run has to do: the request, the spec that fits it, and what the store lacks of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jobs.cluster import RaySession, Workers, cluster_workers, local_workers
from jobs.network import matching_spec, native_precision, new_spec, weights_in_store
from jobs.progress import say
from texture_store.errors import DeviceError, UsageError
from texture_store.objects import Storage
from texture_store.spec import LAYERS, FeatureSpec, Layer, PixelSpec, Precision, Product
from texture_store.store.commits import CommitRecord, Pair, list_specs, read_commits
from texture_store.store.layout import weights_path
from texture_store.store.opening import open_for_writing
from texture_store.store.recovery import recover
from texture_store.store.snapshots import Snapshot, latest_snapshot
from texture_store.store.specs import read_spec, write_spec
from texture_store.store.work import Unit, plan_work

AutoPrecision = Precision | Literal["auto"]
DEFAULT_ENCODERS: tuple[Product, ...] = ("mean", "max", "gram")


@dataclass(frozen=True)
class Request:
    """What is asked for: these products of every image, with a base spec that sees these pixels."""

    store_url: str
    dataset: str
    pixels: PixelSpec
    encoders: tuple[Product, ...] = DEFAULT_ENCODERS
    layers: tuple[Layer, ...] = LAYERS
    precision: AutoPrecision = "auto"
    weights: str | None = None
    allow_foreign: bool = False
    keep_bits: int | None = None
    """Mantissa bits of Gram values; None as the dataset has it, else what suits the precision."""
    retry_rejected: bool = False
    address: str = "local"

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Every encoder at every layer."""
        return tuple((encoder, layer) for encoder in self.encoders for layer in self.layers)


@dataclass(frozen=True)
class Plan:
    """What a snapshot is missing in the store, and the spec that it will be computed with."""

    storage: Storage
    snapshot: Snapshot
    spec: FeatureSpec
    pairs: tuple[Pair, ...]
    commits: list[CommitRecord]
    units: list[Unit]

    @property
    def num_images(self) -> int:
        """Images that go through the network."""
        return sum(len(unit.rows) for unit in self.units)


def make_plan(request: Request, session: RaySession) -> Plan:
    """Find or make the spec, and what it lacks. Joins Ray (in `session`) only where a worker must be asked."""
    storage = open_for_writing(request.store_url, create=False)
    snapshot = latest_snapshot(storage, request.dataset)
    spec, commits = _find_spec(request, storage, session)
    return plan_for(storage, snapshot, spec, request.pairs, commits=commits, retry_rejected=request.retry_rejected)


def find_spec(request: Request, storage: Storage, session: RaySession) -> FeatureSpec:
    """The dataset's newest spec that fits the request, or a new one, which is in the store afterwards."""
    return _find_spec(request, storage, session)[0]


def _find_spec(
    request: Request, storage: Storage, session: RaySession
) -> tuple[FeatureSpec, list[CommitRecord] | None]:
    """The spec of `find_spec`, and its commits where it is not new: they had to be read for that."""
    commits_of = {name: read_commits(storage, request.dataset, name) for name in list_specs(storage, request.dataset)}
    newest_first = sorted(commits_of, key=lambda name: max((c.created for c in commits_of[name]), default=""))[::-1]
    spec = _choose_spec(request, storage, [read_spec(storage, name) for name in newest_first], session)
    say(f"spec {spec.fingerprint}: {spec.describe()}")
    return spec, commits_of.get(spec.fingerprint)


def plan_for(
    storage: Storage,
    snapshot: Snapshot,
    spec: FeatureSpec,
    pairs: tuple[Pair, ...],
    *,
    commits: list[CommitRecord] | None = None,
    retry_rejected: bool = False,
) -> Plan:
    """What the images of `snapshot`, which may be a part of one, lack of these pairs.

    `commits` are those of the spec, where they have just been read.
    """
    dataset = snapshot.dataset
    if commits is None:
        commits = read_commits(storage, dataset, spec.fingerprint)
    commits = recover(storage, dataset, spec.fingerprint, commits, snapshot=snapshot.number)
    units = plan_work(snapshot, commits, pairs, retry_rejected=retry_rejected)
    return Plan(storage, snapshot, spec, pairs, commits, units)


def _choose_spec(request: Request, storage: Storage, specs: Sequence[FeatureSpec], session: RaySession) -> FeatureSpec:
    if request.weights is None or request.weights.startswith("random:"):
        lineage = request.weights or "caffe"
        spec = matching_spec(
            specs, request.pixels, precision=request.precision, keep_bits=request.keep_bits, lineage=lineage
        )
        # Weights that were damaged and set aside are put back.
        if spec is not None and storage.exists(weights_path(spec.weights)):
            return spec
    digest, lineage = weights_in_store(storage, request.weights, allow_foreign=request.allow_foreign, say=say)
    spec = matching_spec(specs, request.pixels, precision=request.precision, keep_bits=request.keep_bits, digest=digest)
    if spec is None:
        precision, workers = _precision(request, session)
        spec = new_spec(
            request.pixels,
            digest=digest,
            lineage=lineage,
            precision=precision,
            device=workers.device,
            keep_bits=request.keep_bits,
        )
        write_spec(storage, spec)
    return spec


def _precision(request: Request, session: RaySession) -> tuple[Precision, Workers]:
    if request.address == "local":
        workers = local_workers()

        def native() -> Precision:
            return native_precision(workers.device)

    else:
        import ray

        session.join()
        workers = cluster_workers()
        probe = ray.remote(num_cpus=workers.num_cpus, num_gpus=workers.num_gpus)(native_precision)

        def native() -> Precision:
            try:
                return ray.get(probe.remote(workers.device))
            except ray.exceptions.RayTaskError as error:
                raise (error.cause if isinstance(error.cause, DeviceError) else error) from None

    precision = native() if request.precision == "auto" else request.precision
    if precision == "tf32" and workers.device != "cuda":
        raise UsageError("--precision tf32 needs a GPU; use float32 or bfloat16 on a CPU")
    return precision, workers
