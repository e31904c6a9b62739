"""The strip with the instrument's settings under a picture."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

DATABAR_SHARE = 0.076
"""Height of the strip relative to the picture: 39 rows for 512, as on FEI instruments."""

BLACK, WHITE = 0, 255


def add_databar(pixels: npt.NDArray[np.uint8], *, um_per_px: float, sample: str) -> tuple[npt.NDArray[np.uint8], int]:
    """The picture (H, W) with a strip of settings under it, and the number of rows of that strip."""
    height, width = pixels.shape
    num_rows = max(round(height * DATABAR_SHARE), 16)
    strip = Image.new("L", (width, num_rows), BLACK)
    draw = ImageDraw.Draw(strip)
    draw.rectangle((0, 0, width - 1, num_rows - 1), outline=WHITE)
    font = ImageFont.load_default(size=max(num_rows * 0.34, 8.0))
    bar_um = _round_length(width * um_per_px / 6.0)
    bar_px = round(bar_um / um_per_px)
    right = width - num_rows // 3
    middle = num_rows // 2
    draw.rectangle((right - bar_px, middle + num_rows // 5, right, middle + num_rows // 5 + 1), fill=WHITE)
    draw.text((right - bar_px // 2, middle - num_rows // 8), f"{bar_um:g} um", WHITE, font, anchor="mm")
    settings = f"15.0 kV   ETD   10.2 mm   HFW {width * um_per_px:.0f} um   {sample}"
    room = right - bar_px - num_rows // 2
    while draw.textlength(settings, font) > room and "   " in settings:
        settings = settings.rpartition("   ")[0]
    draw.text((num_rows // 3, middle), settings, WHITE, font, anchor="lm")
    return np.concatenate([pixels, np.asarray(strip)]), num_rows


def _round_length(length_um: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not longer."""
    power = 10.0 ** np.floor(np.log10(length_um))
    return float(max(step * power for step in (1, 2, 5) if step * power <= length_um))
