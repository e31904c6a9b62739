from pathlib import Path

import numpy as np
import pytest

from schemas import EVALUATIONS
from tests.evaluation_rows import evaluation_row
from tests.made_store import MadeStore
from texture_store import open_store
from texture_store.errors import DatasetNotFoundError, EncodingError
from texture_store.store.evaluations import (
    DECIDING,
    evaluation_key,
    members_digest,
    read_evaluations,
    scored_keys,
    write_evaluation,
)


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    made = MadeStore.at(tmp_path / "store")
    made.index("steel", ["a.tif", "b.tif"])
    return made


def test_a_row_comes_back_as_it_was_written(made: MadeStore) -> None:
    row = evaluation_row(metadata=None)
    write_evaluation(made.storage, "steel", row)
    table = read_evaluations(made.storage, "steel")
    assert table.schema.equals(EVALUATIONS)
    [found] = table.to_pylist(maps_as_pydicts="strict")
    assert {name: value for name, value in found.items() if value is not None} == {
        name: value for name, value in row.items() if value is not None
    }


@pytest.mark.parametrize("name", DECIDING)
def test_all_that_decides_a_score_is_in_the_key(name: str) -> None:
    row = evaluation_row()
    other = {"text": "other", "list": ["other"], "number": 7, "flag": True}
    kind = {str: "text", list: "list", int: "number", bool: "flag"}.get(type(row[name]), "text")
    assert evaluation_key("steel", row) != evaluation_key("steel", row | {name: other[kind]})


def test_the_key_names_the_dataset_and_nothing_that_comes_out() -> None:
    row = evaluation_row()
    assert evaluation_key("steel", row) != evaluation_key("iron", row)
    results = {"seconds": 9.0, "f1_weighted": 0.1, "created": "x", "metadata": None, "versions": {}}
    assert evaluation_key("steel", row) == evaluation_key("steel", row | results)


def test_the_key_stays_what_it_was() -> None:
    # Stored rows are found by it: a change makes every store evaluate again.
    assert evaluation_row()["key"] == "ec46606b75d4f74f1dd84bae9"


def test_the_members_digest_tells_images_and_their_order_apart() -> None:
    assert members_digest(["a", "b"]) != members_digest(["b", "a"]) != members_digest(["ab"])
    assert len(members_digest([])) == 32


def test_scores_that_are_there_stay(made: MadeStore) -> None:
    write_evaluation(made.storage, "steel", evaluation_row(seconds=1.0))
    write_evaluation(made.storage, "steel", evaluation_row(seconds=2.0))
    assert read_evaluations(made.storage, "steel")["seconds"].to_pylist() == [1.0]


def test_a_failure_counts_until_the_trial_goes_well(made: MadeStore) -> None:
    for error in ("first", "second"):
        write_evaluation(made.storage, "steel", evaluation_row(error=error))
    assert scored_keys(made.storage, "steel") == set()
    assert read_evaluations(made.storage, "steel")["error"].to_pylist() == ["second"]
    write_evaluation(made.storage, "steel", evaluation_row())
    write_evaluation(made.storage, "steel", evaluation_row(error="a late one"))
    assert scored_keys(made.storage, "steel") == {evaluation_row()["key"]}
    assert read_evaluations(made.storage, "steel")["error"].to_pylist() == [None]


def test_the_tenth_failure_is_after_the_ninth(made: MadeStore) -> None:
    for number in range(11):
        write_evaluation(made.storage, "steel", evaluation_row(error=str(number)))
    assert read_evaluations(made.storage, "steel")["error"].to_pylist() == ["10"]


def test_rows_can_be_picked_by_key_and_are_sorted(made: MadeStore) -> None:
    rows = [evaluation_row(layer=layer, trial=trial) for layer in ("input", "conv1_2") for trial in (1, 0)]
    for row in rows:
        write_evaluation(made.storage, "steel", row)
    every = read_evaluations(made.storage, "steel")
    assert list(zip(every["layer"].to_pylist(), every["trial"].to_pylist(), strict=True)) == [
        ("conv1_2", 0),
        ("conv1_2", 1),
        ("input", 0),
        ("input", 1),
    ]
    assert read_evaluations(made.storage, "steel", {rows[0]["key"], "unknown"})["key"].to_pylist() == [rows[0]["key"]]


def test_a_null_where_none_is_allowed_is_refused(made: MadeStore) -> None:
    with pytest.raises(EncodingError, match="null in column encoder"):
        write_evaluation(made.storage, "steel", evaluation_row() | {"encoder": None})


def test_the_python_reader_gives_a_frame(made: MadeStore) -> None:
    write_evaluation(made.storage, "steel", evaluation_row())
    store = open_store(made.url)
    frame = store.evaluations("steel")
    assert frame["dataset"].tolist() == ["steel"]
    assert frame["f1_weighted"].to_numpy() == pytest.approx([0.9])
    assert frame["metadata"].iloc[0] == {"um_per_px": 0.5, "together": 0.4}
    assert np.array(frame["confusion"].iloc[0].tolist()).shape == (2, 2)
    with pytest.raises(DatasetNotFoundError):
        store.evaluations("iron")
    made.index("iron", ["a.tif"])
    write_evaluation(made.storage, "iron", evaluation_row(dataset="iron"))
    assert sorted(store.evaluations()["dataset"]) == ["iron", "steel"]


def test_a_dataset_without_evaluations_gives_an_empty_frame(made: MadeStore) -> None:
    frame = open_store(made.url).evaluations("steel")
    assert len(frame) == 0
    assert list(frame.columns) == ["dataset", *EVALUATIONS.names]


@pytest.mark.parametrize("read_only", [False, True])
def test_sql_sees_the_rows_that_count(made: MadeStore, read_only: bool) -> None:
    made.index("iron", ["a.tif"])
    write_evaluation(made.storage, "steel", evaluation_row(error="gone later"))
    write_evaluation(made.storage, "steel", evaluation_row())
    write_evaluation(made.storage, "steel", evaluation_row(trial=1, error="still there"))
    write_evaluation(made.storage, "iron", evaluation_row(dataset="iron", folds=(0.5, 0.5)))
    connection = open_store(made.url).duckdb(read_only=read_only)
    rows = connection.sql("select dataset, trial, f1_weighted, error from evaluations order by all").fetchall()
    assert rows == [("iron", 0, 0.5, None), ("steel", 0, pytest.approx(0.9), None), ("steel", 1, None, "still there")]
    fields = connection.sql("select metadata['um_per_px'] from evaluations where dataset = 'iron'").fetchall()
    assert fields == [(0.5,)]


def test_sql_has_the_view_before_any_evaluation(made: MadeStore) -> None:
    connection = open_store(made.url).duckdb()
    assert connection.sql("select * from evaluations").columns == ["dataset", *EVALUATIONS.names]
    assert connection.sql("select * from evaluations").fetchall() == []
