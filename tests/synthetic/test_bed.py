import numpy as np
import pytest

from texture_store.synthetic.bed import drop_spheres
from texture_store.synthetic.distributions import DISTRIBUTIONS


@pytest.fixture(scope="module", params=[2, 4], ids=["wide", "bimodal"])
def bed(request):
    rng = np.random.default_rng(3)
    return drop_spheres(DISTRIBUTIONS[request.param].sample(rng, 300), 130.0, rng)


def gaps_um(bed):
    """(n, n) free distance between the surfaces of two spheres; infinite on the diagonal."""
    centres = np.stack([bed.x_um, bed.y_um, bed.z_um], axis=1)
    distances = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    gaps = distances - (bed.radii_um[:, None] + bed.radii_um[None])
    np.fill_diagonal(gaps, np.inf)
    return gaps


def test_no_two_spheres_overlap(bed) -> None:
    assert gaps_um(bed).min() > -1e-9


def test_no_sphere_lies_below_the_holder(bed) -> None:
    assert (bed.z_um - bed.radii_um).min() >= 0.0


def test_every_sphere_rests_on_the_holder_or_on_another(bed) -> None:
    on_holder = np.abs(bed.z_um - bed.radii_um) < 1e-9
    on_another = np.abs(gaps_um(bed)).min(axis=1) < 1e-6
    assert (on_holder | on_another).all()
    assert on_holder.any()
    assert on_another.any()


def test_centres_lie_in_the_square(bed) -> None:
    for values in (bed.x_um, bed.y_um):
        assert values.min() >= 0.0
        assert values.max() <= 130.0


def test_no_spheres_make_an_empty_bed() -> None:
    assert len(drop_spheres(np.empty(0), 10.0, np.random.default_rng(0)).x_um) == 0
