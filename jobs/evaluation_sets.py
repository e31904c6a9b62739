"""Which feature sets evaluate compares: encoders at layers, of which specs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import pyarrow as pa
import pyarrow.compute as pc

from jobs.evaluation_request import ALL_LAYERS, PAPER_LAYERS, EvaluationRequest, Say
from texture_store.errors import FeaturesNotFoundError
from texture_store.spec import ENCODERS, LAYERS, NETWORK_LAYERS, Encoder, Layer
from texture_store.store.catalog import Catalog
from texture_store.store.choice import choose_spec, chosen_pairs, named_spec
from texture_store.store.commits import FeaturePair
from texture_store.store.comparable import Form, comparable_form
from texture_store.store.features import Features
from texture_store.store.reader import read_features


@dataclass(frozen=True)
class FeatureSet:
    """Vectors of the evaluated images: one layer of an encoder, or several side by side."""

    encoder: Encoder
    layer: str
    layers: tuple[Features, ...]
    form: Form
    strict: bool = False
    """VLAD by dictionaries that are learnt inside the folds; `layers` are those of the dataset's own."""

    @property
    def spec(self) -> str:
        """Fingerprint, or several joined by + where layers come from different specs."""
        return "+".join(dict.fromkeys(features.spec.fingerprint for features in self.layers))

    @property
    def num_features(self) -> int:
        """Values of a vector."""
        return sum(features.num_features for features in self.layers)


SetName = tuple[Encoder, str]
"""Encoder, and layer or `all`."""


def wanted_sets(catalog: Catalog, request: EvaluationRequest, say: Say) -> list[SetName]:
    """The feature sets that are asked for, in the order of the paper.

    Raises FeaturesNotFoundError when there is nothing to evaluate.
    """
    pairs = _pairs_there(catalog, request)
    there = {name for name in product(ENCODERS, PAPER_LAYERS) if all((name[0], one) in pairs for one in _layers(name))}
    if request.paper_grid:
        complete = [one for one in ENCODERS if {(one, layer) for layer in PAPER_LAYERS} <= there]
        if absent := [one for one in ENCODERS if one not in complete] if not request.encoders else []:
            say(f"the paper's grid without {', '.join(absent)}: not all of its layers have features")
        names = list(product(request.encoders or complete, PAPER_LAYERS))
    else:
        exact = bool(request.encoders and request.layers)
        asked = product(request.encoders or ENCODERS, request.layers or LAYERS)
        names = [name for name in asked if exact or name in there]
        for one in (*request.encoders, *request.layers):
            if not any(one in name for name in names):
                # Nothing has it: choosing its spec raises the error that tells what there is.
                names = [(one, LAYERS[0]) if one in ENCODERS else (ENCODERS[0], one)]
    if not names:
        raise FeaturesNotFoundError(
            f"dataset {request.dataset}: no feature set to evaluate; run: texture-store featurize --store"
            f" {catalog.storage.url} --dataset {request.dataset}"
        )
    return names


def _pairs_there(catalog: Catalog, request: EvaluationRequest) -> set[FeaturePair]:
    """Those that the spec of their encoder has; where none is named, those that any has."""
    found: set[FeaturePair] = set()
    for named in {request.spec_of(encoder) for encoder in ENCODERS}:
        pairs = chosen_pairs(catalog) if named is None else catalog.pairs(named_spec(catalog, named))
        found |= {pair for pair in pairs if request.spec_of(pair[0]) == named}
    return found


def _layers(name: SetName) -> list[Layer]:
    return [layer for layer in LAYERS if layer == name[1] or (name[1] == ALL_LAYERS and layer in NETWORK_LAYERS)]


def read_sets(
    catalog: Catalog, names: Sequence[SetName], request: EvaluationRequest, say: Say
) -> dict[FeaturePair, Features]:
    """The vectors of each encoder and layer, once; says which spec each encoder has. Raises FeaturesNotFoundError."""
    pairs = dict.fromkeys((name[0], layer) for name in names for layer in _layers(name))
    found: dict[FeaturePair, Features] = {}
    specs: dict[str, list[str]] = {}
    for encoder, layer in pairs:
        choice = choose_spec(catalog, (encoder, layer), request.spec_of(encoder))
        if choice.note:
            say(f"{encoder} {layer}: {choice.note}")
        spec = f"spec {choice.spec.fingerprint}: {choice.spec.describe()}"
        if encoder not in specs.setdefault(spec, []):
            specs[spec].append(encoder)
        found[encoder, layer] = read_features(catalog, encoder, layer, choice.spec, choice.pending)
    for spec, encoders in specs.items():
        say(f"{', '.join(encoders)}: {spec}")
    return found


def only_images(features: Features, images: pa.Table) -> Features:
    """The vectors of these rows of the snapshot."""
    image_ids = images.column("image_id").combine_chunks()
    return features.subset(pc.is_in(features.members.column("image_id"), value_set=image_ids).to_numpy())


def feature_set(name: SetName, kept: Mapping[FeaturePair, Features], *, raw_sums: bool) -> FeatureSet:
    """A feature set of vectors that are of the same images."""
    layers = tuple(kept[name[0], layer] for layer in _layers(name))
    return FeatureSet(*name, layers, comparable_form(layers, raw_sums=raw_sums))


def describe_form(form: Form) -> str:
    """Why the vectors are not taken as they are stored."""
    if form == "normalised":
        return "normalised VLAD (within words, then L2)"
    return "images differ in their number of positions, so sums are divided by it (--raw-sums leaves them)"
