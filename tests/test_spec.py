"""A spec's fingerprint changes with everything that decides a value, and with nothing else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from texture_store.errors import InvalidSpecError
from texture_store.spec import (
    ENCODERS,
    LAYERS,
    NETWORK_LAYERS,
    FeatureSpec,
    PixelSpec,
    make_pixel_spec,
    parse_spec,
    vector_width,
)

BASE = FeatureSpec(weights="ab" * 32, lineage="caffe")

CHANGES = {
    "pixels": [
        {"size": "255x255"},
        {"size": "native"},
        {"size": None, "um_per_px": 0.5},
        {"fit": "crop"},
        {"resize": "nearest"},
        {"databar": "none"},
        {"databar": "38"},
        {"intensity": "standardize"},
        {"value_range": [0.0, 4095.0]},
    ],
    "weights": ["cd" * 32],
    "lineage": ["foreign", "random:1"],
    "precision": ["bfloat16", "tf32"],
    "batch_size": [4],
    "gram_mantissa_bits": [12],
    "dictionary": ["d" + "0" * 20],
    "numerics": [2],
}


def changed_specs() -> list[FeatureSpec]:
    specs = []
    for name, values in CHANGES.items():
        for value in values:
            data = BASE.model_dump(mode="json")
            data[name] = data[name] | value if name == "pixels" else value
            specs.append(FeatureSpec.model_validate(data))
    return specs


def test_every_field_is_in_the_fingerprint():
    fingerprints = [BASE.fingerprint, *(spec.fingerprint for spec in changed_specs())]
    assert len(set(fingerprints)) == len(fingerprints)
    assert set(CHANGES) == set(FeatureSpec.model_fields) - {"backbone", "padding"}  # these have one value so far
    assert {name for change in CHANGES["pixels"] for name in change} == set(PixelSpec.model_fields)


def test_a_fingerprint_is_a_partition_name():
    assert BASE.fingerprint[0] == "s"
    assert len(BASE.fingerprint) == 21
    int(BASE.fingerprint[1:], 16)


def test_the_fingerprint_of_a_spec_never_changes():
    # Stores in the field carry it: a new field must leave the canonical JSON of old specs alone, or raise `numerics`.
    assert BASE.fingerprint == "saa1235963eafe6e94b3f"


@pytest.mark.parametrize("spec", [BASE, *changed_specs()], ids=lambda spec: spec.fingerprint)
def test_a_spec_survives_its_json(spec):
    assert parse_spec(spec.canonical_json) == spec
    assert parse_spec(json.dumps(json.loads(spec.canonical_json), indent=4)).fingerprint == spec.fingerprint


@given(st.text(max_size=30))
def test_what_is_no_spec_is_refused_in_one_line(text):
    with pytest.raises(InvalidSpecError) as caught:
        parse_spec(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("extra", [{"colour": True}, {"batch_size": 0}, {"weights": "12"}, {"lineage": "keras"}])
def test_unknown_and_impossible_settings_are_refused(extra):
    with pytest.raises(InvalidSpecError):
        parse_spec(json.dumps(BASE.model_dump(mode="json") | extra))


def test_random_weights_are_named_in_the_description():
    assert "RANDOM" in FeatureSpec(weights="ab" * 32, lineage="random:7").describe()
    assert "RANDOM" not in BASE.describe()


def test_widths_are_those_of_table_1():
    gram = {layer: vector_width("gram", layer) for layer in NETWORK_LAYERS}
    full = {layer: vector_width("mean", layer) ** 2 for layer in NETWORK_LAYERS}
    assert [vector_width("mean", layer) for layer in NETWORK_LAYERS] == [64, 128, 256, 512, 512]
    assert list(full.values()) == [4096, 16384, 65536, 262144, 262144]
    assert all(2 * gram[layer] - vector_width("mean", layer) == full[layer] for layer in NETWORK_LAYERS)
    assert sum(vector_width("vlad", layer) for layer in NETWORK_LAYERS) == 47104
    assert [vector_width(encoder, "input") for encoder in ENCODERS] == [3, 3, 6, 96]
    assert len(LAYERS) == 6


def test_a_size_is_width_times_height():
    assert make_pixel_spec(size="640x480").width_height == (640, 480)
    assert make_pixel_spec(size="native").width_height is None
