import time
from pathlib import Path
from typing import Any

import pytest

from tests.made_store import MadeStore
from texture_store import open_store
from texture_store.errors import DatasetNotFoundError, EncodingError
from texture_store.store.explained import SUBJECTS, read_explanations
from texture_store.store.explanations import (
    DECIDING,
    SCHEMAS,
    explained_keys,
    explanation_key,
    write_explanation,
)

IMAGES = {"snapshot": 1, "spec": "s0", "conditions": [], "members": "m"}
QUESTIONS: dict[str, dict[str, Any]] = {
    "importances": IMAGES
    | {"label_column": "label", "group_column": None, "protocol": "image", "folds": 3, "trials": 10, "trees": 400}
    | {"repeats": 10, "seeds": [1, 2], "min_correlation": 0.9},
    "characteristics": IMAGES | {"label_column": "label", "group_column": None},
    "typical": IMAGES | {"label_column": "label", "num_neighbours": 1},
    "map": IMAGES | {"label_column": "label", "encoder": "mean", "layer": "all", "method": "pca", "seed": 0},
    "exemplars": IMAGES | {"layer": "conv4_3", "filter": 17, "count": 5},
    "heat_maps": {"spec": "s0", "image_id": "i", "layer": "conv4_3", "filter": 17}
    | {"um_per_px_x": 0.5, "um_per_px_y": None},
    "neighbours": IMAGES | {"encoder": "mean", "layer": "all", "same_scale": False, "count": 10, "asked_id": "i"},
}


def typical(**changes: object) -> dict[str, Any]:
    return QUESTIONS["typical"] | {"num_images": 2} | changes


ROWS = [
    {"image_id": "a", "path": "a.tif", "label": "x", "atypicality": 1.0, "atypical_rank": 2},
    {"image_id": "b", "path": "b.tif", "label": None, "atypicality": 1.5, "atypical_rank": 1},
]


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    made = MadeStore.at(tmp_path / "store")
    made.index("steel", ["a.tif", "b.tif"])
    return made


def test_every_table_is_declared_alike() -> None:
    assert set(SCHEMAS) == set(DECIDING) == set(SUBJECTS) == set(QUESTIONS)
    for name, schema in SCHEMAS.items():
        assert schema.metadata[b"table"].decode() == name
        assert {"key", *DECIDING[name], *SUBJECTS[name]} <= set(schema.names)


@pytest.mark.parametrize(("table", "name"), [(table, name) for table, names in DECIDING.items() for name in names])
def test_all_that_decides_rows_is_in_the_key(table: str, name: str) -> None:
    question = QUESTIONS[table]
    assert explanation_key("steel", table, question) != explanation_key("steel", table, question | {name: "another"})


def test_keys_differ_by_dataset_and_table_and_stay_what_they_were() -> None:
    question = QUESTIONS["typical"]
    assert explanation_key("steel", "typical", question) != explanation_key("iron", "typical", question)
    # Stored rows are found by it: a change makes every store explain again.
    assert explanation_key("steel", "typical", question) == "x58305a35cee57a32e1b3a7e4"


def test_rows_come_back_and_those_that_are_there_stay(made: MadeStore) -> None:
    key = write_explanation(made.storage, "steel", "typical", typical(), ROWS, {"numpy": "2"})
    changed = [ROWS[0] | {"atypicality": 9.0}, ROWS[1]]
    assert write_explanation(made.storage, "steel", "typical", typical(), changed, {}) == key
    table = read_explanations(made.storage, "steel", "typical")
    assert table.schema.equals(SCHEMAS["typical"])
    assert table["atypicality"].to_pylist() == [1.0, 1.5]
    assert table["class_rank"].to_pylist() == [None, None]
    assert explained_keys(made.storage, "steel")["typical"] == {key}
    assert read_explanations(made.storage, "steel", "typical", {"unknown"}).num_rows == 0


def test_the_reader_gives_what_was_written_last_or_all(made: MadeStore) -> None:
    write_explanation(made.storage, "steel", "typical", typical(), ROWS, {})
    time.sleep(0.01)
    other = typical(label_column="phase")
    newest = write_explanation(made.storage, "steel", "typical", other, ROWS[:1], {})
    store = open_store(made.url)
    assert store.typical("steel")["key"].tolist() == [newest]
    assert len(store.typical("steel", every=True)) == 3
    assert store.typical("steel", label_column="label")["path"].tolist() == ["a.tif", "b.tif"]
    assert len(store.typical("steel", label_column="label", snapshot=2)) == 0
    with pytest.raises(DatasetNotFoundError):
        store.typical("iron")


def test_each_filter_and_image_has_its_own_newest_answer(made: MadeStore) -> None:
    seen = {"picture": b"jpeg", "seen_width": 9, "seen_height": 9, "px_per_px_x": 1.0, "px_per_px_y": 1.0}
    for number, mean in ((17, 1.0), (3, 2.0)):
        question = QUESTIONS["heat_maps"] | {"path": "a.tif", "filter": number}
        row = seen | {"mean_activation": mean, "highest_activation": 3.0, "activation": b"png"}
        write_explanation(made.storage, "steel", "heat_maps", question, [row], {})
    frame = open_store(made.url).heat_maps("steel")
    assert frame[["filter", "mean_activation"]].to_numpy().tolist() == [[3, 2.0], [17, 1.0]]
    assert len(open_store(made.url).heat_maps("steel", layer="conv1_2")) == 0


@pytest.mark.parametrize("table", SCHEMAS)
def test_a_dataset_without_explanations_gives_empty_frames(made: MadeStore, table: str) -> None:
    frame = getattr(open_store(made.url), table)("steel")
    assert len(frame) == 0
    assert list(frame.columns) == SCHEMAS[table].names


def test_an_image_twice_and_a_null_are_refused(made: MadeStore) -> None:
    with pytest.raises(EncodingError, match="twice"):
        write_explanation(made.storage, "steel", "typical", typical(), [ROWS[0], ROWS[0]], {})
    with pytest.raises(EncodingError, match="null in column path"):
        write_explanation(made.storage, "steel", "typical", typical(), [ROWS[0] | {"path": None}], {})
