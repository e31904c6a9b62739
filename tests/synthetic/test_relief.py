import numpy as np

from texture_store.synthetic.bed import Bed, drop_spheres
from texture_store.synthetic.distributions import DISTRIBUTIONS
from texture_store.synthetic.relief import HOLDER, visible_surface


def one_sphere(x: float, y: float, z: float, radius: float) -> Bed:
    return Bed(*(np.array([value]) for value in (x, y, z, radius)))


def test_every_pixel_shows_the_highest_sphere_above_it() -> None:
    rng = np.random.default_rng(8)
    margin_um, um_per_px, size = 5.0, 0.5, 64
    bed = drop_spheres(DISTRIBUTIONS[2].sample(rng, 60), 42.0, rng)
    relief = visible_surface(bed, size=size, um_per_px=um_per_px, margin_um=margin_um)
    # By definition: a ray straight down through each pixel's centre, against all spheres, in float64.
    centres = margin_um + (np.arange(size) + 0.5) * um_per_px
    room = (
        bed.radii_um**2 - (centres[None, :, None] - bed.x_um) ** 2 - (centres[:, None, None] - bed.y_um) ** 2
    )  # (row, column, sphere)
    tops = np.where(room > 0, bed.z_um + np.sqrt(np.maximum(room, 0)), -np.inf)
    hit = tops.max(axis=2) > 0
    assert 0.3 < hit.mean() < 1.0
    np.testing.assert_array_equal(relief.sphere != HOLDER, hit)
    np.testing.assert_array_equal(relief.sphere[hit], tops.argmax(axis=2)[hit])
    np.testing.assert_allclose(relief.height_um, np.where(hit, tops.max(axis=2), 0.0), atol=1e-4)


def test_a_sphere_is_a_disc_at_its_place() -> None:
    relief = visible_surface(one_sphere(20.0, 12.0, 6.0, 5.0), size=80, um_per_px=0.5, margin_um=2.0)
    rows, columns = np.nonzero(relief.sphere == 0)
    assert columns.mean() == np.float64(35.5)  # (20 - 2) / 0.5 px, less half a pixel
    assert rows.mean() == np.float64(19.5)
    assert abs(len(rows) * 0.25 - np.pi * 25.0) < 2.0
    assert abs(relief.height_um.max() - 11.0) < 0.02


def test_spheres_outside_the_window_are_not_seen() -> None:
    relief = visible_surface(one_sphere(-30.0, 90.0, 6.0, 5.0), size=32, um_per_px=0.5, margin_um=2.0)
    assert (relief.sphere == HOLDER).all()
    assert (relief.height_um == 0).all()


def test_a_sphere_over_the_edge_is_cut() -> None:
    relief = visible_surface(one_sphere(2.0, 2.0, 6.0, 5.0), size=32, um_per_px=0.5, margin_um=2.0)
    assert relief.sphere[0, 0] == 0
    assert abs((relief.sphere == 0).sum() * 0.25 - np.pi * 25.0 / 4) < 2.0
