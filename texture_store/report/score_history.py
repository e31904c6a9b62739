"""Scores over the snapshots of a dataset: what they were of each, and what changed from one to the next."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from texture_store.report.evaluation_tables import SET, innermost, newest_sets, score_table
from texture_store.report.score_changes import series_key

if TYPE_CHECKING:
    import pandas as pd

    from texture_store.spec import FeatureSpec

COLUMNS = ["snapshot", *SET, "protocol", "trials", "mean", "sd", "num_images", "spec", "change"]


def score_history(every: "pd.DataFrame", like: "pd.DataFrame", specs: "Mapping[str, FeatureSpec]") -> "pd.DataFrame":
    """One row for each snapshot, feature set and protocol that `like`, rows of one question and snapshot, are of.

    every: all rows of the dataset. specs: by fingerprint; where one is not known, it is another one than before.

    Columns: snapshot, classifier, encoder, layer, protocol, trials, mean and sd of the score over trials, num_images,
    spec, and change: what is different from this feature set's snapshot before, apart from the images: `dictionary
    learnt again`, `other settings` or nothing.
    """
    import pandas as pd

    wanted = {series_key(row) for row in like.to_dict("records")}
    is_wanted = np.array([series_key(row) in wanted for row in every.to_dict("records")], bool)
    rows = every[every["error"].isna().to_numpy() & is_wanted]
    parts = []
    for snapshot, own in rows.groupby("snapshot"):
        # Images may have been added to what is featurized of a snapshot: the newest evaluation counts.
        shown = newest_sets(innermost(own))
        newest = shown.sort_values("created").drop_duplicates([*SET, "protocol"], keep="last")
        facts = newest.set_index([*SET, "protocol"])[["members", "num_images", "spec"]]
        here = [facts.loc[key, "members"] for key in shown[[*SET, "protocol"]].itertuples(index=False, name=None)]
        scores = score_table(shown[shown["members"].to_numpy() == np.array(here)])
        parts.append(scores.merge(facts.reset_index(), on=[*SET, "protocol"]).assign(snapshot=int(snapshot)))
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    found = pd.concat(parts, ignore_index=True)
    found["change"] = ""
    for _, own in found.groupby([*SET, "protocol"], sort=False):
        for before, now in zip(own.index, own.index[1:], strict=False):
            found.loc[now, "change"] = _change(found.loc[before, "spec"], found.loc[now, "spec"], specs)
    return found[COLUMNS]


def best_sets(history: "pd.DataFrame") -> list[tuple[str, str, str, str]]:
    """(classifier, encoder, layer, protocol): of each encoder and protocol that which is best at the last snapshot."""
    last = history[history["snapshot"] == history["snapshot"].max()].dropna(subset=["mean"])
    best = last.loc[last.groupby(["classifier", "encoder", "protocol"])["mean"].idxmax()]
    return list(best[[*SET, "protocol"]].itertuples(index=False, name=None))


def wide_history(history: "pd.DataFrame") -> "pd.DataFrame":
    """A row for each feature set and protocol, a column for each snapshot, newest last: `0.913 ± 0.011`."""
    texts = [_score(mean, sd) + "*" * bool(change) for mean, sd, change in history[["mean", "sd", "change"]].to_numpy()]
    index = [*SET, "protocol"]
    named = history.assign(text=texts)
    wide = named.pivot(index=index, columns="snapshot", values="text").fillna("-")
    order = history[index].drop_duplicates()
    return wide.reindex(list(order.itertuples(index=False, name=None))).reset_index()


def images_of_snapshots(history: "pd.DataFrame") -> dict[int, int]:
    """Images that were evaluated, by snapshot."""
    counts: Sequence[tuple[int, int]] = list(history.groupby("snapshot")["num_images"].max().items())
    return {int(snapshot): int(count) for snapshot, count in counts}


def _change(before: str, now: str, specs: "Mapping[str, FeatureSpec]") -> str:
    if before == now:
        return ""
    old, new = ([specs.get(one) for one in joined.split("+")] for joined in (before, now))
    if None in old or None in new:
        return "other settings"
    bases = [{one.model_copy(update={"dictionary": None}) for one in some if one is not None} for some in (old, new)]
    return "dictionary learnt again" if bases[0] == bases[1] else "other settings"


def _score(mean: float, sd: float) -> str:
    return "failed" if np.isnan(mean) else f"{mean:.3f}" + ("" if np.isnan(sd) else f" ± {sd:.3f}")
