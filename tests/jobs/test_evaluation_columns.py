import numpy as np
import pyarrow as pa
import pytest

from jobs.evaluation_columns import beside_features, column_of, names_of, parsed, selected, targets
from schemas import snapshot_schema
from texture_store.errors import LabelsError, UsageError

META = {
    "carbon": ["0.5", "1", None, "2e-1"],
    "grade": ["01", "1", "x", None],
    "label": ["other", "other", "other", "other"],
    "hv": ["120 HV", "130 HV", "unknown", "95.5 HV"],
}


@pytest.fixture
def table() -> pa.Table:
    fixed = {"label": ["a", "b", None, ""], "specimen": ["s1", "s1", "s2", None], "path": list("wxyz")}
    schema = snapshot_schema(list(META))
    values = fixed | {f"meta_{name}": column for name, column in META.items()}
    columns = [values.get(field.name, [None if field.nullable else 0] * 4) for field in schema]
    return pa.Table.from_arrays(
        [
            pa.array(map(str, c) if f.type == pa.string() and not f.nullable else c, f.type)
            for c, f in zip(columns, schema, strict=True)
        ],
        schema=schema,
    )


def test_names_are_those_of_the_labels_file_and_label_is_the_index_s_own(table: pa.Table) -> None:
    assert names_of(table) == {
        "path": "path",
        "label": "label",
        "specimen": "specimen",
        "carbon": "meta_carbon",
        "grade": "meta_grade",
        "hv": "meta_hv",
    }
    assert column_of(table, "label", "--x").to_pylist() == ["a", "b", None, ""]
    with pytest.raises(UsageError, match="--x colour: no such column; there are carbon, grade, hv, label, specimen"):
        column_of(table, "colour", "--x")


def test_numbers_are_numbers_and_codes_stay_text(table: pa.Table) -> None:
    np.testing.assert_array_equal(parsed(table, "carbon", "--x"), [0.5, 1, np.nan, 0.2])
    assert parsed(table, "grade", "--x").tolist() == ["01", "1", "x", None]


def test_targets_are_numbers_with_or_without_a_unit(table: pa.Table) -> None:
    np.testing.assert_array_equal(targets(table, "hv"), [120, 130, np.nan, 95.5])
    with pytest.raises(UsageError, match=r"column grade holds '01', which is not a number"):
        targets(table, "grade")


def test_columns_beside_features(table: pa.Table) -> None:
    whole = table.slice(0, 2)
    found = beside_features(whole, ["carbon", "grade"])
    assert found is not None
    assert found.tolist() == [[0.5, 1, 0], [1, 0, 1]]
    assert beside_features(whole, []) is None


def test_conditions_are_compared_as_text_and_a_missing_value_is_empty(table: pa.Table) -> None:
    assert selected(table, []).tolist() == [True] * 4
    assert selected(table, ["grade=1"]).tolist() == [False, True, False, False]
    assert selected(table, ["label!=", "specimen=s1"]).tolist() == [True, True, False, False]
    with pytest.raises(LabelsError, match="no column colour"):
        selected(table, ["colour=red"])
