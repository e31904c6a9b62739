"""reevaluate on a small archive: first, nothing new, and new images with wrong labels."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from scipy import stats

from jobs.reevaluate import command

from .reevaluated import VLAD, add_pictures, write_recipe

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore:.*RANDOM")]


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(command, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout


def run_json(recipe: str) -> tuple[int, dict]:
    status, text = run(recipe, "--json")
    return status, json.loads(text)


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "/runs/" not in str(path)}


def rows_of(store: Path, snapshot: int) -> list[dict]:
    rows = [pq.ParquetFile(path).read().to_pylist()[0] for path in store.glob("evaluations/*/*.parquet")]
    return [row for row in rows if row["snapshot"] == snapshot]


def test_first_nothing_new_and_a_planted_regression(tmp_path: Path, ray_session: None, monkeypatch):
    add_pictures(tmp_path / "archive", first=0, count=18)
    recipe, store = write_recipe(tmp_path), tmp_path / "store"

    status, first = run_json(recipe)
    assert status == first["status"] == 0
    assert (first["archive"]["images"], first["archive"]["new"], first["snapshot"]) == (18, 18, 1)
    assert (first["computed"]["featurized"], first["computed"]["trials"]) == (18, 2 * 3)
    assert [one["verdict"] for one in first["scores"]] == ["first", "first"]
    assert all(one["now"] > 0.9 for one in first["scores"]), "these pictures should be easy to tell apart"
    assert not first["nothing_new"]

    before = files_of(store)
    with monkeypatch.context() as patch:
        patch.setattr("jobs.cluster.connected", None)  # would fail as soon as Ray is wanted
        status, second = run_json(recipe)
    assert (status, second["nothing_new"], second["computed"]) == (0, True, {})
    assert second["scores"] == first["scores"]
    assert files_of(store) == before

    add_pictures(tmp_path / "archive", first=18, count=12, swapped=True)
    status, third = run_json(recipe)
    assert status == third["status"] == 4
    assert (third["archive"]["images"], third["archive"]["new"], third["snapshot"]) == (30, 12, 2)
    assert (third["computed"]["featurized"], third["computed"]["trials"]) == (12, 2 * 3)
    assert {one["verdict"] for one in third["scores"]} == {"regression"}
    for one in third["scores"]:
        check_change(one, rows_of(store, 1), rows_of(store, 2))
    assert third["needs"][0].startswith("REGRESSION by image in 2 of 2 feature sets")
    assert "On the 18 images of both" in third["needs"][0]
    assert "the 12 others have" in third["needs"][0]

    status, text = run(recipe)
    assert status == 4
    assert "nothing new since the run of" in text
    assert "done, with a regression, as before (status 4)" in text
    status, text = run(recipe, "--history")
    assert status == 0
    assert text.splitlines()[0].split()[-4:] == ["snapshot", "1", "snapshot", "2"]
    assert text.splitlines()[1].split() == ["images", "18", "30"]


def check_change(one: dict, before: list[dict], now: list[dict]) -> None:
    """Against Welch's test by scipy, whose standard errors are corrected as Nadeau and Bengio say."""
    series = []
    for rows in (before, now):
        own = [row["fold_f1_weighted"] for row in rows if row["layer"] == one["layer"]]
        assert len(own) == 3
        series.append(np.concatenate(own))
    assert one["before"] == pytest.approx(series[0].mean())
    assert one["now"] == pytest.approx(series[1].mean())
    assert one["difference"] == pytest.approx(series[1].mean() - series[0].mean())
    # 3 folds: half as many tested as learnt from. A sample of n has the error std / sqrt(n): with n = 1 / (1/9 + 1/2)
    # for the error, and 9 - 1 degrees of freedom each.
    errors = [values.std(ddof=1) * np.sqrt(1 / 9 + 1 / 2) for values in series]
    squares = [error**2 for error in errors]
    dof = sum(squares) ** 2 / sum(square**2 / 8 for square in squares)
    reach = stats.t.ppf(0.975, dof) * np.sqrt(sum(squares))
    assert one["low"] == pytest.approx(one["difference"] - reach)
    assert one["high"] == pytest.approx(one["difference"] + reach)
    assert one["high"] < -0.05


def test_vlad_is_learnt_once_and_the_dictionary_is_checked(tmp_path: Path, ray_session: None):
    add_pictures(tmp_path / "archive", first=0, count=12)
    recipe = write_recipe(tmp_path, extra=VLAD)
    status, first = run_json(recipe)
    assert status == 0
    assert first["computed"]["encoded"] == 12
    assert {(one["encoder"], one["layer"]) for one in first["scores"]} == {
        ("mean", "conv1_2"),
        ("mean", "conv2_2"),
        ("vlad", "conv1_2"),
    }
    assert run_json(recipe)[1]["nothing_new"]
    add_pictures(tmp_path / "archive", first=12, count=4)
    status, second = run_json(recipe)
    assert second["computed"]["encoded"] == 4
    assert second["dictionary"] == first["dictionary"]
    assert run_json(recipe)[1]["nothing_new"], "a dictionary that was kept is not checked again for the same images"


def test_a_dry_run_counts_and_writes_nothing(tmp_path: Path, ray_session: None):
    add_pictures(tmp_path / "archive", first=0, count=8)
    recipe, store = write_recipe(tmp_path, extra=VLAD), tmp_path / "store"
    status, text = run(recipe, "--dry-run", "--json")
    assert status == 0
    assert not store.exists()
    plan = json.loads(text)
    assert {name: one["count"] for name, one in plan["steps"].items()} == {
        "featurize": 8,
        "sample": 8,
        "encode": 8,
        "evaluate": 3 * 3,
    }
    assert plan["steps"]["featurize"]["hours"] > 0
    assert plan["hours"] is None, "nobody has measured a trial yet"
    run_json(recipe)
    add_pictures(tmp_path / "archive", first=8, count=4)
    before = files_of(store)
    plan = json.loads(run(recipe, "--dry-run", "--json")[1])
    assert files_of(store) == before
    assert {name: one["count"] for name, one in plan["steps"].items()} == {
        "featurize": 4,
        "encode": 4,
        "evaluate": 3 * 3,
    }
    assert plan["hours"] > 0
    records = [json.loads(path.read_text()) for path in store.glob("commits/*/*/featurize-*/*.json")]
    seconds = sum(record["seconds"]["extract"] for record in records) / sum(len(one["members"]) for one in records)
    actors = int(plan["workers"].split()[0])
    assert plan["steps"]["featurize"]["hours"] == pytest.approx(4 * seconds / actors / 3600, abs=1e-7)
    assert "as before" not in run(recipe, "--dry-run")[1]
