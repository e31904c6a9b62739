import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from texture_store.archive.labels import Condition, parse_condition, read_labels
from texture_store.errors import LabelsError, UsageError


def csv(tmp_path, text, name="labels.csv", encoding="utf-8"):
    (tmp_path / name).write_bytes(text.encode(encoding))
    return str(tmp_path / name)


def test_values_are_text_as_written_and_empty_ones_are_null(tmp_path):
    labels = read_labels(csv(tmp_path, 'path,label,specimen,t,x\na.png,01,1.0,1e3,NA\nb.png,1,,"","a, ""b""\nc"\n'))
    assert labels.table.to_pylist() == [
        {"path": "a.png", "label": "01", "specimen": "1.0", "t": "1e3", "x": "NA"},
        {"path": "b.png", "label": "1", "specimen": None, "t": None, "x": 'a, "b"\nc'},
    ]
    assert labels.meta_columns == ["t", "x"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_csv_as_spreadsheets_write_it(tmp_path, delimiter, ending):
    lines = ["path,label", "a b.png,01", "./ü.png,è"]
    text = "\ufeff" + ending.join(line.replace(",", delimiter) for line in lines)
    assert read_labels(csv(tmp_path, text)).table.select(["path", "label"]).to_pylist() == [
        {"path": "a b.png", "label": "01"},
        {"path": "ü.png", "label": "è"},
    ]


def test_parquet_gives_the_same_text(tmp_path):
    frame = pd.DataFrame({"path": ["a", "b"], "label": ["01", ""], "n": [1, 2], "f": [0.5, None], "b": [True, False]})
    frame["c"] = frame["label"].astype("category")
    frame.to_parquet(tmp_path / "labels.parquet")
    assert read_labels(str(tmp_path / "labels.parquet")).table.to_pylist() == [
        {"path": "a", "label": "01", "specimen": None, "n": "1", "f": "0.5", "b": "true", "c": "01"},
        {"path": "b", "label": None, "specimen": None, "n": "2", "f": None, "b": "false", "c": None},
    ]


def test_named_columns_take_the_place_of_the_default_ones(tmp_path):
    url = csv(tmp_path, "path,label,piece,class\na,old,7,new\n")
    labels = read_labels(url, label_column="class", group_column="piece")
    assert labels.table.slice(0, 1).select([0, 1, 2]).to_pylist() == [{"path": "a", "label": "new", "specimen": "7"}]
    assert labels.meta_columns == ["label"]
    assert labels.names == {"label": "meta_label", "piece": "specimen", "class": "label", "path": "path"}


def test_one_column_can_be_label_and_group(tmp_path):
    labels = read_labels(csv(tmp_path, "path,s\na,1\n"), label_column="s", group_column="s")
    assert labels.table.to_pylist() == [{"path": "a", "label": "1", "specimen": "1"}]


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    [
        ("file,label\na,b\n", {}, r"no column path; it has file, label"),
        ("path,label\na,b\n", {"label_column": "class"}, r"no column class; it has path, label"),
        ("path,label\na,b\n", {"group_column": "piece"}, r"no column piece; it has path, label"),
        ("path,label\na,1\n./a,2\n", {}, r"a is there more than once"),
        ("path,label,label\na,1,2\n", {}, r"column label is there twice"),
        ("path,label\na,1,2\n", {}, r"not a CSV table"),
        ("", {}, r"an empty file"),
    ],
)
def test_labels_that_cannot_be_used_say_why(tmp_path, text, options, reason):
    with pytest.raises(LabelsError, match=reason) as caught:
        read_labels(csv(tmp_path, text), **options)
    assert "labels.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_tables_say_so(tmp_path):
    with pytest.raises(LabelsError, match="no such file"):
        read_labels(str(tmp_path / "nothing.csv"))
    with pytest.raises(LabelsError, match="not UTF-8"):
        read_labels(csv(tmp_path, "path,label\na,é\n", encoding="latin-1"))
    with pytest.raises(LabelsError, match="not a Parquet file"):
        read_labels(csv(tmp_path, "path,label", name="labels.parquet"))
    pyarrow.parquet.write_table(pa.table({"path": ["a"], "x": [[1]]}), tmp_path / "lists.parquet")
    with pytest.raises(LabelsError, match="column x is of type list"):
        read_labels(str(tmp_path / "lists.parquet"))
    with pytest.raises(UsageError, match="credentials"):
        read_labels("s3://key:secret@bucket/labels.csv")


def test_conditions_are_read_as_written():
    assert parse_condition("a=b=c") == Condition("a", "b=c", equal=True)
    assert parse_condition("a!=") == Condition("a", "", equal=False)
    for wrong in ("a", "=b", "!=b"):
        with pytest.raises(UsageError, match="COLUMN=VALUE"):
            parse_condition(wrong)


def test_specimen_01_of_the_bainitic_steel_stays_01(test_data):
    labels = read_labels(str(test_data / "schott" / "labels.csv"), group_column="label")
    found = set(labels.table["specimen"].to_pylist())
    assert "01" in found
    assert len(found) == 10
