"""TESCAN: tag 50431, where key=value lines follow some binary, or the .hdr file beside the picture, with the sections
[MAIN] and [SEM]. All in SI units."""

from texture_store.micrograph.instruments.record import Vendor
from texture_store.micrograph.instruments.values import count, positive, sections, word, words

TAG = 50431


def read_tescan(text: str, height: int) -> Vendor | None:
    """Metadata of a picture of `height` rows; None when the text is of another kind."""
    values: dict[str, str] = {}
    for section in sections(text).values():
        for key, value in section.items():
            values.setdefault(_last_word(key), value)
    if "PixelSizeX" not in values or not {"ImageStripSize", "Device", "AccFrames", "HV", "WD"} & values.keys():
        return None
    um_x = positive(values["PixelSizeX"], 1e6)
    strip = count(values.get("ImageStripSize"))
    return Vendor(
        vendor="TESCAN",
        um_per_px_x=um_x,
        um_per_px_y=positive(values.get("PixelSizeY"), 1e6) or um_x,
        magnification=positive(values.get("Magnification")),
        detector=word(values.get("Detector")) or word(values.get("Detector0")),
        acceleration_voltage_kv=positive(values.get("HV"), 1e-3) or positive(values.get("AcceleratorVoltage"), 1e-3),
        working_distance_mm=positive(values.get("WD"), 1e3),
        acquired=words(values.get("Date"), values.get("Time")),
        databar_rows=strip if strip is not None and strip < height else None,
    )


def _last_word(key: str) -> str:
    """The key without the binary that comes before the first one."""
    end = len(key)
    while end and (key[end - 1].isascii() and key[end - 1].isalnum()):
        end -= 1
    return key[end:]
