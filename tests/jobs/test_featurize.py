"""featurize on real files, a real Ray and a real store."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from jobs.featurize import command
from jobs.index import index
from jobs.shards import ShardsSummary
from texture_store import open_store
from texture_store.errors import DatasetNotFoundError, UsageError
from texture_store.spec import ENCODERS, LAYERS, make_pixel_spec

from .conftest import write_archive

pytestmark = [
    pytest.mark.ray,
    # What these tests read are features of random weights, on purpose.
    pytest.mark.filterwarnings("ignore:.*RANDOM"),
]

Run = Callable[..., ShardsSummary]
COMPUTED = [(encoder, layer) for encoder in ENCODERS[:3] for layer in LAYERS]


def vectors(store_url: str, spec: str, dataset: str = "steel") -> dict[tuple[str, str], pd.Series]:
    store = open_store(store_url)
    found = {}
    for encoder, layer in COMPUTED:
        features = store.features(dataset, encoder=encoder, layer=layer, spec=spec)
        found[encoder, layer] = (features.rows["path"].tolist(), features.to_numpy())
    return found


def assert_same_bits(left, right) -> None:
    for pair, (paths, matrix) in left.items():
        other_paths, other = right[pair]
        assert paths == other_paths
        assert matrix.view(np.uint32).tolist() == other.view(np.uint32).tolist(), pair


def test_every_image_ends_with_features_at_every_layer(tmp_path: Path, archive: Path, run_featurize: Run):
    store = str(tmp_path / "store")
    index(store, "steel", str(archive), labels=str(archive / "labels.csv"), shard_size=4)
    summary = run_featurize(store)
    assert (summary.indexed, summary.featurized, summary.rejected, summary.pending) == (10, 10, 0, 0)
    found = vectors(store, summary.spec)
    assert {pair: matrix.shape[0] for pair, (_, matrix) in found.items()} == dict.fromkeys(COMPUTED, 10)
    input_means = found["mean", "input"][1]
    pictures = [np.asarray(open_picture(archive / path), np.float64) for path in found["mean", "input"][0]]
    for row, picture in zip(input_means, pictures, strict=True):
        # Area averaging keeps the mean grey value; 0.5 is the rounding to whole grey values.
        assert abs(row[0] + 123.68 - picture.mean()) < 0.5
        assert row[1] - row[0] == pytest.approx(123.68 - 116.779, abs=1e-3)


def open_picture(path: Path):
    from PIL import Image

    return Image.open(path)


def test_a_second_run_has_nothing_to_do(tmp_path: Path, archive: Path, run_featurize: Run):
    store = str(tmp_path / "store")
    index(store, "steel", str(archive))
    first = run_featurize(store)
    before = {path: path.stat().st_mtime_ns for path in Path(store).rglob("*.parquet")}
    second = run_featurize(store)
    assert (first.computed, second.computed) == (10, 0)
    assert second.spec == first.spec
    assert {path: path.stat().st_mtime_ns for path in Path(store).rglob("*.parquet")}.items() >= before.items()


def test_vectors_do_not_depend_on_the_shard_size_or_the_order_of_jobs(
    tmp_path: Path, archive: Path, run_featurize: Run
):
    stores = [str(tmp_path / name) for name in ("whole", "small", "mean-first", "gram-first")]
    for store, shard_size in zip(stores, (64, 3, 4, 4), strict=True):
        index(store, "steel", str(archive), shard_size=shard_size)
    summaries = [run_featurize(stores[0]), run_featurize(stores[1])]
    run_featurize(stores[2], encoders=("mean",))
    summaries.append(run_featurize(stores[2]))
    run_featurize(stores[3], encoders=("gram",), layers=("conv4_3", "conv1_2"))
    run_featurize(stores[3], encoders=("max", "mean"), layers=LAYERS)
    summaries.append(run_featurize(stores[3]))
    reference = vectors(stores[0], summaries[0].spec)
    for store, summary in zip(stores, summaries, strict=True):
        assert summary.spec == summaries[0].spec
        assert (summary.featurized, summary.pending) == (10, 0)
        assert_same_bits(reference, vectors(store, summary.spec))
        assert no_image_twice_in_any_glob(store)


def no_image_twice_in_any_glob(store: str) -> bool:
    import duckdb

    table = f"read_parquet('{store}/features/**/*.parquet', hive_partitioning=true)"
    return (
        duckdb.sql(f"select image_id from {table} group by image_id, encoder, layer having count(*) > 1").fetchall()
        == []
    )


def test_adding_gram_recomputes_no_commit_of_mean(tmp_path: Path, archive: Path, run_featurize: Run):
    store = tmp_path / "store"
    index(str(store), "steel", str(archive), shard_size=4)
    run_featurize(str(store), encoders=("mean",))
    before = {path: path.read_bytes() for path in store.rglob("*.parquet")}
    run_featurize(str(store), encoders=("mean", "gram"))
    assert {path: path.read_bytes() for path in before} == before
    assert len(list(store.glob("features/*/*/encoder=gram/layer=conv5_3/*.parquet"))) == 3
    assert len(list(store.glob("micrographs/*/*/*.parquet"))) == 3


def test_new_images_are_added_and_old_ones_left_alone(tmp_path: Path, archive: Path, run_featurize: Run):
    store = str(tmp_path / "store")
    index(store, "steel", str(archive))
    run_featurize(store)
    write_archive(archive, count=5, first=10)
    index(store, "steel", str(archive))
    summary = run_featurize(store)
    assert (summary.computed, summary.featurized, summary.pending) == (5, 15, 0)


def bad_files(archive: Path) -> dict[str, str]:
    whole = (archive / "image001.png").read_bytes()
    (archive / "empty.png").write_bytes(b"")
    (archive / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (archive / "text.tif").write_text("this is not a micrograph")
    bomb = whole[:16] + (60_000).to_bytes(4, "big") * 2 + whole[24:]
    (archive / "bomb.png").write_bytes(bomb)
    return dict.fromkeys(("empty.png", "truncated.png", "text.tif"), "UnreadableImageError")


def test_bad_images_are_rejected_with_a_reason_and_the_rest_goes_on(tmp_path: Path, archive: Path, run_featurize: Run):
    store = str(tmp_path / "store")
    reasons = bad_files(archive)
    index(store, "steel", str(archive))
    summary = run_featurize(store)
    assert (summary.indexed, summary.featurized, summary.rejected, summary.pending) == (14, 10, 4, 0)
    rejected = open_store(store).rejected("steel", spec=summary.spec).to_pandas().set_index("path")
    assert {path: rejected.loc[path, "error"] for path in reasons} == reasons
    assert rejected.loc["bomb.png", "stage"] == "decode"
    assert rejected["message"].str.len().min() > 10
    again = run_featurize(store, retry_rejected=True)
    assert (again.computed, again.featurized, again.rejected, again.pending) == (0, 10, 4, 0)
    assert len(open_store(store).rejected("steel", spec=summary.spec)) == 4


def test_too_many_rejected_images_end_with_status_3(tmp_path: Path, archive: Path, ray_session: None):
    store = str(tmp_path / "store")
    bad_files(archive)
    index(store, "steel", str(archive))
    args = ["--store", store, "--dataset", "steel", "--size", "64", "--weights", "random:0", "--encoders", "mean"]
    assert CliRunner().invoke(command, [*args, "--max-rejected", "10%"]).exit_code == 3
    assert CliRunner().invoke(command, [*args, "--max-rejected", "0.5"]).exit_code == 0


def test_a_file_that_changed_or_vanished_waits_for_the_next_index(tmp_path: Path, archive: Path, run_featurize: Run):
    store = str(tmp_path / "store")
    index(store, "steel", str(archive))
    (archive / "image001.png").unlink()
    write_archive(tmp_path / "other", count=5)
    (tmp_path / "other" / "image002.tif").replace(archive / "image004.tif")
    waiting = run_featurize(store)
    assert (waiting.indexed, waiting.featurized, waiting.rejected, waiting.pending) == (10, 8, 0, 2)
    assert waiting.changed_since_index == ["image001.png", "image004.tif"]
    index(store, "steel", str(archive))
    settled = run_featurize(store)
    assert (settled.indexed, settled.featurized, settled.rejected, settled.pending) == (9, 9, 0, 0)
    assert settled.computed == 1


def test_a_dry_run_tells_the_cost_and_computes_nothing(tmp_path: Path, archive: Path):
    store = tmp_path / "store"
    index(str(store), "steel", str(archive), shard_size=4)
    args = ["--store", str(store), "--dataset", "steel", "--size", "64", "--weights", "random:0", "--dry-run", "--json"]
    result = CliRunner().invoke(command, args)
    assert result.exit_code == 0, result.output
    estimate = json.loads(result.stdout)
    assert (estimate["images"], estimate["shards"]) == (10, 3)
    assert estimate["files"] == 3 * (len(COMPUTED) + 2)
    assert estimate["gigabytes"] > 0
    assert estimate["seconds_per_image"] > 0
    assert not list(store.glob("commits/**/*.json"))
    assert not list(store.glob("features/**/*.parquet"))


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        (["--dataset", "copper"], 1, "copper"),
        (["--dataset", "Not Allowed"], 2, "Not Allowed"),
        (["--dataset", "steel", "--encoders", "vlad"], 2, "--encoders"),
        (["--dataset", "steel", "--layers", "conv9_9"], 2, "--layers"),
        (["--dataset", "steel", "--max-rejected", "lots"], 2, "--max-rejected"),
        (["--dataset", "steel", "--weights", "random:x"], 2, "random:SEED"),
        (["--dataset", "steel", "--weights", "./nothing.pth"], 1, "nothing.pth"),
        (["--dataset", "steel", "--weights", "random:0", "--precision", "tf32"], 2, "tf32"),
    ],
)
def test_wrong_usage_is_one_line(tmp_path: Path, archive: Path, args: list[str], status: int, words: str):
    store = str(tmp_path / "store")
    index(store, "steel", str(archive))
    result = CliRunner().invoke(command, ["--store", store, *args])
    assert result.exit_code == status, result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("texture-store featurize: ")
    assert words in last


def test_a_dataset_keeps_the_precision_it_began_with(tmp_path: Path, archive: Path, run_featurize: Run):
    store = str(tmp_path / "store")
    index(store, "steel", str(archive))
    first = run_featurize(store, precision="bfloat16", encoders=("mean",))
    second = run_featurize(store, precision="auto", encoders=("max",))
    third = run_featurize(store, precision="float32", encoders=("mean",))
    assert first.spec == second.spec != third.spec


def test_other_pixels_are_another_spec_beside_the_first(tmp_path: Path, archive: Path, run_featurize: Run):
    store = str(tmp_path / "store")
    index(store, "steel", str(archive))
    square = run_featurize(store, encoders=("mean",))
    native = run_featurize(store, encoders=("mean",), pixels=make_pixel_spec(size="native"))
    assert square.spec != native.spec
    features = open_store(store).features("steel", encoder="mean", layer="conv1_2", spec=native.spec)
    assert set(features.rows["num_positions"]) == {80 * 64}


def test_an_index_that_points_outside_its_archive_is_not_followed(tmp_path: Path, archive: Path, run_featurize: Run):
    from texture_store.objects import open_storage
    from texture_store.store.snapshots import latest_snapshot, write_snapshot

    store = str(tmp_path / "store")
    index(store, "steel", str(archive))
    secret = tmp_path / "secret.png"
    secret.write_bytes((archive / "image001.png").read_bytes())
    storage = open_storage(store)
    snapshot = latest_snapshot(storage, "steel")
    uris = ["file://" + str(secret)] * len(snapshot.table)
    position = snapshot.table.schema.get_field_index("uri")
    import pyarrow as pa

    forged = snapshot.table.set_column(position, snapshot.table.schema.field("uri"), pa.array(uris))
    write_snapshot(
        storage, "steel", forged, previous=snapshot.number, archive_url=snapshot.archive_url, labels_source=None
    )
    summary = run_featurize(store)
    assert summary.featurized == 0
    assert summary.pending == 10
    assert summary.failed_shards


def test_an_unknown_dataset_is_named(tmp_path: Path, archive: Path, run_featurize: Run):
    store = str(tmp_path / "store")
    index(store, "steel", str(archive))
    with pytest.raises(DatasetNotFoundError, match="copper"):
        run_featurize(store, "copper")


def test_random_weights_are_never_chosen_unasked(tmp_path: Path, archive: Path, run_featurize: Run):
    store = str(tmp_path / "store")
    index(store, "steel", str(archive))
    summary = run_featurize(store, encoders=("mean",))
    with pytest.raises(LookupError, match="random"):
        open_store(store).features("steel", encoder="mean", layer="conv1_2")
    assert len(open_store(store).features("steel", encoder="mean", layer="conv1_2", spec=summary.spec).rows) == 10


def test_tf32_needs_a_gpu(tmp_path: Path, archive: Path, run_featurize: Run):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    store = str(tmp_path / "store")
    index(store, "steel", str(archive))
    with pytest.raises(UsageError, match="GPU"):
        run_featurize(store, precision="tf32")


def test_a_request_has_every_encoder_at_every_layer():
    from jobs.planning import Request

    request = Request(store_url="s", dataset="d", pixels=make_pixel_spec(size="64x64"))
    assert sorted(request.pairs) == sorted(COMPUTED)
    assert replace(request, encoders=("mean",), layers=("input",)).pairs == (("mean", "input"),)
