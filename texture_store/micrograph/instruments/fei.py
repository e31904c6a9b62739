"""FEI and Thermo Fisher: tags 34680 (SFEG), 34682 (Helios) and 34683 (Titan, and Phenom's XML).

Sections of key=value in SI units; newer software appends XML and repeats sections, which breaks common INI readers.
"""

import re

from texture_store.micrograph.instruments.record import Vendor
from texture_store.micrograph.instruments.values import UM, Sections, count, positive, quantity, sections, word, words

TAGS = (34682, 34680, 34683)


def read_fei(text: str, height: int) -> Vendor | None:
    """Metadata of a picture of `height` rows; None when the text is of another kind."""
    found = sections(text)
    if "Scan" not in found and "Image" not in found:
        return _read_phenom(text, height) if "<pixelWidth" in text else None
    image, scan = found.get("Image", {}), found.get("Scan", {})
    beam = _beam(found)
    um_x = positive(scan.get("PixelWidth"), 1e6) or _field_share(beam, "HFW", image.get("ResolutionX"))
    um_y = positive(scan.get("PixelHeight"), 1e6) or _field_share(beam, "VFW", image.get("ResolutionY")) or um_x
    field = positive(scan.get("HorFieldsize")) or positive(beam.get("HFW"))
    canvas = positive(image.get("MagCanvasRealWidth"))
    detectors, user = found.get("Detectors", {}), found.get("User", {})
    return Vendor(
        vendor="FEI",
        um_per_px_x=um_x,
        um_per_px_y=um_y,
        magnification=canvas / field if canvas and field else None,
        detector=words(detectors.get("Name"), detectors.get("Mode")),
        acceleration_voltage_kv=positive(found.get("Beam", {}).get("HV"), 1e-3) or positive(beam.get("HV"), 1e-3),
        working_distance_mm=positive(beam.get("WD"), 1e3)
        or positive(found.get("Stage", {}).get("WorkingDistance"), 1e3),
        acquired=words(user.get("Date"), user.get("Time")),
        databar_rows=_databar_rows(height, image.get("ResolutionY"), found.get("PrivateFei", {}).get("DatabarHeight")),
    )


def _beam(found: Sections) -> dict[str, str]:
    """The section of the beam that made the picture."""
    named = found.get("Beam", {}).get("Beam", "")
    for name in (named, "EBeam", "IRBeam", "IBeam"):
        if found.get(name):
            return found[name]
    return {}


def _field_share(beam: dict[str, str], key: str, num_pixels: str | None) -> float | None:
    """Field width in m over the pixels along it, in um."""
    field, pixels = positive(beam.get(key)), count(num_pixels)
    return field / pixels * 1e6 if field and pixels else None


def _databar_rows(height: int, picture_rows: str | None, databar_rows: str | None) -> int | None:
    """Believed only when picture and databar make up the whole file: other programs crop and keep the tags."""
    rows, picture = count(databar_rows), count(picture_rows)
    return rows if rows is not None and picture is not None and picture + rows == height else None


def _read_phenom(text: str, height: int) -> Vendor:
    """Phenom desktop instruments: a flat XML document, read as text because its tags are all that is needed."""

    def value(name: str) -> tuple[str, str]:
        match = re.search(rf"<{name}(?:\s+unit=\"([^\"<>]{{0,8}})\")?\s*>([^<>]{{0,200}})</{name}>", text)
        return (match[2], match[1] or "") if match else ("", "")

    def size(name: str) -> float | None:
        return quantity(" ".join(value(name)), UM, "um")

    databar = count(value("databarHeight")[0])
    um_x = size("pixelWidth")
    return Vendor(
        vendor="FEI",
        um_per_px_x=um_x,
        um_per_px_y=size("pixelHeight") or um_x,
        detector=word(value("detector")[0]),
        acquired=word(value("time")[0]),
        databar_rows=databar if databar is not None and databar < height else None,
    )
