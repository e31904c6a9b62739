from pathlib import Path

import numpy as np
import pytest

from tests.made_store import GRAM, MEAN, MadeStore
from texture_store import open_store, unpack_gram
from texture_store.errors import UsageError
from texture_store.store.comparable import comparable_form, comparable_matrix
from texture_store.store.features import Features

PATHS = [f"{i}.tif" for i in range(4)]
VLAD = ("vlad", "conv1_2")


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    made = MadeStore.at(tmp_path)
    made.index("steel", PATHS)
    return made


def features(made: MadeStore, pair: tuple[str, str], snapshot: int | None = None) -> Features:
    return open_store(made.url).features("steel", encoder=pair[0], layer=pair[1], snapshot=snapshot)


def test_layers_stand_side_by_side(made: MadeStore) -> None:
    made.commit("steel", "s0", PATHS, pairs=[MEAN, ("mean", "input")])
    layers = [features(made, ("mean", "input")), features(made, MEAN)]
    form = comparable_form(layers)
    expected = np.hstack([made.matrix("steel", PATHS, ("mean", "input")), made.matrix("steel", PATHS, MEAN)])
    assert form == "as stored"
    assert np.array_equal(comparable_matrix(layers, form), expected)


def test_sums_stay_where_all_images_have_as_many_positions(made: MadeStore) -> None:
    made.commit("steel", "s0", PATHS, pairs=[GRAM])
    assert comparable_form([features(made, GRAM)]) == "as stored"


def test_sums_are_divided_where_the_numbers_of_positions_differ(made: MadeStore) -> None:
    positions = [100, 100, 50, 400]
    made.commit("steel", "s0", PATHS, pairs=[GRAM, MEAN], num_positions=positions)
    gram, stored = [features(made, GRAM)], made.matrix("steel", PATHS, GRAM)
    assert comparable_form(gram) == "position mean"
    assert comparable_form(gram, raw_sums=True) == "as stored"
    assert comparable_form([features(made, MEAN)]) == "as stored"
    np.testing.assert_allclose(
        comparable_matrix(gram, "position mean"), stored / np.array(positions)[:, None], rtol=1e-6
    )
    assert np.array_equal(comparable_matrix(gram, "as stored"), stored)


def test_inner_products_of_packed_gram_are_those_of_the_matrices(made: MadeStore) -> None:
    made.commit("steel", "s0", PATHS, pairs=[GRAM])
    full = unpack_gram(made.matrix("steel", PATHS, GRAM)).reshape(4, -1).astype(np.float64)
    matrix = comparable_matrix([features(made, GRAM)], "as stored", inner_product=True).astype(np.float64)
    np.testing.assert_allclose(matrix @ matrix.T, full @ full.T, rtol=1e-6)


def test_means_are_not_weighted_for_inner_products(made: MadeStore) -> None:
    made.commit("steel", "s0", PATHS, pairs=[MEAN])
    matrix = comparable_matrix([features(made, MEAN)], "as stored", inner_product=True)
    assert np.array_equal(matrix, made.matrix("steel", PATHS, MEAN))


def test_vlad_is_normalised_unless_sums_are_asked_for(made: MadeStore) -> None:
    made.commit("steel", "s0", PATHS, pairs=[VLAD])
    vlad, stored = [features(made, VLAD)], made.matrix("steel", PATHS, VLAD)
    assert comparable_form(vlad) == "normalised"
    assert comparable_form(vlad, raw_sums=True) == "as stored"
    np.testing.assert_allclose(np.linalg.norm(comparable_matrix(vlad, "normalised"), axis=1), 1, rtol=1e-5)
    assert np.array_equal(comparable_matrix(vlad, "as stored"), stored)


def test_feature_sets_of_different_snapshots_do_not_stand_side_by_side(made: MadeStore) -> None:
    made.commit("steel", "s0", PATHS, pairs=[MEAN, ("mean", "input")])
    made.index("steel", PATHS[:3])
    layers = [features(made, MEAN, snapshot=1), features(made, ("mean", "input"))]
    with pytest.raises(UsageError, match="snapshot 1 and 2"):
        comparable_matrix(layers, "as stored")


def test_layers_of_other_images_or_encoders_do_not_stand_side_by_side(made: MadeStore) -> None:
    made.commit("steel", "s0", PATHS, pairs=[MEAN, ("mean", "input"), ("max", "input")])
    mean = features(made, MEAN)
    with pytest.raises(UsageError, match="different images"):
        comparable_matrix([mean, features(made, ("mean", "input")).subset([0, 1])], "as stored")
    with pytest.raises(UsageError, match="encoder mean and max"):
        comparable_matrix([mean, features(made, ("max", "input"))], "as stored")
    with pytest.raises(UsageError, match="empty feature set"):
        comparable_matrix([], "as stored")
