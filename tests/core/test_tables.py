"""A table is applied as it is written, and what it leaves out is a bug."""

from enum import Enum

import pytest

from distcache.core.tables import MissingCellError, step


class Light(Enum):
    RED = 1
    GREEN = 2


class Button(Enum):
    PRESSED = 1
    HELD = 2


TABLE = {(Light.RED, Button.PRESSED): Light.GREEN, (Light.GREEN, Button.PRESSED): Light.RED}


def test_a_cell_gives_the_next_state() -> None:
    assert step(TABLE, Light.RED, Button.PRESSED) is Light.GREEN
    assert step(TABLE, Light.GREEN, Button.PRESSED) is Light.RED


def test_a_missing_cell_is_named_and_hides_no_other_error() -> None:
    with pytest.raises(MissingCellError, match=r"Light\.RED does not know Button\.HELD") as caught:
        step(TABLE, Light.RED, Button.HELD)
    assert isinstance(caught.value, AssertionError)
    assert caught.value.__suppress_context__
