"""How well vectors tell labels apart: arrays in, scores out."""

from texture_store.evaluation.forest import forest_predictions, forest_score, majority_score, weighted_f1
from texture_store.evaluation.neighbours import Neighbours, nearest

__all__ = ["Neighbours", "forest_predictions", "forest_score", "majority_score", "nearest", "weighted_f1"]
