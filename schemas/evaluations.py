"""STORE/evaluations/dataset=D/<key>.parquet: how well a feature set predicts the label, one row for each trial.

A trial is one cross-validation: every image is predicted once, by a model that was fitted without its fold. Scores
without prefix are of all these predictions pooled; `fold_` lists are of each fold alone. All scores are null in a row
that has an `error`; those of classification are null under regression, and the other way round.
"""

import pyarrow as pa

from schemas.declare import column, optional, table

_NUMBERS = pa.list_(pa.float64())
_COUNTS = pa.list_(pa.list_(pa.int64()))
_NAMES = pa.list_(pa.string())
_CLASS = pa.list_(pa.int16())

EVALUATIONS = table(
    "evaluations",
    2,
    [
        column("key", pa.string()),  # hash of all that decides the row
        column("snapshot", pa.int32()),
        column("encoder", pa.string()),
        column("layer", pa.string()),  # `all`: conv1_2 ... conv5_3 side by side
        column("spec", pa.string()),  # joined by + where layers come from several
        column("form", pa.string()),  # as stored, position mean, normalised
        column("num_features", pa.int32()),
        column("with_columns", _NAMES),  # of the labels file, beside the features
        column("label_column", pa.string()),
        optional("group_column", pa.string()),  # null under the protocol `image`
        column("conditions", _NAMES),  # on the labels, as given with --where, sorted
        column("task", pa.string()),  # classification, regression
        column("classifier", pa.string()),  # forest, svm, logistic, ridge
        optional("trees", pa.int32()),  # of a forest
        column("strict", pa.bool_()),  # whether dictionaries were learnt inside the folds
        column("protocol", pa.string()),  # image, group
        column("folds", pa.int32()),
        column("trial", pa.int32()),  # 0, 1, 2 ...
        column("seed", pa.int64()),
        column("members", pa.string()),  # hash of the image_ids in order
        column("num_images", pa.int32()),
        optional("num_groups", pa.int32()),  # missing ones counted one by one
        optional("num_missing_groups", pa.int32()),
        optional("f1_weighted", pa.float64()),
        optional("f1_macro", pa.float64()),
        optional("accuracy", pa.float64()),
        optional("r2", pa.float64()),
        optional("mae", pa.float64()),  # in the label's unit
        optional("classes", _NAMES),
        optional("f1_by_class", _NUMBERS),  # in the order of `classes`
        optional("confusion", _COUNTS),  # images by true class (rows) and predicted class
        optional("predicted_class", _CLASS),  # of each image, in the order of `members`: its place in `classes`
        optional("predicted_value", _NUMBERS),  # likewise under regression
        optional("fold_sizes", pa.list_(pa.int32())),  # images tested in each fold
        optional("fold_f1_weighted", _NUMBERS),
        optional("fold_f1_macro", _NUMBERS),
        optional("fold_accuracy", _NUMBERS),
        optional("fold_r2", _NUMBERS),
        optional("fold_mae", _NUMBERS),
        optional("fold_f1_by_class", pa.list_(_NUMBERS)),
        optional("fold_confusion", pa.list_(_COUNTS)),
        optional("majority", pa.float64()),  # same score, always predicting the most frequent class (or the mean)
        # Weighted F1 of a forest on metadata alone, on the same folds: by field, and `together` of all of them.
        optional("metadata", pa.map_(pa.string(), pa.float64())),
        optional("error", pa.string()),  # why there are no scores
        column("seconds", pa.float64()),
        column("created", pa.string()),  # ISO 8601, UTC
        column("versions", pa.map_(pa.string(), pa.string())),  # of the libraries that decide values
    ],
)
