"""Lines for people and for machines: what a job says on standard error, and workers in the logs that Ray keeps.

As text they are what they say. As JSON (`--log json`, TEXTURE_STORE_LOG=json) each is an object on one line: time,
level, job, dataset, run, shard and image where they are known, message, and the numbers of progress.
"""

import json
import logging
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from jobs.options import printable
from texture_store.log_context import what_about
from texture_store.storage.error_translation import without_secrets

VARIABLE = "TEXTURE_STORE_LOG"
FORMATS = ("text", "json")

LOGGER = logging.getLogger("texture_store")
"""All of ours are below it."""
_JOBS = logging.getLogger("texture_store.jobs")
_FACTS = "texture_store_facts"
"""Attribute of a record: what it is about, beside `log_context`."""

Tell = Callable[[str, str, Mapping[str, Any]], None]
"""Told the kind of a line, the line, and what it is about."""


@dataclass(frozen=True)
class Log:
    """How lines of a process are written, and what all of them are about."""

    is_json: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)
    """Such as job, dataset and run."""


_log = Log()


def this_log() -> Log:
    """That of this process, to be handed to workers."""
    return _log


def set_up(log: Log) -> None:
    """Write the lines of this process, a job's driver, like this. What other libraries warn of comes along as JSON."""
    global _log  # noqa: PLW0603 (a process has one standard error)
    _log = log
    for logger in (LOGGER, logging.getLogger("py.warnings")):
        for handler in [one for one in logger.handlers if isinstance(one, _StandardError)]:
            logger.removeHandler(handler)
        if log.is_json:
            logger.addHandler(_StandardError(JsonFormatter(log)))
    LOGGER.setLevel(logging.INFO if log.is_json else logging.NOTSET)
    LOGGER.propagate = not log.is_json
    logging.captureWarnings(log.is_json)


def set_up_worker(log: Log, tell: Tell | None) -> None:
    """Write the lines of this process, a worker, to the log that Ray keeps of it; warnings go to `tell` as well."""
    own = _StandardError(JsonFormatter(log) if log.is_json else TextFormatter(log))
    LOGGER.handlers = [own] if tell is None else [own, _Forward(tell)]
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False


def say(message: str, *, level: int = logging.INFO, **facts: Any) -> None:
    """A line about what happens now; `facts` are said in JSON alone."""
    if _log.is_json:
        _JOBS.log(level, "%s", message, extra={_FACTS: facts})
    else:
        print(printable(message), file=sys.stderr, flush=True)


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON, ASCII alone, so that no text from a file can end the line or move a cursor."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        values: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            **facts_of(record, self._log),
            "message": without_secrets(record.getMessage()),
        }
        if lines := _traceback(record):
            values["traceback"] = lines
        return json.dumps(values, default=str)


class TextFormatter(logging.Formatter):
    """A record as one line for people."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        facts = " ".join(f"{name}={without_secrets(str(value))}" for name, value in facts_of(record, self._log).items())
        line = f"{at} {record.levelname.lower()} {facts}: {without_secrets(record.getMessage())}"
        return "\n".join([line, *_traceback(record)])


def facts_of(record: logging.LogRecord, log: Log | None = None) -> dict[str, Any]:
    """What a record is about."""
    return {**(log.facts if log is not None else {}), **what_about(), **getattr(record, _FACTS, {})}


def _traceback(record: logging.LogRecord) -> list[str]:
    if not record.exc_info or record.exc_info[0] is None:
        return []
    lines = "".join(traceback.format_exception(*record.exc_info)).splitlines()
    return [line[: len(line) - len(line.lstrip())] + without_secrets(line) for line in lines]


class _StandardError(logging.Handler):
    """Writes to what standard error is at the time."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except Exception:
            self.handleError(record)


class _Forward(logging.Handler):
    def __init__(self, tell: Tell) -> None:
        super().__init__(logging.WARNING)
        self.addFilter(lambda record: record.levelno < logging.ERROR)  # a shard that fails says so by itself
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(record.msg, record.getMessage(), facts_of(record))
