"""What a run of reevaluate found: kept in the store, so that the next run knows, and told in a page."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from texture_store.errors import ObjectExistsError
from texture_store.objects import Storage
from texture_store.store import layout
from texture_store.store.sealing import seal_json

JOB = "reevaluate"


@dataclass(frozen=True)
class Reevaluation:
    """One run."""

    recipe: str
    """Its name."""
    digest: str
    """Of what it asks for."""
    store: str
    dataset: str
    snapshot: int
    archive: dict[str, Any]
    """What index found: images, new, changed, gone, relabelled ..."""
    computed: dict[str, Any]
    """What was made: featurized, encoded, trials ..., and the verdict on the dictionary."""
    specs: dict[str, str]
    """`base`, and `vlad`."""
    dictionary: str | None
    scores: list[dict[str, Any]]
    """One for each feature set and protocol: the score now, and the one before with what lies between them."""
    needs: list[str]
    """What needs a person."""
    report: str
    """URL of the page."""
    status: int
    """As the command exits."""
    nothing_new: bool = False
    began: str = ""
    """ISO 8601, UTC."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By step."""
    keys: list[str] = field(default_factory=list)
    """Of the trials that the scores are of."""

    def to_json(self) -> dict[str, Any]:
        """As plain values, without the keys."""
        values = asdict(self)
        del values["keys"]
        return values


def write_run(storage: Storage, number: int, run: Reevaluation) -> str:
    """Keep the record of a run; its URL."""
    path = layout.run_path(run.dataset, JOB, number)
    with suppress(ObjectExistsError):  # a lease has one run
        storage.create(path, seal_json(json.dumps(asdict(run), separators=(",", ":")).encode()))
    return storage.url_of(path)


def last_run(storage: Storage, dataset: str, digest: str) -> Reevaluation | None:
    """The newest record of a recipe of this digest; None when there is none that can be read."""
    found = (layout.parse_run_path(info.path) for info in storage.list(layout.runs_folder(dataset, JOB)))
    numbers = sorted((number for number, sign in filter(None, found) if sign == "run"), reverse=True)
    for number in numbers[:_RECIPES_AT_ONCE]:
        run = _read(storage, layout.run_path(dataset, JOB, number))
        if run is not None and run.digest == digest:
            return run
    return None


_RECIPES_AT_ONCE = 20
"""Records that are looked through: a dataset has a few recipes, which run by turns."""


def _read(storage: Storage, path: str) -> Reevaluation | None:
    try:
        values = json.loads(storage.read(path))
        return Reevaluation(**{one.name: values[one.name] for one in fields(Reevaluation)})
    except (ValueError, KeyError, TypeError):
        return None  # of another release: as if it were not there
