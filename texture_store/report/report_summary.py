"""The summary of a report in plain words."""

from collections.abc import Sequence

import numpy as np

from texture_store.evaluation.findings import MOST, SOME
from texture_store.evaluation.folds import Protocol
from texture_store.evaluation.verdicts import ALIKE
from texture_store.report.report_content import Statement
from texture_store.report.report_question import Question

_FEW = 6
_MOST_CLASSES = 10
TOGETHER = "together"
"""The name that stored baselines give to all metadata of the imaging together."""


def what_is_here(
    classes: Sequence[tuple[str, int]], *, images: int, unlabelled: int, rejected: int, pending: int, featurized: int
) -> list[Statement]:
    """How many images, of what, and how far they are."""
    text = f"{_count(images, 'micrograph')}"
    if classes:
        told = ", ".join(f"{name} {number:,}" for name, number in classes[:_MOST_CLASSES])
        more = f" and {len(classes) - _MOST_CLASSES} more" if len(classes) > _MOST_CLASSES else ""
        text += f" in {_count(len(classes), 'class', 'classes')}: {told}{more}"
        text += f"; {unlabelled:,} without a label" if unlabelled else ""
    else:
        text += " without labels: no score, no confusion and no audit without them (index --labels)"
    found = [Statement("note", text + ".")]
    if featurized + rejected == images and featurized:
        told = f"{rejected:,} were rejected" if rejected else "none was rejected"
        found.append(Statement("fine" if not rejected else "note", f"All have been seen by the network; {told}."))
    elif featurized:
        text = (
            f"{featurized:,} have features, {rejected:,} were rejected, {pending:,} are pending: run featurize again."
        )
        found.append(Statement("warning", text))
    else:
        found.append(Statement("warning", f"None has features yet ({rejected:,} rejected): run featurize."))
    return found


def how_well(question: Question) -> list[Statement]:
    """The best feature sets, what cannot be told from them, and what the score is worth."""
    found = []
    for protocol in question.protocols:
        found.append(_best(question, protocol))
        found.append(_beside_metadata(question, protocol))
    if question.protocols == ["image"]:
        found.append(
            Statement(
                "warning",
                "There is no score by group: it is not known which images are of one piece, or pieces are too few. By"
                " image, pictures of one piece may be in training and test, and the score may be the recognition of"
                " pieces.",
            )
        )
    if question.protocols == ["image", "group"]:
        found.append(_gap(question))
    return found


def _best(question: Question, protocol: Protocol) -> Statement:
    best, ranked = question.best(protocol), question.ranked()[protocol]
    sd = "" if np.isnan(best["sd"]) else f" ± {best['sd']:.3f}"
    alike = [one.name for one in ranked[1:] if not one.distinguishable]
    text = (
        f"Folds by {protocol}: best is {ranked[0].name}, {question.score_name} {best['mean']:.3f}{sd}"
        f" ({'always the mean' if question.is_regression else 'always the largest class'}: {best['majority']:.3f})."
    )
    if len(ranked) == 1:
        return Statement("note", text + " No other feature set was evaluated on the same folds.")
    if not alike:
        return Statement("note", f"{text} It is distinguishable from all {len(ranked) - 1} others.")
    names = ", ".join(alike[:_FEW]) + (f" and {len(alike) - _FEW} more" if len(alike) > _FEW else "")
    return Statement("note", f"{text} Not distinguishable from it: {names} ({len(alike)} of {len(ranked) - 1}).")


def _beside_metadata(question: Question, protocol: Protocol) -> Statement:
    if question.is_regression:
        return Statement("note", f"Folds by {protocol}: there is no metadata baseline for numbers.")
    name, score = question.metadata(protocol)
    if not name:
        return Statement(
            "note",
            f"Folds by {protocol}: there is no metadata baseline. Nothing that is known of how the images were taken"
            " differs between them, or it was not computed.",
        )
    best = question.best(protocol)
    what = _words(name)
    share = (score - best["majority"]) / max(1 - best["majority"], 1e-9)
    beside = f"{score:.3f} by {protocol} without a look at a pixel, the best feature set {best['mean']:.3f}"
    if score >= best["mean"] - ALIKE and share >= SOME:
        return Statement("problem", f"This score can be had from {what} alone: {beside}. It is no evidence of texture.")
    if share >= MOST:
        return Statement("problem", f"Most of this score can be had from {what} alone: {beside}.")
    if share >= SOME:
        return Statement("warning", f"Part of this score can be had from {what} alone: {beside}.")
    return Statement("fine", f"Metadata alone do not reach this score: the best is {what}, {beside}.")


def _gap(question: Question) -> Statement:
    scores = question.scores.set_index(["encoder", "layer", "protocol"])["mean"].unstack()
    gap = float((scores["image"] - scores["group"]).mean())
    if np.isnan(gap):
        return Statement("note", "No feature set has scores by image and by group.")
    if gap < ALIKE:
        return Statement("fine", f"By group, scores are about as good as by image (mean difference {gap:+.3f}).")
    return Statement(
        "warning",
        f"By group, scores are {gap:.3f} lower on average than by image: part of the score by image is the recognition"
        " of pieces. Believe the score by group for a new piece.",
    )


def _words(name: str) -> str:
    if name == TOGETHER:
        return "what is known of the imaging"
    if name.lower().startswith(("um_per_px", "magnification", "mag", "pixel_size")):
        return f"the magnification ({name})"
    return name


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
