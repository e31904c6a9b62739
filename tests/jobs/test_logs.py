"""Lines as JSON, and what workers log."""

import json
import logging
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from jobs import logs
from jobs.cli import texture_store
from jobs.commands import JobCommand, RecordedCommand
from jobs.options import dataset_option, store_option
from jobs.progress import progress, say
from tests.made_store import MadeStore
from texture_store.errors import StoreError, UsageError
from texture_store.log_context import about, what_about
from texture_store.store.runs import read_runs

HOSTILE = "a\x1b[2J\x1b]0;title\x07b\r\nfaked: line\u2028\u202ec\x00"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    handlers, level, propagate = list(logs.LOGGER.handlers), logs.LOGGER.level, logs.LOGGER.propagate
    yield
    logs.set_up(logs.Log())
    logs.LOGGER.handlers, logs.LOGGER.propagate = handlers, propagate
    logs.LOGGER.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    text = capsys.readouterr().err
    assert text.isascii()
    return [json.loads(line) for line in text.splitlines()]


def test_plain_text_is_the_default(capsys):
    say("one line", shard="s")
    assert capsys.readouterr().err == "one line\n"


def test_plain_text_from_files_ends_no_line_and_moves_no_cursor(capsys):
    say(f"left out: {HOSTILE}")
    text = capsys.readouterr().err
    assert text == "left out: a?[2J?]0;title?b  faked: line??c?\n"


def test_a_line_is_an_object_with_time_level_and_what_it_is_about(capsys):
    logs.set_up(logs.Log(is_json=True, facts={"job": "featurize", "dataset": "steel"}))
    say("one line", shard="s0")
    say("it failed", level=logging.ERROR)
    first, second = lines(capsys)
    assert first.pop("time").endswith("+00:00")
    assert first == {"level": "info", "job": "featurize", "dataset": "steel", "shard": "s0", "message": "one line"}
    assert (second["level"], second["message"]) == ("error", "it failed")


def test_text_from_files_ends_no_line_and_moves_no_cursor(capsys):
    logs.set_up(logs.Log(is_json=True, facts={"dataset": HOSTILE}))
    with about(image=HOSTILE):
        say(HOSTILE)
    [line] = lines(capsys)
    assert (line["image"], line["dataset"]) == (HOSTILE, HOSTILE)
    assert "\x1b" not in json.dumps(line)


def test_credentials_are_in_no_line(capsys, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    logs.set_up(logs.Log(is_json=True))
    say("reading s3://key:secret@bucket/x with wJalrXUtnFEMI and https://h/x?token=abcdef")
    logs.LOGGER.warning("from %s", "s3://key:secret@bucket/y")
    text = capsys.readouterr().err
    assert not any(one in text for one in ("secret", "wJalrXUtnFEMI", "abcdef"))
    assert "s3://bucket/x" in text


def test_progress_is_numbers_as_well(capsys):
    logs.set_up(logs.Log(is_json=True))
    with progress("featurizing", total=10) as bar:
        bar.advance(4, rejected=1)
    [line] = lines(capsys)
    assert (line["step"], line["done"], line["planned"], line["rejected"], line["unit"]) == (
        "featurizing",
        4,
        10,
        1,
        "images",
    )


def test_warnings_of_python_and_of_the_library_are_lines_too(capsys):
    logs.set_up(logs.Log(is_json=True, facts={"job": "status"}))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)  # pytest has its own way, which this stands in for
        warnings.warn("random weights", UserWarning, stacklevel=1)
    logging.getLogger("texture_store.storage.retries").warning("storage answers %s", 503)
    found = lines(capsys)
    assert {line["level"] for line in found} == {"warning"}
    assert found[-1]["message"] == "storage answers 503"
    assert any("random weights" in str(line["message"]) for line in found)


@click.command("broken", cls=JobCommand)
@click.option("--number", type=int, default=0)
@click.option("--error", default="store")
def broken(number: int, error: str) -> None:
    say(f"number {number}")
    if error == "usage":
        raise UsageError("wrong as asked")
    if error == "other":
        raise RuntimeError(HOSTILE)
    raise StoreError("storage is full")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--log", "json"], 1, "texture-store broken: storage is full"),
        (["--log=json", "--error", "usage"], 2, "texture-store broken: wrong as asked"),
        (["--log=json", "--error", "other"], 1, "texture-store broken: RuntimeError: a?[2J?]0;title?b (--debug shows"),
        (["--log=json", "--number", "x"], 2, "Invalid value for '--number'"),
        (["--nosuch", "--log=json"], 2, "No such option"),
        (["--log=json", "extra"], 2, "unexpected extra argument"),
    ],
)
def test_errors_of_a_command_are_lines_too(arguments: list[str], status: int, message: str):
    result = CliRunner().invoke(broken, arguments)
    assert result.exit_code == status
    found = [json.loads(line) for line in result.stderr.splitlines()]
    assert found[-1]["level"] == "error"
    assert found[-1]["job"] == "broken"
    assert message in found[-1]["message"]


def test_the_environment_asks_for_it_and_an_option_overrules(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(logs.VARIABLE, "json")
    assert json.loads(CliRunner().invoke(broken, []).stderr.splitlines()[0])["message"] == "number 0"
    assert CliRunner().invoke(broken, ["--log", "text"]).stderr.splitlines()[0] == "number 0"
    monkeypatch.setenv(logs.VARIABLE, "xml")
    wrong = CliRunner().invoke(broken, [])
    assert wrong.exit_code == 2
    assert "xml" in wrong.stderr


def test_a_line_of_a_recorded_command_names_its_run(tmp_path: Path):
    made = MadeStore.at(tmp_path)
    made.index("steel", ["a.tif"])

    @click.command("slow", cls=RecordedCommand)
    @store_option
    @dataset_option
    def slow(store_url: str, dataset: str) -> None:
        say("going")
        with progress("slowly", total=1):
            pass
        raise StoreError("it broke at s3://key:secret@bucket")

    result = CliRunner().invoke(slow, ["--store", made.url, "--dataset", "steel", "--log=json"])
    [run] = read_runs(made.storage, "steel")
    assert (run.job, run.state, run.exit_status) == ("slow", "failed", 1)
    assert run.error == "it broke at s3://bucket"
    for line in map(json.loads, result.stderr.splitlines()):
        assert (line["job"], line["dataset"], line["run"]) == ("slow", "steel", run.run)


def test_every_command_says_so_in_its_help():
    for name in ("featurize", "status", "reevaluate"):
        assert "--log [text|json]" in CliRunner().invoke(texture_store, [name, "--help"]).stdout


def test_a_worker_logs_shard_and_image_and_tells_warnings_alone(capsys):
    told: list[tuple[str, str, dict[str, object]]] = []
    log = logs.Log(is_json=True, facts={"job": "featurize", "dataset": "steel", "run": "r"})
    logs.set_up_worker(log, lambda *line: told.append(line))
    logger = logging.getLogger("texture_store.pipeline")
    with about(shard="s0"), about(image="a.tif"):
        logger.info("rejected")
        logger.warning("storage answers %s", 503)
        try:
            raise StoreError("s3://key:secret@bucket is gone")
        except StoreError:
            logger.exception("load: failed")
    found = lines(capsys)
    assert {(line["shard"], line["image"], line["run"]) for line in found} == {("s0", "a.tif", "r")}
    assert "secret" not in json.dumps(found)
    assert any("StoreError: s3://bucket is gone" in line for line in found[-1]["traceback"])
    assert told == [("storage answers %s", "storage answers 503", {"shard": "s0", "image": "a.tif"})]


def test_a_worker_without_json_logs_text_with_the_same(capsys):
    logs.set_up_worker(logs.Log(facts={"job": "featurize"}), None)
    with about(shard="s0", image=HOSTILE):
        logs.LOGGER.info("done")
    [line] = capsys.readouterr().err.splitlines()
    assert "job=featurize shard=s0 image=a [2J" in line
    assert line.endswith(": done")
    assert "\x1b" not in line


def test_threads_of_a_pool_know_what_the_one_that_asks_is_about():
    with about(shard="s0"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(copy_context().run, what_about).result() == {"shard": "s0"}
    assert what_about() == {}
    seen: list[object] = []
    thread = threading.Thread(target=lambda: seen.append(what_about()))
    thread.start()
    thread.join()
    assert seen == [{}]
