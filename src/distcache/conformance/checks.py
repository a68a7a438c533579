"""Checks, and what comes of them.

A check is a function that takes a `Target`. It passes by returning, fails by raising `Failed`
(or `Broken`: the target's HTTP cannot be read), and has nothing to say by raising `Skipped`.
"""

from collections.abc import Callable
from enum import Enum
from typing import NoReturn

from attrs import define, field, frozen

from .client import Client
from .content import Content
from .messages import Answer
from .origin.server import Origin


class Level(Enum):
    """RFC 2119's words. A failed SHOULD is reported and does not fail the run."""

    MUST = "MUST"
    SHOULD = "SHOULD"


class Verdict(Enum):
    PASS = "pass"
    FAIL = "fail"
    SKIP = "skip"


class Failed(Exception):
    """The target does not do what the check is about; `answers` show it."""

    def __init__(self, message: str, *answers: Answer) -> None:
        super().__init__(message)
        self.answers = answers


class Skipped(Exception):
    """What the check needs is not there."""


@define(eq=False)
class Target:
    """What checks work with. `examples`: how many a property tries. `upstream`: where the
    cache's content comes from, `push`: whether tags may be written there. `origin`: the scripted
    upstream of this run, when the target has it as its own."""

    client: Client
    content: Content
    examples: int = 40
    upstream: Client | None = None
    push: bool = False
    origin: Origin | None = None


Run = Callable[[Target], None]


@frozen
class Check:
    """`source`: the paragraph that asks for it; `says`: what it asks for, in one sentence."""

    id: str
    level: Level
    section: str
    source: str
    says: str
    run: Run


@frozen
class Result:
    check: Check
    verdict: Verdict
    message: str = ""
    evidence: tuple[str, ...] = ()


@define
class Section:
    """Checks of one kind, in the order in which they run and are shown."""

    name: str
    checks: list[Check] = field(factory=list, init=False)

    def must(self, name: str, source: str) -> Callable[[Run], Run]:
        """Register the decorated function; its docstring is the check's sentence."""
        return self._registering(name, Level.MUST, source)

    def should(self, name: str, source: str) -> Callable[[Run], Run]:
        return self._registering(name, Level.SHOULD, source)

    def _registering(self, name: str, level: Level, source: str) -> Callable[[Run], Run]:
        def register(run: Run) -> Run:
            says = " ".join((run.__doc__ or "").split())
            assert says, f"{name} does not say what it asks for"
            self.checks.append(Check(name, level, self.name, source, says, run))
            return run

        return register


def require(condition: object, message: str, *answers: Answer) -> None:
    """Raises Failed unless `condition`."""
    if not condition:
        raise Failed(message, *answers)


def expect(answer: Answer, *statuses: int) -> Answer:
    """Raises Failed unless the answer has one of these statuses."""
    wanted = " or ".join(map(str, statuses))
    require(answer.status in statuses, f"{wanted} expected, {answer.status} came", answer)
    return answer


def skip(reason: str) -> NoReturn:
    raise Skipped(reason)
