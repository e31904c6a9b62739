"""The steps of reevaluate, each the function of a command, on one Ray."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jobs.cluster import RaySession, cluster_workers, local_workers
from jobs.evaluation_columns import column_of
from jobs.index import IndexSummary, index
from jobs.options import EXIT_FAILED
from jobs.planning import find_spec, plan_for
from jobs.progress import progress, say
from jobs.recipe import recipe_digest
from jobs.recipe_requests import evaluation_request, featurize_request, index_settings, sample_request
from jobs.recipe_tables import Recipe, VladTable
from jobs.reevaluate_dictionary import known_dictionary
from jobs.reevaluate_findings import bases_of, computed, needs_of, scores, status_of, told
from jobs.reevaluate_record import JOB, Reevaluation, last_run, write_run
from jobs.shards import ShardsSummary
from texture_store.errors import StoreError, UsageError
from texture_store.objects import Storage
from texture_store.store.commits import Pair
from texture_store.store.evaluations import evaluations_frame, read_evaluations, scored_keys
from texture_store.store.leases import Lease, lease
from texture_store.store.opening import open_for_writing
from texture_store.store.snapshots import latest_snapshot
from texture_store.store.specs import read_spec

if TYPE_CHECKING:
    import pandas as pd

    from jobs.encode import EncodeSummary
    from jobs.evaluate import EvaluationSummary
    from texture_store.report.score_changes import ScoreChange

INDEX_ROUNDS = 2
"""Files that change between index and reading are indexed once more; those that change again need a person."""


@dataclass
class _Run:
    """What is known so far."""

    recipe: Recipe
    name: str
    storage: Storage
    held: Lease
    session: RaySession
    began: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, about: str) -> Iterator[None]:
        say(f"{name}: {about}")
        started = time.monotonic()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0) + time.monotonic() - started, 1)


def reevaluate(recipe: Recipe, name: str) -> Reevaluation:
    """Bring a dataset up to date with its archive, score it, and compare with the scores before.

    A killed run goes on where it was. `name` is what the recipe is called.

    Raises:
        LeaseHeldError: another run of this dataset is going on.
        TextureStoreError: a step cannot be done; what is done stays.
    """
    storage = open_for_writing(str(recipe.store))
    with lease(storage, recipe.dataset, JOB) as held, RaySession(recipe.address) as session:
        if held.took_over:
            say(f"{held.took_over}; this one goes on where it was")
        run = _Run(recipe, name, storage, held, session)
        indexed = _index(run)
        last = last_run(storage, recipe.dataset, recipe_digest(recipe))
        if last is not None and _is_current(run, last, indexed):
            say("nothing is new since the last run")
            return replace(last, nothing_new=True, archive=told(indexed), computed={}, seconds=run.seconds)
        return _anew(run, indexed)


def _anew(run: _Run, indexed: IndexSummary) -> Reevaluation:
    recipe = run.recipe
    _check_columns(recipe, run.storage)
    _require(recipe, run.session)
    indexed, featurized = _featurize(run, indexed)
    encoded = None if recipe.vlad is None else _encode(run, recipe.vlad)
    evaluated, rows = _evaluate(run, featurized.spec, None if encoded is None else encoded.spec)
    with run.step("report", "one HTML file"):
        page = _report(recipe)
    changes = _changes(run, rows)
    done = [featurized] if encoded is None else [featurized, encoded]
    needs = needs_of(run.recipe, run.storage, indexed, done, evaluated, changes, took_over=run.held.took_over)
    found = Reevaluation(
        recipe=run.name,
        digest=recipe_digest(recipe),
        store=run.storage.url,
        dataset=recipe.dataset,
        snapshot=indexed.snapshot,
        archive=told(indexed),
        computed=computed(featurized, encoded, evaluated),
        specs={"base": featurized.spec} | ({} if encoded is None else {"vlad": encoded.spec}),
        dictionary=None if encoded is None else encoded.dictionary,
        scores=scores(rows, changes),
        needs=needs,
        report=page,
        status=status_of(recipe, done, evaluated, changes),
        began=run.began,
        seconds=run.seconds,
        keys=sorted(rows["key"]),
    )
    if found.status != EXIT_FAILED:  # a run that failed is no state to go on from
        write_run(run.storage, run.held.number, found)
    return found


def _index(run: _Run) -> IndexSummary:
    recipe = run.recipe
    with run.step("index", recipe.archive), progress("list", unit="files") as bar:
        return index(
            str(recipe.store), recipe.dataset, recipe.archive, tell=say, advance=bar.advance, **index_settings(recipe)
        )


def _is_current(run: _Run, last: Reevaluation, indexed: IndexSummary) -> bool:
    """Whether the store has all that the recipe asks for, made from the snapshot as it is: starts no Ray."""
    recipe, storage = run.recipe, run.storage
    if (
        indexed.is_new
        or last.snapshot != indexed.snapshot
        or not set(last.keys) <= scored_keys(storage, recipe.dataset)
    ):
        return False
    snapshot = latest_snapshot(storage, recipe.dataset)
    wanted: list[tuple[str, tuple[Pair, ...]]] = [(last.specs["base"], featurize_request(recipe).pairs)]
    if recipe.vlad is not None:
        dictionary = known_dictionary(storage, recipe.dataset, recipe.vlad, read_spec(storage, last.specs["vlad"]))
        if dictionary is None or dictionary.id != last.dictionary:
            return False
        wanted.append((last.specs["vlad"], tuple(("vlad", layer) for layer in recipe.vlad.layers)))
    return not any(plan_for(storage, snapshot, read_spec(storage, spec), pairs).units for spec, pairs in wanted)


def _check_columns(recipe: Recipe, storage: Storage) -> None:
    """What evaluate would say in the end, said before the network runs. Raises UsageError."""
    table, asked = latest_snapshot(storage, recipe.dataset).table, recipe.evaluate
    if column_of(table, asked.label_column, "label_column").null_count == table.num_rows:
        raise UsageError(
            f"dataset {recipe.dataset}: no image has a label in column {asked.label_column}; name a file in [index]"
            " labels, or another [evaluate] label_column"
        )
    if asked.group_column is not None:
        column_of(table, asked.group_column, "group_column")
    for name in asked.with_columns:
        column_of(table, name, "with_columns")


def _require(recipe: Recipe, session: RaySession) -> None:
    if not recipe.require.gpus:
        return
    if recipe.address == "local":
        workers, where = local_workers(), "this machine"
    else:
        session.join()
        workers, where = cluster_workers(), f"the cluster at {recipe.address}"
    gpus = workers.actors if workers.num_gpus else 0
    if gpus < recipe.require.gpus:
        raise UsageError(
            f"the recipe requires {recipe.require.gpus} GPUs and {where} has {gpus}; give --address of a cluster that"
            " has them, or take gpus out of [require]"
        )


def _featurize(run: _Run, indexed: IndexSummary) -> tuple[IndexSummary, ShardsSummary]:
    from jobs.featurize import featurize

    for rounds_left in reversed(range(INDEX_ROUNDS)):
        with run.step("featurize", ", ".join(run.recipe.featurize.encoders)):
            done = featurize(featurize_request(run.recipe), within=run.session)
        if not (done.changed_since_index and rounds_left and not done.failed_shards):
            break
        say(f"{len(done.changed_since_index)} files changed since they were indexed: index once more")
        indexed = _both(indexed, _index(run))
    _all_settled(done, "featurized")
    return indexed, done


def _both(first: IndexSummary, second: IndexSummary) -> IndexSummary:
    """Two rounds as one: what differs from the snapshot before the first."""
    counts = {name: getattr(first, name) + getattr(second, name) for name in ("new", "changed", "gone", "relabelled")}
    return replace(second, is_new=first.is_new or second.is_new, **counts)


def _all_settled(done: ShardsSummary, what: str) -> None:
    if done.pending:
        reason = next(iter(done.failed_shards.values()), "files changed since they were indexed")
        raise StoreError(
            f"{done.pending} of {done.indexed} images are not {what} ({reason}); run the same command again"
        )


def _encode(run: _Run, vlad: VladTable) -> "EncodeSummary":
    from jobs.encode import EncodeRequest, encode
    from jobs.fit_dictionary import fit_dictionary

    recipe = run.recipe
    request = sample_request(recipe, vlad)
    with run.step("dictionary", f"{vlad.words} words of {', '.join(vlad.layers)}"):
        spec = find_spec(request, run.storage, run.session)
        known = known_dictionary(run.storage, recipe.dataset, vlad, spec)
        if known is None:
            found, shards = fit_dictionary(request, vlad.learning(), within=run.session)
            _all_settled(shards, "sampled")
            assert found is not None
            dictionary = found.dictionary
        else:
            dictionary = known.id
    with run.step("encode", "VLAD"):
        done = encode(
            EncodeRequest(
                store_url=str(recipe.store),
                dataset=recipe.dataset,
                dictionary=dictionary,
                layers=vlad.layers,
                refit=vlad.refit,
                address=recipe.address,
            ),
            within=run.session,
        )
    _all_settled(done, "encoded")
    return done


def _evaluate(run: _Run, spec: str, vlad_spec: str | None) -> "tuple[EvaluationSummary, pd.DataFrame]":
    from jobs.evaluate import evaluate

    with run.step("evaluate", ", ".join(run.recipe.encoders)):
        return evaluate(evaluation_request(run.recipe, spec, vlad_spec), within=run.session)


def _report(recipe: Recipe) -> str:
    from jobs.report import report

    with progress("report: micrographs") as bar:
        return report(
            str(recipe.store),
            recipe.dataset,
            max_images=recipe.report.max_images,
            announce=bar.total,
            advance=lambda done, rejected: bar.advance(done, rejected=rejected),
        ).page


def _changes(run: _Run, rows: "pd.DataFrame") -> "list[ScoreChange]":
    from texture_store.report.score_changes import score_changes

    dataset, compare = run.recipe.dataset, run.recipe.compare
    every = evaluations_frame({dataset: read_evaluations(run.storage, dataset)})
    return score_changes(
        rows,
        every,
        base_of=bases_of(run.storage, every),
        worse_by=float(compare.worse_by),
        confidence=float(compare.confidence),
    )
