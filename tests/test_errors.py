"""Errors cross processes, and say which builtin they are."""

import inspect
import pickle

import pytest

from texture_store import errors

CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if cls.__module__ == errors.__name__]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_survives_pickling_with_its_message(cls):
    error = pickle.loads(pickle.dumps(cls("the thing, the reason, what to do")))
    assert type(error) is cls
    assert str(error) == "the thing, the reason, what to do"


def test_every_error_has_the_common_root_and_says_when_it_is_raised():
    for cls in CLASSES:
        assert issubclass(cls, errors.TextureStoreError)
        assert cls.__doc__


def test_every_error_is_drawn_in_the_tree():
    for cls in CLASSES:
        assert cls.__name__ in (errors.__doc__ or "")


def test_every_rejection_names_its_stage():
    for cls in CLASSES:
        if issubclass(cls, errors.RejectedImageError):
            assert cls.stage in ("decode", "intensity", "scale", "isolation")
