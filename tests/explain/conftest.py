"""The paper's weights, skipped without them, and small random ones."""

import pytest

from texture_store.backbone.sources import find_weights
from texture_store.backbone.weights import Weights, random_weights
from texture_store.errors import WeightsNotFoundError


@pytest.fixture(scope="session")
def caffe_weights() -> Weights:
    try:
        return find_weights()
    except WeightsNotFoundError as error:
        pytest.skip(f"needs the weights of VGG16 or network: {error}")


@pytest.fixture(scope="session")
def some_weights() -> Weights:
    return random_weights(seed=1)
