import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.made_store import DEEP_MEAN, GRAM, MEAN, MadeStore
from texture_store import open_store, unpack_gram
from texture_store.errors import (
    CommitConflictError,
    FeaturesNotFoundError,
    ObjectNotFoundError,
    SchemaMismatchError,
    UsageError,
)
from texture_store.store import layout, tables
from texture_store.store.features import Features

PATHS = [f"piece{i % 3}/{i:02}.tif" for i in range(11)]
SORTED = sorted(PATHS)


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    """Eleven images in three shards whose rows lie in no particular order; the last image is rejected."""
    made = MadeStore.at(tmp_path / "store")
    made.index(
        "steel", PATHS, labels={path: f"0{i % 2}" for i, path in enumerate(SORTED)}, meta={"etch": ["nital"] * 11}
    )
    shuffled = list(np.random.default_rng(0).permutation(SORTED[:10]))
    for i, start in enumerate((0, 4, 8)):
        paths = [str(path) for path in shuffled[start : start + 4]]
        positions = [100 + int(path[-6:-4]) for path in paths]
        rejected = SORTED[10:] if i == 2 else []
        made.commit("steel", f"s{i}", paths, pairs=[MEAN, GRAM], num_positions=positions, rejected=rejected, facts={})
    return made


def read(made: MadeStore, encoder: str = "mean", **named) -> Features:
    return open_store(made.url).features("steel", encoder=encoder, layer="conv1_2", **named)


def test_row_i_of_the_matrix_is_the_vector_of_row_i(made: MadeStore) -> None:
    for pair in (MEAN, GRAM):
        features = read(made, pair[0])
        matrix = features.to_numpy()
        assert list(features.rows.path) == SORTED[:10]
        assert matrix.dtype == np.float32
        assert matrix.flags.c_contiguous
        np.testing.assert_array_equal(matrix, made.matrix("steel", SORTED[:10], pair))


def test_rows_carry_labels_specimens_and_the_labels_files_other_columns(made: MadeStore) -> None:
    rows = read(made).rows
    assert list(rows.label) == [f"0{i % 2}" for i in range(10)]
    assert list(rows.specimen) == [path.split("/")[0] for path in SORTED[:10]]
    assert set(rows.meta_etch) == {"nital"}
    assert list(rows.num_positions) == [100 + int(path[-6:-4]) for path in SORTED[:10]]


def test_all_forms_hold_the_same_rows_and_vectors(made: MadeStore) -> None:
    features = read(made)
    matrix = features.to_numpy()
    arrow, pandas, polars = features.to_arrow(), features.to_pandas(), features.to_polars()
    wide = features.to_pandas(wide=True)
    assert arrow.schema.field("vector").type.list_size == 64
    np.testing.assert_array_equal(np.stack(pandas.vector), matrix)
    np.testing.assert_array_equal(wide[[f"f{i}" for i in range(64)]], matrix)
    np.testing.assert_array_equal(polars["vector"].to_numpy(), matrix)
    np.testing.assert_array_equal(np.array(arrow["vector"].to_pylist(), np.float32), matrix)
    assert isinstance(polars, pl.DataFrame)
    for form in (arrow["path"].to_pylist(), list(pandas.path), polars["path"].to_list(), list(wide.path)):
        assert form == SORTED[:10]


def test_full_gram_is_the_symmetric_matrix_of_the_packed_triangle(made: MadeStore) -> None:
    features = read(made, "gram")
    full = features.full_gram()
    packed = features.to_numpy()
    assert full.shape == (10, 64, 64)
    np.testing.assert_array_equal(full, full.transpose(0, 2, 1))
    np.testing.assert_array_equal(full[:, *np.triu_indices(64)], packed)
    np.testing.assert_array_equal(unpack_gram(packed), full)


def test_position_mean_divides_sums_by_each_images_positions_and_leaves_means_alone(made: MadeStore) -> None:
    features = read(made, "gram")
    positions = np.array([100 + int(path[-6:-4]) for path in SORTED[:10]])
    expected = made.matrix("steel", SORTED[:10], GRAM).astype(np.float64) / positions[:, None]
    np.testing.assert_allclose(features.position_mean(), expected, rtol=1e-6)
    np.testing.assert_allclose(features.full_gram(position_mean=True)[:, 0, :], expected[:, :64], rtol=1e-6)
    assert features.position_mean().dtype == np.float32
    np.testing.assert_array_equal(read(made).position_mean(), read(made).to_numpy())


def test_different_numbers_of_positions_are_said(made: MadeStore) -> None:
    features = read(made)
    assert features.mixed_positions
    assert not features.subset([3]).mixed_positions


def test_matrices_are_for_gram_only(made: MadeStore) -> None:
    with pytest.raises(UsageError, match="only gram"):
        read(made).full_gram()
    with pytest.raises(UsageError, match="only vlad"):
        read(made).counts()


def test_words_of_a_dictionary_decide_the_width_of_vlad_and_come_with_counts(tmp_path: Path) -> None:
    made = MadeStore.at(tmp_path)
    made.index("steel", ["a.tif", "b.tif"])
    made.commit("steel", "s0", ["b.tif", "a.tif"], pairs=[("vlad", "conv1_2")], num_words=3)
    features = read(made, "vlad")
    assert features.num_features == 3 * 64
    np.testing.assert_array_equal(features.to_numpy(), made.matrix("steel", ["a.tif", "b.tif"], ("vlad", "conv1_2")))
    np.testing.assert_array_equal(features.counts(), [[0, 1, 2], [0, 1, 2]])
    assert features.to_arrow()["counts"].to_pylist() == [[0, 1, 2], [0, 1, 2]]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.booleans(), min_size=10, max_size=10), st.booleans())
def test_a_subset_has_the_rows_of_the_whole(made: MadeStore, mask: list[bool], rows_first: bool) -> None:
    features = read(made)
    if rows_first:
        assert len(features.rows) == 10
    some = features.subset(mask)
    assert len(some) == sum(mask)
    np.testing.assert_array_equal(some.to_numpy(), made.matrix("steel", SORTED[:10], MEAN)[mask])
    assert list(some.rows.path) == [path for path, kept in zip(SORTED[:10], mask, strict=True) if kept]
    assert list(some.rows.num_positions) == list(features.rows.num_positions[mask])


@pytest.mark.parametrize("keep", [[True], [0, 0], [1, 0], [-1], [10], [0.5], ["a"]])
def test_a_subset_is_a_mask_or_ascending_row_numbers(made: MadeStore, keep: list) -> None:
    with pytest.raises(UsageError, match="subset"):
        read(made).subset(keep)


def test_an_empty_subset_is_empty_in_every_form(made: MadeStore) -> None:
    none = read(made).subset([])
    assert len(read(made).subset(np.zeros(10, bool))) == 0
    assert none.to_numpy().shape == (0, 64)
    assert len(none.to_pandas()) == len(none.to_polars()) == none.to_arrow().num_rows == 0


def test_batches_are_the_whole_in_pieces(made: MadeStore) -> None:
    pieces = list(read(made).batches(max_bytes=3 * 64 * 4))
    assert [len(piece) for piece in pieces] == [3, 3, 3, 1]
    np.testing.assert_array_equal(np.concatenate([piece.to_numpy() for piece in pieces]), read(made).to_numpy())


def test_files_of_several_row_groups_are_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROW_GROUP_BYTES", 3 * 2080 * 4)
    made = MadeStore.at(tmp_path)
    made.index("steel", SORTED)
    made.commit("steel", "s0", SORTED[::-1], pairs=[GRAM])
    [file] = tmp_path.glob("features/**/*.parquet")
    assert pq.ParquetFile(file).num_row_groups == 4
    features = read(made, "gram")
    np.testing.assert_array_equal(features.to_numpy(), made.matrix("steel", SORTED, GRAM))
    np.testing.assert_array_equal(features.subset([2, 7]).to_numpy(), made.matrix("steel", SORTED, GRAM)[[2, 7]])


# What counts: commits and the snapshot


def test_files_without_a_commit_are_not_seen(made: MadeStore) -> None:
    made.index("steel", [*PATHS, "new.tif"])
    made.commit("steel", "s9", ["new.tif"], pairs=[MEAN, GRAM], only_files=True)
    with pytest.warns(UserWarning, match="1 of 12 images are pending"):
        features = read(made)
    assert list(features.rows.path) == SORTED[:10]
    assert features.pending == 1


def test_images_outside_the_snapshot_are_not_seen_and_an_earlier_snapshot_has_them(made: MadeStore) -> None:
    made.index("steel", SORTED[2:])
    np.testing.assert_array_equal(read(made).to_numpy(), made.matrix("steel", SORTED[2:10], MEAN))
    assert list(read(made, snapshot=1).rows.path) == SORTED[:10]


def test_a_file_that_two_steps_list_counts_once(made: MadeStore) -> None:
    paths = sorted(SORTED[:4])
    made.index("other", paths)
    made.commit("other", "s0", paths, pairs=[MEAN])
    vectors = made.vectors["other", next(iter(open_store(made.url).specs("other"))), MEAN].copy()
    made.commit("other", "s0", paths, pairs=[MEAN, DEEP_MEAN])  # adopts the file of the first one
    features = open_store(made.url).features("other", encoder="mean", layer="conv1_2")
    np.testing.assert_array_equal(features.to_numpy(), np.stack(list(vectors.values())))


def test_an_image_that_is_committed_twice_is_refused(made: MadeStore) -> None:
    made.commit("steel", "s8", [SORTED[0], SORTED[3]], pairs=[MEAN])
    with pytest.raises(CommitConflictError, match=f"2 images are committed twice, such as '{SORTED[0]}'"):
        read(made)


# Damage


def only_file(made: MadeStore, shard: str = "s0") -> Path:
    spec = next(iter(open_store(made.url).specs("steel")))
    return Path(made.url) / layout.features_path("steel", spec, *MEAN, shard)


def test_a_file_that_is_gone_is_named(made: MadeStore) -> None:
    only_file(made).unlink()
    with pytest.raises(ObjectNotFoundError, match=r"s0\.parquet"):
        read(made).to_numpy()


@pytest.mark.parametrize("keep", [0, 3, 200, -9])
def test_a_truncated_file_is_named(made: MadeStore, keep: int) -> None:
    data = only_file(made).read_bytes()
    only_file(made).write_bytes(data[:keep])
    with pytest.raises(SchemaMismatchError, match=r"s0\.parquet.*not a readable Parquet file") as caught:
        read(made).to_numpy()
    assert "\n" not in str(caught.value)
    with pytest.raises(SchemaMismatchError):
        assert read(made).rows is not None


def test_a_file_that_lacks_an_image_of_its_commit_is_named(made: MadeStore) -> None:
    table = pq.read_table(only_file(made), partitioning=None)
    pq.write_table(table.slice(1), only_file(made))
    with pytest.raises(SchemaMismatchError, match="has 3 of the 4 images"):
        read(made).to_numpy()


@pytest.mark.parametrize(
    "vectors",
    [
        pa.array([[1.0] * 63] * 4, pa.list_(pa.float32(), 63)),
        pa.array([[1.0] * 64] * 4, pa.list_(pa.float32())),
        pa.array([[1.0] * 64] * 3 + [None], pa.list_(pa.float32(), 64)),
    ],
    ids=["width", "type", "null"],
)
def test_vectors_of_another_form_are_refused(made: MadeStore, vectors: pa.Array) -> None:
    table = pq.read_table(only_file(made), partitioning=None)
    pq.write_table(table.set_column(3, "vector", vectors), only_file(made))
    with pytest.raises(SchemaMismatchError, match="not lists of 64"):
        read(made).to_numpy()


def test_a_file_without_a_column_is_named(made: MadeStore) -> None:
    table = pq.read_table(only_file(made), partitioning=None)
    pq.write_table(table.drop_columns(["num_positions"]), only_file(made))
    with pytest.raises(SchemaMismatchError, match=r"s0\.parquet: has no column num_positions"):
        read(made).to_numpy()


# Physical scale


@pytest.fixture
def scaled(tmp_path: Path) -> MadeStore:
    """a knows its scale, b is known from the labels, c's label is no number, d has none, e is at another scale."""
    made = MadeStore.at(tmp_path / "scaled")
    paths = [f"{name}.tif" for name in "abcde"]
    made.index("steel", paths, meta={"um_per_px": ["9", "0.25", "fine", None, None]})
    facts = {
        "um_per_px_x": [0.5, None, None, None, 2.0],
        "um_per_px_y": [0.52, None, None, None, 2.0],
        "px_per_px_x": [1.0, 2.0, 2.0, 2.0, 1.0],
        "px_per_px_y": [1.0, 2.1, 2.1, 2.1, 1.0],
    }
    made.commit("steel", "s0", paths, facts=facts)
    return made


def test_the_scale_comes_from_the_file_else_from_the_labels_times_the_shrinking(scaled: MadeStore) -> None:
    rows = read(scaled).rows
    np.testing.assert_allclose(rows.um_per_px_x, [0.5, 0.5, np.nan, np.nan, 2.0])
    np.testing.assert_allclose(rows.um_per_px_y, [0.52, 0.525, np.nan, np.nan, 2.0])
    assert [None if value != value else value for value in rows.um_per_px_source] == [
        "file",
        "labels",
        None,
        None,
        "file",
    ]
    assert read(scaled).mixed_scales
    assert not read(scaled).subset([0, 1]).mixed_scales


def test_one_scale_can_be_asked_for_and_images_of_unknown_scale_are_said(scaled: MadeStore) -> None:
    with pytest.warns(UserWarning, match="2 images of unknown scale"):
        features = read(scaled, um_per_px=0.5)
    assert list(features.rows.path) == ["a.tif", "b.tif"]
    np.testing.assert_array_equal(features.to_numpy(), scaled.matrix("steel", ["a.tif", "b.tif"], MEAN))
    with warnings.catch_warnings(), pytest.raises(FeaturesNotFoundError, match=r"known scales are 0\.5 to 2"):
        read(scaled, um_per_px=1.0)
    with pytest.raises(UsageError, match="positive"):
        read(scaled, um_per_px=-1.0)


def test_where_no_scale_is_known_one_cannot_be_asked_for(made: MadeStore) -> None:
    assert read(made).rows.um_per_px_x.isna().all()
    with pytest.raises(FeaturesNotFoundError, match="no scale is known"):
        read(made, um_per_px=1.0)
