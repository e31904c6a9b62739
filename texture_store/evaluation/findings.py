"""What an audit says in plain words: one verdict for each thing that was looked at, with its number."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from texture_store.evaluation.columns import Column, unknown
from texture_store.evaluation.duplicates import Rows, crossing
from texture_store.evaluation.folds import classes_in_one_group
from texture_store.evaluation.missing import missing

Verdict = Literal["problem", "warning", "fine", "note"]
"""problem: a score would not mean what it seems to mean. warning: look at it. fine: looked at, nothing found. note: to
know."""

Labels = npt.NDArray[np.str_]

MOST = 0.5
SOME = 0.15
"""Share of the way from guessing to a perfect score that metadata go alone, from which it is a problem or a warning."""
UNBALANCED = 10
"""Ratio of the largest class to the smallest."""
FEW = 3


@dataclass(frozen=True)
class Finding:
    """One verdict."""

    code: str
    verdict: Verdict
    number: float
    """What was measured: a count, a share or a score; `text` says which."""
    text: str
    """One or two sentences."""


@dataclass(frozen=True)
class FieldScore:
    """What a metadata field reaches: weighted F1, mean over trials, by protocol (`image`, `group`)."""

    name: str
    kind: Literal["imaging", "picture", "other", "together", "everything"]
    """imaging: how the image was taken and stored. picture: of its grey values. other: what else is known of the piece.
    together: all of the imaging. everything: these and the other ones."""
    f1_weighted: Mapping[str, float]


def balance(labels: Labels, majority_f1: float) -> Finding:
    """The classes, and what always naming the largest one scores."""
    counts = Counter(str(label) for label in labels).most_common()
    (largest, most), (smallest, least) = counts[0], counts[-1]
    classes = ", ".join(f"{name} {number}" for name, number in counts[:10])
    classes += f" and {len(counts) - 10} more" if len(counts) > 10 else ""
    return Finding(
        "class balance",
        "warning" if most >= UNBALANCED * least else "fine",
        most / len(labels),
        f"{len(labels):,} images in {len(counts)} classes: {classes}. Always saying {largest!r} is right for"
        f" {most / len(labels):.0%} and has weighted F1 {majority_f1:.3f}."
        + (f" {smallest!r} is rare: look at macro F1 too." if most >= UNBALANCED * least else ""),
    )


def unlabelled(number: int, total: int) -> Finding | None:
    """Images without a label."""
    if not number:
        return None
    return Finding("missing labels", "note", number, f"{number:,} of {total:,} images have no label: left out.")


def metadata_alone(field: FieldScore, floors: Mapping[str, float]) -> Finding | None:
    """How far one field goes alone, or all of them together; None where it is nothing to speak of.

    floors: by protocol the better of the majority and the shuffled-label baseline. The judgement is by the protocol in
    which it goes farthest.
    """
    shares = {
        protocol: (score - floors[protocol]) / max(1 - floors[protocol], 1e-9)
        for protocol, score in field.f1_weighted.items()
    }
    protocol = max(shares, key=lambda name: shares[name])
    share, score = shares[protocol], field.f1_weighted[protocol]
    if share < SOME:
        return None
    reached = " and ".join(f"{value:.3f} by {name}" for name, value in field.f1_weighted.items())
    what, code = {
        "together": ("All about the imaging together predicts", "metadata together"),
        "everything": ("All columns together predict", "all columns together"),
    }.get(field.kind, (f"{field.name} alone predicts", f"metadata: {field.name}"))
    return Finding(
        code,
        "problem" if share >= MOST and field.kind in ("imaging", "together") else "warning",
        score,
        f"{what} the label with weighted F1 {reached}, no texture seen ({floors[protocol]:.3f} by guessing)."
        f" {_consequence(field, score)}",
    )


def no_metadata_predicts(names: Sequence[str], best: float) -> Finding:
    """Nothing was found by `metadata_alone`."""
    return Finding(
        "metadata", "fine", best, f"None of {', '.join(names)} predicts the label: the best has weighted F1 {best:.3f}."
    )


def single_class_groups(labels: Labels, groups: npt.NDArray[Any], name: str) -> list[Finding]:
    """Groups and labels (n,): do groups hold one class, do classes live in one group, are they the same thing?

    Images without a group do not count.
    """
    grouped = ~missing(groups)
    found = [_missing_groups(int((~grouped).sum()), len(groups), name)] if not grouped.all() else []
    if not grouped.any():
        return found
    own, texts = labels[grouped], groups[grouped].astype(np.str_)
    names, sizes = np.unique(texts, return_counts=True)
    pure = sum(len(np.unique(own[texts == group])) == 1 for group in names)
    alone = classes_in_one_group(own, texts)
    if coincides(labels, groups):
        return [*found, coincidence(labels, groups, name)]
    if alone:
        found.append(
            Finding(
                "class in one group",
                "problem",
                len(alone),
                f"{len(alone)} of {len(np.unique(own))} classes live in one {name} only ({_some(alone)}): whether they"
                " would be recognised in another one cannot be tested.",
            )
        )
    found.append(
        Finding(
            "groups of one class",
            "warning" if pure == len(names) else "note",
            int(pure),
            f"{pure} of {len(names)} groups ({name}, median {np.median(sizes):g} images) hold one class only."
            + (
                " The label never changes within a group, so folds over images tell groups apart: believe the score by"
                " group."
                if pure == len(names)
                else " By image, a classifier may recognise the group instead of the class: believe the score by group."
            ),
        )
    )
    return found


def coincides(labels: Labels, groups: npt.NDArray[Any]) -> bool:
    """Whether label and group (n,) are two names of one thing: one group a class, one class a group, none missing."""
    grouped = ~missing(groups)
    pairs = {(str(label), str(group)) for label, group in zip(labels[grouped], groups[grouped], strict=True)}
    classes, pieces = {label for label, _ in pairs}, {group for _, group in pairs}
    return bool(pairs) and bool(grouped.all()) and len(pairs) == len(classes) == len(pieces)


def coincidence(labels: Labels, groups: npt.NDArray[Any], name: str) -> Finding:
    """What follows when label and group coincide."""
    number, pieces = len(np.unique(labels)), len(np.unique(groups.astype(np.str_)))
    return Finding(
        "label is the group",
        "problem",
        number,
        f"The label and {name} coincide: {number} classes, {pieces} pieces, one each. No"
        f" split can support a claim about new pieces; a score says how well images of these {number} pieces are told"
        " apart, whatever makes them differ.",
    )


def proposed_groups(candidates: Mapping[str, Column], labels: Labels) -> list[Finding]:
    """Columns (n,) that look like names of pieces; one that is the label by another name is said."""
    found = [coincidence(labels, column, name) for name, column in candidates.items() if coincides(labels, column)][:1]
    proposals = []
    for name, column in candidates.items():
        known = column[~unknown(column)]
        if not coincides(labels, column):
            proposals.append(f"{name} ({len(set(known.tolist()))} values, {len(known) / len(labels):.0%} of images)")
    if proposals:
        found.append(
            Finding(
                "group columns",
                "note",
                len(proposals),
                f"Name pieces rather than properties, so not used as predictors: {', '.join(proposals)}. Images of one"
                " piece belong into one fold: --group-column.",
            )
        )
    return found


def without_groups() -> Finding:
    """No group column at all."""
    return Finding(
        "groups",
        "warning",
        0,
        "It is not known which images are of one piece: a score by image may be the recognition of pieces. Add a column"
        " specimen to the labels file, or name one with --group-column.",
    )


def scales(um_per_px: npt.NDArray[np.float64]) -> Finding:
    """Um per px (n,), NaN where unknown."""
    known = um_per_px[np.isfinite(um_per_px)]
    absent = len(um_per_px) - len(known)
    if absent == len(um_per_px):
        return Finding("um per px", "warning", absent, f"um per px is known of none of {absent:,} images.")
    span = f"{known.min():.3g} to {known.max():.3g} um per px"
    mixed = known.max() > 1.01 * known.min()
    return Finding(
        "um per px",
        "warning" if absent or mixed else "fine",
        absent,
        f"{absent:,} of {len(um_per_px):,} images are without um per px; "
        + (f"the others span {span}, a factor {known.max() / known.min():.3g}." if mixed else f"all others: {span}."),
    )


def duplicates(
    kind: Literal["bytes", "pixels", "near"], sets: Sequence[Rows], labels: npt.NDArray[Any], groups: npt.NDArray[Any]
) -> Finding:
    """Sets of rows that are one picture; labels and groups (n,) of all rows, None where there is none."""
    name = {"bytes": "identical files", "pixels": "identical pixels", "near": "the same view (near duplicates)"}[kind]
    code = {"bytes": "duplicate files", "pixels": "duplicate pixels", "near": "near duplicates"}[kind]
    images = sum(len(rows) for rows in sets)
    if not sets:
        return Finding(code, "fine", 0, f"No two images are {name}." if kind != "near" else "No near duplicates.")
    crossings = [crossing(rows, labels, groups) for rows in sets]
    across_labels = sum(one.labels for one in crossings)
    across_groups = sum(one.groups for one in crossings)
    has_groups = not missing(groups).all()
    text = f"{images:,} images in {len(sets):,} sets are {name}: by image, copies end up in training and test."
    if across_labels:
        text += f" {across_labels:,} sets are labelled differently: at most one of the labels is right."
    if has_groups and across_groups:
        text += f" {across_groups:,} sets are of different groups: folds by group do not keep them together either."
    return Finding(code, "problem" if across_labels or (has_groups and across_groups) else "warning", images, text)


def _missing_groups(number: int, total: int, name: str) -> Finding:
    return Finding(
        "missing groups",
        "note",
        number,
        f"{number:,} of {total:,} images have no {name}: each counts as a group of its own.",
    )


def _consequence(field: FieldScore, score: float) -> str:
    if field.kind in ("other", "everything"):
        return "If it is known before the picture is taken, that is what a score of textures has to beat."
    if field.kind == "picture":
        return "It may be real microstructure, or how the picture was exposed (featurize --intensity standardize)."
    near = f"A score of textures near {score:.2f} is no evidence of texture."
    if field.name.startswith(("um_per_px", "magnification", "mag", "pixel_size")):
        return f"{near} Bring all to one scale (featurize --um-per-px), or compare within one scale."
    if field.name.startswith(("image_", "num_positions", "databar", "width", "height")):
        return f"{near} Give all images one size (featurize --size) and cut the databar."
    if field.name.startswith(("file_", "bit_", "is_colour")):
        return f"{near} Files of one class went another way: save all from the originals alike."
    return f"{near} Compare images of one setting, or take images of all classes with each."


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:FEW]) + (f" and {len(names) - FEW} more" if len(names) > FEW else "")
