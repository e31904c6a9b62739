"""The stream keeps decoding, extracting and writing apart, and a shard that fails does not stop the others."""

from pathlib import Path

import pytest

from jobs.cluster import Workers
from jobs.stream import Target, build_stream
from texture_store.objects import open_storage
from texture_store.spec import FeatureSpec

pytestmark = pytest.mark.ray


def test_the_three_legs_are_not_fused(tmp_path: Path, ray_session: None):
    spec = FeatureSpec(weights="ab" * 32, lineage="random:0")
    target = Target(open_storage(str(tmp_path)), "featurize", "steel", spec, 1)
    for threads in (1, 2, 8):
        workers = Workers.on_cpu(cores=[threads])
        assert operators(build_stream({}, archive_url=str(tmp_path), target=target, workers=workers)) == [
            "MapBatches(_load)",
            "MapBatches(_ExtractActor)",
            "MapBatches(_write)",
        ]


def operators(stream) -> list[str]:
    """Names of the physical operators after Ray Data's optimizer ran, first to last."""
    from ray.data._internal.logical.optimizers import get_execution_plan

    operator = get_execution_plan(stream._logical_plan)[0].dag
    names = []
    while operator.input_dependencies:
        names.append(operator.name)
        operator = operator.input_dependencies[0]
    return names[::-1]
