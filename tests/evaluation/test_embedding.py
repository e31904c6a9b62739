import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from tests.evaluation.clouds import LABELS, clouds
from texture_store.errors import DimensionMismatchError, EncodingError, UsageError
from texture_store.evaluation.embedding import embed

WIDE = np.hstack([clouds(6.0, seed) for seed in range(20)])  # 80 columns: more than t-SNE is given


def test_pca_is_the_projection_on_the_first_singular_vectors() -> None:
    found = embed(clouds(3.0), method="pca", seed=0)
    features = clouds(3.0).astype(np.float64)
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    left, lengths, _ = np.linalg.svd(standard, full_matrices=False)
    expected = left[:, :2] * lengths[:2]
    signs = np.sign((found.points * expected).sum(axis=0))
    np.testing.assert_allclose(found.points, expected * signs, atol=1e-4)
    np.testing.assert_allclose(found.explained, (lengths**2 / (lengths**2).sum())[:2], rtol=1e-4)
    assert found.perplexity is None


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_alike_images_are_near_each_other(method) -> None:
    points = embed(WIDE, method=method, seed=0).points
    assert points.shape == (60, 2)
    neighbours = NearestNeighbors(n_neighbors=3).fit(points).kneighbors()[1]
    assert (LABELS[neighbours] == LABELS[:, None]).mean() > 0.95


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_a_map_can_be_made_again(method) -> None:
    first, second = embed(WIDE, method=method, seed=3), embed(WIDE.copy(), method=method, seed=3)
    np.testing.assert_array_equal(first.points, second.points)


def test_units_do_not_matter() -> None:
    units = np.float32([1, 64, 1024, 2.0**-10])
    first, second = embed(clouds(3.0), method="pca", seed=0), embed(clouds(3.0) * units, method="pca", seed=0)
    np.testing.assert_allclose(first.points, second.points, atol=1e-3)


@pytest.mark.parametrize("method", ["pca", "tsne"])
@pytest.mark.parametrize("number", [10, 11])
def test_few_images_have_a_map(method, number: int) -> None:
    found = embed(clouds(3.0)[::5][:number], method=method, seed=0)
    assert np.isfinite(found.points).all()
    if method == "tsne":
        assert found.perplexity == (number - 1) / 3


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_one_column_that_varies_is_a_line_for_pca_and_a_map_for_tsne(method) -> None:
    features = np.zeros((40, 5))
    features[:, 2] = np.arange(40)
    found = embed(features, method=method, seed=0)
    assert np.isfinite(found.points).all()
    if method == "pca":
        np.testing.assert_array_equal(found.points[:, 1], 0)
        assert found.explained == pytest.approx((1.0, 0.0))


@pytest.mark.parametrize(("features", "method", "error", "reason"), [
    (np.zeros(3), "pca", DimensionMismatchError, "not a matrix"),
    (np.full((30, 3), np.nan), "pca", EncodingError, "not finite"),
    (clouds(1.0)[:2], "pca", UsageError, "2 images are too few for pca: it needs 3"),
    (clouds(1.0)[:9], "tsne", UsageError, "9 images are too few for tsne: it needs 10; take pca"),
    (clouds(1.0)[:0], "tsne", UsageError, "0 images are too few for tsne: it needs 10$"),
    (np.ones((30, 3)), "pca", UsageError, "the same features"),
    (np.ones((30, 3)), "tsne", UsageError, "the same features"),
    (clouds(1.0), "umap", UsageError, "take one of pca, tsne"),
])  # fmt: skip
def test_what_has_no_map_is_refused(features, method, error, reason: str) -> None:
    with pytest.raises(error, match=reason) as caught:
        embed(features, method=method, seed=0)
    assert "\n" not in str(caught.value)
