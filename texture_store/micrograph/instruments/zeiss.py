"""Zeiss SmartSEM: tag 34118 (CZ_SEM). Bare numbers in SI units, then pairs of lines `KEY`, `Name = value`."""

import re

from texture_store.micrograph.instruments.record import Vendor
from texture_store.micrograph.instruments.values import KV, MM, UM, positive, quantity, word, words

TAG = 34118
_KEY = re.compile(r"[A-Z]{2}_[A-Z0-9_]{1,60}")
_SCREEN_WIDTH = 1024
"""SmartSEM's own screen: sizes for the screen belong to a picture of this width."""


def read_zeiss(text: str, width: int) -> Vendor | None:
    """Metadata of a picture of `width` columns; None when the text is of another kind. The data zone is painted inside
    the picture, so no rows are known."""
    lines = [line.strip() for line in text.splitlines()]
    first = next((i for i, line in enumerate(lines) if _KEY.fullmatch(line)), None)
    if first is None:
        return None
    values: dict[str, str] = {}
    for key, line in zip(lines[first:], lines[first + 1 :], strict=False):
        if _KEY.fullmatch(key):
            name, separator, value = line.partition("=" if "=" in line else ":")
            values.setdefault(key, value.strip() if separator else name)
    um = _um_per_px(values, lines[:first], width)
    return Vendor(
        vendor="Zeiss",
        um_per_px_x=um,
        um_per_px_y=um,
        magnification=_magnification(values.get("AP_MAG")),
        detector=word(values.get("DP_DETECTOR_CHANNEL")) or word(values.get("DP_DETECTOR_TYPE")),
        acceleration_voltage_kv=quantity(values.get("AP_ACTUALKV"), KV) or quantity(values.get("AP_MANUALKV"), KV),
        working_distance_mm=quantity(values.get("AP_WD"), MM),
        acquired=words(values.get("AP_DATE"), values.get("AP_TIME")),
    )


def _um_per_px(values: dict[str, str], unnamed: list[str], width: int) -> float | None:
    """AP_IMAGE_PIXEL_SIZE is that of the picture. AP_PIXEL_SIZE is that of the screen, 2x off for 2048 columns, as is
    the fourth bare number, in m, which old files have instead."""
    if um := quantity(values.get("AP_IMAGE_PIXEL_SIZE"), UM):
        return um
    on_screen = quantity(values.get("AP_PIXEL_SIZE"), UM)
    if on_screen is None and len(unnamed) > 3:
        on_screen = positive(unnamed[3], 1e6)
    return on_screen * _SCREEN_WIDTH / width if on_screen and width > 0 else None


def _magnification(text: str | None) -> float | None:
    """`5.00 K X`, `100 X`, `1.2 M X`."""
    factor = re.search(r"[\d.,]\s*([KkM])\b", text or "")
    return positive(text, {"K": 1e3, "M": 1e6}[factor[1].upper()] if factor else 1.0)
