from pathlib import Path

import pytest
from click.testing import CliRunner

from jobs.recipe import load_recipe, recipe_digest, shipped_recipes
from jobs.recipe_requests import evaluation_request, featurize_request, sample_request
from jobs.reevaluate import command
from texture_store.errors import UsageError
from texture_store.spec import LAYERS, make_pixel_spec

MINIMAL = 'dataset = "steel"\narchive = "/archive"\nstore = "/store"\n'


def write(folder: Path, text: str) -> str:
    path = folder / "r.toml"
    path.write_text(text)
    return str(path)


def problem(folder: Path, text: str) -> str:
    path = write(folder, text)
    with pytest.raises(UsageError) as caught:
        load_recipe(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_what_is_left_out_has_the_defaults_of_the_commands(tmp_path: Path):
    recipe = load_recipe(write(tmp_path, MINIMAL))
    request = featurize_request(recipe)
    assert (request.encoders, request.layers) == (("mean", "max", "gram"), LAYERS)
    assert request.pixels == make_pixel_spec(size="512x512")
    assert recipe.encoders == ("mean", "max", "gram")
    asked = evaluation_request(recipe, "s1", None)
    assert (asked.trials, asked.folds, asked.trees, asked.protocols) == (10, 3, 400, ())
    assert (recipe.compare.worse_by, recipe.compare.confidence) == (0.01, 0.95)


def test_a_table_of_vlad_brings_its_own_pixels_and_words(tmp_path: Path):
    text = MINIMAL + '[vlad]\nresize = "nearest"\nsample = 0.3\nwords = 16\npositions = "all"\nlayers = ["conv4_3"]\n'
    recipe = load_recipe(write(tmp_path, text))
    assert recipe.vlad is not None
    request, learning = sample_request(recipe, recipe.vlad), recipe.vlad.learning()
    assert request.pixels == make_pixel_spec(size="255x255", resize="nearest")
    assert request.pairs == (("positions", "conv4_3"),)
    assert (learning.num_words, learning.share, learning.all_positions) == (16, 0.3, True)
    assert recipe.encoders == ("mean", "max", "gram", "vlad")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[featurise]\nsize = 256\n", "featurise: no such key; did you mean featurize?"),
        ('[index]\nlable_column = "x"\n', "[index] lable_column: no such key; did you mean label_column?"),
        ("[evaluate]\nworse_by = 0.1\n", "[evaluate] worse_by: no such key; it belongs below [compare]"),
        ('[compare]\ndataset = "x"\n', "[compare] dataset: no such key; it belongs to the top of the file"),
        ("[compare]\nqqq = 1\n", "[compare] qqq: no such key; there are worse_by, confidence"),
        ('[evaluate]\ntrials = "ten"\n', "[evaluate] trials: input should be a valid integer, not 'ten'"),
        ("[evaluate]\ntrials = true\n", "[evaluate] trials: input should be a valid integer, not True"),
        ("[evaluate]\ntrials = 0\n", "[evaluate] trials: input should be greater than or equal to 1, not 0"),
        ("[featurize]\nsize = 20\n", "[featurize]: a size under 32 px is smaller"),
        ("[featurize]\nsize = 512\num_per_px = 0.5\n", "[featurize]: size and um_per_px exclude each other; give one"),
        ('[featurize]\nencoders = ["mean", "gramm"]\n', "[featurize] encoders"),
        ('[featurize]\nmax_rejected = "lots"\n', "[featurize]: max_rejected lots: write a share"),
        ("evaluate = 3\n", "[evaluate] is a table; write its keys below a line [evaluate]"),
        ('[evaluate]\nencoders = ["vlad"]\n', "[evaluate] encoders has vlad, but there is no table [vlad]"),
        ('[featurize]\nencoders = ["mean"]\n[evaluate]\nencoders = ["max"]\n', "[evaluate] encoders has max, which"),
        (
            '[featurize]\nlayers = ["conv4_3"]\n[evaluate]\nlayers = ["all"]\n',
            "[evaluate] wants mean at conv1_2, which [featurize] layers does not have",
        ),
        (
            '[vlad]\nlayers = ["conv4_3"]\n[evaluate]\ngrid = "paper"\n',
            "[evaluate] wants vlad at conv1_2, which [vlad] layers does not have",
        ),
        ('[evaluate]\ntask = "regression"\nclassifier = "svm"\n', "[evaluate]: classifier svm does no regression"),
        ('[evaluate]\ngrid = "paper"\nlayers = ["conv4_3"]\n', "[evaluate]: grid and layers exclude each other"),
        ("[evaluate]\nstrict = true\n", "[evaluate] strict is about VLAD"),
        ("[compare]\nconfidence = 95\n", "[compare] confidence: input should be less than 1, not 95"),
        ("[vlad]\nsample = 0\n", "[vlad]: sample: a sample of no image"),
        ('[index]\nwhere = ["phase"]\n', "[index]: "),
        ("[index\n", "not TOML: "),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path: Path, text: str, expected: str):
    # A key after a table would belong to the table.
    wrong = f"{text}{MINIMAL}" if text.startswith("evaluate =") else f"{MINIMAL}{text}"
    assert problem(tmp_path, wrong).startswith(expected)


def test_what_is_missing_is_named(tmp_path: Path):
    assert problem(tmp_path, 'dataset = "steel"\n') == "archive is missing"
    assert problem(tmp_path, 'dataset = "Steel"\narchive = "a"\n').startswith("dataset 'Steel': not allowed")
    assert problem(tmp_path, 'dataset = "steel"\narchive = "a"\n').startswith("names no store; add store")
    assert "{home} stands for nothing" in problem(tmp_path, MINIMAL.replace("/archive", "{home}/archive"))


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path):
    with pytest.raises(UsageError, match=r"nowhere.toml: no such file, .* those are demo, ling2017-powder"):
        load_recipe(str(tmp_path / "nowhere.toml"))
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8 text"):
        load_recipe(str(tmp_path / "b.toml"))
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        load_recipe(str(tmp_path))


def test_the_store_of_the_command_line_counts_and_stands_for_its_place(tmp_path: Path):
    text = 'dataset = "steel"\narchive = "{store}-archive"\nstore = "/one"\n[index]\nlabels = "{store}-archive/l.csv"\n'
    path = write(tmp_path, text)
    assert load_recipe(path).archive == "/one-archive"
    recipe = load_recipe(path, store_url="s3://lab/two/", address="auto")
    assert (recipe.archive, recipe.address) == ("s3://lab/two-archive", "auto")
    assert recipe.index.labels == "s3://lab/two-archive/l.csv"


def test_the_digest_is_of_what_comes_out_and_not_of_where_it_runs(tmp_path: Path):
    digest = recipe_digest(load_recipe(write(tmp_path, MINIMAL)))
    assert recipe_digest(load_recipe(write(tmp_path, MINIMAL), address="auto")) == digest
    assert recipe_digest(load_recipe(write(tmp_path, MINIMAL + "[require]\ngpus = 2\n"))) == digest
    assert recipe_digest(load_recipe(write(tmp_path, MINIMAL + "[compare]\nworse_by = 0.02\n"))) != digest
    assert recipe_digest(load_recipe(write(tmp_path, MINIMAL + "[featurize]\nsize = 256\n"))) != digest


def test_recipes_that_come_along_are_valid_and_found_by_name():
    names = shipped_recipes()
    assert {"demo", "steel", "ling2017-titanium", "ling2017-steel", "ling2017-powder"} <= set(names)
    for name in names:
        recipe = load_recipe(name, store_url="/store")
        assert load_recipe(f"{name}.toml", store_url="/store") == recipe
        featurize_request(recipe)
        evaluation_request(recipe, "s", None)


def test_a_folder_that_is_called_like_a_recipe_is_none(tmp_path: Path, monkeypatch):
    """Such as the demo's own store."""
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_recipe("demo", store_url="demo").dataset == "powder"


def test_the_paper_s_settings_are_those_of_the_paper():
    """Ling et al. 2017: titanium at 512 px, steel and powders as they are; VLAD at 255 px with 32 words; 400 trees."""
    pixels = {}
    for name in ("titanium", "steel", "powder"):
        recipe = load_recipe(f"ling2017-{name}", store_url="/store")
        assert recipe.vlad is not None
        learning, vlad = recipe.vlad.learning(), sample_request(recipe, recipe.vlad).pixels
        assert (vlad.size, vlad.fit, vlad.resize) == ("255x255", "stretch", "nearest")
        assert (learning.num_words, learning.all_positions) == (32, True)
        assert learning.share == (0.2 if name == "powder" else 1.0)
        asked = evaluation_request(recipe, "s", "v")
        assert (asked.paper_grid, asked.trees, asked.folds, asked.trials) == (True, 400, 3, 10)
        assert asked.encoders == ("mean", "max", "gram", "vlad")
        pixels[name] = featurize_request(recipe).pixels
    assert (pixels["titanium"].size, pixels["titanium"].fit, pixels["titanium"].resize) == (
        "512x512",
        "stretch",
        "nearest",
    )
    assert pixels["steel"].size == pixels["powder"].size == "native"


def test_the_command_ends_with_2_and_one_line(tmp_path: Path):
    result = CliRunner().invoke(command, [write(tmp_path, MINIMAL + "[index]\nlabel = 1\n")])
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "[index] label: no such key; did you mean label" in result.stderr
