"""How a command runs: its errors become one line and an exit status, and it may be written down in the store."""

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click

from jobs import logs
from jobs.options import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, printable
from jobs.watched import Run, this_run, watched
from texture_store.errors import StalledError, TextureStoreError, UsageError

_GIVEN = "texture_store.arguments"


class JobCommand(click.Command):
    """A command that turns errors into one line and an exit status, and keeps the traceback for `--debug`."""

    is_recorded = False
    """Whether its runs are written down in the store that it works on."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(
                ["--log"],
                type=click.Choice(logs.FORMATS),
                default="text",
                show_default=True,
                envvar=logs.VARIABLE,
                show_envvar=True,
                expose_value=False,
                help="json: each line on standard error is a JSON object.",
            )
        )
        self.params.append(
            click.Option(["--debug"], is_flag=True, expose_value=False, help="Show the traceback of an error.")
        )

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> click.Context:
        """Read the arguments; what is wrong with them is told in the form that they ask for."""
        logs.set_up(logs.Log(_is_json_asked(args), {"job": str(self.name)}))
        given = list(args)
        try:
            context = super().make_context(info_name, args, *rest, **extra)
        except click.UsageError as error:
            if not logs.this_log().is_json:
                raise
            logs.say(error.format_message(), level=logging.ERROR)
            raise click.exceptions.Exit(error.exit_code) from None
        context.meta[_GIVEN] = given
        return context

    def invoke(self, ctx: click.Context) -> Any:
        """Run the job; `jobs.options` has the exit status."""
        with watched(str(self.name), ctx.meta[_GIVEN]) as run:
            params = ctx.params
            if params.get("dataset"):
                logs.set_up(replace(logs.this_log(), facts={"job": run.job, "dataset": params["dataset"]}))
            if self.is_recorded and params.get("store_url") and params.get("dataset") and not params.get("dry_run"):
                record(run, params["store_url"], params["dataset"], params.get("address") or "")
            return self._invoke(ctx)

    def _invoke(self, ctx: click.Context) -> Any:
        debug = "--debug" in sys.argv
        try:
            return super().invoke(ctx)
        except StalledError as error:
            # What hangs may be Ray, or a thread in it: nothing more is waited for. Its processes end with this one.
            self._tell(str(error))
            if (run := this_run()) is not None:
                run.end(EXIT_FAILED)
            os._exit(EXIT_FAILED)
        except TextureStoreError as error:
            if debug:
                raise
            self._stop(ctx, str(error), EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED)
        except KeyboardInterrupt:
            self._stop(ctx, "interrupted; run the same command again to go on", EXIT_INTERRUPTED)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click ends quietly when nobody reads on, as in `texture-store status | head`
        except Exception as error:
            if debug:
                raise
            reason = str(error).strip().splitlines()[0] if str(error).strip() else "no message"
            self._stop(ctx, f"{type(error).__name__}: {reason} (--debug shows where)", EXIT_FAILED)

    def _stop(self, ctx: click.Context, message: str, status: int) -> None:
        self._tell(message)
        ctx.exit(status)

    def _tell(self, message: str) -> None:
        if (run := this_run()) is not None:
            run.error = printable(message)
        logs.say(f"texture-store {self.name}: {printable(message)}", level=logging.ERROR)


class RecordedCommand(JobCommand):
    """A command that takes long: its runs are written down in the store, for `status`."""

    is_recorded = True


def record(run: Run, store_url: str, dataset: str, address: str) -> None:
    """Write a run down in this store from now on; the lines of its log name it."""
    run.record(store_url, dataset, address)
    logs.set_up(replace(logs.this_log(), facts={"job": run.job, "dataset": dataset, "run": run.id}))


def _is_json_asked(args: Sequence[str]) -> bool:
    """Before the arguments are known to be right, since what is wrong with them is a line as well."""
    asked = os.environ.get(logs.VARIABLE, "")
    for number, argument in enumerate(args):
        if argument == "--":
            break
        if argument == "--log" and number + 1 < len(args):
            asked = args[number + 1]
        elif argument.startswith("--log="):
            asked = argument.removeprefix("--log=")
    return asked.lower() == "json"
