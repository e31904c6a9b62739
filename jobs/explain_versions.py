"""Which libraries decide what explain computes."""

from functools import cache
from importlib.metadata import version

_STATISTICS = ("texture-store", "scikit-learn", "numpy", "scipy")
_NETWORK = ("texture-store", "torch", "numpy")


@cache
def statistics_versions() -> dict[str, str]:
    """Of importances, characteristic filters, typical images and maps."""
    return {name: version(name) for name in _STATISTICS}


@cache
def network_versions() -> dict[str, str]:
    """Of textures, exemplars and heat maps."""
    return {name: version(name) for name in _NETWORK}
