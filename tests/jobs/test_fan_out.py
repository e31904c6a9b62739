"""Tasks of fits, forests and explanations: begun again when their process dies, and not for ever."""

import os
import signal
from pathlib import Path

import pytest

from jobs.fan_out import TASK_RETRIES, fan_out
from texture_store.errors import DictionaryError, TaskDiedError

pytestmark = [pytest.mark.ray, pytest.mark.chaos]


def square_after_deaths(number: int, folder: Path, deaths: int) -> int:
    """Ends its process so many times; each leaves a file."""
    died = len(list(folder.glob(f"{number}-*")))
    if died < deaths:
        (folder / f"{number}-{died}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


def refuse(number: int) -> int:
    raise DictionaryError(f"{number} descriptors are too few")


def test_a_task_whose_process_dies_is_begun_again(ray_session: None, tmp_path: Path):
    found = fan_out(square_after_deaths, {n: (n, tmp_path, n) for n in (0, 1, 3)}, doing="squares", unit="numbers")
    assert found == {0: 0, 1: 1, 3: 9}
    assert len(list(tmp_path.iterdir())) == 4


def test_one_that_dies_each_time_ends_the_job(ray_session: None, tmp_path: Path):
    with pytest.raises(TaskDiedError, match=f"squares: the process of a task ended each of {1 + TASK_RETRIES} times"):
        fan_out(square_after_deaths, {2: (2, tmp_path, 1000)}, doing="squares", unit="numbers")
    assert len(list(tmp_path.iterdir())) == 1 + TASK_RETRIES


def test_an_error_of_ours_is_not_tried_again_and_comes_as_it_is(ray_session: None):
    with pytest.raises(DictionaryError, match=r"^7 descriptors are too few$"):
        fan_out(refuse, {7: (7,)}, doing="fits", unit="fits")
