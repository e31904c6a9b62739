"""Lines of `status` about runs: how far each step is, and whether the run still lives."""

from collections.abc import Iterator

from jobs.progress import duration, rate_text
from texture_store.store.runs import RunStatus, StepSign

AGAIN = "run the same command again"
MAX_ERROR = 300
"""Characters of an error that a line shows; --json has it all."""


def run_lines(runs: list[RunStatus]) -> Iterator[str]:
    """For a terminal; text from others has still to be made printable."""
    for one in runs:
        yield f"  {one.job}: {_standing(one)}"
        yield f"    {one.run}, on {one.host}{_where(one)}"
        # Of a run that is over, the steps that say something; an earlier one of a run that goes on is history.
        for step in one.steps:
            if step.done or step.failed or not step.is_over:
                yield f"    {_step(step, is_running=one.state == 'running')}"


def _standing(one: RunStatus) -> str:
    began = f"began {_minute(one.started)}"
    if one.state == "running":
        return f"running, {began}, sign of life {duration(one.silent_seconds)} ago"
    if one.state == "lost":
        silent = duration(one.silent_seconds)
        return f"no sign of life for {silent}: it may have died; {AGAIN} ({began})"
    status = "" if one.exit_status in (0, None) else f" with status {one.exit_status}"
    error = f": {one.error[:MAX_ERROR]}" if one.error else ""
    return f"{one.state}{status} {_minute(one.last_sign)} ({began}){error}"


def _where(one: RunStatus) -> str:
    parts = [f"texture_store {one.version}"]
    if one.submission:
        parts.append(f"Ray job {one.submission}")
    if one.workers:
        parts.append(one.workers)
    if one.num_nodes:
        few = ", ".join(one.nodes[:4]) + (" ..." if one.num_nodes > len(one.nodes[:4]) else "")
        parts.append(f"{one.num_nodes} node{'s' if one.num_nodes > 1 else ''} ({few})")
    return "".join(f", {part}" for part in parts)


def _step(step: StepSign, *, is_running: bool) -> str:
    of = f"/{step.planned:,}" if step.planned is not None else ""
    parts = [f"{step.done:,}{of} {step.unit}"]
    if step.shards_planned:
        parts.append(f"{step.shards_done:,}/{step.shards_planned:,} shards")
    if step.failed:
        parts.append(f"{step.failed:,} failed in {step.shards_failed:,} shards")
    if step.rejected:
        parts.append(f"{step.rejected:,} rejected")
    if step.rate is not None:
        parts.append(rate_text(step.rate))
    if is_running and step.seconds_left is not None:
        parts.append(f"{duration(step.seconds_left)} left")
    elif step.is_over:
        parts.append(duration(step.seconds))
    if step.slowest_stage is not None:
        parts.append(f"slowest: {_stage(step)}")
    return f"{step.step}: {', '.join(parts)}"


def _stage(step: StepSign) -> str:
    """Of loading also what most of it is."""
    if step.slowest_stage != "load" or "load" not in step.stage_seconds:
        return str(step.slowest_stage)
    load, decode = step.stage_seconds["load"], step.stage_seconds.get("decode", 0.0)
    return f"load, mostly {'decoding' if decode >= load / 2 else 'fetching'}"


def _minute(at: str) -> str:
    return f"{at[:16].replace('T', ' ')} UTC"
