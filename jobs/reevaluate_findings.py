"""What a run of reevaluate comes to: counts, scores beside those before, what needs a person, and the exit status."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from jobs.encode import EncodeSummary
from jobs.index import IndexSummary
from jobs.options import EXIT_FAILED, EXIT_REGRESSION, EXIT_TOO_MANY_REJECTED
from jobs.recipe_requests import allowed_rejected
from jobs.recipe_tables import Recipe
from jobs.reevaluate_images import on_common_images
from jobs.report_history import specs_of
from jobs.shards import ShardsSummary
from texture_store.objects import Storage
from texture_store.report.evaluation_tables import innermost, score_table
from texture_store.report.score_changes import ScoreChange, mean_over_folds

if TYPE_CHECKING:
    import pandas as pd

    from jobs.evaluate import EvaluationSummary

SHOWN_CHANGE = ("before", "difference", "low", "high", "p", "verdict", "snapshot_before", "images_before", "images_now")


def told(indexed: IndexSummary) -> dict[str, Any]:
    """What is in the archive, and what is different from the snapshot before."""
    values = indexed.to_json()
    names = ["archive", "images", "new", "changed", "gone", "relabelled", "moved", "images_without_label"]
    return {name: values[name] for name in [*names, "labels_without_image"]} | {"left_out": len(indexed.left_out)}


def computed(
    featurized: ShardsSummary, encoded: EncodeSummary | None, evaluated: "EvaluationSummary"
) -> dict[str, Any]:
    """What this run made."""
    found: dict[str, Any] = {"featurized": featurized.computed, "rejected": featurized.rejected}
    if encoded is not None:
        found |= {"encoded": encoded.computed, "dictionary": f"{encoded.dictionary} {encoded.dictionary_verdict}"}
        found |= {"drift": encoded.drift, "moved_words": encoded.moved_words} if encoded.drift else {}
    return found | {"trials": evaluated.computed}


def scores(rows: "pd.DataFrame", changes: Sequence[ScoreChange]) -> list[dict[str, Any]]:
    """One for each feature set and protocol, as in `score_table`: now, before, and what the difference means."""
    change_of = {(one.classifier, one.encoder, one.layer, one.protocol): one for one in changes}
    shown, found = innermost(rows), []
    names = ("classifier", "encoder", "layer", "protocol")
    means = {key: mean_over_folds(own) for key, own in shown.groupby(list(names))}
    for row in score_table(shown).to_dict("records"):
        key = tuple(row[name] for name in names)
        now = means[key]
        entry = dict(zip(names, key, strict=True)) | {"now": None if now != now else now, "failed": int(row["failed"])}
        change = change_of.get(key)
        if change is None:
            entry["verdict"] = "first" if now == now else "failed"
        else:
            entry |= {name: value for name, value in asdict(change).items() if name in SHOWN_CHANGE}
        found.append(entry)
    return found


def bases_of(storage: Storage, every: "pd.DataFrame") -> dict[str, str]:
    """By spec that any row is of, the fingerprint of what it is without its dictionary."""
    specs = specs_of(storage, every)
    return {name: spec.model_copy(update={"dictionary": None}).fingerprint for name, spec in specs.items()}


def status_of(
    recipe: Recipe, done: Sequence[ShardsSummary], evaluated: "EvaluationSummary", changes: Sequence[ScoreChange]
) -> int:
    """The exit status: what failed comes first, then a regression, then too many rejected images."""
    if evaluated.failed:
        return EXIT_FAILED
    if any(one.verdict == "regression" for one in changes):
        return EXIT_REGRESSION
    if any(one.rejected > allowed_rejected(recipe) * one.indexed for one in done):
        return EXIT_TOO_MANY_REJECTED
    return 0


def needs_of(
    recipe: Recipe,
    storage: Storage,
    indexed: IndexSummary,
    done: Sequence[ShardsSummary],
    evaluated: "EvaluationSummary",
    changes: Sequence[ScoreChange],
    *,
    took_over: str,
) -> list[str]:
    """What somebody should look at, the most important first; each one or two sentences."""
    found = _falls(recipe, storage, changes, "regression") + _falls(recipe, storage, changes, "undecided")
    if evaluated.failed:
        name, reason = next(iter(evaluated.failed.items()))
        found.append(f"{len(evaluated.failed)} trials failed ({name}: {reason}); the same command tries them again")
    for one in done:
        if one.rejected > allowed_rejected(recipe) * one.indexed:
            found.append(
                f"{one.rejected:,} of {one.indexed:,} images are rejected ({_reasons(one.rejected_by_reason)}), more"
                f" than max_rejected = {recipe.featurize.max_rejected} allows"
            )
        elif one.rejected and one is done[0]:
            found.append(f"{one.rejected:,} images are rejected ({_reasons(one.rejected_by_reason)}); see the report")
    if isinstance(done[-1], EncodeSummary):
        found += _about_dictionary(done[-1])
    if indexed.left_out:
        found.append(f"{len(indexed.left_out):,} files of the archive are left out, such as {indexed.left_out[0]}")
    if indexed.images_without_label:
        found.append(f"{indexed.images_without_label:,} images have no label, so no score counts them")
    if indexed.labels_without_image:
        found.append(f"{indexed.labels_without_image:,} labels fit no image")
    return [*found, took_over] if took_over else found


def _falls(recipe: Recipe, storage: Storage, changes: Sequence[ScoreChange], verdict: str) -> list[str]:
    """One for each protocol that has feature sets of this verdict: how many, and the one that fell most."""
    found = []
    for protocol in dict.fromkeys(one.protocol for one in changes):
        of_protocol = [one for one in changes if one.protocol == protocol]
        fallen = sorted((one for one in of_protocol if one.verdict == verdict), key=lambda one: one.difference)
        if not fallen:
            continue
        worst = fallen[0]
        what = "REGRESSION" if verdict == "regression" else "perhaps a regression"
        text = (
            f"{what} by {protocol} in {len(fallen)} of {len(of_protocol)} feature sets, most in {worst.encoder}"
            f" {worst.layer}: {worst.before:.3f} -> {worst.now:.3f}"
            f" ({recipe.compare.confidence:.0%} interval of the difference {worst.low:+.3f} to {worst.high:+.3f};"
            f" worse_by = {recipe.compare.worse_by:g})"
        )
        found.append(f"{text}. {on_common_images(storage, recipe.dataset, worst)}".strip())
    return found


def _about_dictionary(encoded: EncodeSummary) -> list[str]:
    verdict = encoded.dictionary_verdict
    if encoded.replaces:
        words = f"{encoded.dictionary} now, before of {encoded.replaces}"
        return [f"the dictionary was {verdict}: scores of VLAD are of {words}"]
    if "could not be checked" in verdict or "may be chance" in verdict:
        return [f"the dictionary was {verdict}"]
    return []


def _reasons(by_reason: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in by_reason.items())
