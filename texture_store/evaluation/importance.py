"""What a forest relies on: the importance of each column, fold by fold, of the very forests that were scored.

Two answers. Impurity importance (Breiman 2001; the paper's Fig. 9) says which columns the trees split on when they
learn; it divides itself among correlated columns and credits what was learnt by heart. Permutation importance on
the test fold (Breiman 2001, section 10) says what the score loses when a column no longer tells anything about its
image; correlated columns are permuted together, since else each can stand in for the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import r2_score

from texture_store.errors import DimensionMismatchError, UsageError
from texture_store.evaluation.classifiers import NUM_TREES, Task, make_estimator
from texture_store.evaluation.scores import weighted_f1
from texture_store.evaluation.standardised import check_matrix
from texture_store.evaluation.trial import estimator_seed

Values = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]

NUM_REPEATS = 10
"""Permutations of each cluster."""

STACK_BYTES = 256 << 20
"""Of the permuted copies of a test fold that are predicted in one call; ten of 200 images of 1472 columns are 12 MB."""

DECIMALS = 9
"""Of summed votes. Leaves of full trees are of one class and sums of 0 and 1 are exact; where equal images have
different labels they are not, and rounding would decide between classes with as many votes."""


@dataclass(frozen=True)
class Importances:
    """Of one trial."""

    impurity: Values
    """(folds, d) each row sums to 1, or is 0 where nothing could be learnt (one class only, constant columns)."""
    permutation: Values
    """(folds, repeats, clusters) what the score of the test fold loses; negative when it gains."""
    votes: Values
    """(folds, repeats, clusters) what the right classes lose of the trees' votes, as a share of all votes; NaN for
    regression. Where a score is nearly perfect and columns are redundant, votes change and predictions do not: on NEU
    (weighted F1 0.99) no cluster loses more than 0.001 of the score, while clusters lose up to 0.05 of the votes."""
    scores: Values
    """(folds,) weighted F1, or R2, of each test fold as it is."""
    clusters: npt.NDArray[np.intp]
    """(d,) number of each column's cluster."""
    split_on: npt.NDArray[np.bool_]
    """(folds, d) whether any tree of the fold's forest splits on the column. What it does not split on is exactly 0."""

    def permutation_of_columns(self) -> Values:
        """(folds, d) mean over the repeats; each column has the value of its cluster."""
        return _of_columns(self.permutation, self.clusters)

    def votes_of_columns(self) -> Values:
        """(folds, d) likewise of `votes`."""
        return _of_columns(self.votes, self.clusters)


@dataclass(frozen=True)
class MeanImportances:
    """Over the folds of all trials."""

    impurity: Values
    """(d,)"""
    impurity_spread: Values
    """(d,) standard deviation over the J = trials x folds test folds, ddof = 1."""
    permutation: Values
    """(d,) each column has the value of its cluster."""
    permutation_spread: Values
    """(d,) of the folds' means over repeats, ddof = 1: repeats of one forest are no independent evidence."""
    votes: Values
    """(d,) NaN for regression."""
    num_folds: int
    """J"""


def trial_importances(
    features: npt.NDArray[np.floating],
    labels: npt.NDArray[Any],
    folds: npt.NDArray[np.integer],
    clusters: npt.NDArray[np.integer],
    *,
    task: Task = "classification",
    trees: int = NUM_TREES,
    seed: int,
    repeats: int = NUM_REPEATS,
    threads: int = 1,
) -> Importances:
    """Grow the forests of a trial as `run_trial` does with the same folds and seed, and ask each what it relies on.

    features (n, d), finite; labels (n,): text, or float64 for regression; folds (n,) of `make_folds`; clusters (d,) of
    `correlated_columns(features)`: numbers 0 to c - 1, each used. The result does not depend on `threads`.

    A permutation deals the rows of a cluster's columns out anew, within the test fold and in all these columns alike.
    Its loss is of weighted F1, or of R2 for regression. Permutations are the same for all clusters of a fold, and
    those of scikit-learn's `permutation_importance(random_state=permutation_seed(seed, k))` for fold k, which gives the
    same losses bit by bit where every cluster is one column.

    Cost: only trees that split on a cluster are asked again (some 5 of 400 for one of 1472 columns), all repeats in one
    call. 600 images of NEU, 1304 clusters, 10 repeats, 3 folds of 400 trees, on one core: 3.5 s to grow the forests and
    1.5 s to permute (all trees for every cluster: 130 s). Larger trees cost more: with four of ten labels dealt out
    anew it is 5.5 s and 12 s; a regression with 50 trees 5 s and 15 s.

    Raises:
        DimensionMismatchError: rows, labels, folds and clusters do not correspond.
        EncodingError: a value is not finite.
        UsageError: no features, one fold only, clusters that are not numbered 0, 1, ..., no repeat.
    """
    _check(features, labels, folds, clusters, repeats)
    columns = [np.flatnonzero(clusters == number) for number in range(int(clusters.max()) + 1)]
    numbers = np.unique(folds)
    found = Importances(
        impurity=np.zeros((len(numbers), features.shape[1])),
        permutation=np.zeros((len(numbers), repeats, len(columns))),
        votes=np.full((len(numbers), repeats, len(columns)), 0.0 if task == "classification" else np.nan),
        scores=np.zeros(len(numbers)),
        clusters=clusters.astype(np.intp),
        split_on=np.zeros((len(numbers), features.shape[1]), np.bool_),
    )
    for place, number in enumerate(numbers):
        train, test = np.flatnonzero(folds != number), np.flatnonzero(folds == number)
        if task == "classification" and (labels[train] == labels[train[0]]).all():
            found.scores[place] = weighted_f1(labels[test], np.full_like(labels[test], labels[train[0]]))
            continue
        forest = make_estimator(
            "forest", task=task, trees=trees, seed=estimator_seed(seed, int(number)), threads=threads
        )
        forest.fit(features[train], labels[train])
        asked = _Asked(forest, features[test].astype(np.float32), labels[test])
        rows = permuted_rows(len(test), seed=permutation_seed(seed, int(number)), repeats=repeats)
        found.impurity[place] = forest.feature_importances_
        found.scores[place] = asked.score
        found.split_on[place] = asked.split_on.any(axis=0)
        found.permutation[place], found.votes[place] = asked.losses(columns, rows)
    return found


def mean_importances(trials: Sequence[Importances]) -> MeanImportances:
    """Mean and spread over the folds of all trials, which have the same columns and clusters.

    Folds of one trial are tested on different images and learnt from overlapping ones, and trials share all images: the
    spread says how much a value hangs on the split, and not how it would change with other images.

    UsageError for no trial, and for trials of different columns or clusters.
    """
    if not trials:
        raise UsageError("no importances to average; evaluate at least one trial")
    if not all(np.array_equal(trial.clusters, trials[0].clusters) for trial in trials):
        raise UsageError("trials of different columns or clusters cannot be averaged; take those of one feature set")
    impurity = np.concatenate([trial.impurity for trial in trials])
    permutation = np.concatenate([trial.permutation_of_columns() for trial in trials])
    return MeanImportances(
        impurity.mean(axis=0),
        impurity.std(axis=0, ddof=1),
        permutation.mean(axis=0),
        permutation.std(axis=0, ddof=1),
        np.concatenate([trial.votes_of_columns() for trial in trials]).mean(axis=0),
        len(impurity),
    )


def permutation_seed(seed: int, fold: int) -> int:
    """Of a fold's permutations; not that of its forest. 0 <= permutation_seed < 2**32."""
    return int(np.random.SeedSequence([seed, fold, 1]).generate_state(1)[0])


def permuted_rows(num_rows: int, *, seed: int, repeats: int) -> npt.NDArray[np.intp]:
    """(repeats, num_rows) permutations of 0 ... num_rows - 1, the same in every version of numpy.

    They are those of scikit-learn's `permutation_importance(random_state=seed)`, which shuffles its shuffled rows on.
    """
    # RandomState and not Generator: its stream is frozen (NEP 19), so that values can be computed again years later.
    state = np.random.RandomState(np.random.RandomState(seed).randint(np.iinfo(np.int32).max + 1))
    order, rows = np.arange(num_rows), np.arange(num_rows)
    found = np.empty((repeats, num_rows), np.intp)
    for repeat in range(repeats):
        state.shuffle(order)
        rows = rows[order]
        found[repeat] = rows
    return found


class _Asked:
    """A fitted forest and the test rows it is asked about, with what each of its trees answers."""

    def __init__(self, forest: Any, rows: Rows, labels: npt.NDArray[Any]) -> None:
        self.trees = forest.estimators_
        self.classes: npt.NDArray[Any] | None = getattr(forest, "classes_", None)
        self.labels = labels
        # (d, m): a tree reads few columns, each of all rows (0.07 instead of 0.13 ms a tree of 2000 rows).
        self.columns = np.ascontiguousarray(rows.T)
        # (trees, d)
        self.split_on = np.zeros((len(self.trees), rows.shape[1]), np.bool_)
        for number, tree in enumerate(self.trees):
            splits = tree.tree_.feature
            self.split_on[number, splits[splits >= 0]] = True  # leaves have negative numbers
        # (trees, m, classes), or one value a row for regression
        self.answers = np.stack([self._ask(tree, rows) for tree in self.trees])
        self.sum = self.answers.sum(axis=0)
        self.predictions = self._predict(self.sum)
        self.score = self._score(self.predictions)
        # (m, classes) where a vote is right
        self.right = None if self.classes is None else labels[:, None] == self.classes

    def losses(self, columns: Sequence[npt.NDArray[np.intp]], permuted: npt.NDArray[np.intp]) -> tuple[Values, Values]:
        """(repeats, clusters) losses of score and of votes when the columns of a cluster are of the permuted rows."""
        score = np.zeros((len(permuted), len(columns)))
        votes = np.full(score.shape, np.nan if self.right is None else 0.0)
        at_once = max(1, STACK_BYTES // self.columns.nbytes)
        for start in range(0, len(permuted), at_once):
            some = permuted[start : start + at_once]
            stack = np.tile(self.columns, len(some))
            for cluster, chosen in enumerate(columns):
                trees = np.flatnonzero(self.split_on[:, chosen].any(axis=1))
                if len(trees) == 0:
                    continue
                stack[chosen] = self.columns[np.ix_(chosen, some.ravel())]
                sums = self._sums(stack.T, trees, len(some))
                for repeat, answered in enumerate(sums, start):
                    predictions = self._predict(answered)
                    # Most permutations of one of many columns change no prediction, and a score takes 1 ms.
                    if not np.array_equal(predictions, self.predictions):
                        score[repeat, cluster] = self.score - self._score(predictions)
                    if self.right is not None:
                        votes[repeat, cluster] = (
                            (self.sum - answered)[self.right].sum() / len(self.trees) / len(answered)
                        )
                stack[chosen] = np.tile(self.columns[chosen], len(some))
        return score, votes

    def _sums(self, stack: Rows, trees: npt.NDArray[np.intp], repeats: int) -> Values:
        """(repeats, m, classes or 1) sum over all trees, of which these are asked about the stack (repeats x m, d)."""
        changed = np.zeros((len(stack), self.sum.shape[1]))
        for tree in trees:
            changed += self._ask(self.trees[tree], stack)
        sums: Values = changed.reshape(repeats, *self.sum.shape)
        sums += self.sum - self.answers[trees].sum(axis=0)
        return sums

    def _ask(self, tree: Any, rows: Rows) -> Values:
        if self.classes is None:
            answers: Values = tree.predict(rows, check_input=False)[:, None]
        else:
            answers = tree.predict_proba(rows, check_input=False)
        return answers

    def _predict(self, sums: Values) -> npt.NDArray[Any]:
        """Of the trees' sums (m, classes or 1), as the forest itself predicts."""
        if self.classes is None:
            return sums[:, 0] / len(self.trees)
        predicted: npt.NDArray[Any] = self.classes[sums.round(DECIMALS).argmax(axis=1)]
        return predicted

    def _score(self, predictions: npt.NDArray[Any]) -> float:
        if self.classes is None:
            return float(r2_score(self.labels, predictions)) if len(self.labels) > 1 else float("nan")
        return weighted_f1(self.labels, predictions)


def _of_columns(values: Values, clusters: npt.NDArray[np.intp]) -> Values:
    """(folds, repeats, clusters) -> (folds, d)."""
    means: Values = values.mean(axis=1)
    return means[:, clusters]


def _check(
    features: npt.NDArray[np.floating],
    labels: npt.NDArray[Any],
    folds: npt.NDArray[np.integer],
    clusters: npt.NDArray[np.integer],
    repeats: int,
) -> None:
    check_matrix(features)
    if labels.shape != (len(features),) or folds.shape != labels.shape or clusters.shape != features.shape[1:]:
        raise DimensionMismatchError(
            f"features {features.shape}, labels {labels.shape}, folds {folds.shape}, clusters {clusters.shape} do not "
            "correspond; give (n, d), (n,), (n,) and (d,)"
        )
    if features.size == 0:
        raise UsageError(f"the feature set is empty ({len(features)} images x {features.shape[1]} values); featurize")
    if (number := len(np.unique(folds))) < 2:
        raise UsageError(f"{number} fold; at least two are needed, one to learn from")
    if repeats < 1:
        raise UsageError(f"{repeats} repeats; give at least 1")
    if clusters.dtype.kind not in "iu" or not np.array_equal(np.unique(clusters), np.arange(clusters.max() + 1)):
        raise UsageError("clusters are not numbered 0, 1, 2 ... without a gap; take those of correlated_columns")
