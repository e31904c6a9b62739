"""Whether a dictionary still fits an archive that has grown, and a new one where it does not."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from jobs.cluster import RaySession
from jobs.dictionary_fits import Learning, new_errors, plan_fit
from jobs.estimate import rates
from jobs.fit_dictionary import fit_or_read, sample
from jobs.progress import duration, say
from texture_store.encoding.dictionary import WordMove, match_words
from texture_store.encoding.drift import Drift, drift
from texture_store.errors import DictionaryError, StoreError
from texture_store.objects import Storage
from texture_store.spec import FeatureSpec, Layer
from texture_store.store.commits import read_commits
from texture_store.store.dictionaries import DictionaryName, DictionarySet
from texture_store.store.samples import sampled_ids
from texture_store.store.selection import sampled, sampled_new, union
from texture_store.store.snapshots import Snapshot, read_snapshot

Refit = Literal["auto", "never", "always"]

LIMIT = 0.05
"""A dictionary no longer fits when new images are surely more than this worse off than held-out old ones."""
MOVED = 0.5
"""A word has moved when it is this far from where it was, in root mean squared quantisation errors."""


@dataclass(frozen=True)
class RefitReport:
    """What was found about a dictionary, and what came of it."""

    verdict: str
    """One line."""
    new_images: int = 0
    """Images of the snapshot that the dictionary's own snapshot did not have."""
    drift: dict[str, str] = field(default_factory=dict)
    """For each layer how much worse off new images are, with its 95 % interval over images."""
    replaces: str | None = None
    """The dictionary before; None when it was kept."""
    moved_words: dict[str, str] = field(default_factory=dict)
    """For each layer which words moved, and how far."""


def keep_or_refit(
    session: RaySession, storage: Storage, snapshot: Snapshot, name: DictionaryName, known: DictionarySet, refit: Refit
) -> tuple[DictionarySet, RefitReport]:
    """The dictionary to encode with: `known`, or one learnt from the descriptors of the snapshot as it is now.

    Only descriptors of new images are sampled; a refit runs no network.
    """
    learning = Learning.of(known)
    old = set(read_snapshot(storage, snapshot.dataset, name.snapshot).table["image_id"].to_pylist())
    num_new = len(set(snapshot.table["image_id"].to_pylist()) - old)
    if refit == "never" or (refit == "auto" and not num_new):
        why = "not checked (--refit never)" if refit == "never" else "no new images since it was learnt"
        return known, RefitReport(f"kept: {why}", num_new)
    new = sampled_new(snapshot, old, learning.share)
    # What a refit would learn from is sampled as well where it is not yet: most of it is there, or among the new.
    wanted = sampled(snapshot, learning.share) if refit == "always" else new
    _sample(session, storage, name.spec, union(snapshot, [new, wanted]), learning)
    session.join()
    drifts = _drifts(storage, snapshot, name.spec, known, new)
    report: dict[str, str] = {layer: _drift_line(one) for layer, one in drifts.items()}
    for layer, line in report.items():
        say(f"  {layer}: new images are {line}")
    misfits = [layer for layer, one in drifts.items() if one.verdict(LIMIT) == "does not fit"]
    if refit == "auto" and not misfits:
        return known, RefitReport(f"kept: {_why_kept(drifts)}", num_new, report)
    why = "asked for" if not misfits else f"does not fit {num_new:,} new images at {', '.join(misfits)}"
    fit = plan_fit(storage, sampled(snapshot, learning.share), name.spec, learning)
    found, _ = fit_or_read(session, fit, replaces=known.id)
    if found.id == known.id:
        return known, RefitReport("kept: learning it again gives the same words", num_new, report)
    _say_cost(storage, snapshot, name, len(snapshot))
    moved: dict[str, str] = {layer: _moved(known, found, layer) for layer in found.layers}
    return found, RefitReport(f"learnt again: {why}", num_new, report, known.id, moved)


def _sample(session: RaySession, storage: Storage, spec: FeatureSpec, members: Snapshot, learning: Learning) -> None:
    _, summary = sample(session, storage, spec, members, learning)
    if summary.failed_shards:
        shard, message = next(iter(summary.failed_shards.items()))
        raise StoreError(f"shard {shard} could not be sampled: {message}; run the same command again")


def _drifts(
    storage: Storage, snapshot: Snapshot, spec: FeatureSpec, known: DictionarySet, new: Snapshot
) -> dict[Layer, Drift]:
    """For each layer; empty when nothing can be compared: too few held-out images, or no new one could be read."""
    commits = read_commits(storage, snapshot.dataset, spec.fingerprint)
    there = sampled_ids(commits, tuple(known.layers), known.learnt_from.product)
    image_ids = [image_id for image_id in new.table["image_id"].to_pylist() if image_id in there]
    if not image_ids:
        say("none of the new images could be sampled, so the dictionary cannot be checked")
        return {}
    errors = new_errors(storage, snapshot.dataset, spec, known, image_ids)
    try:
        return {
            layer: drift(np.array(one.learnt_from.held_out_errors), errors[layer])
            for layer, one in known.layers.items()
        }
    except DictionaryError as error:
        say(f"the dictionary cannot be checked: {error}")
        return {}


def _drift_line(one: Drift) -> str:
    worse = f"{one.ratio - 1:+.1%} ({one.low - 1:+.1%} to {one.high - 1:+.1%}) off the {one.num_old} held-out ones"
    return f"{worse}, {one.num_new} sampled: {one.verdict(LIMIT)}"


def _why_kept(drifts: dict[Layer, Drift]) -> str:
    if not drifts:
        return "it could not be checked"
    undecided = [layer for layer, one in drifts.items() if one.verdict(LIMIT) == "undecided"]
    if undecided:
        return (
            f"new images are over {LIMIT:.0%} worse off at {', '.join(undecided)}, but that may be chance"
            " (--refit always learns it again)"
        )
    return f"it still fits, within {LIMIT:.0%} at every layer"


def _moved(old: DictionarySet, new: DictionarySet, layer: Layer) -> str:
    before, after = old.layers[layer], new.layers[layer]
    scale = float(np.sqrt(before.learnt_from.error)) or 1.0
    moves: Sequence[WordMove] = match_words(before.words, after.words, scale=scale)
    far = sorted((move for move in moves if move.distance > MOVED), key=lambda move: -move.distance)
    shown = ", ".join(f"{move.old} by {move.distance:.2f}" for move in far[:5])
    more = f" and {len(far) - 5} more" if len(far) > 5 else ""
    return f"{len(far)} of {len(moves)} words" + (f" (word {shown}{more})" if far else "")


def _say_cost(storage: Storage, snapshot: Snapshot, name: DictionaryName, count: int) -> None:
    """What encoding everything will take, from what it took with the dictionary before."""
    spec = name.spec.model_copy(update={"dictionary": name.id})
    commits = [one for one in read_commits(storage, snapshot.dataset, spec.fingerprint) if one.members]
    if not commits:
        say(f"all {count:,} images will be encoded with the new dictionary")
        return
    seconds, size = rates(commits)
    say(
        f"all {count:,} images will be encoded with the new dictionary: {duration(seconds * count)} of one extract"
        f" actor, {size * count / 1e9:.3f} GB; features of {name.id} stay readable with --spec {spec.fingerprint}"
    )
