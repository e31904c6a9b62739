import numpy as np
import pytest

from texture_store.evaluation.columns import (
    linear_matrix,
    num_distinct,
    parse_column,
    role_of,
    tree_matrix,
    um_per_px_of_bar,
    unknown,
)


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["1", "2.5", "-3e2"], [1, 2.5, -300]),
        (["4910x", "1964X", None], [4910, 1964, np.nan]),
        (["15 kV", "5kV", ""], [15, 5, np.nan]),
        ([" 7 ", "unknown", "N/A"], [7, np.nan, np.nan]),
        (["2017-03-02T10:00:00", "2017-03-02 10:00:01", "-"], [1488448800, 1488448801, np.nan]),
    ],
)
def test_text_that_is_numbers_becomes_numbers(texts, numbers):
    column = parse_column(texts)
    assert column.dtype == np.float64
    np.testing.assert_array_equal(column, numbers)


@pytest.mark.parametrize("texts", [["01", "1"], ["5 nm", "5 um"], ["SE", "BSE"], ["1", "two"], ["1.2.3", "4"]])
def test_codes_and_mixed_units_stay_text(texts):
    column = parse_column([*texts, None])
    assert column.tolist() == [*texts, None]
    assert unknown(column).tolist() == [False, False, True]
    assert num_distinct(column) == 2


def test_the_scale_of_a_micron_bar_follows_its_unit():
    found = um_per_px_of_bar(
        ["10.0", "500", "1", "0.2", "5", "5", None, "0"],
        ["100", "100", "50", "100", "x", "10", "10", "10"],
        ["um", "nm", "µm", "MM", "um", "inch", "um", "um"],
    )
    np.testing.assert_allclose(found, [0.1, 0.005, 0.02, 2.0, np.nan, np.nan, np.nan, np.nan])
    np.testing.assert_allclose(um_per_px_of_bar(["10"], ["4"], None), [2.5])


def text(*values):
    return np.array(values, dtype=object)


@pytest.mark.parametrize(
    ("name", "column", "role"),
    [
        ("sample_id", np.repeat(np.arange(10.0), 10), "group"),
        ("specimen", text(*"aabbccddee"), "group"),
        ("heatNo", np.repeat(np.arange(10.0), 10), "group"),
        ("micrograph_id", np.arange(100.0), "identity"),
        ("path", text(*map(str, range(30))), "identity"),
        ("row", np.arange(100.0), "identity"),
        ("operator", text(*[f"person {i % 25}" for i in range(100)]), "group"),
        ("remark", text(*map(str, range(40))), "identity"),
        ("detector", text(*["SE", "BSE"] * 20), "field"),
        ("sample_temperature", np.repeat(np.arange(10.0), 10), "field"),
        ("um_per_px", np.linspace(0.01, 5, 100), "field"),
        ("anneal_time", np.arange(8.0), "field"),
        ("unit", text("C", None, "C"), "field"),
        ("unit", text("C", "C", "C"), "constant"),
        ("kv", np.full(3, np.nan), "constant"),
    ],
)
def test_names_of_things_do_not_predict(name, column, role):
    assert role_of(name, column) == role


def test_forests_get_one_column_each_and_missing_values_as_they_are():
    matrix = tree_matrix([text("b", None, "a", "b"), np.array([1, np.nan, 3, 4])])
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, [[1, 1], [np.nan, np.nan], [0, 3], [1, 4]])


def test_linear_classifiers_get_a_column_for_each_value_and_no_missing_ones():
    matrix = linear_matrix([text("b", None, "a", "b"), np.array([1, np.nan, 3, 4])])
    expected = [[0, 1, 0, 1, 0], [0, 0, 1, 3, 1], [1, 0, 0, 3, 0], [0, 1, 0, 4, 0]]
    np.testing.assert_array_equal(matrix, expected)
