"""Exit status, one-line errors, and what the pixel options mean."""

import json

import click
import pytest
from click.testing import CliRunner

from jobs.commands import JobCommand
from jobs.options import pixel_settings, print_summary, printable
from texture_store.errors import InvalidSpecError, StoreError, UsageError
from texture_store.spec import make_pixel_spec

NO_PIXEL_OPTIONS = {
    "size": None,
    "um_per_px": None,
    "fit": "stretch",
    "resize": "area",
    "databar": "auto",
    "intensity": "as-is",
    "value_range": None,
}


def run(error: BaseException | None, *args: str):
    @click.command("job", cls=JobCommand)
    def command() -> None:
        if error is not None:
            raise error
        click.echo("done")

    return CliRunner().invoke(command, args)


@pytest.mark.parametrize(
    ("error", "status"),
    [(StoreError("the disk is gone"), 1), (UsageError("no such thing"), 2), (KeyboardInterrupt(), 130)],
)
def test_an_error_is_one_line_and_an_exit_status(error, status):
    result = run(error)
    assert result.exit_code == status
    assert result.stderr.startswith("texture-store job: ")
    assert len(result.stderr.strip().splitlines()) == 1


def test_an_unexpected_error_is_one_line_that_names_the_way_to_the_traceback():
    result = run(ZeroDivisionError("first line\nsecond line"))
    assert result.exit_code == 1
    assert result.stderr == "texture-store job: ZeroDivisionError: first line (--debug shows where)\n"


def test_debug_keeps_the_traceback(monkeypatch):
    monkeypatch.setattr("sys.argv", ["texture-store", "job", "--debug"])
    assert isinstance(run(StoreError("the disk is gone"), "--debug").exception, StoreError)


def test_a_wrong_option_is_wrong_usage():
    assert run(None, "--no-such-option").exit_code == 2


def test_text_from_files_cannot_command_a_terminal():
    assert printable("a\x1b[31mb\nc\x9b") == "a?[31mb c?"
    assert "\x1b" not in run(StoreError("bad name \x1b]0;owned\x07")).stderr


@pytest.mark.parametrize(
    ("given", "size"), [(None, "512x512"), ("256", "256x256"), ("640x480", "640x480"), ("native", "native")]
)
def test_a_single_number_is_a_square(given, size):
    assert make_pixel_spec(**pixel_settings(**(NO_PIXEL_OPTIONS | {"size": given}))).size == size


def test_a_physical_scale_replaces_the_size():
    spec = make_pixel_spec(**pixel_settings(**(NO_PIXEL_OPTIONS | {"um_per_px": 0.25})))
    assert (spec.size, spec.um_per_px) == (None, 0.25)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": "huge"},
        {"size": "0x512"},
        {"size": "16"},
        {"um_per_px": -1.0},
        {"um_per_px": float("nan")},
        {"size": "512", "um_per_px": 0.5},
        {"databar": "-3"},
        {"value_range": "12"},
        {"value_range": "a:b"},
        {"value_range": "9:3"},
        {"fit": "tile"},
    ],
)
def test_a_wrong_setting_is_one_line(wrong):
    with pytest.raises((UsageError, InvalidSpecError)) as caught:
        make_pixel_spec(**pixel_settings(**(NO_PIXEL_OPTIONS | wrong)))
    assert "\n" not in str(caught.value)


def test_a_range_is_two_grey_values():
    assert pixel_settings(**(NO_PIXEL_OPTIONS | {"value_range": "0:4095"}))["value_range"] == (0.0, 4095.0)


def test_a_summary_is_json_when_asked_for(capsys):
    print_summary({"images": 3, "reasons": {"UnreadableImageError": 1}}, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"images": 3, "reasons": {"UnreadableImageError": 1}}


def test_a_summary_leaves_out_what_is_empty(capsys):
    print_summary({"images": 3, "reasons": {}, "failed": None}, as_json=False)
    assert capsys.readouterr().out == "images   3\n"


def test_a_long_list_of_a_summary_has_a_line_for_each_part(capsys):
    print_summary(
        {"images": 3, "drift": dict.fromkeys(("conv1_2", "conv4_3", "conv5_3"), "much worse " * 9)}, as_json=False
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line[:15] for line in lines] == ["images  3", "drift   conv1_2", "        conv4_3", "        conv5_3"]
