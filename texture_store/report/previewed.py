"""What a preview shows of a few micrographs, and what a scientist should know before featurizing all of them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from texture_store.spec import MIN_SIDE_PX

_DISTORTED = 1.02
"""Ratio of the two axes' scales from which a picture counts as distorted."""
_MIXED_SCALES = 1.1
_FEW = 6


@dataclass(frozen=True)
class Previewed:
    """One micrograph of a preview."""

    path: str
    label: str | None
    whole: np.ndarray | None
    """(H, W) uint8: the file's whole picture, databar included, perhaps smaller; None when it cannot be read."""
    seen: np.ndarray | None
    """(h, w) uint8: what the network receives; None for a rejected image."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Columns of schemas.MICROGRAPHS; empty for a rejected image."""
    reason: str | None = None
    """Why nothing of it is seen."""


@dataclass(frozen=True)
class Overview:
    """All previewed micrographs together."""

    counts: dict[str, list[tuple[str, int]]]
    """Title -> (value, images), most frequent first."""
    findings: list[str]
    """What to look at before a long run, one sentence each."""


def frame(facts: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) in file px of what the network sees: all that is kept, or its centre crop."""
    width = facts["px_per_px_x"] * facts["seen_width"]
    height = facts["px_per_px_y"] * facts["seen_height"]
    left, top = (facts["width"] - width) / 2, (kept_rows(facts) - height) / 2
    return left, top, left + width, top + height


def kept_rows(facts: Mapping[str, Any]) -> int:
    """Rows of the file that are left after the databar is cut."""
    top = facts["databar_top"]
    return int(facts["height"] if top is None else top)


def describe_databar(facts: Mapping[str, Any]) -> str:
    """Such as `bottom, 38 rows cut (7.3 %)`."""
    cut = facts["height"] - kept_rows(facts)
    if facts["databar_method"] == "none":
        return "none"
    return f"{facts['databar_method']}, {cut} rows cut ({cut / facts['height']:.1%})".replace("%", " %")


def describe_scale(x: float | None, y: float | None) -> str:
    """Um per px, such as `0.0388`, or `0.0388 x 0.0517` where the axes differ; `scale unknown`."""
    if x is None or y is None:
        return "scale unknown"
    return f"{x:.3g}" if abs(x / y - 1) < 0.005 else f"{x:.3g} x {y:.3g}"


def warnings_of(facts: Mapping[str, Any]) -> list[str]:
    """What is special about one picture."""
    found = []
    if facts["low_range"]:
        found.append("uses under 1/8 of its grey range")
    if facts["enlarged"]:
        found.append(f"enlarged ({facts['px_per_px_x']:.2f} x {facts['px_per_px_y']:.2f} file px per px)")
    ratio = facts["px_per_px_x"] / facts["px_per_px_y"]
    if max(ratio, 1 / ratio) > _DISTORTED:
        found.append(f"squeezed {max(ratio, 1 / ratio):.2f}x {'across' if ratio > 1 else 'in height'}")
    if facts["has_marks"]:
        found.append("marks drawn inside the picture")
    return found + [str(note) for note in facts["notes"]]  # colour has a note of its own


def overview(images: Sequence[Previewed], total: int) -> Overview:
    """Counts and findings of the previewed images, out of `total` in the dataset."""
    read = [image.facts for image in images if image.seen is not None]
    counts = {
        "databar": _count(facts["databar_method"] for facts in read),
        "picture size, databar cut (px)": _count(f"{facts['width']} x {kept_rows(facts)}" for facts in read),
        "um per px in the file": _count(
            describe_scale(facts["file_um_per_px_x"], facts["file_um_per_px_y"]) for facts in read
        ),
        "seen size (px)": _count(f"{facts['seen_width']} x {facts['seen_height']}" for facts in read),
        "format": _count(f"{facts['file_format']}, {facts['bit_depth']} bit" for facts in read),
        "vendor": _count(facts["vendor"] or "unknown" for facts in read),
    }
    rejected = [image for image in images if image.seen is None]
    findings = []
    if rejected:
        findings.append(
            f"{len(rejected)} of {len(images)} cannot be used; of all {total:,} images that would be about "
            f"{round(total * len(rejected) / len(images)):,}."
        )
    return Overview(counts, findings + _findings(read))


def _findings(read: Sequence[Mapping[str, Any]]) -> list[str]:
    if not read:
        return []
    findings = []
    with_bar = sum(facts["databar_method"] != "none" for facts in read)
    if 0 < with_bar < len(read):
        findings.append(
            f"A databar is cut from {with_bar} of {len(read)}. Look at the others: a bar that stays becomes texture."
        )
    scales = [facts["um_per_px_x"] for facts in read if facts["um_per_px_x"]]
    if len(scales) < len(read):
        findings.append(f"The scale of {len(read) - len(scales)} of {len(read)} is not in the file.")
    if scales and max(scales) > _MIXED_SCALES * min(scales):
        findings.append(
            f"Scales differ: {min(scales):.3g} to {max(scales):.3g} um per px as seen. Features then tell "
            "magnifications apart before they tell materials apart; --um-per-px brings all to one scale."
        )
    sizes = {(facts["seen_width"], facts["seen_height"]) for facts in read}
    if len(sizes) > 1:
        findings.append(f"{len(sizes)} sizes are seen: sums over positions are not comparable, means are.")
    findings += [
        f"{number} of {len(read)} {what}."
        for what, number in (
            ("use under 1/8 of their grey range", sum(facts["low_range"] for facts in read)),
            ("are enlarged: a smaller --size invents no pixels", sum(facts["enlarged"] for facts in read)),
            ("have marks drawn inside the picture, which are not cut", sum(facts["has_marks"] for facts in read)),
            ("are in colour: their grey is seen", sum(facts["is_colour"] for facts in read)),
            ("are distorted; --fit crop keeps angles", sum(_is_distorted(facts) for facts in read)),
        )
        if number
    ]
    if len({(facts["file_format"], facts["bit_depth"]) for facts in read}) > 1:
        findings.append("File formats or bit depths are mixed: make sure that no class goes with one of them.")
    if min(min(facts["seen_width"], facts["seen_height"]) for facts in read) < 2 * MIN_SIDE_PX:
        findings.append(f"Some are seen in under {2 * MIN_SIDE_PX} px: conv5_3 then has few positions.")
    return findings


def _is_distorted(facts: Mapping[str, Any]) -> bool:
    ratio = facts["px_per_px_x"] / facts["px_per_px_y"]
    return bool(max(ratio, 1 / ratio) > _DISTORTED)


def _count(values: Iterable[Any]) -> list[tuple[str, int]]:
    """The most frequent values, the others as one line."""
    ranked = sorted(Counter(str(value) for value in values).items(), key=lambda item: (-item[1], item[0]))
    if len(ranked) <= _FEW:
        return ranked
    others = ranked[_FEW - 1 :]
    return [*ranked[: _FEW - 1], (f"{len(others)} others", sum(number for _, number in others))]
