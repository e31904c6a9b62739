"""A small store that holds every kind of file, made by the real commands on a real Ray."""

import importlib
import os
import time
from pathlib import Path

from click.testing import CliRunner

from tests.jobs.conftest import write_archive
from texture_store import open_store
from texture_store.objects import open_storage
from texture_store.store.explanations import write_explanation
from texture_store.store.snapshots import latest_snapshot
from texture_store.store.specs import stored_weights
from texture_store.store.textures import write_texture

COUNT = 12
BROKEN = "broken.png"
NETWORK = ("--weights", "random:0", "--precision", "float32")


def make_archive(folder: Path) -> Path:
    """Twelve pictures with labels, and one that is none."""
    archive = write_archive(folder, count=COUNT)
    (archive / BROKEN).write_bytes(b"\x89PNG\r\n\x1a\n, and no more")
    for path in archive.iterdir():
        os.utime(path, (1_700_000_000, 1_700_000_000))  # image_ids, and so all names, are the same in every run
    return archive


def run(job: str, store: str, *arguments: str, dataset: str = "steel", status: int = 0) -> str:
    """A command in this process; what it prints on standard output."""
    command = importlib.import_module(f"jobs.{job.replace('-', '_')}").command
    of_dataset = ["--dataset", dataset] if dataset else []
    result = CliRunner().invoke(command, ["--store", store, *of_dataset, *arguments])
    assert result.exit_code == status, result.output
    return result.stdout


def run_everything(store: str, archive: Path) -> None:
    """All commands, once; again, they bring back what is missing."""
    labels = ["--labels", str(archive / "labels.csv")]
    run("index", store, str(archive), "--shard-size", "5", *labels)
    size, most = ("--size", "64"), ("--max-rejected", "20%")
    run("featurize", store, *size, "--encoders", "mean", *NETWORK, *most)
    run("featurize", store, *size, "--encoders", "gram", "--layers", "input,conv1_2", *NETWORK, *most)
    base = spec_of(store)
    run("publish", store, "--spec", base, "--layers", "input,conv1_2", "--part-mb", "1")
    learn = ("--words", "3", "--sample", "60%", "--layers", "input", "--starts", "1")
    run("fit-dictionary", store, *size, *learn, *NETWORK, *most)
    dictionary = next(Path(store).glob(f"commits/*/spec={base}/fit-dictionary-*/d*.json")).name.partition(".")[0]
    run("encode", store, "--dictionary", dictionary, *most)
    few = ("--trials", "2", "--trees", "10", "--folds", "2", "--protocol", "image")
    run("evaluate", store, "--spec", base, "--encoders", "mean", "--layers", "conv1_2", *few)
    vlad = next(spec for spec in open_store(store).specs("steel") if is_vlad(store, spec))
    run("evaluate", store, "--spec", vlad, "--encoders", "vlad", "--layers", "input", "--strict", *few)
    explain(store, base)
    run("preview", store)


def explain(store: str, spec: str) -> None:
    """Two rows of what `explain` writes, as it writes them; the command itself takes a minute."""
    storage = open_storage(store)
    first, second = latest_snapshot(storage, "steel").table.select(["image_id", "path"]).slice(0, 2).to_pylist()
    for asked, near in ((first, second), (second, first)):
        question = {"snapshot": 1, "spec": spec, "conditions": [], "members": "0" * 32, "encoder": "mean"}
        question |= {"layer": "input", "same_scale": False, "count": 1, "asked_id": asked["image_id"]}
        shared = question | {"num_images": COUNT, "asked_path": asked["path"]}
        write_explanation(storage, "steel", "neighbours", shared, [near | {"rank": 1, "cosine": 0.5}], {})
    for number in (0, 7):
        row = {"weights": stored_weights(storage)[0], "lineage": "random:0", "layer": "conv1_2", "filter": number}
        row |= {"recipe": "paper", "recipe_key": "paper-" + "0" * 20, "seed": 0, "picture": bytes([number]) * 100}
        row |= {"is_dead": False, "activation": 1.0, "noise_activation": 0.5, "device": "cpu"}
        write_texture(storage, row | {"created": "2026-01-01T00:00:00.000+00:00", "versions": {}})


def spec_of(store: str) -> str:
    """The base spec."""
    (spec,) = {path.parent.name[5:] for path in Path(store).glob("commits/*/spec=*/featurize-*")}
    return spec


def is_vlad(store: str, spec: str) -> bool:
    return bool(list(Path(store).glob(f"features/*/spec={spec}/encoder=vlad")))


def files(store: str | Path) -> dict[str, bytes]:
    """Every file of a store, by path."""
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in Path(store).rglob("*") if path.is_file()}


if __name__ == "__main__":
    import sys

    from jobs.cluster import connected

    folder = Path(sys.argv[1])
    with connected("local"):
        archive = make_archive(folder / "archive")
        for _ in range(2):
            started = time.monotonic()
            run_everything(str(folder / "store"), archive)
            print(time.monotonic() - started, len(files(folder / "store")))
