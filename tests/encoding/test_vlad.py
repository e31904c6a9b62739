import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.spatial.distance import cdist

from texture_store.encoding.vlad import vlad, vlad_by_each
from texture_store.errors import DimensionMismatchError, EncodingError
from texture_store.spec import NUM_CHANNELS, NUM_WORDS, Layer, vector_width

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]


def _maps(shape: tuple[int, int, int, int], *, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Like maps after ReLU: many zeros, a few strong channels, neighbours alike; channels last in memory."""
    generator = torch.Generator().manual_seed(seed)
    images, channels, height, width = shape
    coarse = torch.randn((images, channels, height // 4 + 1, width // 4 + 1), generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    strengths = torch.logspace(0, 2.5, channels).view(1, -1, 1, 1)
    values = ((smooth + 0.3 * torch.randn(shape, generator=generator)) * strengths).relu()
    return values.to(dtype).contiguous(memory_format=torch.channels_last)


def _descriptors(maps: torch.Tensor) -> Float64s:
    """(B, N, D)"""
    descriptors: Float64s = maps.double().flatten(2).transpose(1, 2).numpy()
    return descriptors


def _words(maps: torch.Tensor, num_words: int = 32, *, seed: int = 0) -> Float32s:
    """Between descriptors of the maps."""
    descriptors = _descriptors(maps).reshape(-1, maps.shape[1])
    pairs = np.random.default_rng(seed).integers(len(descriptors), size=(2, num_words))
    words: Float32s = descriptors[pairs].mean(axis=0).astype(np.float32)
    return words


def _by_definition(maps: torch.Tensor, words: Float32s) -> tuple[Float64s, npt.NDArray[np.int64]]:
    sums = np.zeros((maps.shape[0], *words.shape))
    counts = np.zeros((maps.shape[0], len(words)), np.int64)
    for image, descriptors in enumerate(_descriptors(maps)):
        nearest = cdist(descriptors, words.astype(np.float64)).argmin(axis=1)
        for number, word in enumerate(words.astype(np.float64)):
            sums[image, number] = (descriptors[nearest == number] - word).sum(axis=0)
            counts[image, number] = (nearest == number).sum()
    return sums.reshape(len(sums), -1), counts


def _assert_close(vectors: torch.Tensor, expected: Float64s, num_words: int, limit: float = 1e-4) -> None:
    """Each word's residual sum, as a share of its own length."""
    error = (vectors.numpy() - expected).reshape(len(expected), num_words, -1)
    lengths = np.linalg.norm(expected.reshape(error.shape), axis=2)
    assert (np.linalg.norm(error, axis=2) <= limit * lengths).all()


SHAPES: list[tuple[Layer, tuple[int, int]]] = [
    # Fewer positions than a block of 1024, blocks and a rest, and more than one chunk.
    ("conv5_3", (15, 15)),
    ("conv4_3", (31, 31)),
    ("conv3_3", (63, 63)),
    ("conv2_2", (70, 127)),
    ("conv1_2", (199, 131)),
    ("input", (160, 231)),
]


@pytest.mark.parametrize(("layer", "sides"), SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sums_and_counts_are_those_of_the_definition_in_float64(
    layer: Layer, sides: tuple[int, int], dtype: torch.dtype
) -> None:
    maps = _maps((1, NUM_CHANNELS[layer], *sides), dtype=dtype)
    words = _words(maps)
    vectors, counts = vlad(maps, words)
    assert vectors.dtype == torch.float32
    assert counts.dtype == torch.int32
    assert vectors.shape == (1, vector_width("vlad", layer, NUM_WORDS))
    expected, expected_counts = _by_definition(maps, words)
    np.testing.assert_array_equal(counts, expected_counts)
    _assert_close(vectors, expected, len(words), limit=1e-5)


def test_widths_are_those_of_the_papers_table_1() -> None:
    table_1 = {"conv1_2": 2048, "conv2_2": 4096, "conv3_3": 8192, "conv4_3": 16384, "conv5_3": 16384}
    for layer, width in table_1.items():
        maps = _maps((1, NUM_CHANNELS[layer], 4, 4))  # type: ignore[index]
        assert vlad(maps, np.zeros((32, maps.shape[1]), np.float32))[0].shape == (1, width)


@pytest.mark.parametrize("seed", range(3))
def test_any_data_at_all(seed: int) -> None:
    maps = torch.randn((2, 7, 40, 41), generator=torch.Generator().manual_seed(seed))
    words = np.random.default_rng(seed).standard_normal((5, 7)).astype(np.float32)
    vectors, counts = vlad(maps, words)
    expected, expected_counts = _by_definition(maps, words)
    np.testing.assert_array_equal(counts, expected_counts)
    _assert_close(vectors, expected, 5)


def test_a_large_common_part_of_descriptors_and_words_costs_no_digits() -> None:
    # |sum of descriptors| is 10^6 times |sum of residuals|.
    maps = 5000 + torch.randn((1, 16, 64, 64), generator=torch.Generator().manual_seed(0))
    words = (5000 + np.random.default_rng(0).standard_normal((8, 16))).astype(np.float32)
    vectors, counts = vlad(maps, words)
    expected, expected_counts = _by_definition(maps, words)
    np.testing.assert_array_equal(counts, expected_counts)
    _assert_close(vectors, expected, 8)


def test_tight_clusters_far_from_each_other_keep_their_digits() -> None:
    generator = np.random.default_rng(0)
    words = (1000 * generator.standard_normal((8, 16))).astype(np.float32)
    descriptors = words[np.arange(64 * 64) % 8] + 0.01 * generator.standard_normal((64 * 64, 16))
    maps = torch.tensor(descriptors.T.reshape(1, 16, 64, 64), dtype=torch.float32)
    vectors, counts = vlad(maps, words)
    np.testing.assert_array_equal(counts, [[512] * 8])
    _assert_close(vectors, _by_definition(maps, words)[0], 8)


def test_descriptors_on_their_words_leave_exactly_nothing() -> None:
    # 0.1 is no float32: sums of it are off, and intra-normalisation would make a unit vector of what is off.
    words = np.float32([[0.1, 0.2, 0.3], [1.1, 1.3, 1.7], [90, 91.1, 92.2]])
    maps = torch.from_numpy(words[np.arange(50 * 50) % 2]).T.reshape(1, 3, 50, 50)
    vectors, counts = vlad(maps, words)
    np.testing.assert_array_equal(vectors, np.zeros((1, 9)))
    np.testing.assert_array_equal(counts, [[1250, 1250, 0]])


def test_words_without_descriptors_have_zeros() -> None:
    maps = _maps((1, 4, 20, 20))
    words = np.float32([[0, 0, 0, 0], [-1e4] * 4, [1e6] * 4])
    vectors, counts = vlad(maps, words)
    assert counts[0, 1:].sum() == 0
    np.testing.assert_array_equal(vectors.view(3, 4)[1:], 0)
    np.testing.assert_allclose(vectors.view(3, 4)[0], maps.sum((0, 2, 3)), rtol=1e-5)


def test_a_constant_image_is_finite() -> None:
    words = np.random.default_rng(0).standard_normal((32, 6)).astype(np.float32)
    for value in (0.0, 3.7, -1e6):
        maps = torch.full((1, 6, 37, 41), value)
        vectors, counts = vlad(maps, words)
        assert vectors.isfinite().all()
        assert sorted(counts[0].tolist())[-2:] == [0, 37 * 41]
        _assert_close(vectors, _by_definition(maps, words)[0], 32)


def test_ties_go_to_the_lower_word() -> None:
    words = np.float32([[2, 0], [0, 0], [0, 2], [0, 0]])
    maps = torch.tensor([[1.0, 0], [0, 1], [1, 1], [0, 0]]).T.reshape(1, 2, 2, 2)
    vectors, counts = vlad(maps, words)
    np.testing.assert_array_equal(counts, [[2, 2, 0, 0]])
    np.testing.assert_array_equal(vectors.view(4, 2), [[-2, 1], [0, 1], [0, 0], [0, 0]])


def test_near_ties_go_where_float64_puts_them() -> None:
    # Descriptors within a few units of float32's last place of the plane between two words.
    generator = np.random.default_rng(0)
    words = generator.standard_normal((2, 64)).astype(np.float32)
    across = words[1].astype(np.float64) - words[0]
    points = generator.standard_normal((4096, 64))
    points -= np.outer((points - words.mean(axis=0)) @ across / (across @ across), across)
    maps = torch.tensor(points.T.reshape(1, 64, 64, 64), dtype=torch.float32)
    np.testing.assert_array_equal(vlad(maps, words)[1], _by_definition(maps, words)[1])


def test_sums_and_counts_add_up_over_tiles() -> None:
    maps = _maps((1, 16, 64, 90))
    words = _words(maps)
    vectors, counts = vlad(maps, words)
    parts = [vlad(tile, words) for tile in (maps[..., :40], maps[..., 40:])]
    np.testing.assert_array_equal(counts, parts[0][1] + parts[1][1])
    scale = float(vectors.abs().max())
    np.testing.assert_allclose(vectors, parts[0][0] + parts[1][0], rtol=0, atol=1e-6 * scale)


def test_words_may_be_a_tensor_or_a_read_only_array() -> None:
    maps = _maps((1, 8, 30, 30))
    words = _words(maps, 4)
    expected, _ = vlad(maps, words)
    words.setflags(write=False)
    for same in (words, torch.tensor(words), np.asfortranarray(words)):
        np.testing.assert_array_equal(vlad(maps, same)[0], expected)


@pytest.mark.parametrize("shape", [(32, 5), (6,), (0, 6), (2, 6, 1)])
def test_words_of_another_layer_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DimensionMismatchError, match=r"6 channels are \(K, 6\)"):
        vlad(torch.zeros(1, 6, 4, 4), np.zeros(shape, np.float32))


def test_words_that_are_not_finite_are_refused() -> None:
    with pytest.raises(EncodingError, match="not finite"):
        vlad(torch.zeros(1, 2, 4, 4), np.float32([[0, np.nan]]))


def test_each_of_several_dictionaries_gives_the_bits_that_it_gives_alone() -> None:
    maps = _maps((2, 128, 40, 36))
    dictionaries = [_words(maps, number, seed=number) for number in (32, 5, 32)]
    for vectors, words in zip(vlad_by_each(maps, dictionaries), dictionaries, strict=True):
        assert torch.equal(vectors, vlad(maps, words)[0])
    assert vlad_by_each(maps, []) == []
