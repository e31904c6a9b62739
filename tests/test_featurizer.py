"""Pictures to products: the same bits however many threads share them, and with batches one ahead."""

from typing import cast

import numpy as np
import pytest

from texture_store.backbone.weights import random_weights
from texture_store.errors import DictionaryNotFoundError
from texture_store.featurizer import Featurizer
from texture_store.products import Products
from texture_store.spec import NUM_CHANNELS, FeatureSpec, Layer, make_pixel_spec
from texture_store.store.commits import Pair

WEIGHTS = random_weights(seed=3)
LAYERS: tuple[Layer, ...] = ("input", "conv1_2", "conv3_3")
PAIRS = cast("tuple[Pair, ...]", tuple((e, layer) for e in ("mean", "max", "gram", "sample") for layer in LAYERS))
VLAD_PAIRS = cast("tuple[Pair, ...]", (("vlad", "conv3_3"), ("fold-vlad", "conv3_3")))


def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = [(64, 48), (48, 64), (64, 48), (64, 48), (48, 64), (64, 48), (64, 48)]
    return [rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]


def featurizer(*, device: str = "cpu", threads: int | None = None, **changes: object) -> Featurizer:
    settings = {
        "pixels": make_pixel_spec(size="native"),
        "weights": WEIGHTS.digest,
        "lineage": "random:3",
        "precision": "float32",
    }
    words = np.random.default_rng(1).normal(0, 1, (4, NUM_CHANNELS["conv3_3"])).astype(np.float32)
    return Featurizer(
        WEIGHTS,
        FeatureSpec(**(settings | changes)),
        words={"conv3_3": words},
        fold_words={"conv3_3": {"a": words, "b": words[:2]}},
        device=device,
        threads=threads,
    )


def run(featurize: Featurizer, pairs: tuple[Pair, ...] = PAIRS) -> Products:
    seen = pictures()
    return featurize(seen, [f"{number}.png" for number in range(len(seen))], pairs)


def flat(products: Products) -> dict[object, np.ndarray]:
    arrays: dict[object, np.ndarray] = dict(products.vectors)
    arrays |= {("counts", layer): counts for layer, counts in products.counts.items()}
    arrays |= {("positions", layer): counts for layer, counts in products.num_positions.items()}
    arrays |= {("sample", layer): np.stack(samples) for layer, samples in products.samples.items() if samples}
    for layer, by_name in products.fold_vectors.items():
        arrays |= {("fold", layer, name): vectors for name, vectors in by_name.items()}
    return arrays


def assert_same_bits(left: Products, right: Products) -> None:
    first, second = flat(left), flat(right)
    assert first.keys() == second.keys()
    for key, array in first.items():
        np.testing.assert_array_equal(array, second[key], err_msg=str(key))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_number_of_threads_changes_no_bit(precision: str):
    alone = run(featurizer(threads=1, precision=precision))
    for threads in (2, 3):
        assert_same_bits(alone, run(featurizer(threads=threads, precision=precision)))


@pytest.mark.parametrize("pairs", [PAIRS, VLAD_PAIRS])
def test_batches_that_are_one_ahead_end_up_at_their_own_images(pairs: tuple[Pair, ...]):
    alone = run(featurizer(threads=2), pairs)
    for batch_size in (2, 4):
        batched = run(featurizer(batch_size=batch_size), pairs)
        first, second = flat(alone), flat(batched)
        assert first.keys() == second.keys()
        for key, array in first.items():
            np.testing.assert_allclose(second[key], array, rtol=1e-4, atol=1e-3, err_msg=str(key))


def test_each_image_has_the_vectors_that_it_has_alone():
    together = run(featurizer(threads=2))
    featurize = featurizer(threads=2)
    for number, picture in enumerate(pictures()):
        alone = featurize([picture], [f"{number}.png"], PAIRS)
        for pair, vectors in alone.vectors.items():
            np.testing.assert_array_equal(vectors[0], together.vectors[pair][number], err_msg=str(pair))


@pytest.mark.parametrize("batch_size", [1, 4])
def test_every_image_is_reported_once(batch_size: int):
    reported: list[int] = []
    seen = pictures()
    paths = [f"{number}.png" for number in range(len(seen))]
    featurizer(threads=2, batch_size=batch_size)(seen, paths, (("mean", "input"),), reported.append)
    assert sum(reported) == len(seen)
    assert max(reported) <= batch_size


def test_no_pictures_make_empty_products():
    products = featurizer(threads=2)([], [], (("mean", "input"), ("gram", "input")))
    assert products.vectors["mean", "input"].shape == (0, 3)
    assert products.vectors["gram", "input"].shape == (0, 6)


def test_vlad_of_a_layer_without_words_says_so():
    with pytest.raises(DictionaryNotFoundError, match="conv1_2"):
        featurizer()([], [], (("vlad", "conv1_2"),))


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("pairs", [PAIRS, VLAD_PAIRS])
def test_a_gpu_makes_what_the_cpu_makes(precision: str, pairs: tuple[Pair, ...]):
    on_gpu = featurizer(device="cuda", precision=precision, batch_size=4)
    first, second = flat(run(featurizer(precision=precision), pairs)), flat(run(on_gpu, pairs))
    tolerance = 1e-4 if precision == "float32" else 3e-2
    for key, array in first.items():
        scale = np.abs(array).max(initial=1e-9)
        np.testing.assert_allclose(second[key] / scale, array / scale, atol=tolerance, err_msg=str(key))
    assert_same_bits(run(on_gpu, pairs), run(on_gpu, pairs))
