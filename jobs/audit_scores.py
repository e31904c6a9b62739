"""The scores of an audit: each metadata field alone and all together, on the folds that evaluate takes."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from texture_store.errors import UsageError
from texture_store.evaluation.classifiers import Classifier
from texture_store.evaluation.columns import Column
from texture_store.evaluation.folds import Protocol, fold_seed, make_folds
from texture_store.evaluation.metadata import columns_score, shuffled
from texture_store.evaluation.scores import Scores, spread

FEW_TREES = 20_000
"""Below so many trees in all, new processes take longer to start than they save."""

TOGETHER, WITH_OTHERS = "\0together", "\0together with others"
"""All of the imaging, and with the other columns. No column has these names."""

Labels = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Protocols:
    """How to cross-validate; the same for all fields."""

    dataset: str
    snapshot: int
    label_column: str
    groups: npt.NDArray[np.str_] | None
    """(n,) for the group protocol; None leaves it out."""
    classifier: Classifier
    trials: int
    folds: int
    trees: int


@dataclass(frozen=True)
class FieldScores:
    """Of one set of columns, by protocol, each a mean over trials."""

    f1_weighted: dict[str, float]
    f1_weighted_sd: dict[str, float]
    f1_macro: dict[str, float]
    accuracy: dict[str, float]


@dataclass(frozen=True)
class ScoredColumns:
    """What an audit has measured."""

    by_name: dict[str, FieldScores]
    by_chance: FieldScores | None
    """Against shuffled labels; None without columns."""
    no_groups: str | None
    """Why the group protocol was not possible; None if it was, or was not asked for."""


class _Trial(NamedTuple):
    protocol: Protocol
    seed: int
    labels: Labels
    folds: npt.NDArray[np.int8]
    dealt: Labels
    """The labels, shuffled, and folds that are stratified by them."""
    dealt_folds: npt.NDArray[np.int8]


def score_columns(
    wanted: Mapping[str, Sequence[Column]],
    labels: Labels,
    how: Protocols,
    *,
    by_chance: Sequence[Column] = (),
    announce: Callable[[int], None] = lambda _: None,
    advance: Callable[[int], None] = lambda _: None,
) -> ScoredColumns:
    """Score sets of columns by name, and the columns `by_chance` against shuffled labels.

    `announce` is told how many trials there will be, `advance` how many more are done. Raises UsageError for labels
    that cannot be cross-validated by image.
    """
    trials = _trials(labels, how, "image")
    no_groups = None
    try:
        trials += _trials(labels, how, "group") if how.groups is not None else []
    except UsageError as error:
        no_groups = str(error)
    columns = {**wanted, **({_CHANCE: by_chance} if by_chance else {})}
    tasks = [(name, trial) for trial in trials for name in columns]
    announce(len(tasks))
    done: dict[str, list[tuple[Protocol, Scores]]] = {name: [] for name in columns}
    work = [(columns[name], trial, name == _CHANCE, how.classifier, how.trees) for name, trial in tasks]
    for number, scores in _run(work, parallel=len(tasks) * how.folds * how.trees >= FEW_TREES):
        name, trial = tasks[number]
        done[name].append((trial.protocol, scores))
        advance(1)
    found = {name: _averaged(scores) for name, scores in done.items()}
    return ScoredColumns({name: found[name] for name in wanted}, found.get(_CHANCE), no_groups)


_CHANCE = "\0shuffled label"
"""No column has this name."""
_Work = tuple[Sequence[Column], "_Trial", bool, Classifier, int]


def _trials(labels: Labels, how: Protocols, protocol: Protocol) -> list[_Trial]:
    groups = how.groups if protocol == "group" else None
    found = []
    for trial in range(how.trials):
        seed = fold_seed(
            dataset=how.dataset, snapshot=how.snapshot, label=how.label_column, protocol=protocol, trial=trial
        )
        dealt = shuffled(labels, seed=seed)
        folds, dealt_folds = (make_folds(own, folds=how.folds, seed=seed, groups=groups) for own in (labels, dealt))
        found.append(_Trial(protocol, seed, labels, folds, dealt, dealt_folds))
    return found


def _run(work: Sequence[_Work], *, parallel: bool) -> Iterator[tuple[int, Scores]]:
    """(place in `work`, scores), in the order of completion."""
    workers = min(os.cpu_count() or 1, len(work))
    if not parallel or workers < 2:
        yield from ((number, _score(one)) for number, one in enumerate(work))
        return
    # Not forked: this process may have threads, of libraries or of a terminal's progress bar.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = {pool.submit(_score, one): number for number, one in enumerate(work)}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _score(work: _Work) -> Scores:
    columns, trial, is_chance, classifier, trees = work
    labels, folds = (trial.dealt, trial.dealt_folds) if is_chance else (trial.labels, trial.folds)
    return columns_score(columns, labels, folds, classifier=classifier, trees=trees, seed=trial.seed)


def _averaged(scores: Sequence[tuple[Protocol, Scores]]) -> FieldScores:
    found = FieldScores({}, {}, {}, {})
    for protocol in dict.fromkeys(protocol for protocol, _ in scores):
        # Sorted: the order in which processes finish must not decide the last bit.
        weighted, macro, accuracy = (
            sorted(getattr(one, name) for by, one in scores if by == protocol)
            for name in ("f1_weighted", "f1_macro", "accuracy")
        )
        found.f1_weighted[protocol], found.f1_weighted_sd[protocol] = spread(weighted)
        found.f1_macro[protocol], found.accuracy[protocol] = spread(macro)[0], spread(accuracy)[0]
    return found
