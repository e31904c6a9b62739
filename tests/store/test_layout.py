import pytest

from texture_store.errors import InvalidNameError
from texture_store.store import layout

SPEC = "s" + "0123456789" * 2


def test_paths_are_those_of_the_published_layout():
    assert layout.snapshot_path("steel", 3) == "index/dataset=steel/snapshot-3.parquet"
    assert layout.weights_path("a" * 64) == f"weights/{'a' * 64}.safetensors"
    assert layout.spec_path(SPEC) == f"specs/{SPEC}.json"
    assert layout.micrographs_path("steel", SPEC, "ab12") == f"micrographs/dataset=steel/spec={SPEC}/ab12.parquet"
    assert layout.rejected_path("steel", SPEC, "ab12") == f"rejected/dataset=steel/spec={SPEC}/ab12.parquet"
    assert (
        layout.features_path("steel", SPEC, "gram", "conv4_3", "ab12")
        == f"features/dataset=steel/spec={SPEC}/encoder=gram/layer=conv4_3/ab12.parquet"
    )
    assert (
        layout.samples_path("steel", SPEC, "input", "ab12")
        == f"samples/dataset=steel/spec={SPEC}/layer=input/ab12.parquet"
    )
    assert (
        layout.dictionary_path("steel", SPEC, "input", "d" + "0" * 20)
        == f"dictionaries/dataset=steel/spec={SPEC}/layer=input/d{'0' * 20}.parquet"
    )
    assert (
        layout.commit_path("steel", SPEC, "featurize-0a", "ab12")
        == f"commits/dataset=steel/spec={SPEC}/featurize-0a/ab12.json"
    )
    key = "e" + "0a" * 12
    assert layout.evaluation_path("steel", key) == f"evaluations/dataset=steel/{key}.parquet"
    assert layout.evaluation_path("steel", key, 2) == f"evaluations/dataset=steel/{key}.failed-2.parquet"
    assert layout.checkpoint_path("steel", SPEC, 2) == f"commits/dataset=steel/spec={SPEC}/checkpoint-2.parquet"


@pytest.mark.parametrize("name", ["steel", "a", "steel-2_b"])
def test_an_allowed_dataset_name_stays_as_it_is(name):
    assert layout.check_dataset(name) == name


@pytest.mark.parametrize("name", ["", "Steel", "1steel", "a/b", "..", "a b", "a\n", "ä", "-a", "a=b", "a" * 101])
def test_a_dataset_name_that_is_not_allowed_is_refused_in_one_line(name):
    with pytest.raises(InvalidNameError, match="lower-case") as caught:
        layout.snapshot_path(name, 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shard", ["", "../x", "a/b", "a.b", "A", ".a", "a\n"])
def test_a_shard_name_that_could_leave_its_folder_is_refused(shard):
    with pytest.raises(InvalidNameError):
        layout.features_path("steel", SPEC, "mean", "input", shard)


def test_specs_encoders_layers_steps_and_digests_are_checked():
    for wrong in (
        lambda: layout.spec_path("0123"),
        lambda: layout.micrographs_path("steel", "../../x", "a"),
        lambda: layout.features_path("steel", SPEC, "median", "input", "a"),
        lambda: layout.features_path("steel", SPEC, "mean", "fc6", "a"),
        lambda: layout.samples_path("steel", SPEC, "fc6", "a"),
        lambda: layout.commit_path("steel", SPEC, "../x", "a"),
        lambda: layout.weights_path("abc"),
        lambda: layout.evaluation_path("steel", "e/../x"),
        lambda: layout.snapshot_path("steel", 0),
    ):
        with pytest.raises(InvalidNameError):
            wrong()


def test_a_path_is_parsed_back_to_its_names():
    assert layout.parse_snapshot_path(layout.snapshot_path("steel", 12)) == ("steel", 12)
    assert layout.parse_checkpoint_path(layout.checkpoint_path("steel", SPEC, 7)) == 7
    key = "e" + "0a" * 12
    assert layout.parse_evaluation_path(layout.evaluation_path("steel", key)) == (key, 0)
    assert layout.parse_evaluation_path(layout.evaluation_path("steel", key, 12)) == (key, 12)
    assert layout.parse_commit_path(layout.commit_path("steel", SPEC, "featurize-0a", "ab")) == (
        "featurize-0a",
        "ab",
        0,
    )
    assert layout.parse_commit_path(layout.commit_path("steel", SPEC, "featurize-0a", "ab", 2))[2] == 2


def test_foreign_objects_are_not_parsed():
    assert layout.parse_snapshot_path("index/dataset=Steel/snapshot-1.parquet") is None
    assert layout.parse_snapshot_path("index/dataset=steel/snapshot-01.parquet") is None
    assert layout.parse_snapshot_path("index/dataset=steel/notes.txt") is None
    assert layout.parse_checkpoint_path(layout.commit_path("steel", SPEC, "a", "b")) is None
    assert layout.parse_evaluation_path("evaluations/dataset=steel/notes.parquet") is None
    assert layout.parse_commit_path(layout.checkpoint_path("steel", SPEC, 7)) is None
    assert layout.parse_commit_path(f"commits/dataset=steel/spec={SPEC}/a/b.json~") is None


def test_only_table_files_of_the_own_dataset_and_spec_count_as_such():
    assert layout.is_table_path(layout.features_path("steel", SPEC, "gram", "conv4_3", "ab"), "steel", SPEC)
    assert layout.is_table_path(layout.rejected_path("steel", SPEC, "ab"), "steel", SPEC)
    for path in (
        "/etc/passwd",
        f"/micrographs/dataset=steel/spec={SPEC}/a.parquet",
        f"micrographs/dataset=steel/spec={SPEC}/../a.parquet",
        f"micrographs/dataset=steel/spec={SPEC}/./a.parquet",
        f"micrographs/dataset=steel/spec={SPEC}//a.parquet",
        f"micrographs/dataset=steel/spec={SPEC}/a.json",
        f"micrographs/dataset=steel/spec={SPEC}/a\\b.parquet",
        f"micrographs/dataset=iron/spec={SPEC}/a.parquet",
        f"micrographs/dataset=steel/spec=s{'1' * 20}/a.parquet",
        f"commits/dataset=steel/spec={SPEC}/a.parquet",
        f"s3://bucket/dataset=steel/spec={SPEC}/a.parquet",
        "",
    ):
        assert not layout.is_table_path(path, "steel", SPEC), path


KEY, DIGEST, RECIPE = "x" + "0" * 24, "a" * 64, "better-" + "1" * 20


def test_explanations_and_textures_lie_where_readers_look_for_them() -> None:
    path = layout.explanation_path("steel", "heat_maps", KEY)
    assert path == f"explanations/dataset=steel/heat_maps-{KEY}.parquet"
    assert layout.parse_explanation_path(path) == ("heat_maps", KEY)
    path = layout.texture_path(DIGEST, "conv4_3", RECIPE, 0)
    assert path == f"textures/{DIGEST}/layer=conv4_3/recipe={RECIPE}/0.parquet"
    assert layout.parse_texture_path(path) == (DIGEST, "conv4_3", RECIPE, 0)


@pytest.mark.parametrize(
    "path",
    [
        f"explanations/dataset=steel/scores-{KEY}.parquet",
        "explanations/dataset=steel/map-x0.parquet",
        f"explanations/dataset=steel/map-{KEY}.parquet.tmp",
    ],
)
def test_other_files_are_no_explanations(path: str) -> None:
    assert layout.parse_explanation_path(path) is None


@pytest.mark.parametrize("name", ["-1", "01", "1.tmp", "x"])
def test_other_files_are_no_textures(name: str) -> None:
    assert layout.parse_texture_path(f"textures/{DIGEST}/layer=conv4_3/recipe={RECIPE}/{name}.parquet") is None
    assert layout.parse_texture_path(f"textures/{DIGEST}/layer=conv9/recipe={RECIPE}/1.parquet") is None


def test_names_that_lead_elsewhere_are_refused() -> None:
    for wrong in (
        lambda: layout.explanation_path("steel", "../x", KEY),
        lambda: layout.explanation_path("steel", "map", "../x"),
        lambda: layout.texture_path("../x", "conv4_3", RECIPE, 0),
        lambda: layout.texture_path(DIGEST, "conv4_3", "../x", 0),
        lambda: layout.texture_path(DIGEST, "conv4_3", RECIPE, -1),
    ):
        with pytest.raises(InvalidNameError):
            wrong()
