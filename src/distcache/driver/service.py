"""What a server's connections have in common, and what is told of each answered pull."""

from collections.abc import Callable
from time import perf_counter

from attrs import define, field, frozen

from .. import log
from ..core.decision import Decision
from ..core.effects import AnswerHead
from ..core.pull import Pull
from ..settings import HttpTimeouts
from ..wire.answers import cache_status
from ..wire.headers import only
from ..wire.plain import Request
from ..wire.routes import Router
from .driver import Driver


@frozen
class Decided:
    """One answered pull: `status` as sent, `sent` bytes of body, `seconds` from the request's
    last byte to the answer's. A client that left early has been sent less than was announced."""

    pull: Pull
    decision: Decision
    status: int
    sent: int
    seconds: float


OnDecision = Callable[[Decided], None]


@define(eq=False)
class Service:
    """What connections work with. `time` is the loop's clock. `router` and `timeouts` may be
    changed while they run; `draining`: an answer is the last one on its connection."""

    driver: Driver
    router: Router
    timeouts: HttpTimeouts
    time: Callable[[], float]
    on_decision: OnDecision | None = None
    draining: bool = False


@define(eq=False)
class Line:
    """What will be said of a request when it has been answered."""

    request: Request
    pull: Pull | None = None
    head: AnswerHead | None = None
    status: int = 0
    sent: int = 0
    begun: float = field(factory=perf_counter)

    def end(self, client: str, on_decision: OnDecision | None) -> None:
        """The access log's line, and the word to the embedding program."""
        seconds = perf_counter() - self.begun
        if log.access_wanted():
            request = self.request
            log.access(
                method=request.method.decode("latin-1"),
                target=request.target.decode("latin-1"),
                status=self.status,
                sent=self.sent,
                seconds=seconds,
                client=client,
                agent=only(request.headers, b"user-agent"),
                cache=None if self.head is None else cache_status(self.head.decision),
            )
        if on_decision is not None and self.pull is not None and self.head is not None:
            decided = Decided(self.pull, self.head.decision, self.status, self.sent, seconds)
            try:
                on_decision(decided)
            except Exception as error:
                # The embedding program's bug is not the client's.
                log.failure("on_decision failed", error)
