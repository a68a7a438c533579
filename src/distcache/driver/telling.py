"""What is told of each answered pull: to the access log, to who traces it, and to the program
around us."""

from collections.abc import Callable
from time import perf_counter

from attrs import define, field, frozen

from .. import log
from ..core.decision import Decision
from ..core.effects import AnswerHead
from ..core.pull import Client, Pull
from ..wire.answers import cache_status
from ..wire.headers import only
from ..wire.memo import HEADS, Memo, common
from ..wire.plain import Request
from .asking import new_id
from .tracing import TraceSpan, Tracing, begin_pull


@frozen
class Decided:
    """One answered pull: `status` as sent, `sent` bytes of body, `seconds` from the request's
    last byte to the answer's. A client that left early has been sent less than was announced, and
    so has one whose answer was cut off; `status` is 0 when that was before its head had left."""

    pull: Pull
    decision: Decision
    status: int
    sent: int
    seconds: float
    reason: str = ""
    """Of an error, as the client was told; of an answer that was cut off, why."""
    cut: bool = False


OnDecision = Callable[[Decided], None]


@define(eq=False)
class Line:
    """What will be said of a request when it has been answered."""

    request: Request
    pull: Pull | None = None
    who: str | None = None
    via: str = ""
    given: str = ""
    """The id that the client gave it."""
    address: str = ""
    """The client's, with its port."""
    agent: str | None = None
    head: AnswerHead | None = None
    status: int = 0
    sent: int = 0
    cut: str = ""
    """Why the answer was cut off, if it was."""
    aborted: str = ""
    """By whom it was ended before it was complete, if it was: see `Ending` and `Blame`."""
    silent: bool = False
    span: TraceSpan | None = None
    begun: float = field(factory=perf_counter)

    @property
    def name(self) -> str:
        """The request's id, which upstream is told too."""
        if not self.given:
            self.given = new_id()
        return self.given

    @property
    def client(self) -> Client:
        """Who asks, as the cache remembers it: without the port, which is the connection's."""
        return Client(self.address.rpartition(":")[0] or self.address, self.who, self.agent)

    def trace(self, tracing: Tracing | None) -> None:
        """Begin its span, where there is somebody to tell."""
        if tracing is not None:
            request = self.request
            self.span = begin_pull(tracing, request.method, request.target, request.headers)

    def end(self, client: str, on_decision: OnDecision | None) -> None:
        """The access log's line, and the word to the embedding program."""
        seconds = perf_counter() - self.begun
        if not self.silent and log.access_wanted():
            log.access(in_the_log(self), client, seconds, self.name)
        if self.span is not None:
            self._end_span(self.span)
        if on_decision is not None and self.pull is not None and self.head is not None:
            problem = self.head.problem
            reason = self.cut or ("" if problem is None else problem.message)
            decided = Decided(
                self.pull,
                self.head.decision,
                self.status,
                self.sent,
                seconds,
                reason,
                cut=self.cut != "",
            )
            try:
                on_decision(decided)
            except Exception as error:
                # The embedding program's bug is not the client's.
                log.failure("on_decision failed", error)

    def _end_span(self, span: TraceSpan) -> None:
        if self.head is None:
            span.end({"distcache.request_id": self.name}, "the client left")
            return
        problem = self.head.problem
        attributes: dict[str, str | int] = {
            "distcache.request_id": self.name,
            "distcache.cache_status": cache_status(self.head.decision),
            "http.response.status_code": self.status,
            "http.response.body.size": self.sent,
        }
        # What the client did wrong is no error of the server's (OpenTelemetry, HTTP spans).
        failed = problem is not None and self.status >= 500
        span.end(attributes, self.cut or (problem.message if failed and problem else ""))


def in_the_log(line: Line) -> log.Answered:
    """What its line in the access log says, but for client, id and duration."""
    return _lines.of(line)


class _Lines:
    """What was said of requests like this one. The wire hands out the same object for the same
    common head, and the core for the same decision, given again: they are known by that, and held
    on to."""

    def __init__(self) -> None:
        self._known: Memo[tuple[int, int, int, int, str | None], _Said] = Memo(HEADS)

    def of(self, line: Line) -> log.Answered:
        if line.aborted:
            return _answered(line)
        decision = None if line.head is None else line.head.decision
        key = (id(line.request), id(decision), line.status, line.sent, line.who)
        known = self._known.get(key)
        if known is None:
            known = _Said(line.request, decision, _answered(line))
            if common(line.request.target, line.request.headers):
                self._known.put(key, known)
        return known.answered


@frozen(eq=False)
class _Said:
    request: Request
    decision: Decision | None
    answered: log.Answered


def _answered(line: Line) -> log.Answered:
    request, head = line.request, line.head
    return log.answered(
        method=request.method.decode("latin-1"),
        target=request.target.decode("latin-1"),
        status=line.status,
        sent=line.sent,
        user=line.who,
        agent=only(request.headers, b"user-agent"),
        cache=None if head is None else cache_status(head.decision),
        aborted=line.aborted or None,
        reason=line.cut or None,
    )


_lines = _Lines()
