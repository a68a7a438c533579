"""The mouths. Each module has `one_input(data)`, which returns for every input or raises what is
to be mended, and `WORDS`, pieces of the language that mutation would take long to come upon."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Protocol, cast

NAMES = tuple(sorted(module.name for module in iter_modules(__path__)))

CORPUS = Path(__file__).parents[1] / "corpus"
"""Of each target a directory, one input in a file."""


class Target(Protocol):
    WORDS: Sequence[bytes]

    @staticmethod
    def one_input(data: bytes) -> None: ...


def load(name: str) -> Target:
    return cast("Target", import_module(f"{__name__}.{name}"))
