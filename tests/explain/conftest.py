"""The paper's weights; skipped without them and without network."""

import pytest

from texture_store.backbone.sources import find_weights
from texture_store.backbone.weights import Weights
from texture_store.errors import WeightsNotFoundError


@pytest.fixture(scope="session")
def caffe_weights() -> Weights:
    try:
        return find_weights()
    except WeightsNotFoundError as error:
        pytest.skip(f"needs the weights of VGG16 or network: {error}")
