from pathlib import Path

import duckdb
import pytest

from jobs.demo import CHANNEL, DATASET, LAYER, SQL, account, demo
from texture_store.errors import UsageError


def modified(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore:.*RANDOM")
def test_a_second_demo_draws_and_computes_nothing(tmp_path: Path, ray_session: None, monkeypatch) -> None:
    monkeypatch.setattr("jobs.demo.PICTURE_PX", 64)
    monkeypatch.setattr("jobs.demo.SEEN_PX", 64)
    monkeypatch.setattr("jobs.demo.TRIALS", 1)
    store = tmp_path / "store"
    first = demo(str(store), images_per_class=3, weights="random:0")
    assert first.drawn == first.featurize.indexed == first.featurize.featurized == first.featurize.computed == 24
    assert first.scores.num_images == 24
    assert first.scores.num_features == 64 + 128 + 256 + 512 + 512
    assert first.scores.majority == pytest.approx(
        2 * (1 / 8) / (1 / 8 + 1) / 8
    )  # precision 1/8, recall 1, one in eight
    assert len(first.neighbours) == 5
    assert first.asked not in [each.path for each in first.neighbours]
    assert all(each.path.startswith(each.label) for each in first.neighbours)
    before = modified(tmp_path)
    second = demo(str(store), images_per_class=3, weights="random:0")
    assert (second.drawn, second.featurize.computed) == (0, 0)
    assert second.scores == first.scores
    assert second.neighbours == first.neighbours
    assert {path: time for path, time in modified(tmp_path).items() if path in before} == before
    with pytest.raises(UsageError, match="other --images"):
        demo(str(store), images_per_class=4, weights="random:0")


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_texture_tells_the_powders_apart_and_brightness_does_not(tmp_path: Path, ray_session: None) -> None:
    summary = demo(str(tmp_path / "store"))
    assert 0.8 < summary.scores.texture < 1.0
    assert summary.scores.brightness < 0.25
    text = account(summary)
    for needed in (*summary.preview, summary.asked, SQL, f"{summary.scores.texture:.2f}"):
        assert needed in text


def test_the_sql_averages_over_each_powder() -> None:
    connection = duckdb.connect()
    connection.execute("CREATE TABLE images(dataset TEXT, image_id TEXT, label TEXT, meta_std_radius_um TEXT)")
    connection.execute("CREATE TABLE micrographs(dataset TEXT, image_id TEXT, um_per_px_x DOUBLE, grey_mean FLOAT)")
    connection.execute("CREATE TABLE features(dataset TEXT, image_id TEXT, encoder TEXT, layer TEXT, vector FLOAT[])")
    for image_id, label, spread, value in (("a", "x", 3.0, 1.0), ("b", "x", 2.0, 2.0), ("c", "y", 1.0, 7.0)):
        vector = [0.0] * 512
        vector[CHANNEL - 1] = value
        connection.execute("INSERT INTO images VALUES (?, ?, ?, ?)", [DATASET, image_id, label, str(spread)])
        connection.execute("INSERT INTO micrographs VALUES (?, ?, 0.8, 100)", [DATASET, image_id])
        for encoder, layer in (("mean", LAYER), ("max", LAYER), ("mean", "conv5_3")):
            factor = 1.0 if (encoder, layer) == ("mean", LAYER) else 1000.0
            row = [DATASET, image_id, encoder, layer, [factor * each for each in vector]]
            connection.execute("INSERT INTO features VALUES (?, ?, ?, ?, ?)", row)
    assert connection.sql(SQL).fetchall() == [("y", 1, 0.8, 1.0, 100.0, 7.0), ("x", 2, 0.8, 2.5, 100.0, 1.5)]
