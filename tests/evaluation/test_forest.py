import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from texture_store.errors import DimensionMismatchError, EncodingError, UsageError
from texture_store.evaluation.forest import forest_predictions, forest_score, majority_score, weighted_f1

LABELS = np.repeat(["a", "b", "c"], 20)


def clouds(distance: float, seed: int = 0) -> np.ndarray:
    """(60, 4) normal clouds around three corners that are `distance` standard deviations apart or so."""
    rng = np.random.default_rng(seed)
    centres = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]]) * distance
    return centres.repeat(20, axis=0) + rng.standard_normal((60, 4))


def test_clouds_far_apart_are_told_apart() -> None:
    assert forest_score(clouds(30.0), LABELS, trees=20, seed=0) == 1.0


def test_noise_scores_about_as_guessing_does() -> None:
    scores = [forest_score(clouds(0.0, seed), LABELS, trees=30, seed=seed) for seed in range(6)]
    assert 0.2 < np.mean(scores) < 0.47  # guessing: 1/3; a score from trees that saw the row would be 1


def test_a_row_is_never_predicted_by_a_forest_that_saw_it() -> None:
    # Each row's own features are unique, so that a forest which saw the row would know its label; otherwise none can.
    rng = np.random.default_rng(1)
    labels = rng.permutation(LABELS)
    one_hot = np.eye(60)
    predicted = forest_predictions(one_hot, labels, trees=30, seed=0)
    assert np.mean(predicted == labels) < 0.6


def test_scores_repeat_with_their_seed_whatever_the_threads() -> None:
    features = clouds(1.5)
    first = forest_predictions(features, LABELS, trees=20, seed=3)
    np.testing.assert_array_equal(first, forest_predictions(features, LABELS, trees=20, seed=3, threads=2))
    assert any((first != forest_predictions(features, LABELS, trees=20, seed=seed)).any() for seed in range(4, 8))


def test_score_is_pooled_over_the_folds() -> None:
    features = clouds(1.5)
    predicted = forest_predictions(features, LABELS, trees=20, seed=3)
    assert forest_score(features, LABELS, trees=20, seed=3) == weighted_f1(LABELS, predicted)
    assert predicted.shape == LABELS.shape


names = st.sampled_from(["a", "b", "c", "d"])


@given(st.lists(st.tuples(names, names), min_size=1, max_size=40))
def test_weighted_f1_is_the_mean_of_the_labels_f1_weighted_by_their_share(pairs) -> None:
    labels, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    total = 0.0
    for name in set(labels):
        hits = np.sum((labels == name) & (predicted == name))
        total += np.sum(labels == name) * 2 * hits / (np.sum(labels == name) + np.sum(predicted == name))
    assert weighted_f1(labels, predicted) == pytest.approx(total / len(labels))


def test_majority_score_of_the_papers_steel_set_is_the_published_one() -> None:
    # 374 spheroidite, 212 network, 124 pearlite: always "spheroidite" has accuracy 0.527 and weighted F1 0.363.
    steel = np.repeat(["spheroidite", "network", "pearlite"], [374, 212, 124])
    assert majority_score(steel) == pytest.approx(0.363, abs=0.0005)


@pytest.mark.parametrize(("features", "labels", "error", "reason"), [
    (np.zeros((59, 4)), LABELS, DimensionMismatchError, "do not correspond"),
    (np.zeros(60), LABELS, DimensionMismatchError, "do not correspond"),
    (np.full((60, 4), np.nan), LABELS, EncodingError, "not finite"),
    (np.zeros((60, 4)), np.repeat("a", 60), UsageError, "1 different labels"),
    (np.zeros((5, 4)), np.array(["a", "a", "a", "b", "b"]), UsageError, "'b' has 2 images"),
    (np.zeros((0, 4)), np.array([], dtype=str), UsageError, "0 different labels"),
])  # fmt: skip
def test_what_cannot_be_scored_is_refused(features, labels, error, reason: str) -> None:
    with pytest.raises(error, match=reason):
        forest_score(features, labels, trees=5, seed=0)


def test_no_labels_have_no_majority() -> None:
    with pytest.raises(UsageError, match="no labels"):
        majority_score(np.array([], dtype=str))
