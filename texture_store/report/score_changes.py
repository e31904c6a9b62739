"""Scores of an evaluation beside those of the one before: what new images or words did to each feature set."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from texture_store.evaluation.regressions import Judgement, Verdict, judge
from texture_store.evaluation.significance import Comparison, corrected_difference, corrected_t_test
from texture_store.report.evaluation_tables import SAME_QUESTION, SET, fold_scores, innermost, main_score, sizes

if TYPE_CHECKING:
    import pandas as pd

SAME_SERIES = [*(name for name in SAME_QUESTION if name not in ("snapshot", "members")), *SET, "protocol", "strict"]
"""Columns in which evaluations agree that ask the same of different snapshots."""


@dataclass(frozen=True)
class ScoreChange:
    """One feature set under one protocol, before and now."""

    classifier: str
    encoder: str
    layer: str
    protocol: str
    snapshot_before: int
    images_before: int
    images_now: int
    before: float
    now: float
    """Means over folds of weighted F1, or R²."""
    difference: float
    low: float
    high: float
    p: float
    verdict: Verdict
    paired: bool
    """Whether both were scored on the same folds of the same images."""
    spec_before: str
    spec_now: str
    keys_before: tuple[str, ...]
    keys_now: tuple[str, ...]
    """Of the trials."""

    @property
    def name(self) -> str:
        """Such as `mean conv4_3 by image`."""
        return f"{self.encoder} {self.layer} by {self.protocol}"


def score_changes(
    now: "pd.DataFrame",
    every: "pd.DataFrame",
    *,
    base_of: Mapping[str, str],
    worse_by: float,
    confidence: float,
) -> list[ScoreChange]:
    """Each feature set of `now` beside its evaluation before; those that have none are left out.

    now: rows of one evaluation. every: all rows of the dataset. base_of: by spec, what it is without its dictionary.
    The one before has the same base spec and is of the newest earlier snapshot; without one, of this snapshot and
    another dictionary. Judged together by `texture_store.evaluation.regressions.judge`.
    """
    keys = set(now["key"])
    others = every[every["error"].isna() & ~every["key"].isin(keys)]
    pairs = {}
    for name, rows in _series(innermost(now[now["error"].isna()])).items():
        before = _before(rows, _series(others).get(name), base_of)
        if before is not None:
            pairs[name] = (before, rows)
    compared = {name: found for name, pair in pairs.items() if (found := _compare(*pair)) is not None}
    judged = judge({name: one for name, (one, _) in compared.items()}, worse_by=worse_by, confidence=confidence)
    return [_change(*pairs[name], *compared[name], judged[name]) for name in compared]


def mean_over_folds(rows: "pd.DataFrame") -> float:
    """Of the score that counts, over the folds of all trials that went well; NaN without any."""
    good = rows[rows["error"].isna()][f"fold_{main_score(rows)}"]
    return float(np.mean(np.concatenate([np.asarray(one, np.float64) for one in good]))) if len(good) else float("nan")


def series_key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What an evaluation asks, apart from the snapshot: hashable; forests of other sizes are other classifiers."""
    trees = row["trees"]
    return (*(_plain(row[name]) for name in SAME_SERIES), None if trees is None or np.isnan(trees) else int(trees))


def _series(frame: "pd.DataFrame") -> "dict[tuple[Any, ...], pd.DataFrame]":
    if not len(frame):
        return {}
    keys = [series_key(row) for row in frame.to_dict("records")]
    number_of = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    numbers = np.array([number_of[key] for key in keys])
    return {key: frame[numbers == number] for key, number in number_of.items()}


def _before(now: "pd.DataFrame", others: "pd.DataFrame | None", base_of: Mapping[str, str]) -> "pd.DataFrame | None":
    if others is None:
        return None
    snapshot, spec = int(now["snapshot"].iloc[0]), str(now["spec"].iloc[0])
    is_before = (others["snapshot"] < snapshot) | ((others["snapshot"] == snapshot) & (others["spec"] != spec))
    candidates = others[is_before.to_numpy() & (_base(others, base_of) == _base(now, base_of)[0])]
    if not len(candidates):
        return None
    # The one before is of the snapshot before, whatever was tried out on this one meanwhile.
    order = candidates.assign(earlier=candidates["snapshot"] < snapshot)
    newest = order.sort_values(["earlier", "snapshot", "created"]).iloc[-1]
    same = np.ones(len(candidates), bool)
    for name in ("snapshot", "spec", "form", "members"):
        same &= (candidates[name] == newest[name]).to_numpy()
    return candidates[same]


def _base(rows: "pd.DataFrame", base_of: Mapping[str, str]) -> Any:
    return np.array(["+".join(base_of.get(one, one) for one in spec.split("+")) for spec in rows["spec"]], object)


def _compare(before: "pd.DataFrame", now: "pd.DataFrame") -> tuple[Comparison, bool] | None:
    """The difference now - before, and whether it is one of common folds; None where there are too few folds."""
    seeds = [dict(zip(rows["trial"], rows["seed"], strict=True)) for rows in (before, now)]
    common = [trial for trial in seeds[0] if seeds[1].get(trial) == seeds[0][trial]]
    paired = bool(common) and before["members"].iloc[0] == now["members"].iloc[0]
    if paired:
        before, now = (rows[rows["trial"].isin(common)] for rows in (before, now))
    (old,), (new,) = fold_scores(before).values(), fold_scores(now).values()
    if min(len(old), len(new)) < 2:
        return None
    (train_old, test_old), (train_new, test_new) = sizes(before), sizes(now)
    if paired:
        return corrected_t_test(new - old, test_share=test_new / train_new), True
    return corrected_difference(old, new, share_before=test_old / train_old, share_now=test_new / train_new), False


def _change(
    before: "pd.DataFrame", now: "pd.DataFrame", comparison: Comparison, paired: bool, judged: Judgement
) -> ScoreChange:
    first, old = now.iloc[0], before.iloc[0]
    return ScoreChange(
        classifier=str(first["classifier"]),
        encoder=str(first["encoder"]),
        layer=str(first["layer"]),
        protocol=str(first["protocol"]),
        snapshot_before=int(old["snapshot"]),
        images_before=int(old["num_images"]),
        images_now=int(first["num_images"]),
        before=mean_over_folds(before),
        now=mean_over_folds(now),
        difference=comparison.mean,
        low=judged.low,
        high=judged.high,
        p=judged.p,
        verdict=judged.verdict,
        paired=paired,
        spec_before=str(old["spec"]),
        spec_now=str(first["spec"]),
        keys_before=tuple(before["key"]),
        keys_now=tuple(now["key"]),
    )


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple | np.ndarray) else value
