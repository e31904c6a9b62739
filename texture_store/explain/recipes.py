"""How a filter's texture is made: two recipes, each a frozen value whose key names its folder in a store."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

from texture_store.errors import UsageError

TEXTURES_VERSION = 1
"""Raised by hand when the same recipe would give other textures; it is part of the key."""

Unknowns = Literal["pixels", "spectrum"]


@dataclass(frozen=True)
class Recipe:
    """All that decides a texture besides weights, layer, filter and seed. Equal recipes have equal keys."""

    name: str
    """`[a-z][a-z0-9]*`"""
    unknowns: Unknowns
    """What is ascended: the pixels of the network's input, or the spectrum of a grey picture."""
    side_px: int = 128
    steps: int = 20
    contrast: float = 51.0
    """RMS contrast (standard deviation) of the finished picture, grey values; its mean is 127.5."""
    starts: int = 1
    """Starts from different noise, of which the most active one goes on."""
    trial_steps: int = 0
    """Steps that all starts take before the choice; they count among `steps`."""
    jitter_px: int = 0
    """Greatest shift of the picture, round its edges, at the first step; it fades to none at the last."""
    spectrum_power: float = 0.0
    """Amplitudes are worked on in units of 1 / frequency to this power: 0 is white, 1 that of natural pictures."""
    softness: float = 0.0
    """Bend of the softplus that is ascended instead of ReLU, in standard deviations of the filter's map; 0 is ReLU.

    It gives positions near their threshold a gradient, so that silent filters wake.
    """
    version: int = TEXTURES_VERSION

    @property
    def key(self) -> str:
        """The name, a dash and 20 hex digits of the SHA-256 of all settings as sorted JSON."""
        settings = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return f"{self.name}-{hashlib.sha256(settings.encode()).hexdigest()[:20]}"

    @property
    def is_grey(self) -> bool:
        """Whether its pictures are grey, as micrographs are; otherwise they are RGB."""
        return self.unknowns == "spectrum"


PAPER = Recipe(name="paper", unknowns="pixels", contrast=25.5)
"""Keras' conv_filter_visualization.py, as Ling et al. 2017 used it for their Figure 8.

White noise 118..138 in three channels goes into the network as it is, without the means taken off. Steps have rms 1.
The picture is RGB, of a tenth of the grey range in RMS contrast. A filter that the noise does not touch stays silent.
"""

BETTER = Recipe(
    name="better",
    unknowns="spectrum",
    starts=4,
    trial_steps=2,
    jitter_px=4,
    spectrum_power=0.5,
    softness=0.5,
)
"""What a filter looks for in a micrograph: a grey picture, 0..255, of the RMS contrast of micrographs.

Contrast: 51 is a fifth of the range; real micrographs have medians of 28 (surface defects) to 69 (steels).
"""

RECIPES = {recipe.name: recipe for recipe in (PAPER, BETTER)}


def find_recipe(name: str) -> Recipe:
    """The recipe of this name. Raises UsageError."""
    if name not in RECIPES:
        raise UsageError(f"no recipe {name!r} for textures; the recipes are {' '.join(RECIPES)}")
    return RECIPES[name]
