"""What is wrong with a store, and what to do about it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    path: str
    """Relative to STORE."""
    problem: str
    remedy: str
    """What to run after `--repair`, or what to do where that does not help."""
    set_aside: tuple[str, ...] = ()
    """What `--repair` moves, in this order; nothing for what it cannot mend."""
    restore: bytes | None = None
    """What `--repair` then creates at `path`, where all of its content is known."""


@dataclass(frozen=True)
class Note:
    """Something to be told that is not wrong."""

    about: str
    text: str
    paths: tuple[str, ...] = ()


class DamagedError(Exception):
    """What is wrong with one file, in a few words. Never leaves this package."""
