"""How evaluate scales with cores: the same grid, on one core of Ray and on all, in turns."""

import os
import shutil
import statistics
import time
from pathlib import Path

import pandas as pd

from jobs.benchmark_record import Figure
from jobs.cluster import connected
from jobs.evaluate import evaluate
from jobs.evaluation_request import EvaluationRequest
from jobs.featurize import featurize
from jobs.index import index
from jobs.planning import Request
from jobs.powder_archive import LABELS_FILE, make_powder_archive
from jobs.progress import say
from texture_store.errors import StoreError
from texture_store.spec import LAYERS, PixelSpec
from texture_store.store.evaluations import evaluations_frame, read_evaluations
from texture_store.store.reader import open_store

IMAGES_PER_CLASS = 75
PICTURE_PX = 64
"""Small, so that the network is done soon: what a forest costs does not depend on the size of the pictures."""
TRIALS = 3
"""Of the ten: 36 forests' worth of work, as even a share for each core as that of ten."""
ROUNDS = 2
DATASET = "powder"

WANTED = 1.7
"""On two cores."""
CORES_OF_WANTED = 2


def measure_evaluate(folder: Path, weights: str | None) -> list[Figure]:
    """Seconds of evaluate on one core and on all, Ray's own start left out, and whether the scores are the same."""
    store_url = str(folder / "store")
    spec, num_images = _featurized(folder, store_url, weights)
    cores = len(os.sched_getaffinity(0))
    request = EvaluationRequest(
        store_url=store_url, dataset=DATASET, encoders=("mean", "max"), layers=LAYERS, trials=TRIALS, spec=spec
    )
    seconds: dict[int, list[float]] = {1: [], cores: []}
    rows: list[pd.DataFrame] = []
    for number in range(ROUNDS):
        for count in dict.fromkeys((1, cores)):
            say(f"evaluate: round {number + 1} of {ROUNDS}, {count} {'core' if count == 1 else 'cores'}")
            took, found = _timed(request, count)
            seconds[count].append(took)
            rows.append(found)
    same = all(found.equals(rows[0]) for found in rows)
    one, every = statistics.median(seconds[1]), statistics.median(seconds[cores])
    trials = len(rows[0])
    grid = f"{trials} trials of 3 folds of 400 trees: mean and max, {len(LAYERS)} layers, {num_images} images"
    return [
        Figure(
            f"evaluate on {cores} cores against one",
            one / every,
            "x",
            f"seconds on one / on {cores}, medians of {ROUNDS} runs in turns",
            wanted=WANTED if cores == CORES_OF_WANTED else None,
        ),
        Figure("same rows", float(same), "(1: yes)", "of every run, all columns but times", wanted=1),
        Figure("evaluate on one core", one, "s", grid),
        Figure(f"evaluate on {cores} cores", every, "s", grid),
    ]


def _featurized(folder: Path, store_url: str, weights: str | None) -> tuple[str, int]:
    """The spec of the features that are scored, and of how many images they are."""
    archive = str(folder / "archive")
    make_powder_archive(archive, images_per_class=IMAGES_PER_CLASS, size=PICTURE_PX)
    index(store_url, DATASET, archive, labels=f"{archive}/{LABELS_FILE}")
    pixels = PixelSpec(size="native")
    request = Request(store_url=store_url, dataset=DATASET, pixels=pixels, encoders=("mean", "max"), weights=weights)
    summary = featurize(request)
    if summary.pending:
        raise StoreError(f"{summary.pending} of {summary.indexed} pictures could not be featurized; run it again")
    return summary.spec, summary.featurized


def _timed(request: EvaluationRequest, cores: int) -> tuple[float, pd.DataFrame]:
    """Seconds from the plan to the report, and the rows without what differs between runs."""
    shutil.rmtree(Path(request.store_url) / "evaluations", ignore_errors=True)
    with connected("local", cores=cores):
        started = time.monotonic()
        evaluate(request)
        took = time.monotonic() - started
    storage = open_store(request.store_url).storage
    found = evaluations_frame({request.dataset: read_evaluations(storage, request.dataset)})
    return took, found.drop(columns=["seconds", "created"]).map(str)
