"""How well vectors tell labels apart, and whether the answer can be trusted: arrays in, scores out."""

from texture_store.evaluation.claims import Claim, DatasetScores, ScoredSet, paper_claims
from texture_store.evaluation.classifiers import make_estimator
from texture_store.evaluation.folds import classes_in_one_group, fold_seed, make_folds, singleton_groups
from texture_store.evaluation.forest import forest_score
from texture_store.evaluation.neighbours import Neighbours, nearest
from texture_store.evaluation.scores import (
    RegressionScores,
    Scores,
    majority_score,
    score,
    score_regression,
    spread,
    weighted_f1,
)
from texture_store.evaluation.significance import Comparison, Ranked, compare_with_best, corrected_t_test, holm
from texture_store.evaluation.trial import Trial, run_trial

__all__ = [
    "Claim",
    "Comparison",
    "DatasetScores",
    "Neighbours",
    "Ranked",
    "RegressionScores",
    "ScoredSet",
    "Scores",
    "Trial",
    "classes_in_one_group",
    "compare_with_best",
    "corrected_t_test",
    "fold_seed",
    "forest_score",
    "holm",
    "majority_score",
    "make_estimator",
    "make_folds",
    "nearest",
    "paper_claims",
    "run_trial",
    "score",
    "score_regression",
    "singleton_groups",
    "spread",
    "weighted_f1",
]
