"""A machine's table, held against its drawing: every cell, the empty ones included."""

from collections.abc import Mapping
from enum import Enum
from itertools import product
from typing import TypeVar

import pytest

from distcache.core.tables import MissingCellError, step

S = TypeVar("S", bound=Enum)
I = TypeVar("I", bound=Enum)  # noqa: E741


def assert_drawn(
    table: Mapping[tuple[S, I], S], states: type[S], inputs: type[I], drawing: str
) -> None:
    """`drawing` has a line `STATE INPUT STATE` for each cell; what it leaves out is a bug."""
    rows = [line.split() for line in drawing.strip().splitlines()]
    cells = {(states[before], inputs[put]): states[after] for before, put, after in rows}
    for state, put in product(states, inputs):
        if (state, put) in cells:
            assert step(table, state, put) is cells[state, put], (state, put)
        else:
            with pytest.raises(MissingCellError, match="does not know"):
                step(table, state, put)
