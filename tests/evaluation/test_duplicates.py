import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from texture_store.evaluation.duplicates import Crossing, connected_rows, crossing, equal_rows

KEYS = st.lists(st.one_of(st.none(), st.sampled_from("abcd")), max_size=20)


@given(KEYS)
def test_rows_are_together_exactly_when_their_keys_are_equal(keys):
    sets = equal_rows(np.array(keys, dtype=object))
    together = {(a, b) for rows in sets for a in rows.tolist() for b in rows.tolist()}
    for a, one in enumerate(keys):
        for b, other in enumerate(keys):
            assert ((a, b) in together) == (one is not None and one == other and keys.count(one) > 1)
    assert [rows[0] for rows in sets] == sorted(rows[0] for rows in sets)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda pair: pair[0] != pair[1]), max_size=12))
def test_connected_rows_are_those_that_a_walk_reaches(pairs):
    sets = connected_rows(np.array(pairs, dtype=np.intp).reshape(-1, 2), 10)
    reached = {row: {row} for pair in pairs for row in pair}
    for _ in pairs:
        for a, b in pairs:
            reached[a] = reached[b] = reached[a] | reached[b]
            for row in reached[a]:
                reached[row] = reached[a]
    assert [rows.tolist() for rows in sets] == sorted(sorted(each) for each in {frozenset(r) for r in reached.values()})


def test_no_pairs_connect_nothing_of_no_rows():
    assert connected_rows(np.empty((0, 2), np.intp), 0) == []


def test_what_comes_between_copies():
    labels = np.array(["x", "x", "y", None], dtype=object)
    groups = np.array(["1", "2", "1", None], dtype=object)
    assert crossing(np.array([0, 1]), labels, groups) == Crossing(labels=False, groups=True)
    assert crossing(np.array([0, 2]), labels, groups) == Crossing(labels=True, groups=False)
    assert crossing(np.array([0, 3]), labels, groups) == Crossing(labels=False, groups=True)
    nobody = np.array([None] * 4, dtype=object)
    assert crossing(np.array([0, 1]), labels, nobody) == Crossing(labels=False, groups=True)
