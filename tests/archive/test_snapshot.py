import hashlib

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import SNAPSHOT, snapshot_schema
from texture_store.archive.labels import labels_of, parse_condition
from texture_store.archive.listing import COLUMNS, Listing
from texture_store.archive.snapshot import next_snapshot
from texture_store.errors import EmptyArchiveError, LabelsError


def listing(files: dict[str, int], *, tars: dict[str, tuple[str, int]] | None = None, at: str = "/a") -> Listing:
    """path -> version, all of size 1; `tars`: path -> (tar, offset)."""
    rows = []
    for path, version in sorted(files.items()):
        uri, offset = (tars or {}).get(path, (f"{at}/{path}", None))
        image_id = hashlib.sha256(f"{path}-{version}".encode()).hexdigest()[:32]
        rows.append((image_id, path, uri, offset, 1, None, str(version), f"1-{version}", None))
    schema = pa.schema([SNAPSHOT.field(name) for name in COLUMNS])
    return Listing(at, pa.Table.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in rows], schema))


def labels(rows: dict[str, dict[str, str | None]]):
    table = pa.Table.from_pylist([{"path": path, **values} for path, values in rows.items()])
    return labels_of(table, source="labels.csv")


def shards(change) -> dict[str, str]:
    return dict(zip(change.table["path"].to_pylist(), change.table["shard"].to_pylist(), strict=True))


def counts(change) -> tuple[int, ...]:
    return (change.added, change.changed, change.gone, change.relabelled, change.moved)


def test_the_first_snapshot_has_all_images_in_shards_by_path():
    change = next_snapshot(None, listing({f"{n:03}.png": 0 for n in range(150)}), None)
    assert change.table.schema.equals(snapshot_schema(), check_metadata=True)
    assert counts(change) == (150, 0, 0, 0, 0)
    assert change.is_new
    names = change.table["shard"].to_pylist()
    ids = change.table["image_id"].to_pylist()
    for first in range(0, 150, 64):
        members = ids[first : first + 64]
        assert set(names[first : first + 64]) == {hashlib.sha256("\n".join(members).encode()).hexdigest()[:24]}
    assert len(set(names)) == 3


def test_shards_of_tars_follow_the_bytes():
    files = {f"{n}.png": 0 for n in "abcdef"}
    tars = {"a.png": ("/a/2.tar", 0), "b.png": ("/a/1.tar", 900), "c.png": ("/a/1.tar", 0), "d.png": ("/a/2.tar", 900)}
    named = shards(next_snapshot(None, listing(files, tars=tars), None, shard_size=2))
    pairs = {frozenset(path for path, shard in named.items() if shard == name) for name in named.values()}
    assert pairs == {frozenset({"e.png", "f.png"}), frozenset({"c.png", "b.png"}), frozenset({"a.png", "d.png"})}


def test_the_same_listing_again_is_no_new_snapshot():
    given_labels = labels({"a.png": {"label": "x", "t": "1"}, "b.png": {"label": None, "t": None}})
    first = next_snapshot(None, listing({"a.png": 0, "b.png": 0}), given_labels)
    for again in (given_labels, None):
        second = next_snapshot(first.table, listing({"a.png": 0, "b.png": 0}), again)
        assert not second.is_new
        assert counts(second) == (0, 0, 0, 0, 0)
        assert second.table.equals(first.table)


def test_only_new_and_changed_images_get_a_new_shard():
    first = next_snapshot(None, listing({"a": 0, "b": 0, "c": 0}), None)
    second = next_snapshot(first.table, listing({"a": 0, "b": 1, "d": 0}), None)
    assert counts(second) == (1, 1, 1, 0, 0)
    before, after = shards(first), shards(second)
    assert after["a"] == before["a"]
    assert after["b"] == after["d"] not in before.values()


def test_an_image_that_comes_back_is_new_and_has_its_old_id():
    first = next_snapshot(None, listing({"a": 0, "b": 0}), None)
    second = next_snapshot(first.table, listing({"a": 0}), None)
    third = next_snapshot(second.table, listing({"a": 0, "b": 0}), None)
    assert counts(third) == (1, 0, 0, 0, 0)
    assert third.table["image_id"].to_pylist() == first.table["image_id"].to_pylist()
    assert shards(third)["b"] != shards(first)["b"]


def test_labels_alone_make_a_snapshot_with_the_same_images_and_shards():
    first = next_snapshot(None, listing({"a": 0, "b": 0, "c": 0}), labels({"a": {"label": "1"}, "b": {"label": "2"}}))
    second = next_snapshot(
        first.table, listing({"a": 0, "b": 0, "c": 0}), labels({"a": {"label": "01"}, "b": {"label": "2"}})
    )
    assert second.is_new
    assert counts(second) == (0, 0, 0, 1, 0)
    assert second.table.select(["image_id", "shard"]).equals(first.table.select(["image_id", "shard"]))
    assert second.table["label"].to_pylist() == ["01", "2", None]
    third = next_snapshot(second.table, listing({"a": 0, "b": 0, "c": 0}), labels({"a": {"label": "01", "t": "5"}}))
    assert counts(third) == (0, 0, 0, 2, 0)  # a has a column more, b has lost its label
    assert third.table["meta_t"].to_pylist() == ["5", None, None]


def test_without_a_labels_file_the_last_labels_stay_also_for_a_changed_image():
    first = next_snapshot(None, listing({"a": 0, "b": 0}), labels({"a": {"label": "x", "t": "1"}}))
    second = next_snapshot(first.table, listing({"a": 1, "b": 0, "c": 0}), None)
    assert second.table["label"].to_pylist() == ["x", None, None]
    assert second.table["meta_t"].to_pylist() == ["1", None, None]
    assert counts(second) == (1, 1, 0, 0, 0)


def test_bytes_that_lie_elsewhere_make_a_snapshot_with_the_same_images():
    first = next_snapshot(None, listing({"a": 0}, tars={"a": ("/a/1.tar", 512)}), None)
    second = next_snapshot(first.table, listing({"a": 0}, tars={"a": ("/a/1.tar", 1024)}), None)
    assert second.is_new
    assert counts(second) == (0, 0, 0, 0, 1)
    assert second.table["offset"].to_pylist() == [1024]
    assert shards(second) == shards(first)


def test_labels_and_images_that_do_not_meet_are_told():
    change = next_snapshot(
        None,
        listing({"a": 0, "b": 0, "c": 0}),
        labels({"a": {"label": "1"}, "b": {"label": None}, "z": {"label": "2"}}),
    )
    assert (change.images_without_label, change.few_without_label) == (2, ["b", "c"])
    assert (change.labels_without_image, change.few_without_image) == (1, ["z"])


def test_conditions_compare_as_text_and_all_must_hold():
    rows = {"a": {"label": "1", "bar": "yes"}, "b": {"label": "01", "bar": "yes"}, "c": {"label": "1", "bar": None}}
    files = listing({"a": 0, "b": 0, "c": 0, "d": 0})

    def kept(*conditions):
        change = next_snapshot(None, files, labels(rows), where=[parse_condition(text) for text in conditions])
        assert change.excluded == 4 - change.table.num_rows
        return change.table["path"].to_pylist()

    assert kept("label=1") == ["a", "c"]
    assert kept("label=1", "bar=yes") == ["a"]
    assert kept("bar!=yes") == ["c", "d"]
    assert kept("bar=") == ["c", "d"]
    assert kept("path!=a") == ["b", "c", "d"]
    assert kept("path!=a", "path!=b") == ["c", "d"]
    assert kept("label=1", "label=01") == ["a", "b", "c"]
    assert kept("label=1", "label=01", "bar=yes") == ["a", "b"]
    assert kept("label=", "label=01") == ["b", "d"]
    with pytest.raises(LabelsError, match=r"no column colour; there are bar, label, path"):
        kept("colour=red")
    with pytest.raises(EmptyArchiveError, match="leaves none of its 4 images"):
        kept("label=9")


def test_conditions_work_on_the_labels_of_the_last_snapshot():
    first = next_snapshot(None, listing({"a": 0, "b": 0}), labels({"a": {"t": "1"}, "b": {"t": "2"}}))
    second = next_snapshot(first.table, listing({"a": 0, "b": 0}), None, where=[parse_condition("t=2")])
    assert second.table["path"].to_pylist() == ["b"]
    assert counts(second) == (0, 0, 1, 0, 0)


FILES = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 2), min_size=1)


@settings(max_examples=60, deadline=None)
@given(histories=st.lists(FILES, min_size=1, max_size=5), shard_size=st.integers(1, 3))
def test_over_any_history_a_snapshot_is_the_listing_and_shards_never_change(histories, shard_size):
    previous = None
    for files in histories:
        change = next_snapshot(previous, listing(files), None, shard_size=shard_size)
        assert change.table["path"].to_pylist() == sorted(files)
        before = (
            {}
            if previous is None
            else dict(zip(*(previous[c].to_pylist() for c in ("image_id", "shard")), strict=True))
        )
        after = dict(zip(*(change.table[c].to_pylist() for c in ("image_id", "shard")), strict=True))
        assert all(after[image] == before[image] for image in after.keys() & before.keys())
        assert change.is_new == (after.keys() != before.keys())
        assert change.added + change.changed == len(after.keys() - before.keys())
        fresh = [shard for image, shard in after.items() if image not in before]
        assert all(fresh.count(shard) <= shard_size for shard in fresh)
        previous = change.table
