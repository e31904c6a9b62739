import numpy as np
import pytest

from texture_store.synthetic.exposure import Exposure, draw_exposure, expose

SIGNAL = np.random.default_rng(1).gamma(2.0, 0.5, (128, 128)).astype(np.float32)


@pytest.mark.parametrize(("mean_grey", "contrast"), [(92.0, 52.0), (128.0, 38.0), (110.0, 45.0)])
def test_pictures_have_the_mean_and_contrast_that_were_set(mean_grey: float, contrast: float) -> None:
    exposure = Exposure(mean_grey, contrast, beam_px=0.6, electrons=200.0)
    pixels = expose(SIGNAL, exposure, np.random.default_rng(0))
    assert pixels.dtype == np.uint8
    assert abs(pixels.mean() - mean_grey) < 1.0
    assert abs(pixels.std() - contrast) < 1.0


def test_fewer_electrons_mean_more_noise() -> None:
    flat = np.linspace(0.5, 1.5, 128, dtype=np.float32)[None].repeat(128, axis=0)

    def noise(electrons: float) -> float:
        """Standard deviation along a column, where the signal is constant, relative to the contrast."""
        exposure = Exposure(110.0, 40.0, beam_px=0.6, electrons=electrons)
        pixels = expose(flat, exposure, np.random.default_rng(0))
        return float(pixels[:, 40:90].std(axis=0).mean())

    # With contrast c set, noise = c sqrt(s / electrons) / sqrt(var(s) + s / electrons), s about 1, var(s) = 1 / 12.
    for electrons in (50.0, 200.0, 800.0):
        expected = 40.0 * np.sqrt(1 / electrons) / np.sqrt(1 / 12 + 1 / electrons)
        assert noise(electrons) == pytest.approx(expected, rel=0.1)


def test_a_wider_beam_blurs_more() -> None:
    step = np.repeat(np.array([0.5, 1.5], np.float32), 64)[None].repeat(128, axis=0)
    widths = []
    for beam_px in (0.5, 2.0):
        pixels = expose(step, Exposure(127.0, 40.0, beam_px=beam_px, electrons=1e9), np.random.default_rng(0))
        profile = pixels.mean(axis=0)
        low, high = profile[0], profile[-1]
        widths.append(np.sum((profile > low + 0.1 * (high - low)) & (profile < high - 0.1 * (high - low))))
    # A step under a Gaussian beam rises from 10 to 90 % within 2.56 standard deviations.
    assert widths[0] <= 2
    assert abs(widths[1] - 2.56 * 2.0) <= 1.2


def test_a_picture_of_nothing_is_even() -> None:
    pixels = expose(np.zeros((32, 32), np.float32), Exposure(110.0, 40.0, 0.6, 200.0), np.random.default_rng(0))
    assert (pixels == 110).all()


def test_exposures_differ_and_repeat_with_their_seed() -> None:
    first, second = (draw_exposure(np.random.default_rng(seed)) for seed in (1, 2))
    assert first != second
    assert first == draw_exposure(np.random.default_rng(1))
