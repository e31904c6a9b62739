"""A powder as a TIFF file with the metadata that a Thermo Fisher (FEI) instrument would write."""

from io import BytesIO

import numpy as np
import tifffile

from texture_store.synthetic.powder import PowderMicrograph

HELIOS_TAG = 34682
"""TIFF tag that holds FEI's metadata as an INI text (tifffile: FEI_HELIOS)."""

TIFF_ASCII = 2


def to_tiff(micrograph: PowderMicrograph) -> bytes:
    """The bytes of an uncompressed 8-bit grey TIFF; the same bytes for the same micrograph.

    Pixel size and height of the databar are where FEI instruments put them, so that the picture's true scale is known
    and the databar is cut exactly: file height = [Image]ResolutionY + [PrivateFei]DatabarHeight.
    """
    file = BytesIO()
    tifffile.imwrite(
        file,
        np.ascontiguousarray(micrograph.pixels),
        photometric="minisblack",
        metadata=None,
        software="texture_store synthetic powder",
        extratags=[(HELIOS_TAG, TIFF_ASCII, 0, _fei_text(micrograph), True)],
    )
    return file.getvalue()


def _fei_text(micrograph: PowderMicrograph) -> str:
    pixel_m = micrograph.um_per_px * 1e-6
    rows, columns = micrograph.pixels.shape
    sections: dict[str, dict[str, object]] = {
        "User": {"UserText": f"synthetic powder, seed {micrograph.seed}"},
        "System": {"Type": "SEM", "Software": "texture_store"},
        "Beam": {"HV": 15000, "Beam": "EBeam"},
        "EBeam": {"HFW": f"{columns * pixel_m:.6e}", "WD": "0.0102", "HV": 15000},
        "Scan": {"PixelWidth": f"{pixel_m:.6e}", "PixelHeight": f"{pixel_m:.6e}"},
        "Image": {"ResolutionX": columns, "ResolutionY": rows - micrograph.databar_rows},
        "Detectors": {"Number": 1, "Name": "ETD", "Mode": "SE"},
        "PrivateFei": {"DatabarHeight": micrograph.databar_rows},
    }
    blocks = (
        f"[{name}]\r\n" + "".join(f"{key}={value}\r\n" for key, value in entries.items())
        for name, entries in sections.items()
    )
    return "\r\n".join(blocks)
