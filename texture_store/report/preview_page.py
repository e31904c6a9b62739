"""The preview as one HTML file that needs nothing else."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import jinja2

from texture_store.report.previewed import (
    Overview,
    Previewed,
    describe_databar,
    describe_scale,
    frame,
    kept_rows,
    warnings_of,
)
from texture_store.report.thumbnail import data_uri, thumbnail

_PICTURE_PX = 360


def preview_page(images: Sequence[Previewed], summary: Overview, *, title: str, settings: str) -> str:
    """The page as HTML. All text is escaped; pictures are inside; there is no script."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(files(__package__).joinpath("preview_page.html").read_text("utf-8"))
    return template.render(
        title=title,
        settings=settings,
        summary=summary,
        images=[_shown(number, image) for number, image in enumerate(images, start=1)],
    )


def _shown(number: int, image: Previewed) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "number": number,
        "path": _plain(image.path),
        "label": None if image.label is None else _plain(image.label),
        "reason": None if image.reason is None else _plain(image.reason),
        "whole": None if image.whole is None else data_uri(thumbnail(image.whole, _PICTURE_PX, _PICTURE_PX)),
        "seen": None,
        "boxes": [],
        "warnings": [],
    }
    if image.seen is None:
        return shown
    facts = image.facts
    return shown | {
        "seen": data_uri(thumbnail(image.seen, _PICTURE_PX, _PICTURE_PX)),
        "boxes": _boxes(image),
        "warnings": [_plain(warning) for warning in warnings_of(facts)],
        "databar": describe_databar(facts),
        "file_size": f"{facts['width']} x {facts['height']}",
        "seen_size": f"{facts['seen_width']} x {facts['seen_height']}",
        "px_per_px": f"{facts['px_per_px_x']:.2f} x {facts['px_per_px_y']:.2f}",
        "format": f"{facts['file_format']}, {facts['bit_depth']} bit",
        "grey_range": f"{facts['grey_min']:g} to {facts['grey_max']:g}",
        "seen_grey": f"{facts['grey_mean']:.0f} ± {facts['grey_std']:.0f}",
        "file_scale": describe_scale(facts["file_um_per_px_x"], facts["file_um_per_px_y"]),
        "seen_scale": describe_scale(facts["um_per_px_x"], facts["um_per_px_y"]),
        "instrument": _instrument(facts),
    }


def _instrument(facts: Any) -> str:
    parts = [facts["vendor"], facts["detector"]]
    if facts["magnification"] is not None:
        parts.append(f"{facts['magnification']:g}x")
    if facts["acceleration_voltage_kv"] is not None:
        parts.append(f"{facts['acceleration_voltage_kv']:g} kV")
    if facts["working_distance_mm"] is not None:
        parts.append(f"WD {facts['working_distance_mm']:.3g} mm")
    return _plain(", ".join(str(part) for part in parts if part)) or "unknown"


def _boxes(image: Previewed) -> list[dict[str, Any]]:
    """Boxes over the whole picture, in per cent of it."""
    facts = image.facts
    width, height = facts["width"], facts["height"]

    def box(kind: str, left: float, top: float, right: float, bottom: float) -> dict[str, Any]:
        return {
            "kind": kind,
            "left": round(100 * left / width, 3),
            "top": round(100 * top / height, 3),
            "width": round(100 * (right - left) / width, 3),
            "height": round(100 * (bottom - top) / height, 3),
        }

    boxes = []
    if facts["databar_top"] is not None:
        boxes.append(box("cut", 0, kept_rows(facts), width, height))
        ends = (facts["databar_left"], facts["databar_top"], facts["databar_right"], facts["databar_bottom"])
        boxes.append(box("bar", *ends))
    left, top, right, bottom = frame(facts)
    if left >= 1 or top >= 1:
        boxes.append(box("crop", left, top, right, bottom))
    return boxes


def _plain(text: str) -> str:
    """Control characters (also those that turn the direction of writing) as `?`."""
    return "".join(c if c.isprintable() else "?" for c in text)
