"""The stream keeps decoding, extracting and writing apart, and a shard that fails does not stop the others."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jobs.cluster import GPU_SHARDS_AT_ONCE, GPU_SHARDS_IN_FLIGHT, Workers
from jobs.index import index
from jobs.shards import ShardsSummary
from jobs.stream import Target, build_stream
from texture_store import open_store
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


@pytest.mark.filterwarnings("ignore:.*RANDOM")
def test_shards_side_by_side_in_an_actor_are_those_that_come_one_by_one(
    tmp_path: Path, archive: Path, run_featurize: Callable[..., ShardsSummary], monkeypatch: pytest.MonkeyPatch
):
    """As an actor on a GPU has them, here on a CPU."""
    one_by_one, side_by_side = (str(tmp_path / name) for name in ("one_by_one", "side_by_side"))
    for store in (one_by_one, side_by_side):
        index(store, "steel", str(archive), shard_size=1)
    spec = run_featurize(one_by_one).spec
    monkeypatch.setattr(Workers, "shards_at_once", GPU_SHARDS_AT_ONCE)
    monkeypatch.setattr(Workers, "shards_in_flight", GPU_SHARDS_IN_FLIGHT)
    assert run_featurize(side_by_side).featurized == 10
    for encoder in ("mean", "max", "gram"):
        expected, found = (
            open_store(store).features("steel", encoder=encoder, layer="conv4_3", spec=spec).to_numpy()
            for store in (one_by_one, side_by_side)
        )
        np.testing.assert_array_equal(found, expected)


def operators(stream) -> list[str]:
    """Names of the physical operators after Ray Data's optimizer ran, first to last."""
    from ray.data._internal.logical.optimizers import get_execution_plan

    operator = get_execution_plan(stream._logical_plan)[0].dag
    names = []
    while operator.input_dependencies:
        names.append(operator.name)
        operator = operator.input_dependencies[0]
    return names[::-1]
