"""What each kind of storage can do, and what it says of an object.

A driver is cheap and knows its root; what it opens is made per process. Paths are relative to that root. Only `objects`
uses drivers; errors are translated there.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeVar

T = TypeVar("T")
Attempt = Callable[[Callable[[], T]], T]
"""Runs one request, again if need be."""
OnSkip = Callable[[str, str], None]
"""Told the path and the reason of what a listing leaves out."""


class ObjectInfo(NamedTuple):
    """One object as a listing shows it."""

    path: str
    """Relative to the storage's url."""
    size: int
    """Bytes."""
    etag: str | None
    mtime_ns: str | None
    """Last change, ns since 1970, as text."""

    @property
    def version(self) -> str:
        """The etag, or size and mtime: another one means that the content may have changed."""
        return self.etag if self.etag is not None else f"{self.size}-{self.mtime_ns}"


class Driver(Protocol):
    """One kind of storage."""

    def read(self, path: str, start: int | None, end: int | None, version: str | None) -> bytes: ...  # noqa: D102
    def create(self, path: str, data: bytes, attempt: Attempt[Any]) -> None: ...  # noqa: D102
    def info(self, path: str) -> ObjectInfo: ...  # noqa: D102
    def has_any(self) -> bool: ...  # noqa: D102
    def remove(self, path: str) -> None: ...  # noqa: D102
    def partials(self) -> Iterator[ObjectInfo]: ...  # noqa: D102
    def list(self, prefix: str, attempt: Attempt[Any], on_skip: OnSkip) -> Iterator[ObjectInfo]: ...  # noqa: D102


def nanoseconds(moment: object) -> str | None:
    """Since 1970, as text, of what drivers say of a time; None of nothing."""
    if isinstance(moment, datetime):
        moment = moment.timestamp()
    if isinstance(moment, int | float):
        return str(round(moment * 1_000_000) * 1000)  # a float holds today's time to about 0.2 us
    return None if moment is None else str(moment)
