import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from texture_store.encoding.dictionary import (
    WordMove,
    fit_words,
    image_errors,
    match_words,
    squared_errors,
)
from texture_store.errors import DictionaryError, DimensionMismatchError

Float32s = npt.NDArray[np.float32]


def _descriptors(count: int = 4000, channels: int = 12, *, clusters: int = 20, seed: int = 0) -> Float32s:
    """Clusters of different sizes, after ReLU."""
    generator = np.random.default_rng(seed)
    centres = 100 * generator.standard_normal((clusters, channels))
    cluster = (clusters * generator.random(count) ** 2).astype(int)
    values = centres[cluster] + 20 * generator.standard_normal((count, channels))
    descriptors: Float32s = np.maximum(values, 0).astype(np.float32)
    return descriptors


def _distances(descriptors: Float32s, words: Float32s) -> npt.NDArray[np.float64]:
    distances: npt.NDArray[np.float64] = cdist(descriptors.astype(np.float64), words.astype(np.float64), "sqeuclidean")
    return distances


def test_inertia_counts_and_errors_are_those_of_the_definition() -> None:
    descriptors = _descriptors()
    words = fit_words(descriptors, 16, seed=3)
    distances = _distances(descriptors, words.words_KD)
    nearest = distances.argmin(axis=1)
    assert min(words.inertia) == pytest.approx(distances.min(axis=1).sum(), rel=1e-9)
    np.testing.assert_array_equal(words.counts_K, np.bincount(nearest, minlength=16))
    for word in range(16):
        assert words.word_errors_K[word] == pytest.approx(distances[nearest == word, word].mean(), rel=1e-9)
    assert words.words_KD.dtype == np.float32
    assert words.counts_K.dtype == np.int64
    assert words.word_errors_K.dtype == np.float64


def test_words_are_the_means_of_their_descriptors() -> None:
    descriptors = _descriptors()
    words = fit_words(descriptors, 16, seed=3)
    nearest = _distances(descriptors, words.words_KD).argmin(axis=1)
    for word, centre in enumerate(words.words_KD):
        np.testing.assert_allclose(centre, descriptors[nearest == word].mean(axis=0, dtype=np.float64), atol=1e-3)


def test_a_fit_is_as_good_as_that_of_scikit_learn_used_plainly() -> None:
    descriptors = _descriptors(3000, 8)
    for seed in range(3):
        plain = KMeans(16, n_init=4, random_state=seed).fit(descriptors.astype(np.float64))
        assert min(fit_words(descriptors, 16, seed=seed).inertia) == pytest.approx(plain.inertia_, rel=0.05)


def test_clear_clusters_are_found() -> None:
    generator = np.random.default_rng(0)
    centres = (1000 * generator.standard_normal((10, 6))).astype(np.float32)
    descriptors = np.repeat(centres, 50, axis=0) + generator.standard_normal((500, 6)).astype(np.float32)
    words = fit_words(descriptors, 10, seed=0)
    np.testing.assert_allclose(np.sort(words.words_KD, axis=0), np.sort(centres, axis=0), atol=1)
    assert (words.counts_K == 50).all()


def test_words_come_in_order_of_their_descriptors_then_of_their_values() -> None:
    counts = fit_words(_descriptors(), 16, seed=0).counts_K
    assert (np.diff(counts) <= 0).all()
    alike = np.repeat(np.float32([[3, 1], [1, 5], [1, 2], [0, 9]]), [4, 4, 4, 7], axis=0)
    words = fit_words(alike, 4, seed=0)
    np.testing.assert_array_equal(words.words_KD, [[0, 9], [1, 2], [1, 5], [3, 1]])
    np.testing.assert_array_equal(words.counts_K, [7, 4, 4, 4])
    np.testing.assert_array_equal(words.word_errors_K, 0)


def test_no_word_comes_out_empty() -> None:
    # 17 places for 16 words, most descriptors on one of them: starts often lose a word on the way.
    places = np.random.default_rng(0).integers(0, 50, (17, 3)).astype(np.float32)
    descriptors = np.concatenate([np.repeat(places[:1], 500, axis=0), places[1:]])
    for seed in range(20):
        assert (fit_words(descriptors, 16, seed=seed, starts=1).counts_K > 0).all()


def test_more_starts_include_the_fewer_and_are_no_worse() -> None:
    descriptors = _descriptors()
    one, four = (fit_words(descriptors, 16, seed=5, starts=starts) for starts in (1, 4))
    assert four.inertia[0] == one.inertia[0]
    assert min(four.inertia) <= one.inertia[0]
    assert len(four.iterations) == len(four.inertia) == 4
    assert all(number >= 1 for number in four.iterations)


def test_seeds_give_different_starts() -> None:
    descriptors = _descriptors()
    assert fit_words(descriptors, 16, seed=0, starts=1).inertia != fit_words(descriptors, 16, seed=1, starts=1).inertia


FIT_AND_SAVE = """
import sys
import numpy as np
from texture_store.encoding.dictionary import fit_words
words = fit_words(np.load(sys.argv[1]), 32, seed=7, starts=2)
np.savez(sys.argv[2], words=words.words_KD, counts=words.counts_K, errors=words.word_errors_K)
"""


def test_another_process_with_another_number_of_threads_fits_the_same_bits(tmp_path: Path) -> None:
    # Large enough that more threads would take part, and add up in an order of their own.
    descriptors = _descriptors(6000, 32)
    np.save(tmp_path / "descriptors.npy", descriptors)
    with threadpool_limits(1):
        words = fit_words(descriptors, 32, seed=7, starts=2)
    command = [sys.executable, "-c", FIT_AND_SAVE, str(tmp_path / "descriptors.npy"), str(tmp_path / "words.npz")]
    subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "3"}, check=True)
    there = np.load(tmp_path / "words.npz")
    np.testing.assert_array_equal(there["words"], words.words_KD)
    np.testing.assert_array_equal(there["counts"], words.counts_K)
    np.testing.assert_array_equal(there["errors"], words.word_errors_K)


def test_the_descriptors_are_not_changed_and_may_be_read_only() -> None:
    descriptors = _descriptors(500)
    before = descriptors.copy()
    descriptors.setflags(write=False)
    fit_words(descriptors, 8, seed=0)
    np.testing.assert_array_equal(descriptors, before)


@pytest.mark.parametrize(
    ("descriptors", "message"),
    [
        (np.zeros((0, 4)), "holds no descriptor"),
        (np.ones((31, 4)), "31 descriptors cannot make 32 words"),
        (np.ones((1000, 4)), "1 different descriptors cannot make 32 words"),
        (np.repeat(np.arange(31), 40)[:, np.newaxis], "31 different descriptors cannot make 32 words"),
        (np.concatenate([np.arange(-31, 0), [0.0, -0.0] * 9])[:, np.newaxis] // 2, "different descriptors cannot make"),
        (np.where(np.eye(40) > 0, np.nan, 1.0), "not finite"),
        (np.where(np.eye(40) > 0, np.inf, 1.0), "not finite"),
        (np.zeros(40), r"\(N, D\), not \(40,\)"),
        (np.zeros((40, 2, 2)), r"\(N, D\), not \(40, 2, 2\)"),
    ],
)
def test_samples_that_cannot_be_fitted_are_refused_in_one_line(
    descriptors: npt.NDArray[np.float64], message: str
) -> None:
    with pytest.raises(DictionaryError, match=message) as raised:
        fit_words(descriptors.astype(np.float32), 32, seed=0)
    assert "\n" not in str(raised.value)


def test_minus_zero_is_no_other_descriptor_than_zero() -> None:
    with pytest.raises(DictionaryError, match="1 different descriptors cannot make 2 words"):
        fit_words(np.float32([[0.0], [-0.0]]), 2, seed=0)


def test_no_words_at_all_are_refused() -> None:
    with pytest.raises(DictionaryError, match="0 words"):
        fit_words(_descriptors(10), 0, seed=0)


def test_squared_errors_are_least_distances() -> None:
    # More than one block of rows.
    descriptors = _descriptors(30_000, 128)
    words = descriptors[:32] + 1
    errors = squared_errors(descriptors, words)
    assert errors.dtype == np.float64
    np.testing.assert_allclose(errors, _distances(descriptors, words).min(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(squared_errors(descriptors[:50], descriptors[:50]), 0)


def test_squared_errors_keep_their_digits_beside_a_large_common_part() -> None:
    descriptors = _descriptors(500) + np.float32(1e6)
    words = descriptors[:5] + np.float32(0.5)
    np.testing.assert_allclose(squared_errors(descriptors, words), _distances(descriptors, words).min(axis=1))


def test_image_errors_are_means_over_the_descriptors_of_an_image() -> None:
    descriptors = _descriptors(100)
    words = descriptors[:7] + 1
    image_of = np.random.default_rng(0).integers(0, 4, 100)
    image_of[image_of == 2] = 3
    errors = image_errors(descriptors, image_of, 5, words)
    nearest = _distances(descriptors, words).min(axis=1)
    for image in (0, 1, 3):
        assert errors[image] == pytest.approx(nearest[image_of == image].mean())
    assert np.isnan(errors[[2, 4]]).all()


@pytest.mark.parametrize("image_of", [[0, 1], [0, 1, 2], [0, -1, 0]])
def test_descriptors_of_unknown_images_are_refused(image_of: list[int]) -> None:
    with pytest.raises(DimensionMismatchError):
        image_errors(np.zeros((3, 2), np.float32), np.array(image_of), 2, np.zeros((1, 2), np.float32))


@pytest.mark.parametrize("shape", [(4,), (4, 3), (0, 2)])
def test_words_of_another_layer_are_refused(shape: tuple[int, ...]) -> None:
    words = np.zeros(shape, np.float32)
    with pytest.raises(DimensionMismatchError, match="another layer"):
        squared_errors(np.zeros((5, 2), np.float32), words)
    with pytest.raises(DimensionMismatchError, match="another layer"):
        match_words(np.zeros((4, 2), np.float32), words, scale=1)


def test_shuffled_and_shifted_words_find_their_old_places() -> None:
    old = (100 * np.random.default_rng(0).standard_normal((32, 16))).astype(np.float32)
    order = np.random.default_rng(1).permutation(32)
    moves = match_words(old, old[order] + np.float32(1), scale=8)
    assert [move.old for move in moves] == list(range(32))
    assert [order[move.new] for move in moves] == list(range(32))
    np.testing.assert_allclose([move.distance for move in moves], 4 / 8, rtol=1e-5)


def test_the_sum_of_distances_is_least_where_the_nearest_word_is_taken_twice() -> None:
    old, new = np.float32([[0], [1]]), np.float32([[1.25], [10]])
    assert match_words(old, new, scale=1) == [WordMove(0, 0, 1.25), WordMove(1, 1, 9.0)]


def test_the_larger_dictionary_keeps_words_without_a_partner() -> None:
    small, large = np.float32([[0], [10]]), np.float32([[9], [5], [0]])
    assert match_words(small, large, scale=2) == [WordMove(0, 2, 0), WordMove(1, 0, 0.5)]
    assert match_words(large, small, scale=2) == [WordMove(0, 1, 0.5), WordMove(2, 0, 0)]


def test_without_any_error_every_move_is_infinitely_far() -> None:
    moves = match_words(np.float32([[0], [10]]), np.float32([[0], [11]]), scale=0)
    assert [move.distance for move in moves] == [0, np.inf]
