from pathlib import Path

import numpy as np
import pytest

from schemas import TEXTURES
from texture_store import open_store
from texture_store.errors import EncodingError
from texture_store.objects import Storage
from texture_store.store.opening import open_for_writing
from texture_store.store.textures import read_textures, textures_there, write_texture

WEIGHTS = "a" * 64
BETTER, PAPER = "better-" + "0" * 20, "paper-" + "1" * 20


def row(**changes: object) -> dict[str, object]:
    return {
        "weights": WEIGHTS,
        "lineage": "random:0",
        "layer": "conv4_3",
        "filter": 17,
        "recipe": "better",
        "recipe_key": BETTER,
        "seed": 0,
        "picture": b"png",
        "is_dead": False,
        "activation": 40.0,
        "noise_activation": 4.0,
        "device": "x",
        "created": "2026-01-01T00:00:00.000+00:00",
        "versions": {"torch": "2"},
    } | changes


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_for_writing(str(tmp_path / "store"))


def test_a_texture_comes_back_and_one_that_is_there_stays(storage: Storage) -> None:
    write_texture(storage, row())
    write_texture(storage, row(picture=b"another"))
    table = read_textures(storage)
    assert table.schema.equals(TEXTURES)
    assert table.to_pylist(maps_as_pydicts="strict") == [row()]
    assert textures_there(storage, WEIGHTS, "conv4_3", BETTER) == {17}
    assert storage.exists(f"textures/{WEIGHTS}/layer=conv4_3/recipe={BETTER}/17.parquet")


def test_textures_are_found_by_what_they_are_of(storage: Storage) -> None:
    for changes in (
        {"filter": 0},
        {"filter": 511, "recipe": "paper", "recipe_key": PAPER},
        {"layer": "conv1_2", "filter": 3},
        {"weights": "b" * 64, "filter": 3},
    ):
        write_texture(storage, row(**changes))
    store = open_store(storage.url)

    def found(**asked: object) -> list[tuple[str, int]]:
        frame = store.textures(**asked)
        return list(zip(frame["layer"], frame["filter"], strict=True))

    assert len(found()) == 4
    assert found(layer="conv4_3", weights=WEIGHTS) == [("conv4_3", 0), ("conv4_3", 511)]
    assert found(layer="conv1_2") == [("conv1_2", 3)]
    assert found(filters=[3], weights=WEIGHTS) == [("conv1_2", 3)]
    assert found(recipe="paper") == found(recipe=PAPER) == [("conv4_3", 511)]
    assert textures_there(storage, WEIGHTS, "conv5_3", BETTER) == set()


def test_the_gain_is_a_multiple_of_what_noise_reaches(storage: Storage) -> None:
    write_texture(storage, row())
    write_texture(storage, row(filter=1, is_dead=True, activation=0.0, noise_activation=0.0))
    frame = open_store(storage.url).textures().set_index("filter")
    assert frame.loc[17, "gain"] == 10
    assert np.isnan(frame.loc[1, "gain"])


def test_a_store_without_textures_gives_an_empty_frame(storage: Storage) -> None:
    frame = open_store(storage.url).textures()
    assert len(frame) == 0
    assert list(frame.columns) == [*TEXTURES.names, "gain"]


def test_a_null_is_refused(storage: Storage) -> None:
    with pytest.raises(EncodingError, match="null in column picture"):
        write_texture(storage, row(picture=None))
