"""reevaluate: the scheduled job. Brings a dataset up to date by a recipe, and compares its scores with those before."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from jobs.commands import JobCommand, record
from jobs.options import json_option, print_summary, printable
from jobs.progress import say
from jobs.recipe import load_recipe, shipped_recipes
from jobs.recipe_tables import Recipe
from jobs.reevaluate_record import JOB
from jobs.watched import this_run

_SHIPPED = ", ".join(shipped_recipes())


@click.command(
    JOB,
    cls=JobCommand,
    epilog=f"Example: texture-store reevaluate steel.toml --store s3://lab/store   (by name: {_SHIPPED})",
)
@click.argument("recipe_name", metavar="RECIPE.toml")
@click.option(
    "--store",
    "store_url",
    metavar="URL",
    default=None,
    envvar="TEXTURE_STORE",
    show_envvar=True,
    help="The store.  [default: the recipe's]",
)
@click.option("--dry-run", is_flag=True, help="Only print what would be done: counts, hours, GPU hours, bytes.")
@click.option("--history", is_flag=True, help="Only print the scores of all snapshots.")
@click.option(
    "--address", default=None, metavar="local|auto|HOST", help="Where Ray is.  [default: the recipe's, else local]"
)
@json_option
def command(
    *, recipe_name: str, store_url: str | None, dry_run: bool, history: bool, address: str | None, as_json: bool
) -> None:
    """Index an archive, compute what is missing, evaluate, compare with the last evaluation, and write the report.

    RECIPE.toml has all settings; see infra/recipes.md. One that comes along is found by its name. Run it as often as
    you like: where nothing is new, nothing is done; a killed run goes on where it was; while one runs, another leaves.

    Exit status: 0 done, 1 failed, 2 wrong usage, 3 more images rejected than allowed, 4 scores fell more than allowed.
    """
    recipe = load_recipe(recipe_name, store_url=store_url, address=address)
    if dry_run:
        _print_plan(recipe, as_json=as_json)
    elif history:
        _print_history(recipe, as_json=as_json)
    else:
        sys.exit(_run(recipe, recipe_name, as_json=as_json))


def _run(recipe: Recipe, name: str, *, as_json: bool) -> int:
    from jobs.reevaluate_page import page
    from jobs.reevaluate_run import reevaluate

    if (run := this_run()) is not None:
        record(run, str(recipe.store), recipe.dataset, recipe.address)
    with _ended_by_sigterm():
        found = reevaluate(recipe, name)
    score_name = "R²" if recipe.evaluate.task == "regression" else "weighted F1"
    if as_json:
        click.echo(json.dumps(found.to_json()))
    else:
        click.echo(page(found, confidence=float(recipe.compare.confidence), score_name=score_name))
    return found.status


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM, by which schedulers end a job, leaves the block in order, so that its lease is given back."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _print_plan(recipe: Recipe, *, as_json: bool) -> None:
    from jobs.reevaluate_plan import plan_run

    plan = plan_run(recipe)
    if as_json:
        click.echo(json.dumps(plan.to_json()))
        return
    lines: dict[str, object] = {"dataset": f"{plan.dataset}, snapshot {plan.snapshot}"}
    archive = plan.archive
    counts = [f"{archive[name]:,} {name}" for name in ("new", "changed", "gone", "relabelled") if archive[name]]
    lines["archive"] = f"{archive['images']:,} images: {', '.join(counts) or 'as before'}"
    for name, step in plan.steps.items():
        lines[name] = f"{step.count:,} {step.unit}{_cost(step.hours, step.gpu_hours, step.gigabytes)} ({step.measured})"
    lines["together"] = _cost(plan.hours, plan.gpu_hours, plan.gigabytes).removeprefix(": ")
    lines["workers"] = plan.workers
    lines["notes"] = plan.notes
    print_summary(lines, as_json=False)


def _cost(hours: float | None, gpu_hours: float | None, gigabytes: float | None) -> str:
    from jobs.progress import duration

    if hours is None:
        return ": how long is not known yet"
    parts = [duration(hours * 3600)]
    parts += [f"{gpu_hours:.2f} GPU hours"] if gpu_hours else []
    parts += [f"{gigabytes:.3f} GB"] if gigabytes else []
    return f": {', '.join(parts)}"


def _print_history(recipe: Recipe, *, as_json: bool) -> None:
    from jobs.reevaluate_history import history_lines, history_of_recipe

    found = history_of_recipe(recipe)
    if as_json:
        click.echo(found.to_json(orient="records"))
        return
    if not len(found):
        say(f"dataset {recipe.dataset}: no scores yet; run reevaluate without --history")
    for line in history_lines(found):
        click.echo(printable(line))


if __name__ == "__main__":
    command()
