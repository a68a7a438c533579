"""One client's connection without its socket: requests in, answers out, one after the other.

An adapter asks for the next `step` and does it, waiting where it must; asking again says that
it is done. What is stored and open needs no wait but the writing itself, so that an adapter
can go from a request's bytes to its answer's in one breath.

    bytes           write them all
    SendFile        write `before`, then this part of the file; `lost` when it cannot be read
    Pause.BYTES     `receive` what the client sends, or close when `deadline` has come
    Pause.WORD      wait for `wake`; unless `full`, `receive` what comes meanwhile
    Pause.LINGER    end our side, let the client close its own, then close
    Pause.END       close

Whatever ends the connection, and whenever: `close`, once.
"""

import math
from collections.abc import Callable
from time import perf_counter

from ..access import Allowed, Check, Refused, Verdict
from ..core.effects import Blame, Code
from ..core.pull import Pull
from ..wire.plain import Request
from ..wire.replies import ROOT, Reply, refusal
from ..wire.server import Reject, ServerWire, Signal
from .answering import Answering
from .checks import Ticket
from .service import Service
from .shortcut import Given
from .steps import Ending, Parts, Pause, SendFile, Step
from .streaming import Stream
from .telling import Line

LOOP = refusal(508, Code.UNAVAILABLE, "this request has been here before: caches in a circle")
"""RFC 5842 §7.2."""


class Dialogue:
    """`subject` is that of the client's verified certificate; set it before the first step.
    `wake` is called, on the loop's thread, when there is something new after Pause.WORD; it
    must not ask for a step before it returns. `deadline` is on the loop's clock. `idle`: no
    byte of a next request has come."""

    def __init__(self, client: str, service: Service, wake: Callable[[], None]) -> None:
        self.deadline = math.inf
        self.idle = False
        self.subject: str | None = None
        self._client = client
        self._service = service
        self._wake = wake
        self._wire = ServerWire()
        self._next: Callable[[], Step] = self._listen
        self._partial = False
        self._between = False
        self._given: Given | Stream | None = None
        self._begun = 0.0
        self._line: Line | None = None
        self._answer: Answering | None = None
        self._ticket: Ticket | None = None
        self._verdict: Verdict | None = None

    @property
    def full(self) -> bool:
        """So much has come that no more should be read for now."""
        return self._wire.full

    def step(self) -> Step:
        """What is to be done next; the step before is done."""
        return self._next()

    def at_once(self, data: bytes) -> bytes | Parts | SendFile | None:
        """What the client sent after Pause.BYTES: the whole answer, if it is there without
        further steps. Write it, and ask for the next step when it is out; if not all of a SendFile
        goes at once, say so by `lasts` before anything else. None: `receive` it."""
        if not self._between:
            return None
        service = self._service
        answer: bytes | Parts | SendFile
        if (given := service.shortcut.find(data, self.subject)) is not None:
            self._given, answer = given
        elif (stream := service.streaming.find(data, self.subject)) is not None:
            self._given, answer = stream
        else:
            return None
        self._begun = perf_counter()
        self._wire.skip()
        self.idle = False
        self._next = self._gone_at_once
        return answer

    def lasts(self) -> None:
        """The SendFile that was given at once is to be gone on with."""
        assert isinstance(self._given, Stream)
        self._given.lasts()

    def receive(self, data: bytes) -> None:
        """From the client; empty: it will send no more. One that says so before it has its
        answer is taken for gone, as it cannot be told apart."""
        self._wire.receive(data)
        self.idle = self._between = False
        if not data and (self._answer is not None or self._ticket is not None):
            self._next = _end

    def lost(self, error: Exception) -> None:
        """The file of the SendFile could not be read to its end."""
        given = self._given
        if isinstance(given, Stream):
            given.lost(error)
            self._next = _end
            return
        assert self._answer is not None
        self._answer.lost(error)

    def close(self, why: Ending = Ending.GONE) -> bool:
        """The connection is over, `why` as far as we have not said so. True: let the client see an
        error rather than an end, which to one of HTTP/1.0 may be the end of the body."""
        self._next = _end
        self.idle = False
        answer = self._answer
        self._end_answer(why)
        return answer is not None and not answer.pull.chunked

    # A request

    def _listen(self) -> Step:
        """Between two requests, and before the first."""
        self._next = self._read
        self._partial = False
        if self._wire.pending and (found := self._wire.next()) is not Signal.NEED_DATA:
            return self._found(found)
        service = self._service
        if service.draining:
            return Pause.END
        if self._wire.begun:
            # It came together with the request before.
            return self._await_rest(service)
        return self._await_first(service)

    def _await_first(self, service: Service) -> Step:
        self.idle = True
        # A pull's span begins before it is decided.
        self._between = service.tracing is None and self._wire.between
        self.deadline = service.time() + service.timeouts.idle
        return Pause.BYTES

    def _read(self) -> Step:
        """Something has come, or the adapter asks in vain."""
        if self.idle:
            return Pause.BYTES
        found = self._wire.next()
        if found is not Signal.NEED_DATA:
            return self._found(found)
        return self._await_rest(self._service)

    def _await_rest(self, service: Service) -> Step:
        if not self._partial:
            # What has begun is to end in time, however often a byte of it comes.
            self._partial = True
            self.deadline = service.time() + service.timeouts.headers
        return Pause.BYTES

    def _found(self, found: Request | Reject | Signal) -> Step:
        if isinstance(found, Request):
            return self._begin(found)
        if isinstance(found, Reject):
            self._next = self._answered
            return self._wire.reply(found.reply, self._now())
        return Pause.END

    def _begin(self, request: Request) -> Step:
        service = self._service
        line = self._line = Line(request, silent=service.silent)
        reading = service.readings.of(request, service.router)
        if reading.circle:
            return self._reply(line, LOOP)
        line.via, line.given = reading.via, reading.id
        line.address, line.agent = self._client, reading.agent
        routed = reading.routed
        if routed is ROOT:
            return self._reply(line, ROOT)
        verdict = service.gate.judge(reading.login, reading.touches, self.subject, self._now())
        if isinstance(verdict, Check):
            ticket = service.checks.begin(verdict, self._take_verdict)
            if isinstance(ticket, Refused):
                return self._pass(line, routed, ticket)
            self._ticket = ticket
            self._next = lambda: self._checked(line, routed)
            return Pause.WORD
        return self._pass(line, routed, verdict)

    def _take_verdict(self, verdict: Verdict) -> None:
        self._verdict = verdict
        self._wake()

    def _checked(self, line: Line, routed: Pull | Reply) -> Step:
        verdict, self._verdict = self._verdict, None
        if verdict is None:
            return Pause.WORD
        self._ticket = None
        return self._pass(line, routed, verdict)

    def _pass(self, line: Line, routed: Pull | Reply, verdict: Verdict) -> Step:
        """As far as the gate lets it."""
        if not isinstance(verdict, Allowed):
            return self._reply(line, verdict.reply())
        line.who = verdict.who
        if isinstance(routed, Reply):
            return self._reply(line, routed)
        line.pull = routed
        line.trace(self._service.tracing)
        self._service.under_way.add(line)
        answer = self._answer = Answering(
            routed, line, self._wire, self._service.driver, self._wake, self._answered
        )
        self._next = answer.step
        return answer.step()

    def _reply(self, line: Line, said: Reply) -> Step:
        self._next = self._answered
        data = self._wire.reply(said, self._now())
        line.status, line.sent = said.status, self._wire.own
        return data

    def _answered(self) -> Step:
        self._end_answer()
        if self._service.draining or not self._wire.reusable:
            self._next = _end
            return Pause.LINGER
        return self._listen()

    def _gone_at_once(self) -> Step:
        given, self._given = self._given, None
        assert given is not None
        if isinstance(given, Stream):
            given.over()
        service = self._service
        if service.listened_to:
            given.tell(self._begun, self._client, service)
        if service.draining:
            self._next = _end
            return Pause.LINGER
        # All else is as it was: nothing of it has come to the wire.
        self._next = self._read
        self.idle = True
        self.deadline = service.time() + service.timeouts.idle
        return Pause.BYTES

    def _end_answer(self, why: Ending | None = None) -> None:
        """`why` it does not come to its end, where it does not."""
        given, self._given = self._given, None
        if given is not None:
            assert why is not None, given
            # Of what left from memory we do not know whether it did.
            unsent = given.line(self._begun, self._service)
            unsent.sent, unsent.aborted = 0, why.value
            if isinstance(given, Stream):
                unsent.sent, unsent.cut = given.out, given.cut
                if given.cut:
                    unsent.aborted = Blame.STORE.value
            unsent.end(self._client, self._service.on_decision)
            if isinstance(given, Stream):
                given.left()
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            ticket.left = True
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.leave()
        line, self._line = self._line, None
        if line is not None:
            # In one go with what is told of it, so that nothing is counted twice or not at all.
            self._service.under_way.discard(line)
            if why is not None:
                line.aborted = line.aborted or why.value
            line.end(self._client, self._service.on_decision)

    def _now(self) -> float:
        return self._service.driver.clock.now()


def _end() -> Step:
    return Pause.END
