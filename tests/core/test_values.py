"""A changed copy of a frozen value is what attrs would have made."""

from typing import Any

import attrs
import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from distcache.core.values import evolve


@frozen
class Small:
    a: int
    b: str = "b"


@frozen(slots=False)
class Wide:
    a: int
    b: str = "b"


CHANGES = st.fixed_dictionaries({}, optional={"a": st.integers(), "b": st.text()})


@settings(deadline=None, derandomize=True)
@given(st.sampled_from([Small, Wide]), st.integers(), st.text(), CHANGES)
def test_it_agrees_with_attrs(kind: Any, a: int, b: str, changes: dict[str, Any]) -> None:
    value = kind(a, b)
    changed = evolve(value, **changes)
    assert changed == attrs.evolve(value, **changes)
    assert hash(changed) == hash(attrs.evolve(value, **changes))
    assert type(changed) is kind
    assert value == kind(a, b), "the original stays as it is"


@pytest.mark.parametrize("kind", [Small, Wide])
def test_the_copy_is_frozen_and_its_own(kind: Any) -> None:
    value = kind(1)
    copy = evolve(value)
    assert copy == value
    assert copy is not value
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        copy.a = 2
