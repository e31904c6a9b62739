"""The scripts that featurize is compared with give what it gives."""

from pathlib import Path

import numpy as np
import pyarrow.dataset
import pytest

from jobs.benchmark_bench import Bench
from jobs.benchmark_featurize import Case, archive_folder
from jobs.benchmark_network import loaded_pictures, make_extractor
from jobs.benchmark_peers import SCRIPTS, run_peer
from jobs.benchmark_pictures import make_archive, picture
from texture_store.encoding.packing import unpack_gram
from texture_store.pipeline import LoadedShard
from texture_store.spec import LAYERS, NUM_CHANNELS, Precision

from .benches import tiny_bench

pytestmark = [pytest.mark.ray, pytest.mark.slow]

TOLERANCE: dict[Precision, float] = {"float32": 2e-5, "bfloat16": 0.03}
"""Of the greatest value of a layer. bfloat16: autocast takes Gram's products in bfloat16, too."""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by all runs, as in a benchmark: what one leaves there must not be taken for another's."""
    return tmp_path_factory.mktemp("peers")


@pytest.mark.parametrize(
    ("name", "precision"), [("plain script", "float32"), ("plain script", "bfloat16"), ("Ray Data recipe", "bfloat16")]
)
def test_a_script_agrees_with_the_extract_stage(tmp_path: Path, outputs: Path, name: str, precision: Precision):
    bench = tiny_bench(tmp_path / "bench")
    case = Case("png", (bench.amounts.side_px,) * 2, "disk", 6, precision)
    make_archive(archive_folder(bench, case), "png", case.size, count=case.images, distinct=case.images)
    output = outputs / f"{SCRIPTS[name]}-{precision}"
    run = run_peer(bench, name, case, output)
    assert 0 < run.start_up < run.seconds
    table = pyarrow.dataset.dataset(output, format="parquet").to_table().to_pandas().sort_values("path")
    assert table["path"].tolist() == [f"image{number:05}.png" for number in range(6)]
    ours = expected(bench, case.images, precision)
    for layer in LAYERS:
        for encoder in ("mean", "max", "gram"):
            theirs = np.stack(table[f"{encoder}_{layer}"].to_numpy()).reshape(6, -1)
            mine = ours[encoder, layer]
            if encoder == "gram":
                mine = np.asarray(unpack_gram(mine)).reshape(6, NUM_CHANNELS[layer] ** 2)
            worst = np.abs(theirs - mine).max() / np.abs(mine).max()
            assert worst < TOLERANCE[precision], (encoder, layer, worst)


def expected(bench: Bench, count: int, precision: Precision) -> dict:
    """By the extract stage. The pictures have the size that the network sees: Pillow rounds resized ones otherwise."""
    side = bench.amounts.side_px
    seen = [picture(number, (side, side)) for number in range(count)]
    loaded = loaded_pictures(count, side)
    loaded = LoadedShard(loaded.unit, loaded.members, seen)
    return make_extractor(bench, precision)(loaded).products.vectors
