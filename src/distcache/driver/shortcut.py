"""Requests that are complete hits, answered without a dialogue's steps: bytes to bytes.

The request's head is one that h11 has taken whole before, its pull one that the core answers from
the store alone, the body small and in an open file. The core decides each time, and the gate where
anything but the asking counts. All else is left to the dialogue, which would give the same bytes
and lines of the log: a property that the tests hold (tests/test_shortcut.py).
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from attrs import define, field

from .. import log
from ..access import Allowed, Gate
from ..core.pull import Pull
from ..wire import plain
from ..wire.memo import HEADS, Memo
from .asking import new_id
from .reading import Reading, Routes
from .steps import Parts
from .telling import Line, in_the_log

if TYPE_CHECKING:
    from ..core.effects import AnswerHead
    from ..core.hits import Hit
    from ..wire.plain import Request
    from .service import Service

SMALL = 64 * 1024
"""Bytes of body that leave from memory, with the head."""

KEPT = 8 * 1024
"""Bytes of a body whose answer is kept for as long as its second lasts: most manifests."""


@define(eq=False)
class Complete:
    """A pull that the store alone answers, of which `sent` bytes are body. `who` is told it. Of a
    stream with a part, `pull` and `hit` are those that another part has as well."""

    request: Request
    pull: Pull
    who: str | None
    id: str
    hit: Hit
    sent: int

    @property
    def asked(self) -> Pull:
        return self.pull

    @property
    def head(self) -> AnswerHead:
        return self.hit.head

    def line(self, begun: float, service: Service) -> Line:
        """What will be said of it; `begun` by perf_counter."""
        head = self.head
        return Line(
            self.request,
            self.asked,
            self.who,
            given=self.id,
            head=head,
            status=head.status,
            sent=self.sent,
            silent=service.silent,
            begun=begun,
        )


@define(eq=False)
class Given(Complete):
    """One answer, as it is for one second: the body is in `answer` unless it is `apart`."""

    second: int
    answer: bytes
    apart: bool
    _said: log.Answered | None = field(default=None, init=False)

    def tell(self, begun: float, client: str, service: Service) -> None:
        """Whoever listens; as its `line` would."""
        if service.on_decision is not None:
            self.line(begun, service).end(client, service.on_decision)
            return
        said = self._said
        if said is None:
            said = self._said = in_the_log(self.line(begun, service))
        log.access(said, client, perf_counter() - begun, self.id or new_id())


@define(eq=False)
class Ready:
    """What is known of one head. With this `gate` nobody has to be judged again. `ranged`: it has
    a Range that is not the only one, or not spelt as most are."""

    reading: Reading
    router: Routes
    pull: Pull
    ranged: bool
    gate: Gate | None = None
    who: str | None = None
    given: Given | None = None
    frame: tuple[Hit, plain.Frame] | None = None
    """What heads of parts have in common, by the answer that they are made from."""


class Shortcut:
    """Of one service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._known: Memo[int, Ready] = Memo(HEADS)
        self._now = service.driver.clock.now
        self._whole = service.driver.whole

    def find(self, data: bytes, subject: str | None) -> tuple[Given, bytes | Parts] | None:
        """The answer to `data`, from a client with a certificate of `subject`, and all of its
        bytes; its pull counts as answered. None: nothing has happened."""
        request = plain.exactly(data)
        if request is None:
            return None
        service = self._service
        ready = self._known.get(id(request))
        if ready is None or ready.router is not service.router:
            ready = self._prepare(request)
            if ready is None:
                return None
        now = self._now()
        judged = service.gate is ready.gate and subject is None
        if not judged and not self._passes(ready, subject, now):
            return None
        hit = self._whole(ready.pull, now)
        if hit is None:
            return None
        given, second = ready.given, int(now)
        if (
            given is None
            or given.hit is not hit
            or given.second != second
            or given.who != ready.who
        ):
            given = self._render(ready, hit, now)
        if given is None or not given.apart:
            return None if given is None else (given, given.answer)
        body = self._body(hit)
        return None if body is None else (given, (given.answer, body))

    def ready(self, request: Request, subject: str | None) -> Ready | None:
        """What is known of this head, if its client may ask for that now."""
        ready = self._known.get(id(request))
        if ready is None or ready.router is not self._service.router:
            ready = self._prepare(request)
        if ready is None:
            return None
        if self._service.gate is ready.gate and subject is None:
            return ready
        return ready if self._passes(ready, subject, self._now()) else None

    def _prepare(self, request: Request) -> Ready | None:
        service = self._service
        reading = service.readings.of(request, service.router)
        # Through whom it came is for upstream to hear.
        if reading.circle or reading.via or not isinstance(reading.routed, Pull):
            return None
        ranged = any(name == b"range" for name, _ in request.headers)
        ready = Ready(reading, service.router, reading.routed, ranged)
        self._known.put(id(request), ready)
        return ready

    def _passes(self, ready: Ready, subject: str | None, now: float) -> bool:
        gate, reading = self._service.gate, ready.reading
        verdict = gate.judge(reading.login, reading.touches, subject, now)
        if not isinstance(verdict, Allowed):
            return False
        ready.who = verdict.who
        ready.gate = None if gate.wants_login or subject is not None else gate
        return True

    def _render(self, ready: Ready, hit: Hit, now: float) -> Given | None:
        """None: not all of it is at hand, or it is too much."""
        length = 0 if hit.span is None else hit.span.stop - hit.span.start
        apart = length > KEPT
        body = self._body(hit) if length and not apart else b""
        if length > SMALL or body is None:
            return None
        request, reading = ready.reading.request, ready.reading
        lane = plain.Lane(request, b"")
        start = lane.answer(hit.head, ready.pull, now)
        if start is None:
            return None
        lane.sent(length)
        lane.finish()
        who, answer = ready.who, start + body
        given = Given(request, ready.pull, who, reading.id, hit, length, int(now), answer, apart)
        ready.given = given
        return given

    def _body(self, hit: Hit) -> bytes | None:
        assert hit.span is not None
        return self._service.driver.read(hit.digest, hit.span)
