"""explain is killed in the middle, run again, and ends with the files of an undisturbed run."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from jobs.featurize import featurize
from jobs.index import command as index_command
from jobs.planning import Request
from texture_store import open_store
from texture_store.spec import NETWORK_LAYERS, make_pixel_spec
from texture_store.store.explanations import SCHEMAS

from .conftest import texture_store, write_archive
from .killing import kill

pytestmark = [pytest.mark.ray, pytest.mark.chaos, pytest.mark.timeout(600)]

NOT_THE_SAME = ["created"]


def files(store: str) -> set[str]:
    folders = ("explanations", "textures", "reports")
    return {str(path.relative_to(store)) for one in folders for path in Path(store, one).rglob("*.*") if path.is_file()}


def rows(store: str) -> dict[str, pd.DataFrame]:
    opened = open_store(store)
    tables = {name: getattr(opened, name)("steel", every=True) for name in SCHEMAS} | {"textures": opened.textures()}
    return {
        name: table.drop(columns=NOT_THE_SAME).map(lambda value: str(value) if isinstance(value, dict) else value)
        for name, table in tables.items()
    }


def test_a_killed_run_is_resumed_and_ends_with_the_files_of_an_undisturbed_one(
    tmp_path: Path, ray_session: None
) -> None:
    archive, store = write_archive(tmp_path / "archive", count=9), str(tmp_path / "store")
    labels = str(archive / "labels.csv")
    arguments = ["--store", store, "--dataset", "steel", str(archive), "--labels", labels]
    assert CliRunner().invoke(index_command, arguments).exit_code == 0
    pixels = make_pixel_spec(size="64x64")
    request = Request(store, "steel", pixels, ("mean",), NETWORK_LAYERS, "float32", "random:0")
    featurize(request)
    undisturbed = str(tmp_path / "undisturbed")
    shutil.copytree(store, undisturbed)

    def command(store: str) -> list[str]:
        spec = next(iter(open_store(store).specs("steel")))
        quick = ["--trials", "2", "--trees", "10", "--top", "1", "--recipe", "paper"]
        return ["explain", "--store", store, "--dataset", "steel", "--spec", spec, *quick]

    driver = subprocess.Popen(
        [sys.executable, "-m", "jobs.cli", *command(store)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 200
    while not list(Path(store).glob("textures/*/*/*/*.parquet")):
        assert driver.poll() is None, driver.communicate()[1]
        assert time.monotonic() < deadline, "no texture within 200 s"
        time.sleep(0.02)
    kill(driver)
    done = {path: Path(store, path).read_bytes() for path in files(store)}
    assert len(list(Path(store).glob("explanations/*/*.parquet"))) == 4
    assert not list(Path(store).glob("reports/*/*")), "the driver was killed too late to show anything"
    again = texture_store(*command(store))
    assert again.returncode == 0, again.stderr
    assert {path: Path(store, path).read_bytes() for path in done} == done
    assert texture_store(*command(undisturbed)).returncode == 0
    assert files(store) == files(undisturbed)
    found, expected = rows(store), rows(undisturbed)
    for name in expected:
        assert len(expected[name]) > 0 or name == "neighbours"
        pd.testing.assert_frame_equal(found[name], expected[name], check_exact=True)
