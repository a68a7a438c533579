"""What a server's connections have in common, and what is told of each answered pull."""

from collections.abc import Callable
from time import perf_counter
from typing import Protocol

from attrs import define, field, frozen

from .. import log
from ..access import Gate, Rules
from ..core.decision import Decision
from ..core.effects import AnswerHead
from ..core.pull import Pull
from ..settings import HttpTimeouts, Level
from ..wire.answers import cache_status
from ..wire.headers import Headers, only
from ..wire.plain import Request
from ..wire.replies import Reply
from .certificates import Certificates
from .checks import Checks
from .driver import Driver
from .listening import Crowd


@frozen
class Decided:
    """One answered pull: `status` as sent, `sent` bytes of body, `seconds` from the request's
    last byte to the answer's. A client that left early has been sent less than was announced."""

    pull: Pull
    decision: Decision
    status: int
    sent: int
    seconds: float
    reason: str = ""
    """Of an error, as the client was told."""


OnDecision = Callable[[Decided], None]


class Routes(Protocol):
    """What a request asks for: a pull, or an answer that needs no cache."""

    def route(
        self, method: bytes, target: bytes, headers: Headers, http_version: bytes
    ) -> Pull | Reply: ...


@define(eq=False)
class Service:
    """What connections work with. `time` is the loop's clock. `router`, `timeouts`, `gate`,
    `certificates` (None: plain HTTP is spoken) and `crowd` may be changed while they run;
    `draining`: an answer is the last one on its connection."""

    driver: Driver
    router: Routes
    timeouts: HttpTimeouts
    time: Callable[[], float]
    on_decision: OnDecision | None = None
    gate: Gate = field(factory=lambda: Gate(Rules(""), report))
    certificates: Certificates | None = None
    crowd: Crowd = field(factory=Crowd)
    draining: bool = False
    silent: bool = False
    """Nothing of it goes to the access log."""
    checks: Checks = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.checks = Checks(self.driver.run_job)


def report(message: str, fields: dict[str, str]) -> None:
    """What gates and sources of credentials have to say to the operator; from any thread."""
    log.note(Level.WARN, message, dict(fields))


@define(eq=False)
class Line:
    """What will be said of a request when it has been answered."""

    request: Request
    pull: Pull | None = None
    who: str | None = None
    via: str = ""
    head: AnswerHead | None = None
    status: int = 0
    sent: int = 0
    silent: bool = False
    begun: float = field(factory=perf_counter)

    def end(self, client: str, on_decision: OnDecision | None) -> None:
        """The access log's line, and the word to the embedding program."""
        seconds = perf_counter() - self.begun
        if not self.silent and log.access_wanted():
            request = self.request
            log.access(
                method=request.method.decode("latin-1"),
                target=request.target.decode("latin-1"),
                status=self.status,
                sent=self.sent,
                seconds=seconds,
                client=client,
                user=self.who,
                agent=only(request.headers, b"user-agent"),
                cache=None if self.head is None else cache_status(self.head.decision),
            )
        if on_decision is not None and self.pull is not None and self.head is not None:
            problem = self.head.problem
            reason = "" if problem is None else problem.message
            decided = Decided(
                self.pull, self.head.decision, self.status, self.sent, seconds, reason
            )
            try:
                on_decision(decided)
            except Exception as error:
                # The embedding program's bug is not the client's.
                log.failure("on_decision failed", error)
