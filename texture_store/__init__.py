"""texture_store: a distributed batch feature store for micrographs."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from texture_store.encoding.packing import unpack_gram
    from texture_store.store.reader import open_store

__all__ = ["open_store", "unpack_gram"]

_HOMES = {"open_store": "texture_store.store.reader", "unpack_gram": "texture_store.encoding.packing"}


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used: `import texture_store` alone takes no time."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
