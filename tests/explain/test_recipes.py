import re
from dataclasses import fields, replace

import pytest

from texture_store.errors import UsageError
from texture_store.explain.recipes import BETTER, PAPER, RECIPES, find_recipe


def test_equal_recipes_have_equal_keys_and_every_setting_changes_the_key() -> None:
    assert replace(BETTER).key == BETTER.key
    for field in fields(BETTER):
        value = getattr(BETTER, field.name)
        other = value + "x" if isinstance(value, str) else value + 1
        assert replace(BETTER, **{field.name: other}).key != BETTER.key, field.name


def test_a_key_can_name_a_folder() -> None:
    for recipe in RECIPES.values():
        assert re.fullmatch(r"[a-z][a-z0-9]*-[0-9a-f]{20}", recipe.key)
        assert recipe.key.startswith(recipe.name)


def test_the_papers_recipe_is_the_keras_examples() -> None:
    assert (PAPER.side_px, PAPER.steps, PAPER.starts, PAPER.jitter_px, PAPER.softness) == (128, 20, 1, 0, 0)
    assert PAPER.contrast == 0.1 * 255
    assert not PAPER.is_grey


def test_recipes_are_found_by_name_and_others_refused_with_the_names_there_are() -> None:
    assert find_recipe("paper") is PAPER
    assert find_recipe("better") is BETTER
    with pytest.raises(UsageError, match=r"'best'.*paper better"):
        find_recipe("best")
