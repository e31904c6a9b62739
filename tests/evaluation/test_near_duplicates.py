from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from texture_store.errors import DimensionMismatchError, EncodingError
from texture_store.evaluation.near_duplicates import candidate_pairs, confirmed_pairs, same_view, signature

RNG = np.random.default_rng(1)


def texture(seed: int, side: int = 192) -> np.ndarray:
    """Grains of several sizes."""
    rng = np.random.default_rng(seed)
    layers = [cv2.GaussianBlur(rng.normal(size=(side, side)), (0, 0), sigma) * sigma for sigma in (2, 4, 8)]
    return np.clip(128 + 60 * np.sum(layers, axis=0), 0, 255).astype(np.uint8)


def jpeg(picture: np.ndarray) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 70])[1], cv2.IMREAD_GRAYSCALE)


def brighter(picture: np.ndarray) -> np.ndarray:
    return np.clip(picture * 1.15 + 20, 0, 255).astype(np.uint8)


def cropped(picture: np.ndarray) -> np.ndarray:
    """A corner of 90 % of each side, enlarged to the old size, as a fixed --size does."""
    height, width = picture.shape
    part = picture[height // 10 :, : width - width // 10]
    return cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC)


COPIES = {"re-encoded": jpeg, "brighter": brighter, "cropped": cropped}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_a_copy_shows_the_same_view(copy: Callable[[np.ndarray], np.ndarray]):
    picture = texture(3)
    match = same_view(signature(picture), signature(copy(picture)))
    assert match is not None
    assert match.correlation > 0.9
    assert match.overlap == pytest.approx(0.81 if copy is cropped else 1.0, abs=0.02)


def test_other_views_of_the_same_texture_are_others():
    pictures = [signature(texture(seed)) for seed in range(6)]
    assert not any(same_view(one, other) for i, one in enumerate(pictures) for other in pictures[:i])


def test_pictures_that_share_less_than_half_are_others():
    wide = texture(4, 256)
    left, right = signature(wide[:, :150]), signature(wide[:, 106:])
    assert same_view(left, right) is None
    assert same_view(signature(wide[:, :200]), signature(wide[:, 56:])) is not None


def test_pictures_without_structure_are_never_the_same():
    flat = signature(np.full((100, 100), 7, np.uint8))
    assert same_view(flat, flat) is None
    assert same_view(flat, signature(texture(1))) is None


def test_a_common_inscription_is_not_a_common_view():
    one, other = texture(5), texture(6)
    for picture in (one, other):
        cv2.putText(picture, "20 kV  x500  10 um  SE", (2, 186), cv2.FONT_HERSHEY_SIMPLEX, 0.45, 255, 1)
    assert same_view(signature(one), signature(other)) is None


def test_near_rows_are_proposed_whatever_the_scale_of_a_column():
    features = RNG.normal(size=(60, 8))
    features[30] = features[10] + 0.01
    scaled = features * 10.0 ** np.arange(-4, 4) + 5
    found = candidate_pairs(scaled)
    pairs = {tuple(pair) for pair in found.pairs.tolist()}
    assert (10, 30) in pairs
    assert all(one < other for one, other in pairs)
    standard = (scaled - scaled.mean(0)) / scaled.std(0)
    apart = np.sqrt(((standard[:, None] - standard) ** 2).sum(-1))
    np.testing.assert_allclose(found.distances, [apart[one, other] for one, other in found.pairs], rtol=1e-4, atol=1e-3)
    tenth = np.sort(apart, axis=1)[:, 10]  # the first is the row itself
    assert found.cut == pytest.approx(np.median(tenth), rel=1e-4)
    expected = set()
    for row, distances in enumerate(apart):
        nearest = [other for other in np.argsort(distances) if other != row][:10]
        expected |= {(min(row, o), max(row, o)) for o in map(int, nearest) if distances[o] <= found.cut}
    assert pairs == expected


def test_features_that_cannot_be_compared_say_so():
    with pytest.raises(DimensionMismatchError):
        candidate_pairs(np.zeros(5))
    with pytest.raises(EncodingError, match="not finite"):
        candidate_pairs(np.array([[1.0], [np.nan]]))
    assert len(candidate_pairs(np.zeros((1, 4))).pairs) == 0
    assert candidate_pairs(np.ones((3, 4))).pairs.tolist() == [[0, 1], [0, 2], [1, 2]]  # constant: all alike


def test_pixels_decide_and_what_cannot_be_read_is_left_out():
    pictures = {0: texture(1), 1: texture(2), 2: jpeg(texture(1)), 3: None}
    asked = []
    pairs = np.array([(0, 1), (0, 2), (0, 3), (1, 2)])
    found = confirmed_pairs(pairs, lambda row: asked.append(row) or pictures[row], advance=lambda _: None)
    assert [(pair.row, pair.other) for pair in found] == [(0, 2)]
    assert sorted(asked) == [0, 1, 2, 3]


@pytest.mark.slow
def test_copies_of_real_micrographs_are_found_and_nothing_else(test_data: Path):
    paths = sorted((test_data / "uhcs").rglob("*.tif"))[:20] + sorted((test_data / "schott").rglob("*.png"))[:40]
    pictures = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)[:484] for path in paths]
    originals = [signature(picture) for picture in pictures]
    copies = [signature(copy(picture)) for picture in pictures for copy in COPIES.values()]
    found = [same_view(originals[i // 3], one) is not None for i, one in enumerate(copies)]
    assert np.mean(found) >= 0.95
    others = [same_view(one, other) for i, one in enumerate(originals) for other in originals[:i][-12:]]
    assert sum(match is not None for match in others) <= 0.01 * sum(found)
