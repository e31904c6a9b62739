"""What all commands share: options, how an error is shown, and the exit status.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 done but more images were rejected than allowed, 130 interrupted.
"""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_args

import click

from texture_store.errors import TextureStoreError, UsageError
from texture_store.spec import Fit, Intensity, Resize

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_TOO_MANY_REJECTED = 3
EXIT_INTERRUPTED = 130

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def printable(text: str) -> str:
    """Text from files or storage, made safe for a terminal: control characters become `?`, line breaks a space."""
    return "".join(c if c.isprintable() else " " if c in "\r\n\t" else "?" for c in text)


class JobCommand(click.Command):
    """A command that turns errors into one line and an exit status, and keeps the traceback for `--debug`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(["--debug"], is_flag=True, expose_value=False, help="Show the traceback of an error.")
        )

    def invoke(self, ctx: click.Context) -> Any:
        """Run the job; see the module's docstring for the exit status."""
        debug = "--debug" in sys.argv
        try:
            return super().invoke(ctx)
        except TextureStoreError as error:
            if debug:
                raise
            self._stop(ctx, str(error), EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED)
        except KeyboardInterrupt:
            self._stop(ctx, "interrupted; run the same command again to go on", EXIT_INTERRUPTED)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if debug:
                raise
            reason = str(error).strip().splitlines()[0] if str(error).strip() else "no message"
            self._stop(ctx, f"{type(error).__name__}: {reason} (--debug shows where)", EXIT_FAILED)

    def _stop(self, ctx: click.Context, message: str, status: int) -> None:
        click.echo(f"texture-store {self.name}: {printable(message)}", err=True)
        ctx.exit(status)


def store_option(function: Decorated) -> Decorated:
    """`--store URL`."""
    return click.option(
        "--store",
        "store_url",
        metavar="URL",
        required=True,
        envvar="TEXTURE_STORE",
        show_envvar=True,
        help="The store: a folder or any fsspec URL, such as s3://lab/store.",
    )(function)


def dataset_option(function: Decorated) -> Decorated:
    """`--dataset D`."""
    return click.option(
        "--dataset", metavar="D", required=True, help="Name of the dataset: a-z, 0-9, _ and -, a letter first."
    )(function)


def json_option(function: Decorated) -> Decorated:
    """`--json`: the summary as one JSON object on standard output."""
    return click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")(function)


def spec_option(function: Decorated) -> Decorated:
    """`--spec S`."""
    return click.option(
        "--spec", metavar="S", default=None, help="Fingerprint of a feature spec; else the newest complete one."
    )(function)


_SIZE_HELP = "Pixels of the square or rectangle.  [default: 512]"
_FIT_HELP = "stretch as the paper does, or centre crop (angles kept)."
_PIXEL_OPTIONS = (
    click.option("--size", metavar="512|WxH|native", help=_SIZE_HELP),
    click.option("--um-per-px", type=float, metavar="X", help="Instead of --size: resample to one physical scale."),
    click.option("--fit", type=click.Choice(get_args(Fit)), default="stretch", show_default=True, help=_FIT_HELP),
    click.option(
        "--resize",
        type=click.Choice(get_args(Resize)),
        default="area",
        show_default=True,
        help="How pictures are made smaller; nearest is the paper's likely method.",
    ),
    click.option(
        "--databar",
        default="auto",
        show_default=True,
        metavar="auto|none|ROWS",
        help="Cut the instrument's info strip: found, never, or this many rows.",
    ),
    click.option(
        "--intensity",
        type=click.Choice(get_args(Intensity)),
        default="as-is",
        show_default=True,
        help="standardize: to a fixed mean and spread.",
    ),
    click.option("--range", "value_range", metavar="LO:HI", help="Grey values shown as black and white."),
)


def pixel_options(function: Decorated) -> Decorated:
    """The options that decide what the network sees; `pixel_settings` reads them."""
    for option in reversed(_PIXEL_OPTIONS):
        function = option(function)
    return function


def pixel_settings(
    *,
    size: str | None,
    um_per_px: float | None,
    fit: str,
    resize: str,
    databar: str,
    intensity: str,
    value_range: str | None,
) -> dict[str, object]:
    """The values of `pixel_options` as settings for `texture_store.spec.make_pixel_spec`. Raises UsageError."""
    if size is not None and um_per_px is not None:
        raise UsageError("--size and --um-per-px exclude each other; give one of them")
    if um_per_px is None:
        size = size or "512"
        size = f"{size}x{size}" if size.isdigit() else size
    settings: dict[str, object] = {
        "size": size,
        "um_per_px": um_per_px,
        "fit": fit,
        "resize": resize,
        "databar": databar,
        "intensity": intensity,
    }
    if value_range is not None:
        low, colon, high = value_range.partition(":")
        try:
            settings["value_range"] = (float(low), float(high))
        except ValueError:
            colon = ""
        if not colon:
            raise UsageError(f"--range {value_range}: write it as LO:HI, such as 0:4095")
    return settings


def print_summary(lines: Mapping[str, object], *, as_json: bool) -> None:
    """The summary at the end of a job: aligned lines, or one JSON object."""
    if as_json:
        click.echo(json.dumps(lines, default=str))
        return
    width = max((len(name) for name in lines), default=0)
    for name, value in lines.items():
        if value is None or value == {} or value == []:
            continue
        if isinstance(value, Mapping):
            value = ", ".join(f"{key} {item}" for key, item in value.items())
        elif isinstance(value, list | tuple):
            value = ", ".join(str(item) for item in value)
        click.echo(f"{name.replace('_', ' '):<{width}}  {printable(str(value))}")
