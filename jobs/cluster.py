"""Ray: started in this process on loopback (`--address local`), or joined (`auto`, HOST). What the cluster can do."""

import logging
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import tenacity

from jobs.joining import check_address, explained
from jobs.logs import this_log
from jobs.options import Decorated
from jobs.progress import say
from jobs.watched import this_run
from texture_store.errors import MissingExtraError, StalledError, UsageError
from texture_store.store.runs import SIGN_SECONDS

MAX_THREADS = 8
"""Threads of one extract actor on a CPU; more cores make more actors."""
GPU_SHARDS_AT_ONCE = 3
"""Of one extract actor: while the GPU computes one, the vectors of others are on their way to the write stage."""
GPU_SHARDS_IN_FLIGHT = 12
"""Of one extract actor, those that wait beside it among them: Ray Data (2.60) looks for finished tasks, and sends new
ones, a few times a second, and a GPU takes 30 shards a second."""
DEVICE_VARIABLE = "TEXTURE_STORE_DEVICE"
"""`cpu`: the network runs on CPUs. A GPU that Ray has to give is still the place of one extract actor."""

METRICS_PORT = "TEXTURE_STORE_METRICS_PORT"
"""Environment: where a local Ray shows its metrics to Prometheus, on the loopback address; a cluster has its own."""

_LOCAL_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # The only switch that makes ray.init use 127.0.0.1 rather than the outward interface (Ray 2.60, measured).
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    # Ray Data's own bars would cross ours.
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@dataclass(frozen=True)
class Workers:
    """How the extract stage spreads over the cluster."""

    actors: int
    num_gpus: float
    num_cpus: float
    threads: int
    device: str

    @classmethod
    def on_gpus(cls, gpus: int) -> "Workers":
        """One actor for each GPU."""
        return cls(actors=gpus, num_gpus=1, num_cpus=1, threads=1, device="cuda")

    @classmethod
    def beside_gpus(cls, gpus: int, cores: int) -> "Workers":
        """One actor for each GPU that Ray has to give, which computes on up to MAX_THREADS of its `cores` instead."""
        threads = max(1, min(MAX_THREADS, cores))
        return cls(actors=gpus, num_gpus=1, num_cpus=_share_of(threads), threads=threads, device="cpu")

    @classmethod
    def on_cpu(cls, cores: Sequence[int]) -> "Workers":
        """Actors of up to MAX_THREADS threads on nodes that have this many cores each."""
        threads = max(1, min(MAX_THREADS, max(cores, default=1)))
        actors = max(1, sum(count // threads for count in cores))
        return cls(actors=actors, num_gpus=0, num_cpus=_share_of(threads), threads=threads, device="cpu")

    @property
    def shards_at_once(self) -> int:
        """That one actor works on."""
        return GPU_SHARDS_AT_ONCE if self.device == "cuda" else 1

    @property
    def shards_in_flight(self) -> int:
        """Those, and what lies ready for them."""
        return GPU_SHARDS_IN_FLIGHT if self.device == "cuda" else 2

    def __str__(self) -> str:
        plural = "s" if self.actors > 1 else ""
        if self.device == "cuda":
            return f"{self.actors} GPU{plural}"
        where = ", one for each GPU" if self.num_gpus else ""
        return f"{self.actors} CPU actor{plural} of {self.threads} thread{'s' if self.threads > 1 else ''}{where}"


def _share_of(threads: int) -> float:
    """The cores that an actor on a CPU asks Ray for: half of those that its threads use.

    Decoding and writing are small beside the network and get the other half as their share; the operating system
    settles the rest.
    """
    return threads / 2 + 0.25


def address_option(function: Decorated) -> Decorated:
    """`--address local|auto|HOST`."""
    return click.option(
        "--address",
        default="local",
        show_default=True,
        metavar="local|auto|HOST",
        help="local: a Ray of its own in this process; auto: the cluster this runs on; HOST:PORT: that cluster.",
    )(function)


@contextmanager
def connected(address: str, *, cores: int | None = None) -> Iterator[None]:
    """A Ray to work with. One that runs in this process already is used and left running.

    `cores`: how many a local one may use, instead of all.

    Raises:
        UsageError: no Ray answers at `address`.
        MissingExtraError: Ray is not installed.

    After a StalledError Ray is left as it is, to end with the process: see `jobs.commands`.
    """
    # A cluster has settings of its own, and to differ from them can break it: a driver that looks after connections
    # more often than its nodes were told to expect has its tasks declared dead within a minute (Ray 2.60, measured).
    settings = _LOCAL_ENVIRONMENT if address == "local" else {}
    late = [name for name in settings if name not in os.environ] if "ray" in sys.modules else []
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    if address == "local" and os.environ["RAY_AUTH_MODE"] == "token":
        # A token of this run alone, so that nobody else on the machine can talk to it.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        import ray
    except ImportError:
        raise MissingExtraError("Ray is not installed; pip install 'texture-store[jobs]'") from None
    if ray.is_initialized():
        yield
        return
    if late:
        say(f"ray was imported before {', '.join(late)} could be set, and may not start: import it later, or set them")
    try:
        if address == "local":
            say("starting Ray on this machine")
            _start(cores)
        else:
            say(f"joining the Ray cluster at {address}")
            check_address(address)
            with _silent():
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError, SystemExit) as error:
        # Ray's C++ side ends the process where it loses the head while joining; SystemExit is how that looks here.
        raise error if isinstance(error, UsageError) else explained(error, address) from None
    _keep_output_clean()
    if (run := this_run()) is not None:
        run.hear_sigterm()
    see_nodes()
    try:
        yield
    except StalledError:
        # A thread still waits in Ray, and to shut Ray down under it ended the process by SIGSEGV now and then (2.60).
        raise
    except BaseException:
        ray.shutdown()
        raise
    else:
        ray.shutdown()


class RaySession(ExitStack):
    """A Ray that is joined when it is first needed, and left at the end: a job with nothing to do starts none.

    A session `within` another one joins for that one: steps of one job share a Ray, which stays until all are done.
    """

    def __init__(self, address: str, within: "RaySession | None" = None) -> None:
        super().__init__()
        self._address = address
        self._within = within

    def join(self) -> None:
        """Be connected from here on. Errors as `connected`."""
        if self._within is None:
            self.enter_context(connected(self._address))
        else:
            self._within.join()


# Ray 2.60 gives its own start 30 s, fixed, which a busy machine of two cores does not always keep.
@tenacity.retry(
    retry=tenacity.retry_if_exception_message(match=".*timed out during startup"),
    stop=tenacity.stop_after_attempt(3),
    before_sleep=lambda _: say("Ray took over 30 s to start, as on a busy machine; trying again"),
    reraise=True,
)
def _start(cores: int | None) -> None:
    import ray

    # A thread of Ray's waits for its dashboard, and where a run is over sooner it tells of that as an error, after our
    # last word (Ray 2.60, on a busy machine). What stops Ray from starting comes as an exception.
    logging.getLogger("ray._private.services").setLevel(logging.CRITICAL)
    try:
        with _silent():
            ray.init(
                address="local",
                num_cpus=cores,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _metrics_export_port=_metrics_port(),
            )
    except Exception:
        ray.shutdown()
        raise


def _keep_output_clean() -> None:
    """Have Ray's words about dead workers go to standard error; they would break what `--json` prints."""
    from ray._private import worker

    # Ray (2.60) sends them to standard output, whatever log_to_driver says, and has no setting for it.
    to_stream = getattr(worker, "print_to_stdstream", None)
    if to_stream is not None and not isinstance(to_stream, partial):
        worker.print_to_stdstream = partial(_to_stderr, to_stream)


def _to_stderr(to_stream: Callable[..., None], data: dict[str, Any], **options: Any) -> None:
    if this_log().is_json:
        for line in data["lines"]:
            say(str(line), level=logging.WARNING)
    else:
        to_stream(data | {"is_err": True}, **options)


def _metrics_port() -> int | None:
    text = os.environ.get(METRICS_PORT, "")
    if text and not (text.isdigit() and 0 < int(text) < 65536):
        raise UsageError(f"{METRICS_PORT}={text}: write the number of a free port, such as 8080")
    return int(text) if text else None


@contextmanager
def _silent() -> Iterator[None]:
    """Hide what Ray's C++ side prints when it starts; what goes wrong comes as an exception."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def local_workers() -> Workers:
    """What `--address local` will use, told without starting Ray."""
    import torch

    gpus, cores = torch.cuda.device_count(), os.cpu_count() or 1
    return _workers(gpus, cores // max(1, gpus), [cores])


def see_nodes() -> None:
    """Note in the record of this run which nodes the connected cluster has; asks it only now and then."""
    global _seen  # noqa: PLW0603
    run = this_run()
    if run is None or time.monotonic() - _seen < SIGN_SECONDS:
        return
    import ray

    _seen = time.monotonic()
    nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    run.see_nodes([str(node["NodeManagerHostname"]) for node in nodes])


_seen = -SIGN_SECONDS


def cluster_workers() -> Workers:
    """What the connected cluster offers."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    gpus_of = [int(node.get("GPU", 0)) for node in nodes]
    cores_of = [int(node.get("CPU", 0)) for node in nodes]
    beside = [cores // gpus for gpus, cores in zip(gpus_of, cores_of, strict=True) if gpus]
    return _workers(sum(gpus_of), min(beside, default=0), cores_of)


def _workers(gpus: int, cores_beside_each: int, cores: Sequence[int]) -> Workers:
    device = os.environ.get(DEVICE_VARIABLE, "auto")
    if device not in ("auto", "cpu"):
        raise UsageError(f"{DEVICE_VARIABLE}={device}: write cpu, or auto")
    if not gpus:
        return Workers.on_cpu(cores)
    return Workers.on_gpus(gpus) if device == "auto" else Workers.beside_gpus(gpus, cores_beside_each)
