"""The same function on many arguments, as Ray tasks of one core each, with progress."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

from jobs.progress import progress
from jobs.watchdog import TASK_MINUTES, Watchdog
from texture_store.errors import TaskDiedError, TextureStoreError

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")

TASK_RETRIES = 10
"""Times that a task is begun again after its process or node died; one that kills its process ends there."""


def fan_out(
    function: Callable[..., Result],
    arguments: Mapping[Key, tuple[Any, ...]],
    *,
    doing: str,
    unit: str,
    sizes: Mapping[Key, int] | None = None,
    num_gpus: float = 0,
) -> dict[Key, Result]:
    """`function(*arguments)` for each key, begun in their order, on the connected Ray.

    `sizes`: how many units each is, where that is not one. `num_gpus` that each needs beside its core.
    A TextureStoreError of one is raised as it is; what has not begun then does not begin. Raises StalledError when
    none is done for hours, TaskDiedError when the process of one dies again and again.
    """
    import ray

    task: Any = ray.remote(num_cpus=1, num_gpus=num_gpus, max_retries=TASK_RETRIES)(function)
    waiting = {task.remote(*values): key for key, values in arguments.items()}
    found: dict[Key, Result] = {}
    total = sum(sizes[key] for key in arguments) if sizes is not None else len(waiting)
    watchdog = Watchdog(doing, minutes=TASK_MINUTES)
    with progress(doing, total=total, unit=unit) as bar:
        while waiting:
            ready, _ = ray.wait(list(waiting), num_returns=1, timeout=watchdog.poll_seconds)
            if not ready:
                watchdog.check()
                continue
            watchdog.alive()
            (done,) = ready
            key = waiting.pop(done)
            try:
                found[key] = ray.get(done)
            except ray.exceptions.RayError as error:
                for other in waiting:
                    ray.cancel(other)
                if isinstance(error, ray.exceptions.RayTaskError):
                    if isinstance(error.cause, TextureStoreError):
                        raise error.cause from None
                    raise
                raise TaskDiedError(
                    f"{doing}: the process of a task ended each of {1 + TASK_RETRIES} times; see whether it has enough"
                    " memory, then run the same command again: what is done stays"
                ) from error
            bar.advance(1 if sizes is None else sizes[key])
    return found
