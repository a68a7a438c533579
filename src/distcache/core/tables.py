"""How a machine's table is applied. A missing cell is a bug of ours, and says so at once."""

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

S = TypeVar("S", bound=Enum)
I = TypeVar("I", bound=Enum)  # noqa: E741 - the input alphabet


class MissingCellError(AssertionError):
    """The machine was given an input that its state does not know."""


def step(table: Mapping[tuple[S, I], S], state: S, put: I) -> S:
    """The next state."""
    try:
        return table[state, put]
    except KeyError:
        raise MissingCellError(f"{state} does not know {put}") from None
