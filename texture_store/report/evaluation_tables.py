"""Tables from rows of `evaluations`: scores with their baselines, the best feature sets, and the paper's claims.

All take `Store.evaluations` of one question: one dataset, snapshot, label, task, and set of images. Layers and encoders
stand in the order of the paper.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from texture_store.encoding.packing import num_channels
from texture_store.evaluation.claims import Claim, DatasetScores, ScoredSet, paper_claims
from texture_store.evaluation.folds import Protocol
from texture_store.evaluation.scores import spread
from texture_store.evaluation.significance import Ranked, compare_with_best, corrected_t_test
from texture_store.spec import ENCODERS, LAYERS, NETWORK_LAYERS, NUM_CHANNELS

if TYPE_CHECKING:
    import pandas as pd

ALL_LAYERS = "all"
LAYER_ORDER = (*LAYERS, ALL_LAYERS)
SET = ["classifier", "encoder", "layer"]
SAME_QUESTION = [
    "dataset",
    "snapshot",
    "label_column",
    "conditions",
    "with_columns",
    "task",
    "folds",
    "members",
]
"""Columns in which rows agree that answer the same question about the same images."""


def main_score(frame: "pd.DataFrame") -> str:
    """Name of the column that counts: f1_weighted, or r2 for regression."""
    return "r2" if (frame["task"] == "regression").any() else "f1_weighted"


def same_question(frame: "pd.DataFrame", row: Mapping[str, Any]) -> "pd.DataFrame":
    """The rows that agree with `row` in SAME_QUESTION."""
    keep = np.ones(len(frame), bool)
    for name in SAME_QUESTION:
        keep &= np.array([_plain(value) == _plain(row[name]) for value in frame[name]], bool)
    return frame[keep]


def newest_sets(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Of each classifier, encoder and layer the rows of one spec, form and number of trees: those of the newest row."""
    # No trees (SVM) is a number of trees too: a missing value would be equal to nothing, itself included.
    how = frame["spec"] + " " + frame["form"] + " " + frame["trees"].fillna(0).astype(int).astype(str)
    newest = frame.assign(how=how).sort_values("created").drop_duplicates(SET, keep="last").set_index(SET)["how"]
    keys = list(frame[SET].itertuples(index=False, name=None))
    return frame[[one == newest[key] for one, key in zip(how, keys, strict=True)]]


def innermost(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Of a feature set that was scored with dictionaries learnt inside the folds those rows, of any other all."""
    if not frame["strict"].any():
        return frame
    strict = set(frame[frame["strict"]][SET].itertuples(index=False, name=None))
    has_strict = np.array([key in strict for key in frame[SET].itertuples(index=False, name=None)], bool)
    return frame[frame["strict"] | ~has_strict]


def strict_differences(frame: "pd.DataFrame") -> "pd.DataFrame":
    """What learning dictionaries inside the folds changes, for each feature set and protocol scored both ways.

    Columns: classifier, encoder, layer, protocol, inside and outside (means over folds), difference (inside - outside)
    with the bounds of its 95 % interval and p by the corrected resampled t-test on common folds.
    """
    import pandas as pd

    found = []
    for key, rows in frame[frame["error"].isna()].groupby([*SET, "protocol"], sort=False):
        n_train, n_test = sizes(rows)
        common = set(rows[rows["strict"]]["trial"]) & set(rows[~rows["strict"]]["trial"])
        if len(common) * int(rows["folds"].iloc[0]) < 2:
            continue
        both = rows[rows["trial"].isin(common)]
        (inside,) = fold_scores(both[both["strict"]]).values()
        (outside,) = fold_scores(both[~both["strict"]]).values()
        test = corrected_t_test(inside - outside, test_share=n_test / n_train)
        low, high = test.interval()
        found.append(
            dict(zip([*SET, "protocol"], key, strict=True))
            | {"inside": inside.mean(), "outside": outside.mean(), "difference": test.mean}
            | {"low": low, "high": high, "p": test.p}
        )
    names = [*SET, "protocol", "inside", "outside", "difference", "low", "high", "p"]
    return pd.DataFrame(found, columns=names).sort_values([*SET, "protocol"], key=_in_order, ignore_index=True)


def set_name(encoder: str, layer: str) -> str:
    """Such as `mean conv4_3`."""
    return f"{encoder} {layer}"


def score_table(frame: "pd.DataFrame") -> "pd.DataFrame":
    """One row for each feature set and protocol: the score's mean and standard deviation (ddof 1) over trials.

    Columns: classifier, encoder, layer, num_features, protocol, trials, failed, mean, sd, then the means of f1_macro
    and accuracy (or mae), and the baselines majority and metadata (NaN where unknown).
    """
    import pandas as pd

    score = main_score(frame)
    others = ["mae"] if score == "r2" else ["f1_macro", "accuracy"]
    metadata = {protocol: metadata_baseline(rows)[1] for protocol, rows in frame.groupby("protocol")}
    found = []
    for key, rows in frame.groupby([*SET, "protocol"], sort=False):
        good = rows[rows["error"].isna()]
        mean, sd = spread(good[score].to_numpy(np.float64)) if len(good) else (np.nan, np.nan)
        found.append(
            dict(zip([*SET, "protocol"], key, strict=True))
            | {"num_features": int(rows["num_features"].iloc[0]), "trials": len(good), "failed": len(rows) - len(good)}
            | {"mean": mean, "sd": sd}
            | {name: good[name].mean() for name in others}
            | {"majority": rows["majority"].mean(), "metadata": metadata[key[-1]]}
        )
    names = [*SET, "num_features", "protocol", "trials", "failed", "mean", "sd", *others, "majority", "metadata"]
    return pd.DataFrame(found, columns=names).sort_values([*SET, "protocol"], key=_in_order, ignore_index=True)


def metadata_baseline(frame: "pd.DataFrame") -> tuple[str, float]:
    """The field whose mean score over trials is best (or `together`), and that score, of rows of one protocol.

    ("", NaN) where no row has any.
    """
    trials = frame[frame["metadata"].notna()].drop_duplicates("trial")["metadata"]
    if not len(trials):
        return "", float("nan")
    by_field: dict[str, list[float]] = {}
    for scores in trials:
        for name, score in scores.items():
            by_field.setdefault(name, []).append(score)
    means = {name: float(np.mean(scores)) for name, scores in by_field.items()}
    best = max(means, key=lambda name: means[name])
    return best, means[best]


def side_by_side(scores: "pd.DataFrame") -> "pd.DataFrame":
    """`score_table` with the protocols beside each other: `mean_image`, `sd_image`, `mean_group` ..., and `gap`, by
    image minus by group, where there are both.
    """
    wide = scores.pivot(
        index=[*SET, "num_features"], columns="protocol", values=["mean", "sd", "majority", "metadata", "failed"]
    )
    wide.columns = [f"{name}_{protocol}" for name, protocol in wide.columns]
    counts = [name for name in wide.columns if name.startswith("failed")]
    wide = wide.astype(dict.fromkeys(wide.columns, "float64") | dict.fromkeys(counts, "Int64"))
    wide = wide.reset_index().sort_values(SET, key=_in_order, ignore_index=True)
    if {"mean_image", "mean_group"} <= set(wide.columns):
        wide["gap"] = wide["mean_image"] - wide["mean_group"]
    return wide


def rankings(frame: "pd.DataFrame") -> dict[Protocol, list[Ranked]]:
    """By protocol the feature sets of one classifier, best first, each tested against the best on common folds.

    Nothing for a protocol under which fewer than two have scores.
    """
    found: dict[Protocol, list[Ranked]] = {}
    for protocol, rows in frame.groupby("protocol", sort=False):
        scores = fold_scores(rows)
        if len(scores) > 1:
            n_train, n_test = sizes(rows)
            named = {set_name(key.encoder, key.layer): values for key, values in scores.items()}
            found[protocol] = compare_with_best(named, n_train=n_train, n_test=n_test)
    return dict(sorted(found.items(), key=lambda item: item[0] != "image"))


def fold_scores(rows: "pd.DataFrame") -> dict[ScoredSet, npt.NDArray[np.float64]]:
    """(trials x folds,) scores of each test fold of a protocol, for the trials that went well with every set."""
    column = f"fold_{main_score(rows)}"
    good = rows[rows["error"].isna()]
    by_set = {
        ScoredSet(encoder, layer, classifier): dict(zip(some["trial"], some[column], strict=True))
        for (classifier, encoder, layer), some in good.groupby(SET)
    }
    common = sorted(set.intersection(*(set(trials) for trials in by_set.values()))) if by_set else []
    if not common:
        return {}
    return {key: np.concatenate([np.asarray(trials[t], np.float64) for t in common]) for key, trials in by_set.items()}


def sizes(rows: "pd.DataFrame") -> tuple[int, int]:
    """(n_train, n_test) of a fold: images, or groups under the group protocol."""
    first = rows.iloc[0]
    count = int(first["num_groups"] if first["protocol"] == "group" else first["num_images"])
    n_test = max(1, round(count / int(first["folds"])))
    return count - n_test, n_test


def claims_of(frames: Mapping[str, "pd.DataFrame"], protocol: Protocol) -> list[Claim]:
    """The paper's claims tested on rows of several datasets, each of one question, under one protocol."""
    datasets = {}
    for name, frame in frames.items():
        rows = frame[frame["protocol"] == protocol]
        scores = fold_scores(rows)
        if scores:
            datasets[name] = DatasetScores(scores, *sizes(rows))
    return paper_claims(datasets) if datasets else []


def length_table(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Values of a vector by layer (rows) and encoder (paper, Table 1). `gram` counts the full matrix, as the paper
    does; `gram stored` is its packed upper triangle.
    """
    lengths = frame.drop_duplicates(["encoder", "layer"]).set_index(["layer", "encoder"])["num_features"].unstack()
    lengths = lengths.reindex(index=_some(LAYER_ORDER, lengths.index), columns=_some(ENCODERS, lengths.columns))
    if "gram" in lengths:
        stored = lengths["gram"]
        full = {layer: num_channels(int(width)) ** 2 for layer, width in stored.dropna().items() if layer != ALL_LAYERS}
        if ALL_LAYERS in stored.dropna():
            full[ALL_LAYERS] = sum(NUM_CHANNELS[layer] ** 2 for layer in NETWORK_LAYERS)
        lengths["gram"] = [full.get(layer) for layer in lengths.index]
        lengths.insert(list(lengths.columns).index("gram") + 1, "gram stored", stored)
    return lengths.astype("Int64").reset_index()


def best_table(scores: "pd.DataFrame") -> "pd.DataFrame":
    """The best feature set of each encoder and protocol, of `score_table`."""
    good = scores.dropna(subset=["mean"])
    best = good.loc[good.groupby(["classifier", "encoder", "protocol"])["mean"].idxmax()]
    return best.sort_values(["classifier", "encoder", "protocol"], key=_in_order, ignore_index=True)


def classifier_table(scores: "pd.DataFrame") -> "pd.DataFrame":
    """Scores of feature sets that several classifiers were tried on, of `score_table`: a column for each classifier's
    mean and standard deviation over trials. Empty with one classifier.
    """
    import pandas as pd

    index = ["encoder", "layer", "protocol"]
    wide = scores.dropna(subset=["mean"]).pivot(index=index, columns="classifier", values=["mean", "sd"]).dropna()
    classifiers = list(dict.fromkeys(wide.columns.get_level_values("classifier"))) if len(wide) else []
    if len(classifiers) < 2:
        return pd.DataFrame(columns=index)
    columns = {f"{name} {what}": wide[what, name] for name in classifiers for what in ("mean", "sd")}
    found = pd.DataFrame(columns).reset_index()
    return found.sort_values(index, key=_in_order, ignore_index=True)


def markdown(table: "pd.DataFrame", *, digits: int = 3) -> str:
    """A table as Markdown; numbers with `digits` decimals, what is unknown as a dash."""
    lines = ["| " + " | ".join(str(name) for name in table.columns) + " |", "|" + " --- |" * len(table.columns)]
    for row in table.itertuples(index=False):
        lines.append("| " + " | ".join(_cell(value, digits) for value in row) + " |")
    return "\n".join(lines) + "\n"


def _cell(value: object, digits: int) -> str:
    if isinstance(value, float):
        return "-" if np.isnan(value) else f"{value:.{digits}f}"
    text = "-" if value is None or str(value) == "<NA>" else str(value)
    return "".join(c if c.isprintable() else " " for c in text).replace("|", "\\|")


def _place(order: Sequence[str], name: str) -> int:
    return order.index(name) if name in order else len(order)


def _some(order: Sequence[str], present: Any) -> list[str]:
    return [name for name in order if name in present]


def _in_order(column: "pd.Series[Any]") -> Any:
    orders: dict[str, Sequence[str]] = {"encoder": ENCODERS, "layer": LAYER_ORDER, "protocol": ("image", "group")}
    if column.name not in orders:
        return column
    return column.map(lambda name: _place(orders[str(column.name)], name))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple | np.ndarray) else value
