"""Shards that a stream lost with an actor or a node go through in another pass, and not for ever.

Which shards Ray loses is left to chance in the chaos tests; here it is chosen, and the stream yields the others.
"""

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from jobs import stream
from jobs.stream import MAX_FRUITLESS_PASSES, FailedShard, run_stream


class LossyStreams:
    """Each pass loses the units that it is told to."""

    def __init__(self, lost: list[set[int]]) -> None:
        self._lost = lost
        self.passes: list[list[int]] = []

    def build(self, units: Mapping[int, Any], **_: object) -> Any:
        lost = self._lost[min(len(self.passes), len(self._lost) - 1)]
        self.passes.append(sorted(units))

        def iter_batches(**_: object) -> Iterator[pa.Table]:
            for number, unit in list(units.items()):
                if number not in lost:
                    yield stream._row(number, unit.shard, f"result of {unit.shard}")

        return SimpleNamespace(iter_batches=iter_batches)


def results(monkeypatch: pytest.MonkeyPatch, streams: LossyStreams) -> list[Any]:
    monkeypatch.setattr(stream, "build_stream", streams.build)
    units: Any = [SimpleNamespace(shard=f"s{number}") for number in range(4)]
    nothing: Any = None
    return list(run_stream(units, archive_url="", target=nothing, workers=nothing))


def test_what_a_pass_lost_goes_through_in_the_next_and_nothing_twice(monkeypatch: pytest.MonkeyPatch):
    streams = LossyStreams([{1, 3}, {3}, set()])
    assert sorted(results(monkeypatch, streams)) == [f"result of s{number}" for number in range(4)]
    assert streams.passes == [[0, 1, 2, 3], [1, 3], [3]]


def test_a_whole_stream_is_one_pass(monkeypatch: pytest.MonkeyPatch):
    streams = LossyStreams([set()])
    assert len(results(monkeypatch, streams)) == 4
    assert len(streams.passes) == 1


def test_a_shard_that_is_lost_each_time_stays_pending_and_the_others_do_not(monkeypatch: pytest.MonkeyPatch):
    streams = LossyStreams([{2}])
    *done, failed = results(monkeypatch, streams)
    assert sorted(done) == ["result of s0", "result of s1", "result of s3"]
    assert isinstance(failed, FailedShard)
    assert (failed.shard, failed.is_permanent) == ("s2", False)
    assert "the process that worked on it ended, 3 times" in failed.message
    assert len(streams.passes) == 1 + MAX_FRUITLESS_PASSES
