"""The stream without reading and decoding: everything after that is real."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from jobs.benchmark_bench import Bench
from jobs.benchmark_fed import decoded_pictures, make_units, measure_fed
from jobs.benchmark_network import make_extractor, make_spec
from texture_store.objects import open_storage
from texture_store.spec import make_pixel_spec
from texture_store.store.commits import read_commits

from .benches import by_name, tiny_bench

pytestmark = pytest.mark.filterwarnings("ignore:.*RANDOM")


def test_units_have_every_image_once():
    units = make_units(7, 3)
    assert [unit.rows.num_rows for unit in units] == [3, 3, 1]
    ids = [image_id for unit in units for image_id in unit.rows["image_id"].to_pylist()]
    assert len(set(ids)) == 7


def test_pictures_are_those_that_the_network_sees():
    (unit,) = make_units(3, 4)
    loaded = decoded_pictures(unit, "", make_pixel_spec(size="48x48"))
    assert [picture.shape for picture in loaded.seen] == [(48, 48)] * 3
    assert [member["path"] for member in loaded.members] == ["0.png", "1.png", "2.png"]


@pytest.mark.ray
def test_what_is_written_is_what_the_extract_stage_makes_of_the_pictures(tmp_path, ray_session: None):
    bench: Bench = tiny_bench(tmp_path / "bench")
    figures = by_name(measure_fed(bench))
    precision = bench.precisions[0]
    rate = figures[f"{precision}: fed stream"].value
    assert rate > 0
    until_written = figures[f"{precision}: until all is written, likewise"].value
    assert (
        until_written
        <= figures[f"{precision}: stream fed with decoded pictures against the network with all statistics"].value
    )
    spec = make_spec(bench, precision)
    (unit,) = make_units(2, 2)
    alone = make_extractor(bench, precision)(decoded_pictures(unit, "", spec.pixels)).products
    folder = bench.folder / "fed"
    commits = read_commits(open_storage(str(folder)), "benchmark", spec.fingerprint)
    assert sum(len(commit.members) for commit in commits) == bench.amounts.fed
    for encoder in ("mean", "gram"):
        rows = {
            row["path"]: row["vector"]
            for commit in commits
            for file in commit.files
            if f"encoder={encoder}/layer=conv3_3/" in file.path
            for row in pq.read_table(folder / file.path, partitioning=None).to_pylist()
        }
        assert len(rows) == bench.amounts.fed
        for place in range(2):
            np.testing.assert_array_equal(
                np.float32(rows[f"{place}.png"]), alone.vectors[encoder, "conv3_3"][place], strict=True
            )
