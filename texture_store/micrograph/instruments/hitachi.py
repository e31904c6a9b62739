"""Hitachi: a .txt file beside the picture with a section [SemImageFile], some in UTF-16."""

from texture_store.micrograph.instruments.record import Vendor
from texture_store.micrograph.instruments.values import KV, MM, UM, count, positive, quantity, sections, word, words


def read_hitachi(text: str, width: int, height: int) -> Vendor | None:
    """Metadata of a picture of width x height px; None when the text is of another kind.

    PixelSize is in nm. DataSize is the picture without what was added below it.
    """
    values = sections(text).get("SemImageFile")
    if values is None:
        return None
    um = quantity(values.get("PixelSize"), UM, "nm")
    columns, _, rows = values.get("DataSize", "").lower().partition("x")
    picture = count(rows)
    has_rows = count(columns) == width and picture is not None and 0 < picture <= height
    return Vendor(
        vendor="Hitachi",
        um_per_px_x=um,
        um_per_px_y=um,
        magnification=positive(values.get("Magnification")),
        detector=word(values.get("SignalName")),
        acceleration_voltage_kv=quantity(values.get("AcceleratingVoltage"), KV, "v"),
        working_distance_mm=quantity(values.get("WorkingDistance"), MM, "um"),
        acquired=words(values.get("Date"), values.get("Time")),
        databar_rows=height - picture if has_rows and picture is not None else None,
    )
