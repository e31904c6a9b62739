from io import BytesIO

import numpy as np
import pytest
import tifffile
from PIL import Image

from texture_store.synthetic import DISTRIBUTIONS, powder, to_tiff


@pytest.mark.parametrize("databar", [False, True])
def test_the_file_carries_pixels_scale_and_databar_height(databar: bool) -> None:
    micrograph = powder(DISTRIBUTIONS[0], seed=2, size=128, databar=databar)
    data = to_tiff(micrograph)
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(data))), micrograph.pixels)
    with tifffile.TiffFile(BytesIO(data)) as file:
        fei = file.fei_metadata
    assert fei is not None
    assert fei["Scan"]["PixelWidth"] * 1e6 == pytest.approx(micrograph.um_per_px)
    assert fei["EBeam"]["HFW"] * 1e6 == pytest.approx(128 * micrograph.um_per_px)
    assert fei["Image"]["ResolutionY"] + fei["PrivateFei"]["DatabarHeight"] == micrograph.pixels.shape[0]
    assert fei["Image"]["ResolutionY"] == 128


def test_the_same_powder_gives_the_same_file() -> None:
    first, second = (to_tiff(powder(DISTRIBUTIONS[1], seed=2, size=64)) for _ in range(2))
    assert first == second


def test_nothing_in_the_file_gives_the_distribution_away() -> None:
    micrograph = powder(DISTRIBUTIONS[1], seed=2, size=64, databar=True)
    assert micrograph.distribution.family.encode() not in to_tiff(micrograph)
