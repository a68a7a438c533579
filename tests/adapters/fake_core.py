"""A core that answers as it is told, and a shell that does its jobs when it is told."""

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field

from distcache.core.config import Config
from distcache.core.effects import Effect
from distcache.core.events import Event
from distcache.core.hits import Hit
from distcache.core.oci import Digest, Time
from distcache.core.pull import Pull, RangeSpec, Span
from distcache.driver import TokenCall, Transfer

Script = Callable[[Event], list[Effect]]


@define(eq=False)
class FakeCore:
    """`script` gives the effects of an event. Entered twice it fails."""

    script: Script = field(default=lambda event: [])
    events: list[Event] = field(factory=list)
    deadline: Time | None = None
    late: int = 0
    busy: bool = False

    def handle(self, event: Event, now: Time) -> list[Effect]:
        assert not self.busy, "re-entered"
        self.busy = True
        try:
            self.events.append(event)
            return self.script(event)
        finally:
            self.busy = False

    def sizes(self) -> dict[Digest, int]:
        return {}

    def whole(self, pull: Pull, now: Time) -> Hit | None:
        return None

    def part(self, pull: Pull, specs: Sequence[RangeSpec], now: Time) -> tuple[Hit, Span] | None:
        return None

    def begin(self, exchange: int, pull: Pull, now: Time) -> Hit | None:
        return None

    def next_deadline(self) -> Time | None:
        return self.deadline

    def configure(self, config: Config) -> None:
        raise AssertionError("these tests never change the configuration")


@define(eq=False)
class FakeShell:
    jobs: list[tuple[Callable[[], Any], Callable[[Any], None]]] = field(factory=list)
    fetches: list[Transfer] = field(factory=list)
    tokens: list[TokenCall] = field(factory=list)
    armed: list[Time | None] = field(factory=list)

    def start_fetch(self, transfer: Transfer) -> None:
        self.fetches.append(transfer)

    def start_token(self, call: TokenCall) -> None:
        self.tokens.append(call)

    def run_job(self, job: Callable[[], Any], then: Callable[[Any], None]) -> None:
        self.jobs.append((job, then))

    def arm(self, deadline: Time | None) -> None:
        self.armed.append(deadline)

    def work(self, limit: int = 100) -> int:
        """Do jobs, in order, until there are none or so many are done; how many were."""
        done = 0
        while self.jobs and done < limit:
            job, then = self.jobs.pop(0)
            then(job())
            done += 1
        return done
