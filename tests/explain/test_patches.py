import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from texture_store.errors import DimensionMismatchError, UsageError
from texture_store.explain.heat_map import enlarge
from texture_store.explain.patches import DEFAULT_SIDES_PX, Patch, best_patch, highest_rows
from texture_store.explain.positions import RECEPTIVE_FIELDS_PX, STRIDES, map_shape
from texture_store.spec import LAYERS, Layer


def activation(layer: Layer, height: int, width: int, *, seed: int = 0, sparse: bool = False) -> np.ndarray:
    generator = np.random.default_rng(seed)
    values = generator.exponential(100, map_shape(layer, height, width)).astype(np.float32)
    return values * (generator.random(values.shape) < 0.02) if sparse else values


def by_trying_all(values: np.ndarray, layer: Layer, height: int, width: int, side: int) -> np.ndarray:
    """The mean over the pixels of each square, each pixel having the value of its cell: the definition, in float64."""
    cells = enlarge(values, layer, height, width, smooth=False).astype(np.float64)
    return np.lib.stride_tricks.sliding_window_view(cells, (side, side)).mean(axis=(2, 3))


@settings(max_examples=60, deadline=None)
@given(
    layer=st.sampled_from(LAYERS),
    height=st.integers(32, 70),
    width=st.integers(32, 70),
    side=st.integers(1, 80),
    seed=st.integers(0, 2**32),
    sparse=st.booleans(),
    margin=st.integers(0, 40),
)
def test_no_square_of_the_picture_has_a_higher_mean(
    layer: Layer, height: int, width: int, side: int, seed: int, sparse: bool, margin: int
) -> None:
    values = activation(layer, height, width, seed=seed, sparse=sparse)
    patch = best_patch(values, layer, height, width, side=side, margin=margin)
    assert patch.side == min(side, height, width)
    margin = min(margin, (min(height, width) - patch.side) // 2)
    left, top, right, bottom = patch.box
    assert margin <= left < right <= width - margin
    assert margin <= top < bottom <= height - margin
    means = by_trying_all(values, layer, height, width, patch.side)
    highest = means[margin : len(means) - margin, margin : means.shape[1] - margin].max()
    np.testing.assert_allclose(means[patch.top, patch.left], highest, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(patch.mean_activation, highest, rtol=1e-9, atol=1e-9)


def test_the_mean_of_a_patch_of_whole_cells_is_the_mean_over_its_positions() -> None:
    values = np.zeros((64, 64), np.float32)
    values[20:32, 40:52] = np.random.default_rng(0).uniform(1, 2, (12, 12))
    patch = best_patch(values, "conv4_3", 512, 512)
    assert patch.box == (40 * 8, 20 * 8, 52 * 8, 32 * 8)
    np.testing.assert_allclose(patch.mean_activation, values[20:32, 40:52].astype(np.float64).mean(), rtol=1e-12)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_lone_structure_lies_in_the_middle_of_its_patch(layer: Layer) -> None:
    values = np.zeros(map_shape(layer, 500, 640), np.float32)
    row, column = values.shape[0] // 2, values.shape[1] // 3
    values[row, column] = 7
    patch = best_patch(values, layer, 500, 640)
    stride, middle = STRIDES[layer], patch.side / 2
    assert abs(patch.top + middle - (row + 0.5) * stride) <= 2
    assert abs(patch.left + middle - (column + 0.5) * stride) <= 2


def test_a_structure_at_the_edge_has_its_patch_inside_the_picture() -> None:
    for row, column in ((0, 0), (0, 62), (61, 0), (61, 62)):
        values = np.zeros((62, 63), np.float32)  # of 501 x 507 px: 5 and 3 px are left out by pooling
        values[row, column] = 1
        patch = best_patch(values, "conv4_3", 501, 507, side=100, margin=0)
        assert (patch.left, patch.top) == (0 if column == 0 else 407, 0 if row == 0 else 401)


def test_what_padding_does_at_the_edge_is_no_exemplar() -> None:
    values = np.zeros((64, 64), np.float32)
    values[:3], values[-3:], values[:, :3], values[:, -3:] = 9, 9, 9, 9
    values[30:34, 40:44] = 1
    left, top, right, bottom = best_patch(values, "conv4_3", 512, 512).box
    assert left <= 40 * 8 < 44 * 8 <= right
    assert top <= 30 * 8 < 34 * 8 <= bottom
    left, top, _, _ = best_patch(values, "conv4_3", 512, 512, margin=0).box
    assert 0 in (left, top)


def test_equal_squares_come_by_row_and_column() -> None:
    assert best_patch(np.full((64, 64), 3, np.float32), "conv4_3", 512, 512) == Patch(24, 24, 96, 3.0)
    assert best_patch(np.zeros((64, 64), np.float32), "conv4_3", 512, 512, margin=0).box == (0, 0, 96, 96)


def test_a_patch_is_cut_from_the_picture_it_lies_in() -> None:
    picture = np.arange(80 * 70).reshape(80, 70)
    np.testing.assert_array_equal(Patch(5, 10, 32, 0.0).cut(picture), picture[10:42, 5:37])


def test_a_patch_is_about_as_large_as_the_receptive_field_and_at_least_64_px() -> None:
    for layer, side in DEFAULT_SIDES_PX.items():
        assert side % STRIDES[layer] == 0
        assert side == 64 or abs(side - RECEPTIVE_FIELDS_PX[layer]) <= STRIDES[layer] / 2
    for height, width, side in ((512, 512, 192), (200, 300, 100), (100, 100, 64), (40, 50, 40)):
        values = np.ones(map_shape("conv5_3", height, width), np.float32)
        assert best_patch(values, "conv5_3", height, width).side == side


def test_a_patch_of_no_pixels_or_of_another_picture_is_refused() -> None:
    for wrong in ({"side": 0}, {"margin": -1}):
        with pytest.raises(UsageError, match="a side of 1 px and more and a margin of 0 px and more"):
            best_patch(np.ones((64, 64), np.float32), "conv4_3", 512, 512, **wrong)
    with pytest.raises(DimensionMismatchError, match=r"not \(64, 64\)"):
        best_patch(np.ones((64, 64), np.float32), "conv4_3", 512, 520)


@settings(max_examples=100)
@given(values=st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0]), min_size=1, max_size=30), count=st.integers(0, 35))
def test_images_come_by_mean_activation_and_equal_ones_by_row(values: list[float], count: int) -> None:
    means = np.array([[-1.0, value] for value in values], np.float32)
    rows = highest_rows(means, 1, count)
    expected = sorted(range(len(values)), key=lambda row: (-values[row], row))[:count]
    assert rows.tolist() == expected


def test_images_without_a_mean_are_left_out() -> None:
    means = np.array([[np.nan], [1.0], [np.inf], [np.nan], [2.0]])
    assert highest_rows(means, 0, 10).tolist() == [2, 4, 1]
    assert highest_rows(np.empty((0, 5)), 4, 10).tolist() == []


def test_a_filter_that_the_features_do_not_have_is_refused() -> None:
    for number in (-1, 5):
        with pytest.raises(UsageError, match=f"there is no filter {number} among these 5"):
            highest_rows(np.zeros((3, 5)), number, 1)
    with pytest.raises(DimensionMismatchError, match=r"\(images, filters\), not \(5,\)"):
        highest_rows(np.zeros(5), 0, 1)
