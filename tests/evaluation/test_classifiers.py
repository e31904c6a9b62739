import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.preprocessing import normalize
from sklearn.svm import SVC

from tests.evaluation.clouds import LABELS, clouds
from texture_store.errors import UsageError
from texture_store.evaluation.classifiers import CLASSIFIERS, REGRESSORS, make_estimator

TARGETS = clouds(2.0).sum(axis=1).astype(np.float64)


def test_the_forest_is_the_papers() -> None:
    forest = make_estimator("forest", task="classification", seed=3)
    assert isinstance(forest, RandomForestClassifier)
    settings = forest.get_params()
    assert (settings["n_estimators"], settings["max_features"], settings["criterion"]) == (400, "sqrt", "gini")
    assert (settings["bootstrap"], settings["max_depth"], settings["min_samples_leaf"]) == (True, None, 1)
    assert settings["random_state"] == 3


def test_a_forest_of_numbers_is_a_regressor() -> None:
    forest = make_estimator("forest", task="regression", trees=7, seed=0)
    assert isinstance(forest, RandomForestRegressor)
    assert forest.get_params()["n_estimators"] == 7


def test_the_svm_is_the_linear_one_of_rows_of_length_one() -> None:
    features = np.abs(clouds(1.0)) + 1
    plain = SVC(kernel="linear", C=1.0, class_weight="balanced").fit(normalize(features.astype(np.float64)), LABELS)
    svm = make_estimator("svm", task="classification", seed=0).fit(features.copy(), LABELS)
    expected = plain.predict(normalize(features.astype(np.float64)))
    np.testing.assert_array_equal(svm.predict(features.copy()), expected)
    assert set(expected) == {"a", "b", "c"}


def test_the_svm_does_not_see_contrast() -> None:
    features = np.abs(clouds(1.0)) + 1
    svm = make_estimator("svm", task="classification", seed=0).fit(features.copy(), LABELS)
    np.testing.assert_array_equal(svm.predict(features * 8), svm.predict(features.copy()))


@pytest.mark.parametrize(("name", "task"), [("logistic", "classification"), ("ridge", "regression")])
def test_units_do_not_matter_where_columns_are_standardised(name, task) -> None:
    labels = LABELS if task == "classification" else TARGETS
    features = clouds(1.0)
    units = np.array([1.0, 64.0, 2.0**-10, 1024.0], dtype=np.float32)
    first, second = (
        make_estimator(name, task=task, seed=0).fit(rows.copy(), labels).predict(rows.copy())
        for rows in (features, features * units + 16)
    )
    if task == "classification":
        np.testing.assert_array_equal(first, second)
    else:
        np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-3)


def test_ridge_finds_a_linear_law() -> None:
    ridge = make_estimator("ridge", task="regression", seed=0).fit(clouds(2.0), TARGETS)
    np.testing.assert_allclose(ridge.predict(clouds(2.0)), TARGETS, atol=0.01)


@pytest.mark.parametrize(("name", "task"), [
    *((name, "regression") for name in CLASSIFIERS if name != "forest"),
    *((name, "classification") for name in REGRESSORS if name != "forest"),
    ("oracle", "classification"),
])  # fmt: skip
def test_a_name_that_the_task_does_not_have_is_refused(name, task) -> None:
    with pytest.raises(UsageError, match=f"'{name}' does not do {task}; take one of forest"):
        make_estimator(name, task=task, seed=0)
