"""What the lines of a log are about: shard and image, noted by those who know, for whoever formats the lines."""

import contextvars
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_about: contextvars.ContextVar[Mapping[str, str]] = contextvars.ContextVar("texture_store_about", default={})  # noqa: B039


@contextmanager
def about(**facts: str) -> Iterator[None]:
    """Lines that are logged in the block are about these, such as `shard` and `image`, beside what is around it.

    A thread pool hands it on with `contextvars.copy_context().run`.
    """
    token = _about.set({**_about.get(), **facts})
    try:
        yield
    finally:
        _about.reset(token)


def what_about() -> Mapping[str, str]:
    """What a line that is logged here is about."""
    return _about.get()
