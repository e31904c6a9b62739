"""What Ling et al. 2017 say about encoders, layers and classifiers, tested on any scores (tests: see `verdicts`).

A claim is also undecided where scores that it needs are not there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from texture_store.evaluation.significance import compare_with_best
from texture_store.evaluation.verdicts import Verdict, about_as_good, at_least_as_good, better
from texture_store.spec import NETWORK_LAYERS

Values = npt.NDArray[np.float64]

INPUT = "input"
ALL_LAYERS = "all"
"""The layer name of all five network layers side by side."""


class ScoredSet(NamedTuple):
    """What was scored."""

    encoder: str
    layer: str
    classifier: str


@dataclass(frozen=True)
class DatasetScores:
    """The scores of one dataset under one protocol."""

    fold_scores: Mapping[ScoredSet, Values]
    """(J,) score of each test fold; the j-th is of the same fold for every set."""
    n_train: int
    """Rows in a training fold, or groups where folds are made of groups."""
    n_test: int
    """The same of a test fold."""

    @property
    def test_share(self) -> float:
        """Rows, or groups, tested per one learnt from."""
        return self.n_test / self.n_train

    def of(self, classifier: str) -> dict[tuple[str, str], Values]:
        """The scores of one classifier by (encoder, layer)."""
        return {
            (key.encoder, key.layer): each for key, each in self.fold_scores.items() if key.classifier == classifier
        }


@dataclass(frozen=True)
class Claim:
    """A claim of the paper and whether it holds here."""

    dataset: str
    """More than one, joined by commas, where the claim is about several."""
    text: str
    verdict: Verdict
    test: str
    """The test in one line with its numbers, or what is missing."""


def paper_claims(datasets: Mapping[str, DatasetScores], *, classifier: str = "forest") -> list[Claim]:
    """The paper's claims: five about each dataset, and at the end that the best layer differs between datasets.

    `classifier` is the one on whose scores the claims about encoders and layers are tested. UsageError as
    `corrected_t_test`.
    """
    claims = []
    for name, dataset in datasets.items():
        scores, share = dataset.of(classifier), dataset.test_share
        claims += [
            Claim(name, "max is the worst encoder", *_max_is_worst(scores, share)),
            Claim(name, "input is never the best layer", *_input_never_best(scores, share)),
            Claim(name, "mean is about as good as Gram", *_mean_like_gram(scores, share)),
            Claim(name, "all five layers together are at least as good as any", *_all_layers_suffice(scores, share)),
            Claim(name, "the linear SVM is about as good as the forest", *_svm_like_forest(dataset)),
        ]
    return [*claims, _best_layer_differs(datasets, classifier)]


def _max_is_worst(scores: Mapping[tuple[str, str], Values], test_share: float) -> tuple[Verdict, str]:
    encoders = _encoders(scores, NETWORK_LAYERS)
    layers = _common_layers(scores, encoders)
    if "max" not in encoders or len(encoders) < 2 or not layers:
        return "undecided", "needs scores of max and of another encoder at a common layer"
    mean = {encoder: _mean([scores[encoder, layer] for layer in layers]) for encoder in encoders}
    differences = {f"{encoder} - max": mean[encoder] - mean["max"] for encoder in encoders if encoder != "max"}
    verdict, line = better(differences, test_share=test_share)
    return verdict, f"over {' '.join(layers)}: {line}"


def _input_never_best(scores: Mapping[tuple[str, str], Values], test_share: float) -> tuple[Verdict, str]:
    differences = {}
    for encoder in _encoders(scores, [INPUT]):
        means = {layer: float(scores[encoder, layer].mean()) for layer in _common_layers(scores, [encoder])}
        if means:
            best = max(means, key=means.__getitem__)
            differences[f"{encoder} {best} - {INPUT}"] = scores[encoder, best] - scores[encoder, INPUT]
    if not differences:
        return "undecided", f"needs scores of {INPUT} and of a network layer of the same encoder"
    return better(differences, test_share=test_share)


def _mean_like_gram(scores: Mapping[tuple[str, str], Values], test_share: float) -> tuple[Verdict, str]:
    layers = _common_layers(scores, ["mean", "gram"])
    if not layers:
        return "undecided", "needs scores of mean and gram at a common layer"
    difference = _mean([scores["mean", layer] - scores["gram", layer] for layer in layers])
    verdict, line = about_as_good("mean - gram", difference, test_share=test_share)
    return verdict, f"over {' '.join(layers)}: {line}"


def _all_layers_suffice(scores: Mapping[tuple[str, str], Values], test_share: float) -> tuple[Verdict, str]:
    differences = {
        f"{encoder} {ALL_LAYERS} - {layer}": scores[encoder, ALL_LAYERS] - scores[encoder, layer]
        for encoder in _encoders(scores, [ALL_LAYERS])
        for layer in _common_layers(scores, [encoder])
    }
    if not differences:
        return "undecided", "needs scores of all layers together and of one layer of the same encoder"
    return at_least_as_good(differences, test_share=test_share)


def _svm_like_forest(dataset: DatasetScores) -> tuple[Verdict, str]:
    forest, svm = dataset.of("forest"), dataset.of("svm")
    common = sorted(forest.keys() & svm.keys())
    if not common:
        return "undecided", "needs scores of svm and forest on a common feature set"
    difference = _mean([svm[key] - forest[key] for key in common])
    verdict, line = about_as_good("svm - forest", difference, test_share=dataset.test_share)
    return verdict, f"over {len(common)} feature set{'' if len(common) == 1 else 's'}: {line}"


def _best_layer_differs(datasets: Mapping[str, DatasetScores], classifier: str) -> Claim:
    """Held when two datasets share none of the layers that may be best, not held when each has one and the same."""
    text = "the best layer differs between datasets"
    best: dict[str, list[str]] = {}
    for name, dataset in datasets.items():
        scores = dataset.of(classifier)
        encoders = _encoders(scores, NETWORK_LAYERS)
        layers = _common_layers(scores, encoders)
        if len(layers) > 1:
            ranked = compare_with_best(
                {layer: _mean([scores[encoder, layer] for encoder in encoders]) for layer in layers},
                n_train=dataset.n_train,
                n_test=dataset.n_test,
            )
            best[name] = [each.name for each in ranked if not each.distinguishable]
    if len(best) < 2:
        missing = "needs scores of two layers of two datasets, or more"
        return Claim(", ".join(datasets), text, "undecided", missing)
    verdict: Verdict = "undecided"
    if any(not set(one) & set(other) for one, other in combinations(best.values(), 2)):
        verdict = "held"
    elif len(set(map(tuple, best.values()))) == 1 and len(next(iter(best.values()))) == 1:
        verdict = "not held"
    line = "; ".join(f"{name} {' or '.join(layers)}" for name, layers in best.items())
    return Claim(", ".join(best), text, verdict, f"best, or not distinguishable from the best: {line}")


def _encoders(scores: Mapping[tuple[str, str], Values], layers: Sequence[str]) -> list[str]:
    return sorted({encoder for encoder, layer in scores if layer in layers})


def _common_layers(scores: Mapping[tuple[str, str], Values], encoders: Sequence[str]) -> list[str]:
    """Network layers of which every one of the encoders has a score, from the first to the last."""
    return [layer for layer in NETWORK_LAYERS if encoders and all((each, layer) in scores for each in encoders)]


def _mean(series: Sequence[Values]) -> Values:
    return np.asarray(np.mean(series, axis=0), dtype=np.float64)
