"""Where the particles lie: spheres dropped one after the other onto a flat holder."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Coordinates = npt.NDArray[np.float64]

NUM_TRIES = 6
"""Places tried for each sphere; the lowest resting place wins, as if it had rolled there. With one try the powder grows
into towers with dark gaps between them."""


@dataclass(frozen=True)
class Bed:
    """Spheres at rest, in um. x runs to the right, y downwards in the picture, z up from the holder to the eye.

    All arrays are float64 (n,), in the order in which the spheres were dropped.
    """

    x_um: Coordinates
    y_um: Coordinates
    z_um: Coordinates
    radii_um: Coordinates


def drop_spheres(radii_um: Coordinates, side_um: float, rng: np.random.Generator) -> Bed:
    """Drops the spheres (n,) straight down onto a square of `side_um`; each stays where it first touches something.

    No two spheres overlap, and none lies below the holder (z = 0). Random ballistic deposition with a choice of places.
    """
    num_spheres = len(radii_um)
    centres = np.empty((3, num_spheres))
    places = rng.random((num_spheres, 2, NUM_TRIES)) * side_um
    for index, radius in enumerate(radii_um):
        x, y = places[index]
        z = _resting_heights(centres[:, :index], radii_um[:index], x, y, radius)
        lowest = int(np.argmin(z))
        centres[:, index] = x[lowest], y[lowest], z[lowest]
    return Bed(centres[0], centres[1], centres[2], radii_um)


def _resting_heights(
    centres: Coordinates, radii_um: Coordinates, x: Coordinates, y: Coordinates, radius: float
) -> Coordinates:
    """Heights z (t,) at which a sphere of `radius`, let down at each of the places (t,), first touches something."""
    reach = radii_um + radius
    dx = centres[0] - x[:, None]
    dy = centres[1] - y[:, None]
    room = reach * reach - dx * dx - dy * dy
    contact = np.where(room > 0.0, centres[2] + np.sqrt(np.maximum(room, 0.0)), radius)
    return np.asarray(np.max(contact, axis=1, initial=radius))
