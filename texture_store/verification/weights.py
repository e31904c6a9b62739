"""A weights file: its tensors against the digest that names it, and its header byte by byte."""

import json
import re
from collections.abc import Collection

from texture_store.errors import WeightsError
from texture_store.verification.findings import DamagedError


def check_weights(data: bytes, digest: str, lineages: Collection[str]) -> None:
    """Raises DamagedError. `lineages` are those that specs state for this digest; with none, any is believed."""
    from texture_store.backbone.weights import from_safetensors

    try:
        weights = from_safetensors(data, digest=digest, allow_foreign=True)
    except WeightsError as error:
        raise DamagedError(str(error).rpartition(";")[0]) from None
    # The digest covers the tensors alone.
    length = int.from_bytes(data[:8], "little")
    text = data[8 : 8 + length].rstrip(b" ")
    header = json.loads(text)
    about = header.pop("__metadata__", None)
    spans = sorted(tuple(one["data_offsets"]) for one in header.values())
    ends = [0, *(end for _, end in spans)]
    if (
        re.search(rb"\s", text)
        or any(set(one) != {"dtype", "shape", "data_offsets"} or one["dtype"] != "F32" for one in header.values())
        or set(header) != set(weights.tensors)
        or [start for start, _ in spans] != ends[:-1]
        or ends[-1] != len(data) - 8 - length
        or not isinstance(about, dict)
        or set(about) != {"lineage"}
    ):
        raise DamagedError("its header is not that of the store's own weights files")
    if about["lineage"] != weights.lineage or (lineages and weights.lineage not in lineages):
        raise DamagedError(f"it says that it is {about['lineage']}, and its specs or values do not")
