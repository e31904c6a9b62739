"""STORE/explanations/dataset=D/importances-<key>.parquet: what the forests rely on, one row a filter.

Of the mean features of all five layers; over the folds of all trials, the forests being those that evaluate scores.
"""

import pyarrow as pa

from schemas.declare import column, optional, table
from schemas.explained import FILTER, IMAGES, KEY

IMPORTANCES = table(
    "importances",
    1,
    [
        *KEY,
        *IMAGES,
        column("label_column", pa.string()),
        optional("group_column", pa.string()),  # null under the protocol `image`
        column("protocol", pa.string()),  # of the folds: image, group
        column("folds", pa.int32()),
        column("trials", pa.int32()),
        column("trees", pa.int32()),
        column("repeats", pa.int32()),  # permutations of each cluster in each fold
        column("seeds", pa.list_(pa.int64())),  # of the trials
        column("min_correlation", pa.float64()),  # |Spearman| within a cluster of filters
        column("num_folds", pa.int32()),  # trials x folds: what means and spreads are over
        column("score", pa.float64()),  # weighted F1, mean over these folds
        *FILTER,
        # 1 is the most important one: by permutation where that is a loss, then by votes, then by impurity; only one
        # filter of a cluster has a rank.
        optional("rank", pa.int32()),
        column("impurity_rank", pa.int32()),  # of all filters
        column("permutation", pa.float64()),  # loss of weighted F1 when the filter's cluster is permuted
        column("permutation_spread", pa.float64()),  # standard deviation over the folds
        column("is_loss", pa.bool_()),  # whether that can be told from 0 (corrected resampled t-test, 5 %)
        column("votes", pa.float64()),  # loss of votes for the right class, as a share of all votes
        column("impurity", pa.float64()),
        column("impurity_spread", pa.float64()),
        column("cluster", pa.int32()),  # filters of one number rise and fall together
        column("cluster_size", pa.int32()),
        column("partners", pa.int32()),  # filters outside of the cluster that are correlated with this one
        column("split_share", pa.float64()),  # of the folds: in how many any tree splits on it
        column("class_means", pa.map_(pa.string(), pa.float64())),  # mean activation by class
    ],
)
