"""What all commands share: options, the exit status, and the summary.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 done but more images were rejected than allowed, 4
done with a regression (reevaluate), 130 interrupted.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, get_args

import click

from texture_store.errors import UsageError
from texture_store.spec import LAYERS, Fit, Intensity, Resize

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_TOO_MANY_REJECTED = 3
EXIT_REGRESSION = 4
EXIT_INTERRUPTED = 130

MAX_LIST_LENGTH = 200
"""Characters of a list that a summary shows on one line; of a longer one each part has its own."""

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def printable(text: str) -> str:
    """Text from files or storage, made safe for a terminal: control characters become `?`, line breaks a space."""
    return "".join(c if c.isprintable() else " " if c in "\r\n\t" else "?" for c in text)


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


def layers_option(function: Decorated) -> Decorated:
    """`--layers LIST`."""
    return click.option("--layers", default=",".join(LAYERS), show_default=True, metavar="LIST", help="Of the six.")(
        function
    )


def max_rejected_option(function: Decorated) -> Decorated:
    """`--max-rejected SHARE`."""
    return click.option(
        "--max-rejected", default="5%", show_default=True, metavar="SHARE", help="Above it, end with status 3."
    )(function)


def network_options(function: Decorated) -> Decorated:
    """`--precision`, `--weights`, `--foreign-weights`: what a new spec's network is."""
    for option in reversed(_NETWORK_OPTIONS):
        function = option(function)
    return function


_NETWORK_OPTIONS = (
    click.option(
        "--precision",
        type=click.Choice(["auto", "float32", "tf32", "bfloat16"]),
        default="auto",
        show_default=True,
        help="auto: as the dataset has it; else bfloat16 where the processor has it natively.",
    ),
    click.option("--weights", default=None, metavar="FILE|URL", help="Weights of VGG16; else the store's, or fetched."),
    click.option("--foreign-weights", is_flag=True, help="Accept weights that are not of the paper's lineage."),
)


def keep_bits_option(function: Decorated) -> Decorated:
    """`--keep-bits N`."""
    return click.option(
        "--keep-bits",
        type=click.IntRange(1, 23),
        default=None,
        metavar="N",
        help="Mantissa bits kept in Gram values: error at most 2^-(N+1) of each. [default: as the dataset has it; else "
        "12 for bfloat16, all 23 for float32]",
    )(function)


DEFAULT_SIZE = "512"
"""px; what most of the paper's features were made at."""
_FIT_HELP = "stretch as the paper does, or centre crop (angles kept)."
_PIXEL_OPTIONS = (
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


def pixel_options(*, default_size: str = DEFAULT_SIZE) -> Callable[[Decorated], Decorated]:
    """The options that decide what the network sees; `pixel_settings` reads them."""
    size_help = f"Pixels of the square or rectangle.  [default: {default_size}]"

    def decorate(function: Decorated) -> Decorated:
        for option in reversed(_PIXEL_OPTIONS):
            function = option(function)
        return click.option("--size", metavar=f"{default_size}|WxH|native", help=size_help)(function)

    return decorate


def pixel_settings(
    *,
    size: str | None,
    um_per_px: float | None,
    fit: str,
    resize: str,
    databar: str,
    intensity: str,
    value_range: str | None,
    default_size: str = DEFAULT_SIZE,
) -> dict[str, object]:
    """The values of `pixel_options` as settings for `texture_store.spec.make_pixel_spec`. Raises UsageError."""
    if size is not None and um_per_px is not None:
        raise UsageError("--size and --um-per-px exclude each other; give one of them")
    if um_per_px is None:
        size = size or default_size
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


def list_of(text: str, allowed: Sequence[str], option: str) -> tuple[Any, ...]:
    """The names of a comma-separated list, each once. Raises UsageError for one that is not allowed."""
    chosen = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    unknown = [name for name in chosen if name not in allowed]
    if unknown or not chosen:
        raise UsageError(f"{option} {text}: choose from {', '.join(allowed)}, separated by commas")
    return chosen


def share_of(text: str, option: str) -> float:
    """A share of 0 to 1 from `5%` or `0.05`. Raises UsageError."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1
    if not 0 <= share <= 1:
        raise UsageError(f"{option} {text}: write a share such as 5% or 0.05")
    return share


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
            value = [f"{key} {item}" for key, item in value.items()]
        parts = [printable(str(part)) for part in value] if isinstance(value, list | tuple) else [printable(str(value))]
        if sum(map(len, parts)) <= MAX_LIST_LENGTH:
            parts = [", ".join(parts)]
        for number, part in enumerate(parts):
            click.echo(f"{'' if number else name.replace('_', ' '):<{width}}  {part}")
