"""A recipe: all settings of a scheduled job, as a TOML file that is checked before anything runs."""

import difflib
import hashlib
import json
import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from jobs.recipe_tables import Recipe
from texture_store import spec
from texture_store.errors import UsageError
from texture_store.store import evaluations

FOLDER = "recipes"
STORE_PLACE = "{store}"
"""In archive and labels it stands for the store's URL."""


def load_recipe(name: str, *, store_url: str | None = None, address: str | None = None) -> Recipe:
    """A recipe by its path, or by the name of one that comes along; `store_url` and `address` count before its own.

    Raises UsageError, one line that names the file and the key.
    """
    text, source = _text(name)
    try:
        values: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{source}: not TOML: {error}") from None
    for key, value in (("store", store_url), ("address", address)):
        if value is not None:
            values[key] = value
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"{source}: {_first_problem(error)}") from None
    if recipe.store is None:
        raise UsageError(f'{source}: names no store; add store = "s3://bucket/prefix", or give --store URL')
    return _placed(recipe, recipe.store, source)


def shipped_recipes() -> list[str]:
    """Names of the recipes that come along."""
    return sorted(one.name.removesuffix(".toml") for one in _folder().iterdir() if one.name.endswith(".toml"))


def recipe_digest(recipe: Recipe) -> str:
    """12 hex digits of all that decides what comes out, but where it runs and where it is kept."""
    values = recipe.model_dump(mode="json", exclude={"address", "require", "store"})
    values["numerics"] = [spec.NUMERICS_VERSION, evaluations.NUMERICS_VERSION]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def _text(name: str) -> tuple[str, str]:
    path = Path(name)
    if not path.is_file() and re.fullmatch(r"[a-z0-9_-]+(\.toml)?", name):
        shipped = _folder().joinpath(f"{name.removesuffix('.toml')}.toml")
        if shipped.is_file():
            return shipped.read_text("utf-8"), f"recipe {name}"
    try:
        return path.read_text("utf-8"), name
    except FileNotFoundError:
        known = ", ".join(shipped_recipes())
        raise UsageError(f"{name}: no such file, and no recipe of this name comes along; those are {known}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise UsageError(f"{name}: cannot be read: {reason}") from None


def _folder() -> Any:
    return files("jobs").joinpath(FOLDER)


def _placed(recipe: Recipe, store: str, source: str) -> Recipe:
    def place(text: str | None) -> str | None:
        return text if text is None else text.replace(STORE_PLACE, store.rstrip("/"))

    for text in (recipe.archive, recipe.index.labels):
        unknown = set(re.findall(r"\{[^{}]*\}", text or "")) - {STORE_PLACE}
        if unknown:
            raise UsageError(f"{source}: {text}: {sorted(unknown)[0]} stands for nothing; there is {STORE_PLACE}")
    return recipe.model_copy(
        update={
            "archive": place(recipe.archive),
            "index": recipe.index.model_copy(update={"labels": place(recipe.index.labels)}),
        }
    )


def _first_problem(error: ValidationError) -> str:
    """The first thing that is wrong, a key that does not exist before all others, in words of the file."""
    found = error.errors(include_url=False)
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    names = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        return _unknown_key(names)
    where = _where(names)
    if first["type"] == "missing":
        return f"{where} is missing"
    if first["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return f"{where} is a table; write its keys below a line [{'.'.join(names)}]"
    reason = first["msg"].removeprefix("Value error, ")
    reason = f"{reason[:1].lower()}{reason[1:]}"
    if first["type"] == "value_error":
        return f"{where}: {reason}" if names else reason
    return f"{where}: {reason}, not {first['input']!r}"


def _unknown_key(names: list[str]) -> str:
    *above, key = names
    table = _table_of(above)
    known = list(table.model_fields) if table is not None else []
    close = difflib.get_close_matches(key, known, 1, 0.5)
    elsewhere = [name for name, keys in _keys_by_table().items() if key in keys]
    if close:
        hint = f"did you mean {close[0]}?"
    elif elsewhere:
        hint = f"it belongs below [{elsewhere[0]}]" if elsewhere[0] else "it belongs to the top of the file"
    else:
        hint = f"there are {', '.join(known)}"
    return f"{_where(names)}: no such key; {hint}"


def _table_of(names: list[str]) -> type[BaseModel] | None:
    table: type[BaseModel] = Recipe
    for name in names:
        field = table.model_fields.get(name)
        candidates = [] if field is None else [field.annotation, *get_args(field.annotation)]
        inner = [one for one in candidates if isinstance(one, type) and issubclass(one, BaseModel)]
        if not inner:
            return None
        table = inner[0]
    return table


def _keys_by_table() -> dict[str, list[str]]:
    found = {"": list(Recipe.model_fields)}
    for name in Recipe.model_fields:
        table = _table_of([name])
        if table is not None:
            found[name] = list(table.model_fields)
    return found


def _where(names: list[str]) -> str:
    if not names:
        return ""
    place = [name for name in names if not name.isdigit()]
    if place[0] not in _keys_by_table():
        return place[0]
    return " ".join([f"[{place[0]}]", *place[1:]])
