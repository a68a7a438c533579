"""What a module of values must be: closed unions of values that do not change."""

import inspect
from enum import Enum
from types import ModuleType
from typing import Any, get_args

import attrs
import pytest
from attrs.exceptions import FrozenInstanceError


def values_of(module: ModuleType) -> set[Any]:
    """The attrs classes that the module itself defines."""
    return {
        value
        for value in vars(module).values()
        if inspect.isclass(value) and value.__module__ == module.__name__ and attrs.has(value)
    }


def assert_closed(module: ModuleType, union: Any, parts: set[Any]) -> None:
    """Each value of the module belongs to `union`, or is one of `parts` of its members."""
    assert set(get_args(union)) == values_of(module) - parts
    assert parts <= values_of(module)


def assert_frozen(module: ModuleType) -> None:
    """None of the module's values can be changed or given a field it does not have; and its
    enums are keys by identity (cheap, on the hot path)."""
    for value in values_of(module):
        with pytest.raises(FrozenInstanceError):
            value.__new__(value).anything = None
        assert "__slots__" in vars(value), value
    for name, value in vars(module).items():
        if inspect.isclass(value) and issubclass(value, Enum) and value is not Enum:
            assert value.__hash__ is object.__hash__, name
