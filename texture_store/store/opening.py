"""Opening a store: its format version, and whether its storage can be written to safely."""

import json

from texture_store.errors import ObjectExistsError, ObjectNotFoundError, StoreFormatError
from texture_store.objects import Storage, open_storage
from texture_store.store.layout import STORE_FILE

FORMAT_VERSION = 1
"""Raised when an older release could not read a store correctly any more."""


def open_for_reading(url: str) -> Storage:
    """The storage of an existing store.

    Raises StoreFormatError when there is no store at `url`, or when a newer release wrote it.
    """
    storage = open_storage(url)
    try:
        _check_format(storage)
    except ObjectNotFoundError:
        raise StoreFormatError(f"{storage.url}: no store here; check the URL, or run index first") from None
    return storage


def open_for_writing(url: str, *, create: bool = True) -> Storage:
    """The storage of a store, which is made unless it is there; with `create=False` it must be there.

    Raises StoreFormatError as `open_for_reading` does, and UnsafeStorageError when the storage cannot create a file
    only if it is absent.
    """
    storage = open_storage(url) if create else open_for_reading(url)
    if create:
        _create_or_check(storage)
    storage.verify_exclusive_create(STORE_FILE)
    return storage


def _create_or_check(storage: Storage) -> None:
    try:
        _check_format(storage)
    except ObjectNotFoundError:
        # Somebody else may be faster: then theirs counts, and is checked like any other.
        try:
            storage.create(STORE_FILE, json.dumps({"format": FORMAT_VERSION}).encode() + b"\n")
        except ObjectExistsError:
            _check_format(storage)


def _check_format(storage: Storage) -> None:
    data = storage.read(STORE_FILE)
    try:
        version = json.loads(data)["format"]
    except (ValueError, KeyError, TypeError):
        version = None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise StoreFormatError(f"{storage.url}: its {STORE_FILE} is not that of a texture_store; check the URL")
    if version > FORMAT_VERSION:
        raise StoreFormatError(
            f"{storage.url}: written in format {version} by a newer texture_store, this one knows {FORMAT_VERSION};"
            " upgrade: pip install -U texture-store"
        )
