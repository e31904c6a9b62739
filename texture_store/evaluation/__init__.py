"""How well vectors tell labels apart, and whether the answer can be trusted: arrays in, scores out."""

from texture_store.evaluation.characteristic import Characteristics, characteristics, top_filters
from texture_store.evaluation.claims import Claim, DatasetScores, ScoredSet, paper_claims
from texture_store.evaluation.classifiers import make_estimator
from texture_store.evaluation.correlated import Clusters, correlated_columns
from texture_store.evaluation.embedding import Embedding, embed
from texture_store.evaluation.folds import classes_in_one_group, fold_seed, make_folds, singleton_groups
from texture_store.evaluation.forest import forest_score
from texture_store.evaluation.importance import Importances, MeanImportances, mean_importances, trial_importances
from texture_store.evaluation.importance_ranking import ImportanceRanking, rank_importances
from texture_store.evaluation.neighbours import Neighbours, nearest
from texture_store.evaluation.ranking import top_columns
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
from texture_store.evaluation.typical import Atypical, Typical, atypical, class_distances, typical

__all__ = [
    "Atypical",
    "Characteristics",
    "Claim",
    "Clusters",
    "Comparison",
    "DatasetScores",
    "Embedding",
    "ImportanceRanking",
    "Importances",
    "MeanImportances",
    "Neighbours",
    "Ranked",
    "RegressionScores",
    "ScoredSet",
    "Scores",
    "Trial",
    "Typical",
    "atypical",
    "characteristics",
    "class_distances",
    "classes_in_one_group",
    "compare_with_best",
    "corrected_t_test",
    "correlated_columns",
    "embed",
    "fold_seed",
    "forest_score",
    "holm",
    "majority_score",
    "make_estimator",
    "make_folds",
    "mean_importances",
    "nearest",
    "paper_claims",
    "rank_importances",
    "run_trial",
    "score",
    "score_regression",
    "singleton_groups",
    "spread",
    "top_columns",
    "top_filters",
    "trial_importances",
    "typical",
    "weighted_f1",
]
