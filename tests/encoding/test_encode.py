from collections.abc import Collection
from itertools import chain, combinations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from texture_store.encoding.encode import Encodings, encode
from texture_store.encoding.gram import gram
from texture_store.encoding.packing import pack_gram, unpack_gram
from texture_store.encoding.pooling import maximum, mean
from texture_store.encoding.vlad import vlad
from texture_store.errors import DimensionMismatchError, EncodingError
from texture_store.spec import Encoder, vector_width

ENCODERS: tuple[Encoder, ...] = ("mean", "max", "gram", "vlad")
FROM_MAPS: tuple[Encoder, ...] = ENCODERS[:3]
NUM_WORDS = 6


def _maps(shape: tuple[int, int, int, int], *, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Non-negative maps, channels last in memory, like those after ReLU."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).relu() * 100
    return values.to(dtype).contiguous(memory_format=torch.channels_last)


def _words(channels: int) -> npt.NDArray[np.float32]:
    """On the scale of `_maps`."""
    return np.random.default_rng(0).uniform(0, 100, (NUM_WORDS, channels)).astype(np.float32)


def _encode(maps: torch.Tensor, encoders: Collection[Encoder]) -> dict[Encoder, npt.NDArray[np.float32]]:
    return encode(maps, encoders, _words(maps.shape[1])).vectors


def _by_definition(maps: torch.Tensor) -> dict[Encoder, npt.NDArray[np.float64]]:
    descriptors_BDN = maps.double().flatten(2).numpy()
    full_BDD = np.stack([F @ F.T for F in descriptors_BDN])
    return {"mean": descriptors_BDN.mean(2), "max": descriptors_BDN.max(2), "gram": pack_gram(full_BDD)}


# Positions: fewer than a block of 1024, whole ones, blocks and a rest, and more than one piece of 4 MiB.
@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 64, 32, 64), (2, 64, 61, 83), (1, 300, 90, 67), (2, 3, 600, 601)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_encoders_agree_with_their_definitions_in_float64(shape: tuple[int, int, int, int], dtype: torch.dtype) -> None:
    maps = _maps(shape, dtype=dtype)
    vectors = encode(maps, FROM_MAPS).vectors
    for encoder, expected in _by_definition(maps).items():
        assert vectors[encoder].dtype == np.float32
        assert vectors[encoder].shape == expected.shape
        np.testing.assert_allclose(vectors[encoder], expected, rtol=0, atol=3e-6 * expected.max())


def test_the_named_functions_give_the_same_bits_as_encode() -> None:
    maps = _maps((2, 16, 40, 70))
    words = _words(16)
    together = encode(maps, ENCODERS, words)
    for encoder, function in (("mean", mean), ("max", maximum), ("gram", gram)):
        np.testing.assert_array_equal(function(maps).numpy(), together.vectors[encoder])  # type: ignore[index]
    vectors, counts = vlad(maps, words)
    np.testing.assert_array_equal(vectors.numpy(), together.vectors["vlad"])
    assert together.counts is not None
    np.testing.assert_array_equal(counts.numpy(), together.counts)


def test_vectors_do_not_depend_on_the_other_encoders_asked_for() -> None:
    maps = _maps((1, 32, 50, 60), dtype=torch.bfloat16)
    together = _encode(maps, ENCODERS)
    for wanted in chain.from_iterable(combinations(ENCODERS, number) for number in (1, 2)):
        vectors = _encode(maps, wanted)
        assert set(vectors) == set(wanted)
        for encoder in wanted:
            np.testing.assert_array_equal(vectors[encoder], together[encoder])
    assert encode(maps, []) == Encodings({}, None)


def test_counts_come_with_vlad_alone() -> None:
    maps = _maps((2, 5, 30, 50))
    assert encode(maps, FROM_MAPS, _words(5)).counts is None
    counts = encode(maps, ["vlad"], _words(5)).counts
    assert counts is not None
    assert counts.dtype == np.int32
    assert counts.shape == (2, NUM_WORDS)
    np.testing.assert_array_equal(counts.sum(axis=1), [1500, 1500])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_vectors_do_not_depend_on_place_and_neighbours_in_the_batch(dtype: torch.dtype) -> None:
    # 3 channels of odd sides put the second image at an address that matrix products treat differently.
    for shape in ((4, 3, 67, 45), (4, 64, 67, 45)):
        maps = _maps(shape, dtype=dtype)
        alone = _encode(maps[1:2], ENCODERS)
        for order in ([1, 0, 2, 3], [3, 1, 0, 2], [2, 3, 0, 1]):
            vectors = _encode(maps[order], ENCODERS)
            for encoder in ENCODERS:
                np.testing.assert_array_equal(vectors[encoder][order.index(1)], alone[encoder][0])


def test_vectors_do_not_depend_on_how_maps_lie_in_memory() -> None:
    maps = _maps((2, 8, 33, 65))
    expected = _encode(maps, ENCODERS)
    shifted = torch.empty(maps.numel() + 1)[1:].view(2, 33, 65, 8).permute(0, 3, 1, 2).copy_(maps)
    assert shifted.data_ptr() % 64 != 0
    for same in (maps.contiguous(), shifted):
        vectors = _encode(same, ENCODERS)
        for encoder in ENCODERS:
            np.testing.assert_array_equal(vectors[encoder], expected[encoder])


def test_the_gram_matrix_of_one_hot_maps_counts_positions() -> None:
    channel_of_position = torch.arange(40 * 60).remainder(7)
    maps = torch.nn.functional.one_hot(channel_of_position, 8).float().T.reshape(1, 8, 40, 60)
    full = unpack_gram(gram(maps).numpy())[0]
    np.testing.assert_array_equal(full, np.diag(np.bincount(channel_of_position.numpy(), minlength=8)))


def test_the_gram_matrix_is_positive_semidefinite_and_obeys_cauchy_schwarz() -> None:
    full = unpack_gram(_encode(_maps((1, 48, 37, 41)), ["gram"])["gram"][0].astype(np.float64))
    eigenvalues = np.linalg.eigvalsh(full)
    assert eigenvalues.min() >= -1e-6 * eigenvalues.max()
    diagonal = np.diag(full)
    assert (full**2 <= np.outer(diagonal, diagonal) * (1 + 1e-5)).all()


def test_constant_maps_have_their_value_as_mean_and_maximum_and_its_square_per_position_as_gram() -> None:
    maps = torch.full((1, 2, 512, 512), 3.0)
    vectors = _encode(maps, ENCODERS)
    np.testing.assert_array_equal(vectors["mean"], [[3, 3]])
    np.testing.assert_array_equal(vectors["max"], [[3, 3]])
    np.testing.assert_array_equal(vectors["gram"], [[9 * 512 * 512] * 3])


def test_gram_scales_with_the_square_and_adds_up_over_tiles() -> None:
    maps = _maps((1, 16, 64, 96))
    np.testing.assert_array_equal(gram(maps * 4), gram(maps) * 16)
    tiles = gram(maps[..., :32, :]) + gram(maps[..., 32:, :])
    np.testing.assert_allclose(gram(maps), tiles, rtol=1e-6)


def test_negative_maps_keep_their_negative_maximum() -> None:
    maps = -1 - _maps((2, 4, 9, 9))
    np.testing.assert_array_equal(maximum(maps).numpy(), maps.amax((2, 3)).numpy())


def test_a_value_that_is_not_finite_stays_visible_in_its_own_image_alone() -> None:
    maps = _maps((2, 4, 50, 50))
    maps[1, 2, 49, 49] = torch.nan
    for vectors in _encode(maps, ENCODERS).values():
        assert np.isfinite(vectors[0]).all()
        assert np.isnan(vectors[1]).any()


def test_widths_are_those_of_the_spec() -> None:
    vectors = _encode(_maps((1, 512, 4, 4)), ENCODERS)
    expected = {encoder: vector_width(encoder, "conv5_3", NUM_WORDS) for encoder in ENCODERS}
    assert {encoder: v.shape[1] for encoder, v in vectors.items()} == expected


def test_low_precision_that_the_process_allows_elsewhere_does_not_reach_the_products() -> None:
    maps = _maps((1, 64, 48, 48))
    expected, residuals = gram(maps), vlad(maps, _words(64))[0]
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        np.testing.assert_array_equal(gram(maps), expected)
        np.testing.assert_array_equal(vlad(maps, _words(64))[0], residuals)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(
    "function", [mean, maximum, gram, lambda maps: vlad(maps, _words(3)), lambda maps: encode(maps, ["gram"])]
)
@pytest.mark.parametrize(
    "maps",
    [
        torch.zeros(3, 4, 5),
        torch.zeros(1, 3, 0, 5),
        torch.zeros(0, 3, 4, 5),
        torch.zeros(1, 3, 4, 5, dtype=torch.int32),
    ],
)
def test_arrays_that_are_no_feature_maps_are_refused(function: object, maps: torch.Tensor) -> None:
    assert callable(function)
    with pytest.raises(DimensionMismatchError, match=r"\(B, D, H, W\)"):
        function(maps)


def test_vlad_without_a_dictionary_is_refused() -> None:
    with pytest.raises(EncodingError, match="encoder vlad needs a dictionary"):
        encode(_maps((1, 3, 4, 4)), ["mean", "vlad"])


def test_an_unknown_encoder_is_refused() -> None:
    with pytest.raises(EncodingError, match="unknown encoder fisher; the encoders are mean max gram vlad"):
        encode(_maps((1, 3, 4, 4)), ["mean", "fisher"])  # type: ignore[list-item]
