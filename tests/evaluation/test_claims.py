import numpy as np
import pytest

from texture_store.evaluation.claims import Claim, DatasetScores, ScoredSet, paper_claims
from texture_store.spec import NETWORK_LAYERS

MAX, INPUT, GRAM, ALL, SVM, LAYER = range(6)
"""In the order of the claims."""


def scores_of(
    encoders: dict[str, float],
    layers: dict[str, float],
    *,
    changed: dict[tuple[str, str], float] | None = None,
    classifiers: dict[str, float] | None = None,
) -> DatasetScores:
    """30 fold scores of each set: encoder's + layer's + classifier's part, or what is `changed`, and noise of 0.002."""
    rng = np.random.default_rng(0)
    return DatasetScores(
        {
            ScoredSet(encoder, layer, classifier): np.full(
                30, (changed or {}).get((encoder, layer), base + part) + shift
            )
            + rng.normal(0, 0.002, 30)
            for encoder, base in encoders.items()
            for layer, part in layers.items()
            for classifier, shift in (classifiers or {"forest": 0.0, "svm": 0.01}).items()
        },
        n_train=40,
        n_test=20,
    )


ENCODERS = {"mean": 0.8, "gram": 0.79, "vlad": 0.75, "max": 0.7}
EARLY = {"input": -0.2, "conv1_2": 0.1, "conv2_2": 0.05, "conv3_3": 0.0, "conv4_3": 0.0, "conv5_3": 0.0, "all": 0.11}
LATE = {**EARLY, "conv1_2": 0.0, "conv5_3": 0.1}


def verdicts(claims: list[Claim]) -> list[str]:
    return [claim.verdict for claim in claims]


def test_scores_like_the_papers_bear_all_its_claims_out() -> None:
    claims = paper_claims({"powder": scores_of(ENCODERS, EARLY), "steel": scores_of(ENCODERS, LATE)})
    assert verdicts(claims) == ["held"] * 11
    assert [claim.dataset for claim in claims] == ["powder"] * 5 + ["steel"] * 5 + ["powder, steel"]
    by_text = {claim.text: claim.test for claim in claims if claim.dataset != "steel"}
    assert "gram - max +0.09" in by_text["max is the worst encoder"]
    assert " ".join(NETWORK_LAYERS) in by_text["max is the worst encoder"]
    assert "mean conv1_2 - input +0.30" in by_text["input is never the best layer"]
    assert "mean - gram +0.01" in by_text["mean is about as good as Gram"]
    assert "is the least of 20" in by_text["all five layers together are at least as good as any"]
    assert "over 28 feature sets: svm - forest +0.01" in by_text["the linear SVM is about as good as the forest"]
    assert by_text["the best layer differs between datasets"].endswith("powder conv1_2; steel conv5_3")


def test_scores_unlike_the_papers_refute_all_its_claims() -> None:
    layers = {**EARLY, "input": 0.2, "all": 0.0}
    other = scores_of({"mean": 0.6, "gram": 0.7, "max": 0.75}, layers, classifiers={"forest": 0.0, "svm": -0.1})
    claims = paper_claims({"steel": other, "steel2": other})
    assert verdicts(claims) == ["not held"] * 11


def test_max_is_not_the_worst_when_one_encoder_is_worse() -> None:
    claims = paper_claims({"steel": scores_of({**ENCODERS, "vlad": 0.6}, EARLY)})
    assert claims[MAX].verdict == "not held"


def test_input_is_compared_with_the_best_layer_of_its_encoder() -> None:
    changed = {("mean", "input"): 0.85}  # better than all layers of mean but conv1_2
    claims = paper_claims({"steel": scores_of({"mean": 0.8}, EARLY, changed=changed)})
    assert claims[INPUT].verdict == "held"
    assert claims[INPUT].test.startswith("mean conv1_2 - input +0.05")


def test_one_layer_better_than_all_together_refutes_that_claim() -> None:
    claims = paper_claims({"steel": scores_of({"mean": 0.8}, EARLY, changed={("mean", "conv2_2"): 0.95})})
    assert claims[ALL].verdict == "not held"
    assert claims[ALL].test.startswith("mean all - conv2_2 -0.04")


def test_best_layers_that_overlap_leave_the_claim_undecided() -> None:
    tied = {**EARLY, "conv5_3": 0.1}  # conv1_2 or conv5_3
    claims = paper_claims({"powder": scores_of(ENCODERS, EARLY), "steel": scores_of(ENCODERS, tied)})
    assert claims[-1].verdict == "undecided"
    assert "steel conv1_2 or conv5_3" in claims[-1].test or "steel conv5_3 or conv1_2" in claims[-1].test


def test_claims_about_encoders_use_the_named_classifier() -> None:
    scores = scores_of(ENCODERS, EARLY, classifiers={"svm": 0.0})
    assert verdicts(paper_claims({"steel": scores}, classifier="svm"))[: ALL + 1] == ["held"] * 4
    assert verdicts(paper_claims({"steel": scores}))[: ALL + 1] == ["undecided"] * 4


@pytest.mark.parametrize("scores", [
    DatasetScores({}, n_train=2, n_test=1),
    scores_of({"mean": 0.8}, {"conv1_2": 0.0}, classifiers={"forest": 0.0}),
    scores_of({"max": 0.8}, {"input": 0.0}, classifiers={"svm": 0.0}),
    scores_of({"max": 0.8}, {"all": 0.0}),
])  # fmt: skip
def test_claims_without_their_scores_are_undecided_and_say_what_is_needed(scores: DatasetScores) -> None:
    claims = paper_claims({"steel": scores})
    assert len(claims) == 6
    for claim in claims[:SVM] + claims[LAYER:]:
        assert (claim.verdict, claim.test.split()[0]) == ("undecided", "needs")


def test_nothing_scored_is_one_undecided_claim() -> None:
    assert verdicts(paper_claims({})) == ["undecided"]
