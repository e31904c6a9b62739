"""Threats of infra/threats.md that no other test is about: code in what is read, and secrets in what is written."""

import ast
import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

import jobs
import schemas
import texture_store
from jobs.index import index
from tests.jobs.conftest import texture_store as command
from tests.jobs.conftest import write_archive
from tests.made_store import GRAM, MEAN, SPEC, MadeStore
from texture_store import open_store
from texture_store.errors import TextureStoreError
from texture_store.objects import open_storage
from texture_store.store.commits import fold_commits
from texture_store.verification.whole import verify_store

ROOT = Path(texture_store.__file__).parent.parent
SOURCES = sorted(
    path for package in (texture_store, jobs, schemas) for path in Path(package.__file__).parent.rglob("*.py")
)

READS_PICKLES = {
    "jobs/packed.py": "values that its own workers made, from Ray and never from storage",
    "texture_store/backbone/checkpoints.py": "only names the error that torch's weights_only loading raises",
}
"""Modules that may import pickle, and why that is safe."""

CODE_READERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml", "runpy", "code"}


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_no_module_imports_what_makes_code_of_data():
    found = {}
    for path in SOURCES:
        for node in ast.walk(_tree(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            own = {name.split(".")[0] for name in names} & CODE_READERS
            if own:
                found.setdefault(_name(path), set()).update(own)
    assert set(found) <= set(READS_PICKLES), found
    assert set().union(*found.values()) == {"pickle"}


def test_no_call_runs_or_unpickles_what_it_is_given():
    wrong, loads = [], 0
    for path in SOURCES:
        for node in ast.walk(_tree(path)):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            arguments = {word.arg: ast.unparse(word.value) for word in node.keywords}
            loads += called == "torch.load"
            if (
                called in ("eval", "exec", "compile", "__import__", "os.system", "os.popen")
                or (called == "torch.load" and arguments.get("weights_only") != "True")
                or arguments.get("allow_pickle") == "True"
                or arguments.get("shell") == "True"
                or (called.endswith((".extractall", ".extract")) and "tar" in path.name)
            ):
                wrong.append(f"{_name(path)}:{node.lineno} {called}")
    assert wrong == []
    assert loads == 1  # the walk sees what it looks for


class _Payload:
    def __init__(self, trace: Path) -> None:
        self._trace = str(trace)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self._trace,)


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    paths = [f"{number}.tif" for number in range(3)]
    made = MadeStore.at(tmp_path / "store")
    made.index("steel", paths)
    facts = {"seen_width": [10] * 3, "seen_height": [10] * 3}
    made.commit("steel", "s0", paths, pairs=[MEAN, GRAM], facts=facts, rejected=["9.tif"])
    fold_commits(made.storage, "steel", SPEC.fingerprint, min_loose=1)
    made.storage.create(f"weights/{'1' * 64}.safetensors", b"x")
    made.storage.create(f"evaluations/dataset=steel/e{'0' * 24}.parquet", b"x")
    made.storage.create(f"explanations/dataset=steel/typical-x{'0' * 24}.parquet", b"x")
    return made


def _read_all(url: str) -> list[str]:
    """Everything a reader can ask for; the errors that came of it."""
    from texture_store.backbone.weights import from_safetensors
    from texture_store.store.specs import read_weights

    def weights() -> object:
        return from_safetensors(read_weights(open_storage(url), "1" * 64), digest="1" * 64, allow_foreign=True)

    asks = [
        lambda: open_store(url).features("steel", encoder="mean", layer="conv1_2").to_pandas(),
        lambda: open_store(url).features("steel", encoder="gram", layer="conv1_2").to_numpy(),
        lambda: open_store(url).status("steel"),
        lambda: open_store(url).evaluations("steel"),
        lambda: open_store(url).typical("steel"),
        lambda: open_store(url).duckdb().sql("select count(*) from micrographs").fetchall(),
        lambda: verify_store(open_storage(url)),
        weights,
    ]
    errors = []
    for ask in asks:
        try:
            ask()
        except TextureStoreError as error:
            errors.append(str(error))
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
    return errors


def test_a_pickle_in_place_of_any_file_of_a_store_is_never_run(made: MadeStore, tmp_path: Path):
    import torch

    trace = tmp_path / "executed"
    plain, zipped = pickle.dumps(_Payload(trace)), tmp_path / "payload.pt"
    torch.save({"features.0.weight": _Payload(trace)}, zipped)
    root = Path(made.url)
    whole = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert len(whole) >= 10
    for payload in (plain, zipped.read_bytes()):
        for path, data in whole.items():
            path.write_bytes(payload)
            assert _read_all(made.url), path  # it is an error for somebody
            assert not trace.exists(), path
            path.write_bytes(data)
        for path in whole:
            path.write_bytes(payload)
        _read_all(made.url)
        assert not trace.exists()
        for path, data in whole.items():
            path.write_bytes(data)
    pickle.loads(plain)
    assert trace.exists()  # the payload would have worked


@pytest.mark.parametrize("name", ["image.tif", "image.png", "image.jpg", "image.bmp", "image.gif", "image.webp"])
def test_a_pickle_in_an_archive_is_rejected_and_never_run(tmp_path: Path, name: str):
    from texture_store.errors import RejectedImageError
    from texture_store.micrograph.reading import read_micrograph
    from texture_store.spec import PixelSpec

    trace = tmp_path / "executed"
    payload = pickle.dumps(_Payload(trace))
    for sidecar in (None, payload):
        with pytest.raises(RejectedImageError):
            read_micrograph(payload, PixelSpec(), sidecar=sidecar, name=name)
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / name).write_bytes(payload)
    for labels in ("labels.csv", "labels.parquet"):
        (tmp_path / labels).write_bytes(payload)
        with pytest.raises(TextureStoreError):
            index(str(tmp_path / "store"), "steel", str(tmp_path / "archive"), labels=str(tmp_path / labels))
    assert not trace.exists()


SECRET = "wJalrXUtnFEMI"
WITH_SECRET = f"s3://AKIDEXAMPLE:{SECRET}@bucket/steel"


@pytest.mark.parametrize(
    "arguments",
    [
        ["index", "--store", WITH_SECRET, "--dataset", "steel", "ARCHIVE"],
        ["index", "--store", "STORE", "--dataset", "steel", WITH_SECRET],
        ["index", "--store", "STORE", "--dataset", "steel", "ARCHIVE", "--labels", f"{WITH_SECRET}/labels.csv"],
        ["featurize", "--store", WITH_SECRET, "--dataset", "steel", "--debug"],
        ["featurize", "--store", "STORE", "--dataset", "steel", "--weights", f"{WITH_SECRET}/vgg.pth"],
        ["publish", "--store", WITH_SECRET, "--dataset", "steel"],
        ["status", "--store", WITH_SECRET],
        ["verify", "--store", WITH_SECRET],
        ["clean", "--store", WITH_SECRET],
        ["sql", "--store", WITH_SECRET, "select 1"],
    ],
    ids=lambda arguments: f"{arguments[0]}-{sum(SECRET in one for one in arguments)}-{len(arguments)}",
)
def test_credentials_in_a_url_are_neither_shown_nor_kept(tmp_path: Path, arguments: list[str]):
    from click.testing import CliRunner

    from jobs.cli import texture_store as cli

    archive = write_archive(tmp_path / "archive", count=2)
    store = tmp_path / "store"
    index(str(store), "steel", str(archive))
    places = {"STORE": str(store), "ARCHIVE": str(archive)}
    result = CliRunner().invoke(cli, [places.get(one, one) for one in arguments])
    assert result.exit_code in (1, 2)
    assert SECRET not in result.output + str(result.exception)
    assert "AKIDEXAMPLE" not in result.output
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert SECRET.encode() not in kept


HOSTILE = ['<script>alert(1)</script>"', "x'); drop table images; --", "\x1b[2J\x1b]0;owned\x07", "{{ 7*7 }}"]


def test_hostile_labels_are_data_in_sql_and_on_a_terminal(tmp_path: Path):
    import csv

    from click.testing import CliRunner

    from jobs.cli import texture_store as cli

    archive = write_archive(tmp_path / "archive", count=len(HOSTILE))
    labels = tmp_path / "labels.csv"
    with labels.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "heat'; drop table x"])
        names = sorted(path.name for path in archive.glob("image*"))
        writer.writerows([name, text, text] for name, text in zip(names, HOSTILE, strict=True))
    store = str(tmp_path / "store")
    index(store, "steel", str(archive), labels=str(labels))
    shown = open_store(store).duckdb().sql("select label from images order by path").fetchall()
    assert [label for (label,) in shown] == HOSTILE
    for query in ("select * from images", "select count(*) from images"):
        result = CliRunner().invoke(cli, ["sql", "--store", store, query])
        assert result.exit_code == 0, result.output
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", result.output)
    assert len(open_store(store).duckdb().sql("select * from images").fetchall()) == len(HOSTILE)


# Ray


def _listening(pids: set[int]) -> dict[tuple[str, int], int]:
    """(address in hexadecimal, port) of every TCP socket on which one of these processes listens, and its pid."""
    sockets = {}
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                found = re.fullmatch(r"socket:\[([0-9]+)\]", str(link.readlink()))
            except OSError:
                continue
            if found:
                sockets[found[1]] = pid
    listening = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                address, _, port = fields[1].rpartition(":")
                listening[address, int(port, 16)] = sockets[fields[9]]
    return listening


LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}

RAY = """
import json, os, sys, time
import jobs.cluster
with jobs.cluster.connected("local"):
    import ray  # not before: it reads its settings then
    ray.get(ray.remote(lambda: 1).remote())
    print(json.dumps({"address": ray.get_runtime_context().gcs_address, "mode": os.environ["RAY_AUTH_MODE"],
                      "token": os.environ["RAY_AUTH_TOKEN"]}), flush=True)
    sys.stdin.readline()
"""

STRANGER = """
import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
print("joined", len(ray.nodes()))
"""


@pytest.mark.ray
def test_a_local_ray_listens_on_loopback_alone_and_asks_for_its_token(tmp_path: Path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    driver = subprocess.Popen(
        [sys.executable, "-c", RAY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert driver.stdout is not None
        told = json.loads(driver.stdout.readline())
        assert told["mode"] == "token"
        assert len(told["token"]) == 64
        pids = _family(driver.pid)
        assert len(pids) >= 3  # the driver, its head and a node at least
        listening = _listening(pids)
        assert len(listening) >= 3
        assert {address for address, _ in listening} <= LOOPBACK, listening

        def join(**auth: str) -> subprocess.Popen[str]:
            return subprocess.Popen(
                [sys.executable, "-c", STRANGER, told["address"]],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**environment, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", **auth},
            )

        friend = join(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=told["token"])
        # Ray lets neither in, and says so only after a while: both wait at once.
        strangers = [join(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64), join(RAY_AUTH_MODE="disabled")]
        output, errors = friend.communicate(timeout=200)
        assert "joined 1" in output, errors[-2000:]
        for stranger in strangers:
            output, _ = stranger.communicate(timeout=200)
            assert stranger.returncode != 0
            assert "joined" not in output
    finally:
        assert driver.stdin is not None
        driver.stdin.close()
        driver.wait(timeout=100)


def _family(root: int) -> set[int]:
    """A process and all below it."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    family = {root}
    while True:
        more = {pid for pid, parent in parents.items() if parent in family} - family
        if not more:
            return family
        family |= more


def test_nothing_of_ours_switches_a_clusters_tokens_off():
    files = [*SOURCES, *(path for path in (ROOT / "infra").rglob("*") if path.is_file())]
    settings = re.compile(r"RAY_AUTH_MODE\W{1,6}(\w+)")
    values = {found for path in files for found in settings.findall(path.read_text(errors="replace"))}
    assert not {value.lower() for value in values} & {"disabled", "none", "off", "false", "0", ""}
    assert "token" in values


@pytest.mark.ray
def test_no_secret_of_the_environment_gets_into_a_store(whole_store: tuple[Path, Path]):
    secrets = {os.environ["AWS_SECRET_ACCESS_KEY"], os.environ["RAY_AUTH_TOKEN"]}
    assert all(secrets)
    for path in whole_store[0].rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not [secret for secret in secrets if secret.encode() in data], path


def test_the_command_itself_says_credentials_do_not_belong_in_a_url():
    result = command("status", "--store", WITH_SECRET)
    assert result.returncode == 2
    assert "give credentials in the environment" in result.stderr
    assert SECRET not in result.stderr + result.stdout


def test_every_test_that_the_threat_notes_name_exists():
    notes = (ROOT / "infra" / "threats.md").read_text().replace("`T::", "`tests/jobs/test_threats.py::")
    named = set(re.findall(r"(tests/[\w/]+\.py)::(\w+)", notes))
    assert len(named) > 30
    for file, function in named:
        assert f"def {function}(" in (ROOT / file).read_text(), f"{file}::{function}"
