"""Records of runs: what is read of them, how each run stands, and what is damaged or strange."""

import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from texture_store.errors import InvalidNameError, ObjectExistsError
from texture_store.objects import Storage, open_storage
from texture_store.store import layout, runs
from texture_store.store.processes import this_process
from texture_store.store.runs import (
    RunBegun,
    RunSign,
    StepSign,
    pause_after,
    read_runs,
    write_begun,
    write_ended,
    write_sign,
)
from texture_store.store.sealing import is_json_whole

ELSEWHERE = {"host": "elsewhere", "pid": 7, "place": "another boot", "process": "1"}


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path))


def at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def name(number: int) -> str:
    return f"20260101t0000{number:02}-featurize-0000000{number % 10}"


def begin(storage: Storage, number: int = 1, *, ago: float = 0.0, **facts: object) -> str:
    values = {"job": "featurize", "dataset": "steel", "arguments": ("--store", "s"), "version": "0.1.0"}
    begun = RunBegun(**({"run": name(number), "process": ELSEWHERE, "started": at(time.time() - ago)} | values | facts))
    write_begun(storage, begun)
    return begun.run


def test_a_run_that_has_told_nothing_yet_is_running_since_it_began(storage: Storage):
    run = begin(storage, ago=5)
    [one] = read_runs(storage, "steel")
    assert (one.run, one.job, one.state, one.host, one.steps) == (run, "featurize", "running", "elsewhere", ())
    assert 5 <= one.silent_seconds < 60
    assert read_runs(storage, "iron") == []


def test_the_newest_sign_counts(storage: Storage):
    run = begin(storage)
    for number in range(1, 12):  # 10 and 11 come after 9, whatever their order as text
        step = StepSign(step="featurizing", unit="images", planned=100, done=number)
        write_sign(storage, "steel", run, number, RunSign(steps=(step,), workers="2 GPUs", nodes=("a",), num_nodes=1))
    [one] = read_runs(storage, "steel")
    assert (one.steps[0].done, one.workers, one.nodes, one.num_nodes) == (11, "2 GPUs", ("a",), 1)


def test_a_run_without_a_sign_for_too_long_is_lost(storage: Storage):
    run = begin(storage, ago=3600)
    write_sign(storage, "steel", run, 1, RunSign(at=at(time.time() - 720), next_seconds=15))
    [one] = read_runs(storage, "steel")
    assert one.state == "lost"
    assert 720 <= one.silent_seconds < 780
    [then] = read_runs(storage, "steel", now=time.time() - 720 + runs.LOST_SECONDS)
    assert then.state == "running", "a sign may be late"


def test_a_sign_that_announces_a_longer_pause_is_waited_for_longer(storage: Storage):
    run = begin(storage, ago=3600)
    write_sign(storage, "steel", run, 1, RunSign(at=at(time.time() - runs.LOST_SECONDS - 60), next_seconds=120))
    assert read_runs(storage, "steel")[0].state == "running"


def test_a_process_of_this_machine_that_is_gone_is_lost_at_once(storage: Storage):
    if not this_process()["place"]:
        pytest.skip("processes cannot be told apart here")
    code = "import json; from texture_store.store.processes import this_process; print(json.dumps(this_process()))"
    gone = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    begin(storage, 1, process=gone)
    begin(storage, 2, process=this_process())
    assert [(one.run, one.state) for one in read_runs(storage, "steel")] == [(name(2), "running"), (name(1), "lost")]


def test_how_it_ended_is_told(storage: Storage):
    run = begin(storage, ago=3600)
    write_sign(storage, "steel", run, 1, RunSign())
    write_ended(storage, "steel", run, RunSign(state="failed", exit_status=1, error="no space", at=at(0)))
    [one] = read_runs(storage, "steel")
    assert (one.state, one.exit_status, one.error, one.silent_seconds) == ("failed", 1, "no space", 0.0)


def test_all_that_run_are_shown_and_some_that_are_over(storage: Storage):
    for number in range(10):
        run = begin(storage, number)
        if number != 3:
            write_ended(storage, "steel", run, RunSign(state="done", exit_status=0))
    found = read_runs(storage, "steel", past=2)
    assert [(one.run, one.state) for one in found] == [(name(3), "running"), (name(9), "done"), (name(8), "done")]
    assert [one.run for one in read_runs(storage, "steel", past=0)] == [name(3)]


def test_old_runs_cost_two_listings_and_no_reading(storage: Storage, monkeypatch: pytest.MonkeyPatch):
    """However many signs they left."""
    for number in range(30):
        run = begin(storage, number)
        for sign in range(1, 4):
            write_sign(storage, "steel", run, sign, RunSign())
        write_ended(storage, "steel", run, RunSign(state="done", exit_status=0))
    requests: list[str] = []
    for method in ("read", "list"):
        real = getattr(Storage, method)

        def counted(
            self: Storage, path: str = "", *rest: object, real=real, method=method, **options: object
        ) -> object:
            requests.append(f"{method} {path}")
            return real(self, path, *rest, **options)

        monkeypatch.setattr(Storage, method, counted)
    assert len(read_runs(storage, "steel", past=5)) == 5
    assert sorted(request for request in requests if request.startswith("list")) == [
        "list runs/dataset=steel/begun",
        "list runs/dataset=steel/ended",
    ]
    assert len(requests) == 2 + 2 * 5


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"run": 1}', b"\xff\xfe", b'{"checksum":"' + b"0" * 64 + b'",}']
)
def test_records_that_cannot_be_read_are_left_out(storage: Storage, content: bytes):
    good = begin(storage, 1)
    storage.create(layout.begun_path("steel", name(2)), content)
    storage.create(layout.sign_path("steel", good, 1), content)
    storage.create("runs/dataset=steel/begun/whatever.json", content)
    [one] = read_runs(storage, "steel")
    assert (one.run, one.state) == (good, "running")
    storage.create(layout.ended_path("steel", good), content)
    assert [one.run for one in read_runs(storage, "steel")] == [good]


def test_a_damaged_sign_gives_way_to_the_one_before(storage: Storage):
    run = begin(storage)
    write_sign(storage, "steel", run, 1, RunSign(workers="2 GPUs"))
    write_sign(storage, "steel", run, 2, RunSign(workers="3 GPUs"))
    path = Path(storage.full_path(layout.sign_path("steel", run, 2)))
    path.write_bytes(path.read_bytes().replace(b"3 GPUs", b"4 GPUs"))
    assert read_runs(storage, "steel")[0].workers == "2 GPUs"


def test_records_are_sealed_and_never_written_twice(storage: Storage):
    run = begin(storage)
    assert is_json_whole(storage.read(layout.begun_path("steel", run))) is True
    with pytest.raises(ObjectExistsError):
        begin(storage)


def test_names_are_checked():
    for wrong in ("../../x", "20260101t000000-featurize-XYZ", "x", ""):
        with pytest.raises(InvalidNameError):
            layout.begun_path("steel", wrong)
    with pytest.raises(InvalidNameError):
        layout.begun_path("Steel/..", name(1))
    assert layout.parse_watched_path(layout.sign_path("steel", name(1), 12)) == (name(1), 12)
    assert layout.parse_watched_path(layout.ended_path("steel", name(1))) == (name(1), 0)
    assert layout.parse_watched_path("runs/dataset=steel/job=reevaluate/run-1.json") is None


def test_signs_come_often_at_first_and_then_seldom():
    assert [pause_after(age) for age in (0, 10, 50, 600, 3000, 100_000)] == [2, 2, 10, 15, 60, 120]
    age, count = 1.0, 0
    while age < 86_400:
        age, count = age + pause_after(age), count + 1
    assert count < 900
