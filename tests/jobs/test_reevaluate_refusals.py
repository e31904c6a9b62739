"""reevaluate where it cannot run: one clear line and the right status."""

import os
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from jobs.reevaluate import command
from jobs.reevaluate_record import JOB
from texture_store.objects import open_storage
from texture_store.store.leases import lease
from texture_store.store.opening import open_for_writing

from .conftest import texture_store
from .reevaluated import add_pictures, write_recipe


def refused(*arguments: str) -> tuple[int, str]:
    """Exit status and the last line of standard error."""
    result = CliRunner().invoke(command, list(arguments))
    assert isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.stderr
    return result.exit_code, result.stderr.strip().splitlines()[-1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    add_pictures(tmp_path / "archive", first=0, count=4)
    return tmp_path


def test_while_a_run_is_going_on_the_second_sees_it_and_leaves(folder: Path):
    recipe = write_recipe(folder)
    storage = open_for_writing(str(folder / "store"))
    with lease(storage, "steel", JOB):
        status, line = refused(recipe)
    assert status == 1
    assert "dataset steel: another run of reevaluate is going on" in line
    assert f"process {os.getpid()}" in line
    assert not list((folder / "store").glob("index/*/*")), "the second one did something"


def test_an_archive_that_is_not_there(folder: Path):
    recipe = write_recipe(folder)
    (folder / "archive").rename(folder / "elsewhere")
    status, line = refused(recipe)
    assert status == 1
    assert line.startswith("texture-store reevaluate: ")
    assert str(folder / "archive") in line
    with lease(open_storage(str(folder / "store")), "steel", JOB) as held:
        assert held.took_over == "", "a run that failed gives its lease back"


@pytest.mark.slow
def test_a_cluster_that_does_not_answer(folder: Path):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
    # In a process of its own: one that has a Ray running would take that.
    result = texture_store("reevaluate", write_recipe(folder), "--address", address)
    assert result.returncode == 2
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"texture-store reevaluate: no Ray at {address}: ")
    assert "Traceback" not in result.stderr


def test_no_gpu_where_the_recipe_demands_one(folder: Path):
    import torch

    if torch.cuda.device_count() >= 99:
        pytest.skip("this machine has 99 GPUs")
    status, line = refused(write_recipe(folder, extra="\n[require]\ngpus = 99\n"))
    assert status == 2
    assert f"the recipe requires 99 GPUs and this machine has {torch.cuda.device_count()}" in line
    assert not list((folder / "store").glob("commits/*/*")), "it should have stopped before anything was computed"


def test_a_store_that_may_not_be_written(folder: Path, without_rights):
    recipe = write_recipe(folder)
    open_for_writing(str(folder / "store"))
    for path in (folder, *folder.parents):
        if len(path.parts) > 2 and path.stat().st_uid == os.geteuid():
            path.chmod(path.stat().st_mode | 0o055)
    (folder / "store").chmod(0o555)
    with without_rights():
        status, line = refused(recipe)
    assert status == 1
    assert str(folder / "store") in line
    assert "Permission denied" in line or "refused" in line or "right" in line


def test_a_dataset_without_labels_cannot_be_evaluated_and_says_so_before_the_network_runs(folder: Path):
    recipe = write_recipe(folder)
    (folder / "archive/labels.csv").write_text("path,phase\np000.png,a\n")
    status, line = refused(recipe)
    assert status == 2
    assert "no image has a label in column label" in line
    assert not list((folder / "store").glob("commits/*/*"))
