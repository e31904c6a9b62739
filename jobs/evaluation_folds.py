"""--strict: VLAD by dictionaries that saw no image of the fold they are tested on.

For each fold of each trial the words are learnt again, as the dataset's own were, from the stored descriptors of those
of their images that are in the other folds. One pass of the network then encodes every image with all of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow.compute as pc

from jobs.cluster import cluster_workers
from jobs.dictionary_fits import Fit, Learning, fit_layer, widest_first
from jobs.estimate import estimate
from jobs.evaluation_plan import EvaluationPlan
from jobs.evaluation_sets import FeatureSet, only_images
from jobs.fan_out import fan_out
from jobs.planning import Plan, plan_for
from jobs.progress import duration, say
from jobs.shards import Outcome, run_shards, summarize
from texture_store.errors import StoreError, UsageError
from texture_store.spec import FeatureSpec, Layer, vector_width
from texture_store.store.commits import Pair, read_commits
from texture_store.store.dictionaries import DictionaryName, DictionarySet, choose_dictionary, read_dictionaries
from texture_store.store.fold_dictionaries import (
    fold_dictionary_id,
    fold_spec,
    known_fold_dictionaries,
    read_fold_words,
    write_fold_dictionary,
)
from texture_store.store.reader import read_catalog, read_fold_features
from texture_store.store.specs import write_spec

JOB = "encode-folds"

MAX_SHARD_BYTES = 2 << 30
"""Of the vectors of 64 images by all dictionaries: an extract actor holds them two or three times."""
SHARD_IMAGES = 64

FoldSets = dict[int, FeatureSet]
"""By fold: a feature set with the words that were learnt without that fold."""


@dataclass(frozen=True)
class FoldDictionaries:
    """The fold dictionaries that belong to one dictionary of the dataset."""

    name: DictionaryName
    known: DictionarySet
    layers: tuple[Layer, ...]
    names: Mapping[tuple[int, int], str]
    """By number of a split and fold."""
    images: Mapping[str, tuple[str, ...]]
    """By name: image_ids to learn from."""

    @property
    def spec(self) -> FeatureSpec:
        """Of the vectors by all of them."""
        return fold_spec(self.name.spec, self.images)

    @property
    def shard_bytes(self) -> int:
        """Of the vectors of one shard."""
        num_words = self.known.learnt_from.num_words
        values = sum(vector_width("vlad", layer, num_words) for layer in self.layers)
        return 4 * SHARD_IMAGES * len(self.images) * values


def plan_folds(plan: EvaluationPlan) -> dict[str, FoldDictionaries]:
    """By fingerprint of a VLAD spec, the fold dictionaries of all splits of the plan.

    Of all, and not of those that are still to be evaluated: so the same command finds the same vectors again.
    Raises UsageError when they are too many to be encoded in one pass.
    """
    layers: dict[str, list[Layer]] = {}
    for one in strict_sets(plan):
        for features in one.layers:
            layers.setdefault(features.spec.fingerprint, []).append(features.layer)
    specs = {features.spec.fingerprint: features.spec for one in strict_sets(plan) for features in one.layers}
    found = {}
    for fingerprint, spec in specs.items():
        name = choose_dictionary(plan.storage, plan.request.dataset, spec.dictionary)
        known = read_dictionaries(plan.storage, plan.request.dataset, name)
        found[fingerprint] = _of_splits(plan, name, known, tuple(dict.fromkeys(layers[fingerprint])))
    for own in found.values():
        if own.shard_bytes > MAX_SHARD_BYTES:
            most = len(own.images) * MAX_SHARD_BYTES // own.shard_bytes
            raise UsageError(
                f"--strict: {len(own.images)} dictionaries for the folds of {len(plan.splits)} trials are more"
                f" than the {most} that fit into one pass; give fewer --trials, --folds, --layers or one --protocol"
            )
    return found


def strict_sets(plan: EvaluationPlan) -> list[FeatureSet]:
    """The feature sets of the plan that need fold dictionaries."""
    return [one for one in plan.sets if one.strict]


def prepare_folds(plan: EvaluationPlan, folds: Iterable[FoldDictionaries]) -> None:
    """Learn the words and encode the images, as far as the store lacks them. Ray must be connected.

    Raises:
        DictionaryError: a fold has too few different descriptors to learn from.
        StoreError: images could not be encoded; they stay pending.
    """
    for one in folds:
        write_spec(plan.storage, one.spec)
        passing = _pass_plan(plan, one)
        missing = _missing(plan, one)
        if missing or passing.units:
            _say_cost(plan, one, passing, num_fits=len(missing))
        _learn(plan, one, missing)
        _encode(plan, one, passing)


class FoldReader:
    """Tells strict trials what to read; the commits are read once for all of them."""

    def __init__(self, plan: EvaluationPlan, folds: Mapping[str, FoldDictionaries]) -> None:
        self._plan = plan
        self._folds = folds
        self._catalog = read_catalog(plan.storage, plan.request.dataset, plan.catalog.snapshot.number)

    def sets_of(self, place: tuple[int, int]) -> FoldSets:
        """What a strict trial, (feature set, split) of the plan, reads for each of its folds."""
        one, split = self._plan.sets[place[0]], self._plan.splits[place[1]]
        found = {}
        for fold in np.unique(split.folds).tolist():
            layers = []
            for features in one.layers:
                own = self._folds[features.spec.fingerprint]
                name = own.names[place[1], fold]
                vectors = read_fold_features(self._catalog, features.layer, own.spec, name)
                layers.append(only_images(vectors, self._plan.images))
            found[fold] = replace(one, layers=tuple(layers))
        return found


def _of_splits(
    plan: EvaluationPlan, name: DictionaryName, known: DictionarySet, layers: tuple[Layer, ...]
) -> FoldDictionaries:
    image_ids = np.array(plan.images.column("image_id").to_pylist(), object)
    names: dict[tuple[int, int], str] = {}
    images: dict[str, tuple[str, ...]] = {}
    for number, split in enumerate(plan.splits):
        for fold in np.unique(split.folds).tolist():
            others = set(image_ids[split.folds != fold])
            learnt_from = tuple(image_id for image_id in known.learnt_from.images if image_id in others)
            own = fold_dictionary_id(known.id, learnt_from)
            names[number, fold] = own
            images[own] = learnt_from
    return FoldDictionaries(name, known, layers, names, images)


def _pass_plan(plan: EvaluationPlan, one: FoldDictionaries) -> Plan:
    """Only what is evaluated is encoded."""
    snapshot = plan.catalog.snapshot
    wanted = pc.is_in(snapshot.table["image_id"], value_set=plan.images.column("image_id").combine_chunks())
    members = replace(snapshot, table=snapshot.table.filter(wanted))
    pairs: tuple[Pair, ...] = tuple(("fold-vlad", layer) for layer in one.layers)
    return plan_for(plan.storage, members, one.spec, pairs)


def _missing(plan: EvaluationPlan, one: FoldDictionaries) -> list[tuple[Layer, str]]:
    """(layer, name) of the dictionaries that are still to be learnt."""
    found: list[tuple[Layer, str]] = []
    for layer in widest_first(one.layers):
        known = known_fold_dictionaries(plan.storage, plan.request.dataset, one.spec, layer)
        found += [(layer, name) for name in one.images if name not in known]
    return found


def _say_cost(plan: EvaluationPlan, one: FoldDictionaries, passing: Plan, *, num_fits: int) -> None:
    import torch

    commits = read_commits(plan.storage, plan.request.dataset, one.name.spec.fingerprint)
    (record,) = (each for each in commits if each.shard == one.known.id)
    # One core learns one dictionary, from about as large a share of the images as a fold leaves.
    share = float(np.mean([len(images) for images in one.images.values()])) / len(one.known.learnt_from.images)
    seconds = share * len(one.images) * sum(record.seconds.get(layer, 0.0) for layer in one.layers)
    workers = cluster_workers()
    # Words of the same number cost the same.
    words = {layer: dict.fromkeys(one.images, one.known.words[layer]) for layer in one.layers}
    # It is measured here, which a driver on a node without a GPU cannot do for nodes that have one.
    measurable = workers.device == "cpu" or torch.cuda.is_available()
    cost = estimate(passing, workers, fold_words=words) if passing.units and measurable else None
    parts = [f"{len(one.images)} dictionaries of {', '.join(one.layers)} for the folds of {len(plan.splits)} trials"]
    if num_fits:
        remaining = seconds * num_fits / (len(one.images) * len(one.layers))
        parts.append(f"{num_fits:,} still to be learnt, {duration(remaining)} of one core")
    if passing.units and cost is None:
        size = passing.num_images * one.shard_bytes / SHARD_IMAGES / 1e9
        parts.append(f"then one pass over {passing.num_images:,} images on {workers}, at most {size:.1f} GB")
    if cost is not None:
        parts.append(
            f"then one pass over {cost.images:,} images: {duration(3600 * cost.hours)} on {cost.workers},"
            f" {cost.gigabytes:.1f} GB in {plan.storage.url_of('folds')}"
        )
    say(f"--strict: {'; '.join(parts)}")


def _learn(plan: EvaluationPlan, one: FoldDictionaries, missing: Sequence[tuple[Layer, str]]) -> None:
    if not missing:
        return
    source = one.known.learnt_from
    fits = {
        name: Fit(
            storage=plan.storage,
            dataset=plan.request.dataset,
            snapshot=source.snapshot,
            spec=one.name.spec,
            learning=Learning.of(one.known),
            images=images,
            held_out=(),
        )
        for name, images in one.images.items()
    }
    arguments = {(layer, name): (layer, fits[name], one.spec, name) for layer, name in missing}
    fan_out(_learn_one, arguments, doing="learning words without each fold", unit="dictionaries")


def _learn_one(layer: Layer, fit: Fit, spec: FeatureSpec, name: str) -> None:
    found, _ = fit_layer(layer, fit)
    write_fold_dictionary(fit.storage, spec, name, found)


def _encode(plan: EvaluationPlan, one: FoldDictionaries, passing: Plan) -> None:
    if not passing.units:
        return
    outcome = Outcome(JOB)
    words = {
        layer: {name: read_fold_words(plan.storage, plan.request.dataset, one.spec, layer, name) for name in one.images}
        for layer in one.layers
    }
    run_shards(passing, outcome, doing="encoding without each fold", fold_words=words)
    summary = summarize(passing, outcome)
    if summary.featurized < summary.indexed:
        why = next(iter(summary.failed_shards.values()), "files that changed since index, or cannot be read any more")
        missing = f"{summary.indexed - summary.featurized} of {summary.indexed} images"
        raise StoreError(f"--strict: {missing} could not be encoded: {why}; run index and encode, then this again")
