"""A small store with random weights that explain has run on."""

from pathlib import Path

from click.testing import CliRunner, Result

from jobs.explain import command
from jobs.featurize import featurize
from jobs.index import command as index_command
from jobs.planning import Request
from tests.jobs.conftest import write_archive
from texture_store import open_store
from texture_store.spec import NETWORK_LAYERS, make_pixel_spec

# Few small trees, one filter, and the recipe that is quick.
QUICK = ("--trials", "2", "--trees", "15", "--top", "1", "--recipe", "paper")
PIXELS = make_pixel_spec(size="64x64")
BROKEN = "broken.png"


def run_explain(store: str, *arguments: str) -> Result:
    spec = next(iter(open_store(store).specs("steel")))  # random weights are never chosen by themselves
    return CliRunner().invoke(command, ["--store", store, "--dataset", "steel", "--spec", spec, *arguments])


def explain_an_archive(folder: Path) -> tuple[str, Result]:
    """The store in `folder`, and what explain printed."""
    archive = write_archive(folder / "archive", count=12)
    (archive / BROKEN).write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    store = str(folder / "store")
    labels = str(archive / "labels.csv")
    arguments = ["--store", store, "--dataset", "steel", str(archive), "--labels", labels]
    assert CliRunner().invoke(index_command, arguments).exit_code == 0
    featurize(
        Request(
            store_url=store,
            dataset="steel",
            pixels=PIXELS,
            weights="random:0",
            precision="float32",
            layers=NETWORK_LAYERS,
            encoders=("mean",),
        )
    )
    result = run_explain(store, *QUICK, "--output", str(folder / "out"))
    assert result.exit_code == 0, result.output
    return store, result
