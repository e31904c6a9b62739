"""Requests are tried again here, and nowhere else: within a budget of time, after random pauses, with few words.

Drivers try once. Their own tries would multiply with ours, hide a lost reply, and end after some seconds: s3fs's
defaults lose one of ten requests when 40 % are answered 503.
"""

import logging
import os
import re
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import tenacity

from texture_store.errors import TextureStoreError, TransientStoreError, UsageError
from texture_store.storage.error_translation import http_answer, translate

T = TypeVar("T")
logger = logging.getLogger(__name__)

RETRY_SECONDS = 120.0
"""How long one request is tried again; TEXTURE_STORE_RETRY_SECONDS overrides it. It outlasts a server that restarts
for a minute, and a bucket that is being repartitioned now and then."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 15.0
"""Seconds. A pause is random between 0 and a bound that doubles from the first to the longest (full jitter), so that
many workers do not come back at the same moment."""
PATIENCE_SECONDS = 3.0
"""A request that fails for longer than this is worth a line: a few failures are everyday."""
LINE_SECONDS = 30.0
"""Between two such lines of one process, however many requests fail meanwhile."""


def persist(request: Callable[[], T], url: str) -> T:
    """What `request` returns. While storage does not answer properly, it is run again until the budget is used up.

    Errors of drivers become those of texture_store: TransientStoreError after the last try, any other one at once.
    """

    def once() -> T:
        try:
            return request()
        except TextureStoreError:
            raise
        except Exception as error:
            raise translate(error, url) from error

    budget = _retry_seconds()
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(TransientStoreError),
        wait=tenacity.wait_random_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE),
        stop=tenacity.stop_before_delay(budget),
        before_sleep=lambda state: _slow.failed(state, budget),
        reraise=True,
    )
    result = retrying(once)
    _slow.answered()
    return result


class _Slow:
    """Says now and then that storage is slow, and once that it is not any more. One in a process, for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said: float | None = None
        self._since: float | None = None

    def failed(self, state: tenacity.RetryCallState, budget: float) -> None:
        if (state.seconds_since_start or 0) < PATIENCE_SECONDS:
            return
        now = time.monotonic()
        with self._lock:
            if self._said is not None and now - self._said < LINE_SECONDS:
                return
            self._said = now
            self._since = state.start_time if self._since is None else self._since
        error = state.outcome.exception() if state.outcome else None
        logger.warning("%s, waiting (a request is tried for %.0f s)", _answer(error), budget)

    def answered(self) -> None:
        if self._since is None:
            return
        with self._lock:
            since, self._since = self._since, None
        if since is not None:
            logger.warning("storage answers again, after %.0f s", time.monotonic() - since)


_slow = _Slow()
_URL, _ORIGIN = r'(\w+://[^/\s"]+)[^\s"]*?(?=[:"]?(\s|$))', r"\1"


def _answer(error: BaseException | None) -> str:
    status, code = http_answer(error) if error is not None else (None, "")
    if status is not None:
        return f"storage answers {status}" + (f" {code}" if code and code != str(status) else "")
    reason = str(error).partition(";")[0]
    # Without the paths of URLs: the line is about the server.
    return f"storage does not answer ({re.sub(_URL, _ORIGIN, reason)})"


def _retry_seconds() -> float:
    text = os.environ.get("TEXTURE_STORE_RETRY_SECONDS", "")
    try:
        return float(text) if text else RETRY_SECONDS
    except ValueError:
        raise UsageError(f"TEXTURE_STORE_RETRY_SECONDS={text}: not a number of seconds") from None
