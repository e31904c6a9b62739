from dataclasses import replace

import pytest

from tests.store.attempts import DATASET, PAIRS, SPEC, make_snapshot
from texture_store.errors import BalanceError
from texture_store.store import layout
from texture_store.store.commits import CommitRecord, step_name
from texture_store.store.coverage import check_balance, coverage
from texture_store.store.tables import FileRecord

MEAN, DEEP_MEAN, MAX = PAIRS
ABC = make_snapshot(1, dict.fromkeys("abc", "s1"))


def commit(pairs, members="", rejected="", shard="s1", rows: int | None = None) -> CommitRecord:
    files = [
        FileRecord(
            path=layout.features_path(DATASET, SPEC, *pair, shard),
            rows=len(members) if rows is None else rows,
            bytes=1,
            sha256="0" * 64,
        )
        for pair in pairs
    ]
    return CommitRecord(
        job="featurize",
        step=step_name("featurize", pairs),
        dataset=DATASET,
        spec=SPEC,
        shard=shard,
        snapshot=1,
        pairs=tuple(pairs),
        members=tuple(members),
        rejected=tuple(rejected),
        files=tuple(files),
    )


def sets(commits, pairs=PAIRS, snapshot=ABC) -> tuple[str, str, str]:
    covered = coverage(snapshot, commits, pairs)
    check_balance(covered)
    return tuple("".join(sorted(ids)) for ids in (covered.featurized, covered.rejected, covered.pending))


def test_without_commits_all_is_pending():
    assert sets([]) == ("", "", "abc")


def test_every_image_is_in_exactly_one_set():
    assert sets([commit(PAIRS, "a", "b")]) == ("a", "b", "c")


def test_an_image_is_featurized_when_all_pairs_are_in_whatever_commits():
    commits = [commit([MEAN], "abc"), commit([DEEP_MEAN, MAX], "ab")]
    assert sets(commits, [MEAN]) == ("abc", "", "")
    assert sets(commits) == ("ab", "", "c")


def test_pairs_that_were_not_asked_for_do_not_count():
    assert sets([commit([MEAN], "a")], [MAX]) == ("", "", "abc")
    assert sets([commit(PAIRS, "abc")], [MAX]) == ("abc", "", "")


def test_a_rejection_settles_every_pair_of_an_image_that_has_no_features():
    assert sets([commit([MEAN], "a", "b")], [MEAN, MAX]) == ("", "b", "ac")
    assert sets([commit([], "", "b")], [MAX]) == ("", "b", "ac")


def test_features_of_a_later_attempt_supersede_a_rejection():
    commits = [commit([MEAN], "a", "b"), commit([MEAN], "b", shard="s1-retry1")]
    assert sets(commits, [MEAN]) == ("ab", "", "c")
    assert sets(commits, [MAX]) == ("", "", "abc")


def test_an_image_with_features_of_one_pair_can_be_rejected_for_another():
    commits = [commit([MEAN], "abc"), commit([MAX], "ab", "c")]
    assert sets(commits, [MEAN, MAX]) == ("ab", "c", "")
    assert sets(commits, [MEAN]) == ("abc", "", "")
    assert sets(commits, [DEEP_MEAN]) == ("", "", "abc")


def test_images_outside_the_snapshot_are_not_counted():
    assert sets([commit(PAIRS, "ax", "by")]) == ("a", "b", "c")
    assert sets([commit(PAIRS, "abc")], snapshot=make_snapshot(2, {})) == ("", "", "")


def test_counts_are_those_of_the_sets():
    covered = coverage(ABC, [commit(PAIRS, "a", "b")], PAIRS)
    counts = (covered.num_indexed, covered.num_featurized, covered.num_rejected, covered.num_pending)
    assert counts == (3, 1, 1, 1)


def test_a_file_without_the_rows_of_its_commit_is_out_of_balance():
    with pytest.raises(BalanceError, match=r"encoder=mean/layer=input/s1\.parquet"):
        check_balance(coverage(ABC, [commit([MEAN], "abc", rows=2)], [MEAN]))


def test_sums_that_do_not_add_up_are_out_of_balance():
    covered = coverage(ABC, [], PAIRS)
    for wrong in (replace(covered, num_indexed=4), replace(covered, rejected={"a"})):
        with pytest.raises(BalanceError, match="restore it from a copy"):
            check_balance(wrong)
