import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from jobs.sql import command, sql
from tests.made_store import GRAM, MEAN, MadeStore
from texture_store.errors import StoreError, UsageError

PATHS = ["a.tif", "b.tif", "c\x1b[31m[bold]d.tif"]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    made = MadeStore.at(tmp_path / "store")
    made.index("steel", PATHS, labels=dict(zip(PATHS, ["01", "1", "x"], strict=True)))
    made.commit("steel", "s0", PATHS, pairs=[MEAN, GRAM])
    return made


def run(made: MadeStore, query: str, form: str = "table") -> Result:
    return CliRunner().invoke(command, ["--store", made.url, "--format", form, query])


def test_a_query_gives_its_columns_and_rows(made: MadeStore) -> None:
    with sql(made.url, "select path, label from images order by path") as answer:
        assert answer.columns == ["path", "label"]
        assert list(answer.rows) == list(zip(PATHS, ["01", "1", "x"], strict=True))


def test_the_table_shows_text_without_its_control_characters_or_markup(made: MadeStore) -> None:
    result = run(made, "select path, label from images order by path")
    assert result.exit_code == 0
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["path", "label"],
        ["a.tif", "01"],
        ["b.tif", "1"],
        ["c?[31m[bold]d.tif", "x"],
    ]
    assert "\x1b" not in run(made, 'select 1 as "\x1b[31mred"').stdout


def test_long_vectors_are_shortened_in_a_table_and_whole_elsewhere(made: MadeStore) -> None:
    query = "select vector from features where encoder = 'mean' order by path limit 1"
    expected = made.matrix("steel", PATHS[:1], MEAN)[0].tolist()
    assert "64 values]" in run(made, query).stdout
    assert json.loads(run(made, query, "json").stdout) == [{"vector": expected}]
    [_, [cell]] = list(csv.reader(io.StringIO(run(made, query, "csv").stdout)))
    assert json.loads(cell) == expected


def test_csv_and_json_hold_what_is_there(made: MadeStore) -> None:
    query = (
        "select path, null as none, 'nan'::float as bad, date '2026-01-02' as day, true as yes, path"
        " from images order by path"
    )
    rows = json.loads(run(made, query, "json").stdout)
    assert rows[2] == {
        "path": PATHS[2],
        "none": None,
        "bad": None,
        "day": "2026-01-02",
        "yes": True,
        "path_1": PATHS[2],
    }
    assert "\x1b" not in run(made, query, "json").stdout
    table = list(csv.reader(io.StringIO(run(made, query, "csv").stdout)))
    assert table[0] == ["path", "none", "bad", "day", "yes", "path_1"]
    assert table[3] == [PATHS[2], "", "nan", "2026-01-02", "True", PATHS[2]]
    assert json.loads(run(made, "select 1 where false", "json").stdout) == []


def test_a_long_table_ends_with_how_many_more_there_are(made: MadeStore) -> None:
    result = run(made, "from range(1500)")
    assert len(result.stdout.splitlines()) == 1001
    assert "and 500 more rows" in result.stderr
    assert len(run(made, "from range(1500)", "csv").stdout.splitlines()) == 1501


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("selec 1", 'Parser Error: syntax error at or near "selec"'),
        ("select nothing from images", "nothing"),
        ("from feature", "Did you mean"),
        ("select 'x'::int", "Conversion Error"),
        ("", "0 SQL statements"),
        ("select 1; select 2", "2 SQL statements"),
        ("set threads = 1", "give a SELECT"),
        ("use memory", "give a SELECT"),
        ("drop view images; select 1", "2 SQL statements"),
    ],
)
def test_wrong_sql_is_one_line_and_wrong_usage(made: MadeStore, query: str, reason: str) -> None:
    with pytest.raises(UsageError), sql(made.url, query) as answer:
        list(answer.rows)
    result = run(made, query)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert reason in result.stderr


@pytest.mark.parametrize("query", ["copy images to '{out}'", "with x as (copy images to '{out}') from x"])
def test_a_query_cannot_write(made: MadeStore, tmp_path: Path, query: str) -> None:
    result = run(made, query.format(out=tmp_path / "out.csv"))
    assert result.exit_code in (1, 2)
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out.csv").exists()


def test_a_damaged_file_is_one_line(made: MadeStore) -> None:
    [path] = Path(made.url).glob("features/**/encoder=gram/**/*.parquet")
    path.unlink()
    query = "select sum(vector[1]) from features where encoder = 'gram'"
    with pytest.raises(StoreError), sql(made.url, query) as answer:
        list(answer.rows)
    result = run(made, query)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert path.name in result.stderr


def test_a_reader_that_stops_reading_stops_it_quietly(made: MadeStore) -> None:
    arguments = [sys.executable, "-m", "jobs.sql", "--store", made.url, "--format", "csv", "from range(1000000)"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"range\n"
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(60) == 0
