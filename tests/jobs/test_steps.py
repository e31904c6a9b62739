"""How far a step is."""

import pytest

from jobs import steps as module
from jobs.steps import Step, slowest_stage


def test_a_step_counts_and_reckons():
    step = Step("featurizing", "images", 100)
    assert step.sign().rate is None
    step.plan_shards(4)
    step.advance(10, rejected=2)
    step.shard_done({"load": 1.0, "extract": 2.0})
    step.shard_done({"load": 1.5})
    step.shard_failed(25)
    sign = step.sign()
    assert (sign.planned, sign.done, sign.rejected, sign.failed) == (100, 10, 2, 25)
    assert (sign.shards_planned, sign.shards_done, sign.shards_failed) == (4, 2, 1)
    assert sign.stage_seconds == {"load": 2.5, "extract": 2.0}
    assert sign.slowest_stage is None, "too few shards to tell"
    assert sign.rate is not None
    assert sign.seconds_left == pytest.approx(65 / sign.rate, rel=0.01, abs=0.1)
    step.end()
    assert step.sign().seconds_left is None
    assert step.sign().is_over


def test_the_rate_is_without_the_first_batch(monkeypatch: pytest.MonkeyPatch):
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    step = Step("featurizing", "images", 1000)
    now[0] += 100  # Ray starts
    step.advance(10)
    for _ in range(10):
        now[0] += 6
        step.advance(12)
    assert step.sign().rate == 2.0
    assert step.sign().seconds_left == (1000 - 130) / 2.0
    for _ in range(100):  # five minutes of samples: what was before does not count
        now[0] += 6
        step.advance(6)
    assert step.sign().rate == 1.0
    now[0] += 600
    assert step.sign().rate < 0.5, "one that stands gets slower"


@pytest.mark.parametrize(
    ("seconds", "stage"),
    [
        ({}, None),
        ({"load": 10, "wait_extract": 0.1, "extract": 5, "wait_write": 0.1, "write": 1}, "load"),
        ({"load": 10, "wait_extract": 9, "extract": 5, "wait_write": 0.1, "write": 1}, "extract"),
        ({"load": 10, "wait_extract": 3, "extract": 5, "wait_write": 4, "write": 5}, "write"),
        ({"load": 10}, "load"),
    ],
)
def test_the_slowest_stage_is_the_one_that_shards_wait_for(seconds, stage):
    assert slowest_stage(seconds) == stage
