"""Which images are sampled: by their paths alone, within bounds, and stable when an archive grows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store.attempts import make_snapshot
from texture_store.encoding.sampling import path_share
from texture_store.store.selection import MAX_IMAGES, MIN_IMAGES, MIN_NEW_IMAGES, sampled, sampled_new, union
from texture_store.store.snapshots import Snapshot


def snapshot_of(names: list[str]) -> Snapshot:
    return make_snapshot(1, {f"{name}v1": "shard" for name in names})


def names(count: int, prefix: str = "image") -> list[str]:
    return [f"{prefix}{number:05}" for number in range(count)]


def paths(snapshot: Snapshot) -> list[str]:
    return snapshot.table["path"].to_pylist()


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [
        (30, 0.2, 30),  # fewer than the least
        (600, 0.2, MIN_IMAGES),
        (30_000, 0.2, MAX_IMAGES),
        (300, 1.0, 300),
    ],
)
def test_a_share_is_kept_within_bounds(count: int, share: float, expected: int):
    assert len(sampled(snapshot_of(names(count)), share)) == expected


def test_a_share_between_the_bounds_is_that_share():
    every = names(2000)
    chosen = sampled(snapshot_of(every), 0.25)
    assert sorted(paths(chosen)) == sorted(name for name in every if path_share(name) < 0.25)
    assert len(chosen) == pytest.approx(500, abs=60)  # three standard deviations of a binomial


def test_the_lowest_hashes_are_taken_and_the_snapshots_order_is_kept():
    chosen = paths(sampled(snapshot_of(names(5000)), 1.0))
    lowest = sorted(names(5000), key=path_share)[:MAX_IMAGES]
    assert chosen == sorted(lowest)


@given(st.integers(0, 300), st.integers(0, 300), st.sampled_from([0.05, 0.2, 0.9]))
def test_old_images_of_a_grown_archive_were_sampled_before(num_old: int, num_new: int, share: float):
    old, new = snapshot_of(names(num_old)), names(num_new, "new")
    grown = snapshot_of(names(num_old) + new)
    before = set(paths(sampled(old, share)))
    assert {path for path in paths(sampled(grown, share)) if not path.startswith("new")} <= before


@given(st.integers(0, 300), st.integers(0, 300), st.sampled_from([0.05, 0.2, 0.9]))
def test_what_a_refit_needs_is_sampled_by_the_check_of_new_images(num_old: int, num_new: int, share: float):
    old = snapshot_of(names(num_old))
    grown = snapshot_of(names(num_old) + names(num_new, "new"))
    new = sampled_new(grown, set(old.table["image_id"].to_pylist()), share)
    assert all(path.startswith("new") for path in paths(new))
    assert len(new) >= min(num_new, MIN_NEW_IMAGES)
    assert set(paths(sampled(grown, share))) <= set(paths(new)) | set(paths(sampled(old, share)))
    both = union(grown, [new, sampled(grown, share)])
    assert set(paths(both)) == set(paths(new)) | set(paths(sampled(grown, share)))
    assert paths(both) == sorted(paths(both))


def test_no_images_give_no_sample():
    assert len(sampled(snapshot_of([]), 0.5)) == 0
    assert len(sampled_new(snapshot_of([]), set(), 0.5)) == 0
    assert len(union(snapshot_of(names(3)), [])) == 0


def test_shares_are_taken_of_the_paths_in_any_order():
    order = np.random.default_rng(0).permutation(names(400)).tolist()
    assert paths(sampled(snapshot_of(order), 0.5)) == paths(sampled(snapshot_of(names(400)), 0.5))
