"""How well vectors tell labels apart: arrays in, scores out."""

from texture_store.evaluation.forest import forest_predictions, forest_score, majority_score, weighted_f1

__all__ = ["forest_predictions", "forest_score", "majority_score", "weighted_f1"]
