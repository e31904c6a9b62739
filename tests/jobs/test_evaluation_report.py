"""What evaluate says about rows that are there; no trial is run."""

from pathlib import Path

import numpy as np
import pytest

from jobs.evaluation_plan import EvaluationPlan, make_evaluation_plan
from jobs.evaluation_report import claims_here, frames_here, write_report
from jobs.evaluation_request import EvaluationRequest
from tests.evaluation_rows import evaluation_row
from tests.made_store import RANDOM_SPEC, MadeStore
from texture_store import open_store
from texture_store.store.evaluations import random_weights, write_evaluation
from texture_store.store.specs import write_spec

PATHS = [f"{i:02}.tif" for i in range(12)]
LABELS = {path: "ab"[i % 2] for i, path in enumerate(PATHS)}
BEST = {"steel": "conv4_3", "iron": "conv1_2"}


@pytest.fixture
def plan(tmp_path: Path) -> EvaluationPlan:
    """Of steel; both datasets have rows, and each has another layer that is best."""
    made = MadeStore.at(tmp_path / "store")
    rng = np.random.default_rng(0)
    for dataset, best in BEST.items():
        made.index(dataset, PATHS, labels=LABELS)
        made.commit(dataset, "s0", PATHS, pairs=[("mean", "conv1_2"), ("mean", "conv4_3")])
        for layer in ("conv1_2", "conv4_3"):
            for trial in range(10):
                scores = (0.9 if layer == best else 0.6) + rng.normal(0, 0.01, 3)
                row = evaluation_row("mean", layer, trial=trial, folds=tuple(scores), dataset=dataset, num_images=300)
                write_evaluation(made.storage, dataset, row)
    # Another question about the same dataset: other images.
    write_evaluation(made.storage, "steel", evaluation_row("max", "conv1_2", members="1" * 32))
    request = EvaluationRequest(made.url, "steel", trials=10, protocols=("image",))
    return make_evaluation_plan(request, lambda _: None)


def test_claims_are_tested_on_the_newest_rows_of_every_dataset(plan: EvaluationPlan) -> None:
    rows = open_store(plan.request.store_url).evaluations("steel")
    rows = rows[rows["encoder"] == "mean"]
    claims = claims_here(plan, frames_here(plan, rows))["image"]
    [differs] = [claim for claim in claims if claim.text == "the best layer differs between datasets"]
    assert differs.verdict == "held"
    assert differs.test.endswith("iron conv1_2; steel conv4_3")
    assert {claim.dataset for claim in claims if "max is" in claim.text} == {"steel", "iron"}
    assert {claim.verdict for claim in claims if "max is" in claim.text} == {"undecided"}


def test_scores_of_random_weights_stand_for_nothing(plan: EvaluationPlan) -> None:
    write_spec(plan.storage, RANDOM_SPEC)
    for trial in range(10):
        row = evaluation_row("mean", "conv4_3", trial=trial, folds=(0.1, 0.1, 0.1), spec=RANDOM_SPEC.fingerprint)
        write_evaluation(plan.storage, "steel", row | {"created": "2027-01-01T00:00:00.000+00:00"})
    rows = open_store(plan.request.store_url).evaluations("steel")
    assert random_weights(plan.storage, rows).sum() == 10
    mine = rows[(rows["encoder"] == "mean") & (rows["spec"] != RANDOM_SPEC.fingerprint)]
    found = frames_here(plan, mine)["steel"]
    assert set(found["spec"]) == set(mine["spec"])


def test_regression_and_failures_support_no_claim(plan: EvaluationPlan) -> None:
    rows = open_store(plan.request.store_url).evaluations("steel")
    assert claims_here(plan, frames_here(plan, rows.assign(error="x"))) == {}


def test_the_report_is_written_once_and_to_the_output_too(plan: EvaluationPlan, tmp_path: Path) -> None:
    rows = open_store(plan.request.store_url).evaluations("steel")
    rows = rows[rows["encoder"] == "mean"]
    frames = frames_here(plan, rows)
    claims = claims_here(plan, frames)
    first = write_report(plan, rows, frames, claims, None)
    assert first == write_report(plan, rows, frames, claims, None)
    elsewhere = write_report(plan, rows, frames, claims, str(tmp_path / "out"))
    assert [Path(url).name for url in elsewhere] == [f"steel-{Path(url).name}" for url in first]
    assert [Path(url).read_bytes() for url in elsewhere] == [Path(url).read_bytes() for url in first]
    [page] = [Path(url).read_text() for url in first if "-tables-" in url]
    assert "| conv4_3 | 512 |" in page
    assert "| mean conv4_3 | 0.9" in page
    assert "the best layer differs between datasets | held" in page
