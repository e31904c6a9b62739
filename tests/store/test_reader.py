import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest

import texture_store
from schemas import MICROGRAPHS, REJECTED
from tests.made_store import DEEP_MEAN, GRAM, MEAN, OTHER_SPEC, SPEC, MadeStore
from texture_store import open_store
from texture_store.errors import (
    DatasetNotFoundError,
    InvalidNameError,
    SnapshotNotFoundError,
    StoreFormatError,
    UsageError,
)
from texture_store.store import object_file
from texture_store.store.commits import fold_commits

PATHS = [f"{i}.tif" for i in range(6)]

NOT_IN_THE_BASE_INSTALL = (
    "torch", "torchvision", "ray", "sklearn", "scipy", "PIL", "cv2", "tifffile", "imagecodecs", "matplotlib", "click",
    "rich", "jinja2", "onnx", "onnxruntime", "safetensors", "polars", "pip",
)  # fmt: skip


def fill(made: MadeStore) -> MadeStore:
    made.index("steel", PATHS)
    made.commit("steel", "s0", PATHS[:3][::-1], pairs=[MEAN, GRAM], facts={})
    made.commit("steel", "s1", PATHS[3:5], pairs=[MEAN, GRAM], facts={}, rejected=PATHS[5:])
    return made


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    return fill(MadeStore.at(tmp_path / "store"))


def test_a_store_lists_its_datasets_snapshots_images_and_specs(made: MadeStore) -> None:
    made.index("alloy", ["z.tif"])
    made.index("steel", PATHS[1:])
    made.commit("steel", "s5", PATHS[:1], spec=OTHER_SPEC)
    store = open_store(made.url)
    assert store.datasets() == ["alloy", "steel"]
    assert store.snapshots("steel") == [1, 2]
    assert store.images("steel")["path"].to_pylist() == PATHS[1:]
    assert store.images("steel", snapshot=1)["path"].to_pylist() == PATHS
    assert store.specs("steel") == {spec.fingerprint: spec for spec in (SPEC, OTHER_SPEC)}
    assert store.specs("alloy") == {}


def test_micrographs_and_rejected_have_their_schema_and_the_snapshots_order(made: MadeStore) -> None:
    store = open_store(made.url)
    assert store.micrographs("steel").schema.equals(MICROGRAPHS)
    assert store.micrographs("steel")["path"].to_pylist() == PATHS[:5]
    assert store.rejected("steel").schema.equals(REJECTED)
    assert store.rejected("steel")["path"].to_pylist() == PATHS[5:]
    made.index("steel", PATHS[1:5])
    assert store.micrographs("steel")["path"].to_pylist() == PATHS[1:5]
    assert store.rejected("steel").num_rows == 0
    assert store.rejected("steel", snapshot=1).num_rows == 1
    made.index("alloy", ["z.tif"])
    assert store.micrographs("alloy").schema.equals(MICROGRAPHS)


def test_an_image_that_a_retry_featurized_is_not_rejected_any_more(made: MadeStore) -> None:
    made.commit("steel", "r0", PATHS[5:], pairs=[MEAN, GRAM], facts={})
    store = open_store(made.url)
    assert store.rejected("steel").num_rows == 0
    assert len(store.features("steel", encoder="mean", layer="conv1_2")) == 6


def test_commits_that_were_folded_read_the_same(made: MadeStore) -> None:
    before = open_store(made.url).features("steel", encoder="gram", layer="conv1_2").to_numpy()
    assert fold_commits(made.storage, "steel", SPEC.fingerprint, min_loose=1) is not None
    after = open_store(made.url).features("steel", encoder="gram", layer="conv1_2").to_numpy()
    np.testing.assert_array_equal(before, after)


def test_an_open_store_sees_what_is_committed_later(made: MadeStore) -> None:
    store = open_store(made.url)
    assert len(store.features("steel", encoder="mean", layer="conv1_2")) == 5
    made.index("steel", [*PATHS, "7.tif"])
    made.commit("steel", "s7", ["7.tif"])
    assert len(store.features("steel", encoder="mean", layer="conv1_2")) == 6


def test_what_does_not_exist_is_named(made: MadeStore, tmp_path: Path) -> None:
    store = open_store(made.url)
    for ask in (store.snapshots, store.images, store.specs, store.micrographs, store.rejected):
        with pytest.raises(DatasetNotFoundError, match="no dataset copper; it has steel"):
            ask("copper")
    with pytest.raises(DatasetNotFoundError):
        store.features("copper", encoder="mean", layer="conv1_2")
    with pytest.raises(InvalidNameError):
        store.features("../steel", encoder="mean", layer="conv1_2")
    with pytest.raises(SnapshotNotFoundError, match="no snapshot 3"):
        store.features("steel", encoder="mean", layer="conv1_2", snapshot=3)
    with pytest.raises(StoreFormatError, match=r"no .*store here"):
        open_store(str(tmp_path))
    with pytest.raises(UsageError, match="credentials"):
        open_store("s3://user:secret@bucket/store")


def test_a_store_of_a_newer_release_is_refused(made: MadeStore) -> None:
    (Path(made.url) / "store.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(StoreFormatError, match="upgrade"):
        open_store(made.url)


def test_objects_are_read_in_ranges_as_a_file_reads(made: MadeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_file, "WHOLE_BYTES", 0)
    monkeypatch.setattr(object_file, "TAIL_BYTES", 100)
    [path] = Path(made.url).glob("features/**/encoder=gram/**/s0.parquet")
    data = path.read_bytes()
    relative = str(path.relative_to(made.url))
    with path.open("rb") as plain, object_file.ObjectFile(made.storage, relative, len(data)) as ranged:
        for offset, whence, size in [
            (0, 0, 4),
            (-8, 2, 8),
            (-8, 2, 99),
            (-150, 2, 100),
            (7, 0, 50),
            (3, 1, 9),
            (0, 2, 5),
        ]:
            assert plain.seek(offset, whence) == ranged.seek(offset, whence)
            assert plain.read(size) == ranged.read(size)
            assert plain.tell() == ranged.tell()
        plain.seek(5)
        ranged.seek(5)
        assert plain.read() == ranged.read()


# The base install


def run_python(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        cwd=Path(texture_store.__file__).parents[1],
        env={**os.environ, "PYTHONPATH": "."},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_reading_works_with_the_base_install_alone(made: MadeStore) -> None:
    out = run_python(
        f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {NOT_IN_THE_BASE_INSTALL!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
import numpy as np
from texture_store import open_store, unpack_gram
from texture_store.errors import MissingExtraError

store = open_store(sys.argv[1])
features = store.features("steel", encoder="gram", layer="conv1_2")
assert unpack_gram(features.to_numpy()).shape == features.full_gram().shape == (5, 64, 64)
assert len(features.to_pandas()) == features.to_arrow().num_rows == len(features.rows) == 5
assert store.images("steel").num_rows == 6 and store.rejected("steel").num_rows == 1
assert store.duckdb().sql("select count(*) from features").fetchall() == [(10,)]
assert store.status("steel").indexed == 6
try:
    features.to_polars()
except MissingExtraError as error:
    print(error)
""",
        made.url,
    )
    assert "pip install polars" in out


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, texture_store; print([m for m in sys.modules if m in ('numpy', 'pyarrow', 'pandas', 'duckdb')])"
    assert run_python(code).strip() == "[]"


def test_public_names_are_these() -> None:
    assert texture_store.__all__ == ["open_store", "unpack_gram"]
    assert set(texture_store.__all__) <= set(dir(texture_store))
    with pytest.raises(AttributeError, match="no attribute 'close_store'"):
        texture_store.close_store  # noqa: B018


# Without our code


def test_duckdb_reads_any_glob_of_features(made: MadeStore) -> None:
    made.commit("steel", "s0", PATHS[:3], pairs=[DEEP_MEAN])
    root = made.url
    for glob in ("features/**/*.parquet", "features/*/*/encoder=mean/**/*.parquet", "features/*/*/*/layer=conv5_3/*"):
        rows = duckdb.sql(f"select * from read_parquet('{root}/{glob}', hive_partitioning=true)").pl()
        assert {"dataset", "spec", "encoder", "layer"} < set(rows.columns)
        assert rows["dataset"].dtype == rows["spec"].dtype == rows["layer"].dtype == pl.String
        assert rows.select("spec", "encoder", "layer", "image_id").is_unique().all()
    widths = duckdb.sql(
        f"select encoder, layer, len(vector), count(*) from read_parquet('{root}/features/**/*.parquet',"
        " hive_partitioning=true) group by all order by all"
    ).fetchall()
    assert widths == [("gram", "conv1_2", 2080, 5), ("mean", "conv1_2", 64, 5), ("mean", "conv5_3", 512, 3)]


def test_pandas_and_polars_read_one_layer(made: MadeStore) -> None:
    folder = Path(made.url) / f"features/dataset=steel/spec={SPEC.fingerprint}/encoder=gram/layer=conv1_2"
    expected = made.matrix("steel", PATHS[:5], GRAM)
    frame = pd.read_parquet(folder).sort_values("path")
    np.testing.assert_array_equal(np.stack(frame.vector), expected)
    polars = pl.scan_parquet(folder).sort("path").collect()
    np.testing.assert_array_equal(polars["vector"].to_numpy(), expected)
    # Polars takes the partition columns from below the first wildcard.
    wild = f"{made.url}/features/*/*/encoder=gram/layer=conv1_2/*.parquet"
    polars = pl.scan_parquet(wild, hive_partitioning=True).sort("path").collect()
    np.testing.assert_array_equal(polars["vector"].to_numpy(), expected)
    parts = polars.select("dataset", "spec", "encoder", "layer").unique().rows()
    assert parts == [("steel", SPEC.fingerprint, "gram", "conv1_2")]


@pytest.mark.s3
def test_a_store_on_s3_reads_the_same(s3_url: str) -> None:
    made = fill(MadeStore.at(f"{s3_url}/lab/store"))
    store = open_store(made.url)
    features = store.features("steel", encoder="gram", layer="conv1_2")
    assert list(features.rows.path) == PATHS[:5]
    np.testing.assert_array_equal(features.to_numpy(), made.matrix("steel", PATHS[:5], GRAM))
    assert store.micrographs("steel")["path"].to_pylist() == PATHS[:5]
    assert store.rejected("steel")["path"].to_pylist() == PATHS[5:]


@pytest.mark.s3
def test_polars_and_pandas_read_one_layer_on_s3(s3_url: str) -> None:
    made = fill(MadeStore.at(f"{s3_url}/store"))
    folder = f"{made.url}/features/dataset=steel/spec={SPEC.fingerprint}/encoder=mean/layer=conv1_2"
    options = {
        "aws_endpoint_url": os.environ["AWS_ENDPOINT_URL"],
        "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
        "aws_region": "us-east-1",
        "aws_allow_http": "true",
    }
    polars = pl.scan_parquet(f"{folder}/*.parquet", storage_options=options).sort("path").collect()
    expected = made.matrix("steel", PATHS[:5], MEAN)
    np.testing.assert_array_equal(polars["vector"].to_numpy(), expected)
    frame = pd.read_parquet(folder).sort_values("path")
    np.testing.assert_array_equal(np.stack(frame.vector), expected)
