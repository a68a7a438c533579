"""How a command fails: in sentences for people or, with `--json`, as one object. Both go to
standard error, as standard output is for what was asked."""

import json
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import NoReturn

from attrs import asdict, frozen

from ..settings import SettingsError


@frozen
class Trouble:
    """`where`: a file, a URL, an option, or a place in the configuration as `$.path`. `hint`: what
    may be done about it."""

    what: str
    where: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        place = "" if self.where is None else f"{self.where}: "
        return f"{place}{self.what}" + ("" if self.hint is None else f"; {self.hint}")


class Failed(Exception):
    """Ends the command with an exit status."""

    def __init__(self, troubles: Sequence[Trouble], status: int) -> None:
        super().__init__("\n".join(map(str, troubles)))
        self.troubles = troubles
        self.status = status


def fail(what: str, status: int, *, where: object = None, hint: str | None = None) -> NoReturn:
    """See Trouble."""
    raise Failed([Trouble(what, None if where is None else str(where), hint)], status)


def tell(failed: Failed | SettingsError, *, as_json: bool) -> int:
    """Say what went wrong; the exit status."""
    if isinstance(failed, SettingsError):
        troubles: Sequence[Trouble] = [Trouble(one.message, one.path) for one in failed.problems]
        status, text = 2, str(failed)
    else:
        troubles, status = failed.troubles, failed.status
        text = "\n".join(f"distcache: {one}" for one in troubles)
    if as_json:
        text = json.dumps({"errors": [asdict(one) for one in troubles]}, indent=2)
    print(text, file=sys.stderr)
    return status


def wants_json(words: Sequence[str]) -> bool:
    """Whether a command line, from the command's name on, asks for it: also of one that cannot be
    understood otherwise."""
    if words[:1] == ["conformance"]:
        # There it names a file; only what goes to standard output is somebody's input.
        return "--json=-" in words or ("--json", "-") in pairwise(words)
    return "--json" in words[: words.index("--") if "--" in words else None]
