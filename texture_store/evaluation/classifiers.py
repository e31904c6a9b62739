"""What learns: the paper's random forest, DeCost's linear SVM, logistic regression, and for numbers forest and ridge.

Whatever is fitted, scalers too, is part of the estimator, so that it is fitted on the training fold alone.
"""

from typing import Literal

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics.pairwise import linear_kernel
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import SVC

from texture_store.errors import UsageError

Task = Literal["classification", "regression"]
Classifier = Literal["forest", "svm", "logistic"]
Regressor = Literal["forest", "ridge"]

CLASSIFIERS: tuple[Classifier, ...] = ("forest", "svm", "logistic")
REGRESSORS: tuple[Regressor, ...] = ("forest", "ridge")

NUM_TREES = 400
"""The paper's."""

RIDGE_PENALTIES = np.logspace(-2, 6, 17)
"""Of standardised features, whose squared lengths reach the number of columns: 131,328 for Gram at conv5_3."""


def make_estimator(
    name: Classifier | Regressor, *, task: Task, trees: int = NUM_TREES, seed: int, threads: int = 1
) -> BaseEstimator:
    """A scikit-learn estimator that is not fitted yet. Its predictions do not depend on `threads`.

    All but forests work in place on the rows they are given (`fit` and `predict` change them), to spare a copy.

    - forest, classification: Ling et al. 2017 grow 400 trees. What they leave open is as in lolo, the library of one of
      its authors: the square root of the number of features per split, Gini impurity, bootstrap, full depth.
    - forest, regression: a third of the features per split, lolo's and Breiman's (2001) number; squared error.
    - svm: DeCost and Holm 2015: rows of length 1 (L2), linear kernel, C = 1, classes weighted to balance. The kernel is
      one matrix product of the rows in their own precision: libsvm's own would turn all of them into float64.
    - logistic: standardised columns, L2 penalty with C = 1.
    - ridge: standardised columns, the penalty chosen on the training fold by leave-one-out. Takes float64 copies.

    UsageError for a name that the task does not have.
    """
    match task, name:
        case "classification", "forest":
            return RandomForestClassifier(
                n_estimators=trees,
                criterion="gini",
                max_features="sqrt",
                bootstrap=True,
                random_state=seed,
                n_jobs=threads,
            )
        case "classification", "svm":
            return make_pipeline(Normalizer(copy=False), SVC(kernel=linear_kernel, C=1.0, class_weight="balanced"))
        case "classification", "logistic":
            return make_pipeline(StandardScaler(copy=False), LogisticRegression(C=1.0, max_iter=1000))
        case "regression", "forest":
            return RandomForestRegressor(
                n_estimators=trees, max_features=1 / 3, bootstrap=True, random_state=seed, n_jobs=threads
            )
        case "regression", "ridge":
            return make_pipeline(StandardScaler(copy=False), RidgeCV(alphas=RIDGE_PENALTIES))
    names = CLASSIFIERS if task == "classification" else REGRESSORS
    raise UsageError(f"{name!r} does not do {task}; take one of {', '.join(names)}")
