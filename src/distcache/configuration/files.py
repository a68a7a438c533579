"""Files that a configuration names, looked at when it is read."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..watched import FileProblem, contents
from .tree import Problem

T = TypeVar("T")


def parsed(name: str, parse: Callable[[bytes], T], path: str, problems: list[Problem]) -> T | None:
    """What `parse` makes of the file called `name`, given at `path` of the configuration; None
    when it cannot be used, which is added to `problems`. `parse` raises ValueError."""
    try:
        data = contents(Path(name))
        return parse(data)
    except FileProblem as problem:
        problems.append(Problem(str(problem), path))
    except ValueError as error:
        problems.append(Problem(f"{name}: {error}", path))
    return None


def exposed(name: str) -> bool:
    """Whether every user of the machine can read the file."""
    try:
        return bool(Path(name).stat().st_mode & 0o004)
    except OSError:
        return False
