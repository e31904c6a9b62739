import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score

from texture_store.errors import DimensionMismatchError, EncodingError, UsageError
from texture_store.evaluation.characteristic import characteristics, top_filters

RNG = np.random.default_rng(0)
LABELS = np.array(["spheroidite"] * 20 + ["network"] * 8 + ["pearlite"] * 5)
FEATURES = RNG.poisson(2.0, (33, 6)).astype(np.float32)  # many equal values
GROUPS = np.array([f"g{row % 9}" for row in range(33)], dtype=object)


def specimen_means() -> tuple[np.ndarray, np.ndarray]:
    """One after the other, in float64."""
    vectors, classes = [], []
    for group in sorted(set(GROUPS)):
        for name in ("network", "pearlite", "spheroidite"):
            rows = [row for row in range(33) if GROUPS[row] == group and LABELS[row] == name]
            if rows:
                vectors.append(np.mean(FEATURES[rows].astype(np.float64), axis=0))
                classes.append(name)
    return np.array(vectors), np.array(classes)


def test_differences_are_to_the_mean_of_the_other_classes() -> None:
    found = characteristics(FEATURES, LABELS)
    assert found.classes == ["network", "pearlite", "spheroidite"]
    assert found.num_images.tolist() == [8, 5, 20]
    network, pearlite, spheroidite = (
        FEATURES[name == LABELS].astype(np.float64).mean(axis=0) for name in found.classes
    )
    np.testing.assert_allclose(found.means, [network, pearlite, spheroidite])
    np.testing.assert_allclose(found.differences[0], network - (pearlite + spheroidite) / 2)
    np.testing.assert_allclose(found.differences[2], spheroidite - (pearlite + network) / 2)
    # The triples that the paper prints.
    triple = found.means_of([4, 0, 1])["pearlite"]
    np.testing.assert_allclose(triple, [pearlite[4], pearlite[0], pearlite[1]])


def test_copies_of_a_class_change_no_difference() -> None:
    more = np.vstack([FEATURES, np.repeat(FEATURES[:20], 3, axis=0)])
    found = characteristics(more, np.concatenate([LABELS, np.repeat(LABELS[:20], 3)]))
    np.testing.assert_allclose(found.differences, characteristics(FEATURES, LABELS).differences, atol=1e-12)


def test_auc_over_images_is_that_of_scikit_learn_and_says_so() -> None:
    found = characteristics(FEATURES, LABELS)
    assert found.over == "images"
    assert found.num_units.tolist() == found.num_images.tolist()
    for place, name in enumerate(found.classes):
        expected = [roc_auc_score(name == LABELS, FEATURES[:, column]) for column in range(6)]
        np.testing.assert_allclose(found.auc[place], expected, rtol=1e-12)


def test_auc_over_specimens_takes_a_mean_of_each_class_of_each() -> None:
    vectors, classes = specimen_means()
    found = characteristics(FEATURES, LABELS, groups=GROUPS)
    assert found.over == "specimens"
    assert found.num_units.tolist() == [(classes == name).sum() for name in found.classes]
    assert found.num_units.sum() > 9  # groups of several classes
    for place, name in enumerate(found.classes):
        expected = [roc_auc_score(classes == name, vectors[:, column]) for column in range(6)]
        np.testing.assert_allclose(found.auc[place], expected, rtol=1e-12)
    np.testing.assert_array_equal(found.means, characteristics(FEATURES, LABELS).means)


def test_images_of_one_specimen_count_once() -> None:
    groups = np.concatenate([GROUPS, np.repeat(GROUPS[:1], 30)])
    more = np.vstack([FEATURES, np.repeat(specimen_means()[0][1:2], 30, axis=0)])  # what g0's spheroidite is already
    assert specimen_means()[1][1] == "spheroidite"
    found = characteristics(more, np.concatenate([LABELS, np.repeat(LABELS[:1], 30)]), groups=groups)
    np.testing.assert_allclose(found.auc, characteristics(FEATURES, LABELS, groups=GROUPS).auc, atol=0.02)


def test_without_a_group_an_image_is_a_specimen() -> None:
    nothing = np.array([None] * 33, dtype=object)
    found = characteristics(FEATURES, LABELS, groups=nothing)
    assert found.over == "specimens"
    np.testing.assert_array_equal(found.auc, characteristics(FEATURES, LABELS).auc)


def test_auc_of_a_class_with_one_specimen_is_not_defined() -> None:
    groups = np.where(LABELS == "pearlite", "p", GROUPS.astype(str))
    found = characteristics(FEATURES, LABELS, groups=groups)
    assert found.num_units[1] == 1
    assert np.isnan(found.auc[1]).all()
    assert np.isfinite(found.auc[[0, 2]]).all()
    assert np.isfinite(found.differences).all()
    tops = top_filters(found, 3, method="auc")
    assert len(tops["pearlite"]) == 0
    assert len(tops["network"]) == 3
    two = characteristics(FEATURES[20:], LABELS[20:], groups=groups[20:])
    assert np.isnan(two.auc).all()  # nor against one


def test_a_constant_column_tells_nothing() -> None:
    features = np.hstack([FEATURES, np.full((33, 1), 5, np.float32)])
    found = characteristics(features, LABELS, groups=GROUPS)
    assert (found.differences[:, 6] == 0).all()
    assert (found.auc[:, 6] == 0.5).all()


@settings(deadline=None, max_examples=30)
@given(arrays(np.float32, (33, 2), elements=st.integers(0, 9)), st.permutations(range(33)))
def test_the_order_of_the_images_does_not_matter(features, order) -> None:
    first = characteristics(features, LABELS, groups=GROUPS)
    second = characteristics(features[order], LABELS[order], groups=GROUPS[order])
    np.testing.assert_array_equal(first.auc, second.auc)
    np.testing.assert_allclose(first.differences, second.differences, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(arrays(np.float32, (33, 2), elements=st.integers(-9, 9)))
def test_against_two_classes_what_one_gains_the_other_loses(features) -> None:
    labels = np.where(LABELS == "spheroidite", "a", "b")
    found = characteristics(features, labels)
    np.testing.assert_allclose(found.auc.sum(axis=0), 1)
    np.testing.assert_allclose(found.differences.sum(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(characteristics(-features, labels).auc, 1 - found.auc)


def test_planted_filters_come_first_by_both_methods() -> None:
    features = RNG.random((33, 8)).astype(np.float32)
    features[:, 6] *= 1000  # large and says nothing
    features[LABELS == "network", 3] += 900
    features[LABELS == "pearlite", 5] += 2
    features[LABELS == "pearlite", 6] -= 500
    found = characteristics(features, LABELS)
    by_difference, by_auc = (top_filters(found, 2, method=method) for method in ("difference", "auc"))
    assert by_difference["network"].tolist()[0] == by_auc["network"].tolist()[0] == 3
    assert by_auc["pearlite"].tolist()[0] == by_difference["pearlite"].tolist()[0] == 5


def test_among_filters_with_the_same_auc_the_greatest_difference_for_its_layer_comes_first() -> None:
    labels = np.repeat(["a", "b"], 10)
    step = np.repeat([1.0, 0.0], 10)
    shallow = 500 + step * 30 + RNG.random(20)
    deep = 1 + step * 3 + RNG.random(20)
    found = characteristics(np.stack([shallow, deep], axis=1), labels)
    assert found.auc[0].tolist() == [1.0, 1.0]
    usual = np.array([500.0, 1.0])
    assert top_filters(found, 2, method="auc", scale=usual)["a"].tolist() == [1, 0]
    assert top_filters(found, 2, method="auc")["a"].tolist() == [0, 1]
    assert top_filters(found, 2, method="difference", scale=usual)["a"].tolist() == [0, 1]
    with pytest.raises(DimensionMismatchError, match="is not of 2 columns"):
        top_filters(found, 2, method="auc", scale=np.ones(3))


def test_one_filter_of_a_cluster_is_named() -> None:
    found = characteristics(np.hstack([FEATURES, 2 * FEATURES]), LABELS)
    clusters = np.tile(np.arange(6), 2)
    for columns in top_filters(found, 4, method="difference", clusters=clusters).values():
        assert len(set(clusters[columns])) == 4


UNLABELLED = LABELS.copy()
UNLABELLED[3] = ""


@pytest.mark.parametrize(("features", "labels", "groups", "error"), [
    (FEATURES[:30], LABELS, None, DimensionMismatchError),
    (FEATURES, LABELS, GROUPS[:30], DimensionMismatchError),
    (FEATURES.ravel(), LABELS, None, DimensionMismatchError),
    (FEATURES * np.nan, LABELS, None, EncodingError),
    (FEATURES, UNLABELLED, None, UsageError),
    (FEATURES[:20], LABELS[:20], None, UsageError),
])  # fmt: skip
def test_what_cannot_be_compared_is_refused(features, labels, groups, error) -> None:
    with pytest.raises(error) as caught:
        characteristics(features, labels, groups=groups)
    assert "\n" not in str(caught.value)


def test_a_method_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="difference, auc"):
        top_filters(characteristics(FEATURES, LABELS), 1, method="guess")  # type: ignore[arg-type]
