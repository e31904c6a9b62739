"""Plain lines in a log, a live bar on a terminal."""

import io
import sys

import pytest

from jobs import progress as module
from jobs.progress import duration, progress, rate_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min"), (41, "41 s")],
)
def test_a_duration_is_told_in_two_units_at_most(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"), [(0.04, "0.0/s"), (4, "4.0/s"), (99.94, "99.9/s"), (99.96, "100/s"), (2146.04, "2,146/s")]
)
def test_a_high_rate_has_no_decimals(rate, text):
    assert rate_text(rate) == text


def test_a_log_gets_plain_lines_with_done_rate_and_rejected(capsys):
    with progress("featurize", total=10) as bar:
        bar.advance(4, rejected=1)
        bar.advance(2)
    line = capsys.readouterr().err
    assert line.startswith("featurize: 6/10 images, ")
    assert "/s, " in line
    assert line.endswith("left, 1 rejected\n")
    assert "\x1b" not in line


def test_a_log_gets_a_line_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr(module, "LOG_SECONDS", 0.0)
    with progress("index", unit="files") as bar:
        bar.advance(1000)
        bar.total(2000)
        bar.advance(1000)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("index: 1,000 files")
    assert lines[1].startswith("index: 2,000/2,000 files")


def test_the_last_line_of_a_log_is_printed_once(capsys, monkeypatch):
    monkeypatch.setattr("jobs.progress.LOG_SECONDS", 0.0)
    with progress("learn", total=2, unit="layers") as bar:
        bar.advance(2)
    assert capsys.readouterr().err.count("learn: 2/2 layers") == 1


def test_what_failed_before_it_began_leaves_only_its_error(capsys):
    with pytest.raises(OSError, match="gone"), progress("index"):
        raise OSError("gone")
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_live_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress("featurize", total=10) as bar:
        bar.advance(10, rejected=3)
    assert "featurize" in terminal.getvalue()
    assert "10/10" in terminal.getvalue()
    assert "3 rejected" in terminal.getvalue()
