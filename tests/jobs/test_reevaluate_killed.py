"""reevaluate is killed in the middle, run again at once, and ends with the rows of an undisturbed run."""

import json
import shutil
from pathlib import Path

import pytest

from .conftest import texture_store
from .killing import commits, kill, start_and_wait
from .reevaluated import add_pictures, write_recipe
from .reevaluated import trial_rows as rows

pytestmark = [pytest.mark.ray, pytest.mark.chaos, pytest.mark.timeout(900)]

COUNT = 12


def test_it_goes_on_where_it_was(tmp_path: Path):
    folders = [tmp_path / "undisturbed", tmp_path / "killed"]
    add_pictures(folders[0] / "archive", first=0, count=COUNT)
    # With their times, which are part of an image's identity.
    shutil.copytree(folders[0] / "archive", folders[1] / "archive")
    recipes = [write_recipe(folder, **{"shard_size = 4": "shard_size = 1"}) for folder in folders]
    stores = [str(folder / "store") for folder in folders]
    done = texture_store("reevaluate", recipes[0], "--json", timeout=600)
    assert done.returncode == 0, done.stderr

    kill(start_and_wait(["reevaluate", recipes[1]], stores[1], num_commits=3, job="featurize"))
    assert len(commits(stores[1], "featurize")) < COUNT, "it was killed too late to show anything"
    assert rows(stores[1]) == {}
    again = texture_store("reevaluate", recipes[1], "--json", timeout=600)
    assert again.returncode == 0, again.stderr
    assert "its process is gone; this one goes on where it was" in again.stderr
    assert rows(stores[1]) == rows(stores[0])
    assert len(rows(stores[1])) == 2 * 3
    first, second = json.loads(done.stdout), json.loads(again.stdout)
    assert second["scores"] == first["scores"]
    assert second["computed"]["featurized"] < COUNT
    assert any("did not end well" in line for line in second["needs"])
