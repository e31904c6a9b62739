"""Trials on Ray: a matrix is read once, each node has it once in shared memory, and trials read it without copies."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.evaluation_folds import FoldReader, FoldSets
from jobs.evaluation_plan import EvaluationPlan
from jobs.evaluation_sets import FeatureSet
from texture_store.evaluation.classifiers import Classifier, Regressor, Task
from texture_store.evaluation.trial import Trial, run_trial
from texture_store.store.comparable import comparable_matrix

TASKS_PER_CPU = 2
"""Trials that are submitted for each CPU: while one runs, the next one's matrix is read."""

STORE_SHARE = 0.4
"""Of a node's object store for matrices that are alive; one that is larger than that is alone."""

FOREST_COPIES = 1.2
LINEAR_COPIES = 2.2
"""Memory of a trial in matrices. A forest holds the fold that it learns from (2/3) and then the one that it predicts;
linear models hold a kernel or float64 copies of narrow matrices beside it. Strict trials share no matrix: one more."""
TRIAL_BYTES = 300 << 20
"""Of a worker with scikit-learn, and a forest of 400 trees."""


@dataclass(frozen=True)
class Outcome:
    """What became of a trial."""

    place: tuple[int, int]
    """(feature set, split) of the plan."""
    trial: Trial[Any] | None
    error: str | None
    """Why there is no trial."""
    seconds: float


@dataclass(frozen=True)
class _Settings:
    classifier: Classifier | Regressor
    task: Task
    trees: int


_Shared = tuple[npt.NDArray[Any], npt.NDArray[np.float32] | None, _Settings]


def run_trials(
    plan: EvaluationPlan, places: Sequence[tuple[int, int]], folds: FoldReader | None = None
) -> Iterator[Outcome]:
    """Run these trials of a plan; yields what became of each, in the order of completion. Ray must be connected.

    `folds` are needed for those of strict feature sets.
    """
    import ray

    request = plan.request
    shared = ray.put((plan.labels, plan.columns, _Settings(request.classifier, request.task, request.trees)))
    read, trial = ray.remote(num_cpus=1)(_read), ray.remote(num_cpus=1, max_retries=3)(_trial)
    queue = [(i, [place for place in places if place[0] == i]) for i in dict.fromkeys(place[0] for place in places)]
    room = Room.of_cluster()
    waiting: dict[Any, tuple[int, int]] = {}
    alive: dict[int, int] = {}
    while queue or waiting:
        while queue and room.fits(alive, plan.sets[queue[0][0]], len(waiting)):
            number, own = queue.pop(0)
            one = plan.sets[number]
            alive[number] = _shared_bytes(one)
            limits: Any = trial.options(memory=room.memory(one, request.classifier))
            matrix: Any = None if one.strict else read.remote(one, request.classifier != "forest")
            for place in own:
                split = plan.splits[place[1]]
                vectors = folds.sets_of(place) if one.strict and folds is not None else matrix
                waiting[limits.remote(vectors, shared, split.folds, split.seed)] = place
            del matrix, vectors  # the trials hold it; when they are done, so is its memory
        [ready], _ = ray.wait(list(waiting), num_returns=1)
        place = waiting.pop(ready)
        yield _outcome(ray.get, ready, place)
        if not any(other[0] == place[0] for other in waiting.values()):
            del alive[place[0]]


@dataclass(frozen=True)
class Room:
    """What the nodes of the cluster have, the smallest counting."""

    cpus: int
    store_bytes: float
    memory_bytes: float

    @classmethod
    def of_cluster(cls) -> "Room":
        """Of the connected Ray."""
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        workers = [node for node in nodes if node.get("CPU", 0) >= 1] or nodes
        return cls(
            cpus=int(sum(node.get("CPU", 0) for node in workers)),
            store_bytes=min(node.get("object_store_memory", 0.0) for node in workers),
            memory_bytes=min(node.get("memory", 0.0) for node in workers),
        )

    def fits(self, alive: dict[int, int], one: FeatureSet, num_waiting: int) -> bool:
        """Whether this feature set's matrix may be read beside those that are alive."""
        if not alive:
            return True
        return num_waiting < TASKS_PER_CPU * self.cpus and (
            sum(alive.values()) + _shared_bytes(one) <= STORE_SHARE * self.store_bytes
        )

    def memory(self, one: FeatureSet, classifier: str) -> int:
        """Bytes to ask for a trial: never more than a node has, since such a trial would wait for ever."""
        copies = (FOREST_COPIES if classifier == "forest" else LINEAR_COPIES) + int(one.strict)
        return int(min(copies * _num_bytes(one) + TRIAL_BYTES, 0.9 * self.memory_bytes))


def _num_bytes(one: FeatureSet) -> int:
    return 4 * len(one.layers[0]) * one.num_features


def _shared_bytes(one: FeatureSet) -> int:
    return 0 if one.strict else _num_bytes(one)


def _read(one: FeatureSet, inner_product: bool) -> npt.NDArray[np.float32]:
    return comparable_matrix(one.layers, one.form, inner_product=inner_product)


def _trial(
    features: npt.NDArray[np.float32] | FoldSets, shared: _Shared, folds: npt.NDArray[np.int8], seed: int
) -> tuple[Trial[Any], float]:
    started = time.monotonic()
    labels, columns, settings = shared

    def of_fold(fold: int) -> npt.NDArray[np.float32]:
        assert isinstance(features, dict)
        return _read(features[fold], settings.classifier != "forest")

    done = run_trial(
        of_fold if isinstance(features, dict) else features,
        labels,
        folds,
        classifier=settings.classifier,
        task=settings.task,
        trees=settings.trees,
        seed=seed,
        columns=columns,
    )
    return done, time.monotonic() - started


def _outcome(get: Callable[[Any], tuple[Trial[Any], float]], ready: Any, place: tuple[int, int]) -> Outcome:
    """A trial that failed says so; the others go on."""
    try:
        trial, seconds = get(ready)
    except Exception as error:
        return Outcome(place, None, reason(error), 0.0)
    return Outcome(place, trial, None, seconds)


def reason(error: Exception) -> str:
    """Class and message of what went wrong in a worker, without Ray's traceback."""
    cause = getattr(error, "cause", None) or error
    lines = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {lines[0] if lines else 'no message'}"
