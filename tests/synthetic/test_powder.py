import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from texture_store.errors import UsageError
from texture_store.synthetic import DISTRIBUTIONS, UM_PER_PX, powder


def covered(micrograph) -> np.ndarray:
    """(size, size) whether a sphere lies over the pixel's centre, from the stated positions alone."""
    centres = (np.arange(micrograph.size) + 0.5) * micrograph.um_per_px + micrograph.margin_um
    bed = micrograph.bed
    mask = np.zeros((micrograph.size, micrograph.size), bool)
    for x, y, radius in zip(bed.x_um, bed.y_um, bed.radii_um, strict=True):
        mask |= (centres[None] - x) ** 2 + (centres[:, None] - y) ** 2 < radius**2
    return mask


@pytest.mark.parametrize("distribution", DISTRIBUTIONS[::2], ids=lambda distribution: distribution.family)
def test_spheres_are_drawn_where_the_truth_says(distribution) -> None:
    micrograph = powder(distribution, seed=4, size=192)
    mask = covered(micrograph)
    bright = micrograph.pixels > np.percentile(micrograph.pixels, 100 * (1 - mask.mean()))
    agreement = np.mean(bright == mask)
    assert agreement > 0.85
    for shift in ((6, 0), (-6, 0), (0, 6), (0, -6)):
        assert np.mean(bright == np.roll(mask, shift, axis=(0, 1))) < agreement - 0.05


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, second = (powder(DISTRIBUTIONS[5], seed=7, size=96, databar=True) for _ in range(2))
    np.testing.assert_array_equal(first.pixels, second.pixels)
    np.testing.assert_array_equal(first.bed.radii_um, second.bed.radii_um)


def test_other_seeds_and_other_distributions_give_other_powders() -> None:
    one = powder(DISTRIBUTIONS[0], seed=7, size=96)
    others = powder(DISTRIBUTIONS[0], seed=8, size=96), powder(DISTRIBUTIONS[1], seed=7, size=96)
    for other in others:
        assert abs(np.corrcoef(one.pixels.ravel(), other.pixels.ravel())[0, 1]) < 0.3


@pytest.mark.parametrize("size", [64, 256, 512])
def test_a_larger_picture_shows_more_powder_at_the_same_scale(size: int) -> None:
    micrograph = powder(DISTRIBUTIONS[0], seed=1, size=size)
    assert micrograph.pixels.shape == (size, size)
    assert micrograph.pixels.dtype == np.uint8
    assert micrograph.um_per_px == UM_PER_PX
    side_um = size * UM_PER_PX + 2 * micrograph.margin_um
    assert len(micrograph.bed.radii_um) / side_um**2 == pytest.approx(800 / 220**2, abs=0.5 / side_um**2)


def test_512_px_show_a_powder_of_800_spheres() -> None:
    assert len(powder(DISTRIBUTIONS[3], seed=1).bed.radii_um) == 800


def test_a_databar_is_added_under_the_same_picture() -> None:
    plain = powder(DISTRIBUTIONS[2], seed=3, size=128)
    with_bar = powder(DISTRIBUTIONS[2], seed=3, size=128, databar=True)
    assert plain.databar_rows == 0
    assert with_bar.databar_rows > 0
    assert with_bar.pixels.shape == (128 + with_bar.databar_rows, 128)
    np.testing.assert_array_equal(with_bar.pixels[:128], plain.pixels)


def test_mean_grey_and_contrast_hardly_tell_the_powders_apart() -> None:
    greys, labels = [], []
    for label, distribution in enumerate(DISTRIBUTIONS):
        for seed in range(24):
            pixels = powder(distribution, seed=seed, size=64).pixels
            greys.append((pixels.mean(), pixels.std()))
            labels.append(label)
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    forest = RandomForestClassifier(100, random_state=0)
    predicted = cross_val_predict(forest, np.array(greys), labels, cv=folds)
    assert f1_score(labels, predicted, average="weighted") < 0.25  # chance: 0.125


@pytest.mark.parametrize(("settings", "reason"), [
    ({"seed": -1}, "seed -1"),
    ({"seed": 0, "size": 31}, "31 px"),
    ({"seed": 0, "size": 100_000}, "100000 px"),
])  # fmt: skip
def test_what_cannot_be_made_is_refused(settings, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        powder(DISTRIBUTIONS[0], **settings)
