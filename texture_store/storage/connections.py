"""The process's connections to object storage."""

import functools
import os
from typing import Any

import fsspec

from texture_store.errors import MissingExtraError
from texture_store.storage.s3_requests import one_try, s3_session

CONNECT_SECONDS, SILENCE_SECONDS = 10, 30
"""A server that takes longer to accept a connection, or to send the next bytes, does not answer. Well under the budget
of a request, so that one lost packet does not use it up."""


def connect(protocol: str, *, patient: bool) -> Any:
    """The process's fsspec filesystem for a protocol; `patient` keeps the driver's own retries.

    Ours is not patient: tries that are hidden in a driver would hide a lost reply, and multiply with our budget.
    """
    environment = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))
    return _connect(protocol, patient, os.getpid(), environment)


@functools.lru_cache(maxsize=16)
def _connect(protocol: str, patient: bool, process: int, environment: tuple[tuple[str, str], ...]) -> Any:  # noqa: ARG001
    """Kept per process (an S3 client does not survive a fork) and per AWS environment."""
    try:
        if protocol != "s3":
            return fsspec.filesystem(protocol)
        settings: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS, "read_timeout": SILENCE_SECONDS}
        settings["max_pool_connections"] = 64
        if not patient:
            settings |= one_try()
        s3 = fsspec.filesystem(
            "s3",
            use_listings_cache=False,
            config_kwargs=settings,
            session=s3_session(),
            skip_instance_cache=True,
        )
    except ImportError as error:
        raise MissingExtraError(f"{protocol}: its fsspec driver is not installed ({error})") from error
    if not patient:
        s3.retries = 1
    return s3
