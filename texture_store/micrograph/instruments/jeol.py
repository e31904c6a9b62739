"""JEOL: a .txt file beside the picture, lines `$CM_KEY value` and `$$SM_KEY value`."""

from texture_store.micrograph.instruments.record import Vendor
from texture_store.micrograph.instruments.values import UM, count, positive, quantity, word, words


def read_jeol(text: str, width: int, height: int) -> Vendor | None:
    """Metadata of a picture of width x height px; None when the text is of another kind.

    The scale is the length of the micron marker over its pixels. $CM_FULL_SIZE is the picture without the databar.
    """
    values: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.strip().partition(" ")
        if key.startswith("$"):
            values.setdefault(key.lstrip("$"), value.strip())
    if not any(key.startswith("CM_") for key in values):
        return None
    marker, bar = quantity(values.get("SM_MICRON_MARKER"), UM), positive(values.get("SM_MICRON_BAR"))
    um = marker / bar if marker and bar else None
    full_width, full_height = (count(part) for part in [*values.get("CM_FULL_SIZE", "").split(), "", ""][:2])
    has_rows = full_width == width and full_height is not None and 0 < full_height <= height
    return Vendor(
        vendor="JEOL",
        um_per_px_x=um,
        um_per_px_y=um,
        magnification=positive(values.get("CM_MAG")),
        detector=word(values.get("CM_SIGNAL_NAME")) or word(values.get("CM_SIGNAL")),
        acceleration_voltage_kv=positive(values.get("CM_ACCEL_VOLT")),
        working_distance_mm=positive(values.get("SM_WD")),
        acquired=words(values.get("CM_DATE"), values.get("CM_TIME")),
        databar_rows=height - full_height if has_rows and full_height is not None else None,
    )
