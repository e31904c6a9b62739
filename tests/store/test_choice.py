import warnings
from pathlib import Path

import numpy as np
import pytest

from tests.made_store import DEEP_MEAN, GRAM, MEAN, OTHER_SPEC, RANDOM_SPEC, SPEC, MadeStore
from texture_store import open_store
from texture_store.errors import FeaturesNotFoundError, UsageError
from texture_store.spec import FeatureSpec
from texture_store.store.choice import default_spec

PATHS = ["a.tif", "b.tif", "c.tif"]


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    made = MadeStore.at(tmp_path)
    made.index("steel", PATHS)
    return made


def chosen(made: MadeStore, pair=MEAN, **named) -> FeatureSpec:
    return open_store(made.url).features("steel", encoder=pair[0], layer=pair[1], **named).spec


def test_the_newest_of_the_complete_specs_is_chosen(made: MadeStore) -> None:
    for spec in (SPEC, OTHER_SPEC):
        made.commit("steel", "s0", PATHS, spec=spec)
        assert chosen(made) == spec


def test_a_complete_spec_is_chosen_before_a_newer_incomplete_one(made: MadeStore) -> None:
    made.commit("steel", "s0", PATHS, spec=SPEC)
    made.commit("steel", "s0", PATHS[:2], spec=OTHER_SPEC)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert chosen(made) == SPEC


def test_rejected_images_are_covered_images(made: MadeStore) -> None:
    made.commit("steel", "s0", PATHS, spec=SPEC)
    made.commit("steel", "s0", PATHS[:1], rejected=PATHS[1:], spec=OTHER_SPEC)
    assert chosen(made) == OTHER_SPEC


def test_a_spec_that_rejected_everything_has_no_features_to_choose(made: MadeStore) -> None:
    made.commit("steel", "s0", [], rejected=PATHS, spec=OTHER_SPEC)
    with pytest.raises(FeaturesNotFoundError):
        chosen(made)
    made.commit("steel", "s0", PATHS[:2], spec=SPEC)
    with pytest.warns(UserWarning, match="pending"):
        assert chosen(made) == SPEC


def test_when_none_is_complete_the_one_that_covers_most_is_chosen_with_a_warning(made: MadeStore) -> None:
    made.commit("steel", "s0", PATHS[:2], spec=SPEC)
    made.commit("steel", "s0", PATHS[:1], spec=OTHER_SPEC)
    with pytest.warns(UserWarning, match=r"1 of 3 images are pending \(run featurize again\)"):
        assert chosen(made) == SPEC


def test_a_new_snapshot_decides_which_specs_are_complete(made: MadeStore) -> None:
    made.commit("steel", "s0", PATHS, spec=SPEC)
    made.commit("steel", "s0", PATHS[:2], spec=OTHER_SPEC)
    made.index("steel", PATHS[:2])
    assert chosen(made) == OTHER_SPEC
    assert chosen(made, snapshot=1) == SPEC


def test_each_encoder_and_layer_has_its_own_choice(made: MadeStore) -> None:
    made.commit("steel", "s0", PATHS, spec=SPEC, pairs=[MEAN, GRAM])
    made.commit("steel", "s0", PATHS, spec=OTHER_SPEC, pairs=[MEAN])
    assert chosen(made, MEAN) == OTHER_SPEC
    assert chosen(made, GRAM) == SPEC


def test_random_weights_are_never_chosen_and_marked_when_named(made: MadeStore) -> None:
    made.commit("steel", "s0", PATHS, spec=RANDOM_SPEC)
    with pytest.raises(FeaturesNotFoundError, match="random weights, only when named"):
        chosen(made)
    with pytest.warns(UserWarning, match="RANDOM"):
        assert chosen(made, spec=RANDOM_SPEC.fingerprint) == RANDOM_SPEC
    made.commit("steel", "s0", PATHS[:1], spec=SPEC)
    with pytest.warns(UserWarning, match="pending"):
        assert chosen(made) == SPEC


def test_a_spec_can_be_named_by_the_start_of_its_fingerprint(made: MadeStore) -> None:
    made.commit("steel", "s0", PATHS, spec=SPEC)
    made.commit("steel", "s0", PATHS, spec=OTHER_SPEC)
    assert chosen(made, spec=SPEC.fingerprint) == SPEC
    assert chosen(made, spec=SPEC.fingerprint[:6]) == SPEC
    with pytest.raises(UsageError, match=f"fits .*{OTHER_SPEC.fingerprint}.*give more of it"):
        chosen(made, spec="s")
    with pytest.raises(FeaturesNotFoundError, match="no such spec"):
        chosen(made, spec="sffffffff")


def test_one_letter_does_not_name_a_spec_even_where_there_is_one_only(made: MadeStore) -> None:
    made.commit("steel", "s0", PATHS, spec=SPEC)
    with pytest.raises(FeaturesNotFoundError, match="give more of it"):
        chosen(made, spec="s")


def test_what_is_not_there_is_answered_with_what_is_and_how_to_make_it(made: MadeStore) -> None:
    with pytest.raises(FeaturesNotFoundError, match=r"nothing is featurized yet.*featurize --encoders mean"):
        chosen(made)
    made.commit("steel", "s0", PATHS, spec=SPEC, pairs=[MEAN, DEEP_MEAN])
    with pytest.raises(FeaturesNotFoundError) as caught:
        chosen(made, GRAM)
    message = str(caught.value)
    assert f"spec {SPEC.fingerprint} has mean at conv1_2, conv5_3" in message
    assert f"featurize --encoders gram --layers conv1_2 --store {made.url} --dataset steel" in message
    with pytest.raises(FeaturesNotFoundError, match="run: texture-store encode"):
        chosen(made, ("vlad", "conv1_2"))


def test_encoders_and_layers_that_do_not_exist_are_a_wrong_usage(made: MadeStore) -> None:
    with pytest.raises(UsageError, match="'fisher': there are mean, max, gram, vlad"):
        chosen(made, ("fisher", "conv1_2"))
    with pytest.raises(UsageError, match="'relu5_3': there are input, conv1_2"):
        chosen(made, ("mean", "relu5_3"))


def test_tables_without_encoder_follow_the_spec_of_most_feature_sets(made: MadeStore) -> None:
    assert default_spec(open_store(made.url).catalog("steel")) is None
    made.commit("steel", "s0", [], spec=OTHER_SPEC, rejected=PATHS)
    assert default_spec(open_store(made.url).catalog("steel")) == OTHER_SPEC.fingerprint
    made.commit("steel", "s0", PATHS, spec=SPEC, pairs=[MEAN, GRAM])
    made.commit("steel", "s0", PATHS, spec=OTHER_SPEC, pairs=[DEEP_MEAN])
    assert default_spec(open_store(made.url).catalog("steel")) == SPEC.fingerprint
    np.testing.assert_array_equal(
        open_store(made.url).features("steel", encoder="mean", layer="conv5_3").to_numpy(),
        made.matrix("steel", PATHS, DEEP_MEAN, OTHER_SPEC),
    )
