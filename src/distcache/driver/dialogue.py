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

from ..wire.plain import Request
from ..wire.replies import Reply
from ..wire.server import Reject, ServerWire, Signal
from .answering import Answering
from .service import Line, Service
from .steps import Pause, Step


class Dialogue:
    """`wake` is called, on the loop's thread, when there is something new after Pause.WORD; it
    must not ask for a step before it returns. `deadline` is on the loop's clock. `idle`: no
    byte of a next request has come."""

    def __init__(self, client: str, service: Service, wake: Callable[[], None]) -> None:
        self.deadline = math.inf
        self.idle = False
        self._client = client
        self._service = service
        self._wake = wake
        self._wire = ServerWire()
        self._next: Callable[[], Step] = self._listen
        self._partial = False
        self._line: Line | None = None
        self._answer: Answering | None = None

    @property
    def full(self) -> bool:
        """So much has come that no more should be read for now."""
        return self._wire.full

    def step(self) -> Step:
        """What is to be done next; the step before is done."""
        return self._next()

    def receive(self, data: bytes) -> None:
        """From the client; empty: it will send no more. One that says so before it has its
        answer is taken for gone, as it cannot be told apart."""
        self._wire.receive(data)
        self.idle = False
        if not data and self._answer is not None:
            self._next = _end

    def lost(self, error: Exception) -> None:
        """The file of the SendFile could not be read to its end."""
        assert self._answer is not None
        self._answer.lost(error)

    def close(self) -> bool:
        """The connection is over. True: let the client see an error rather than an end, which
        to one of HTTP/1.0 may be the end of the body."""
        self._next = _end
        self.idle = False
        answer = self._answer
        self._end_answer()
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
        self.idle = True
        self.deadline = service.time() + service.timeouts.idle
        return Pause.BYTES

    def _read(self) -> Step:
        """Something has come, or the adapter asks in vain."""
        if self.idle:
            return Pause.BYTES
        found = self._wire.next()
        if found is not Signal.NEED_DATA:
            return self._found(found)
        if not self._partial:
            # What has begun is to end in time, however often a byte of it comes.
            self._partial = True
            self.deadline = self._service.time() + self._service.timeouts.headers
        return Pause.BYTES

    def _found(self, found: Request | Reject | Signal) -> Step:
        if isinstance(found, Request):
            return self._begin(found)
        if isinstance(found, Reject):
            self._next = self._answered
            return self._wire.reply(found.reply, self._now())
        return Pause.END

    def _begin(self, request: Request) -> Step:
        line = self._line = Line(request)
        asked = self._service.router.route(
            request.method, request.target, request.headers, request.http_version
        )
        if isinstance(asked, Reply):
            line.status, line.sent = asked.status, len(asked.body)
            self._next = self._answered
            return self._wire.reply(asked, self._now())
        line.pull = asked
        answer = self._answer = Answering(
            asked, line, self._wire, self._service.driver, self._wake, self._answered
        )
        self._next = answer.step
        return answer.step()

    def _answered(self) -> Step:
        self._end_answer()
        if self._service.draining or not self._wire.reusable:
            self._next = _end
            return Pause.LINGER
        return self._listen()

    def _end_answer(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.leave()
        line, self._line = self._line, None
        if line is not None:
            line.end(self._client, self._service.on_decision)

    def _now(self) -> float:
        return self._service.driver.clock.now()


def _end() -> Step:
    return Pause.END
