"""One client connection, sans I/O: bytes in, requests out; answers in, bytes out.

Requests that h11 has taken before in the same bytes go the short way (`plain`), all others
through h11 (`http1`). This module decides which, and holds the bytes that neither has taken.

The life of one request:
    receive(bytes) ... next() -> Request
    answer(head, pull, now), then for each piece of body sent(length), then finish()
    or reply(reply, now), which is complete
    reusable -> next() again; otherwise close
"""

from ..core.effects import AnswerHead
from ..core.pull import Pull
from . import answers, plain, urls
from .http1 import HEADER_LIMIT, Http1
from .http1 import Reject as Reject
from .http1 import Signal as Signal
from .plain import Request as Request
from .replies import Reply

_TLS_HANDSHAKE = b"\x16"
_TLS = Reply(400, b"This port speaks HTTP, not TLS.\n", "text/plain; charset=utf-8", close=True)


class ServerWire:
    def __init__(self) -> None:
        self._http1 = Http1()
        self._input = b""
        self._eof = False
        self._first = True
        self._handed_out = False
        # h11 has seen nothing of what comes next, so that `plain` may know it.
        self._clean = True
        self._plain: plain.Lane | None = None

    @property
    def full(self) -> bool:
        """Enough has been received for now. More may be given to `receive`, but a reader that
        goes on reading lets the client fill the memory."""
        return len(self._input) > HEADER_LIMIT

    @property
    def pending(self) -> bool:
        """`next` may find something without more bytes."""
        return bool(self._input) or self._eof or self._plain is None

    @property
    def begun(self) -> bool:
        """A part of the next request is here, after `next` found that it is not all of it."""
        return bool(self._input) or not self._clean

    @property
    def between(self) -> bool:
        """Nothing is under way, and no byte of what comes next is here: a request and its answer
        may go by without this being told, but for `skip`."""
        lane = self._plain
        done = lane is None or lane.complete
        return done and self._clean and not self._input and not self._eof

    def skip(self) -> None:
        """A whole request, and its answer, have gone by."""
        self._first = False

    @property
    def reusable(self) -> bool:
        """Both messages are complete and the connection may carry another request."""
        if self._plain is not None:
            return self._plain.complete
        return self._http1.reusable

    def receive(self, data: bytes) -> None:
        """Bytes from the client, at any time; empty: it will send no more."""
        self._input = self._input + data if self._input else data
        self._eof = self._eof or not data

    def next(self) -> Request | Reject | Signal:
        """The next request; only when the one before has been answered. Never raises on what
        the client sent."""
        lane = self._plain
        if self._clean and (lane is None or lane.complete):
            request = plain.known(self._input)
            if request is not None:
                # All there is, and nothing else.
                self._plain, self._input = plain.Lane(request, self._input), b""
                self._first, self._handed_out = False, True
                return request
        if self._first and self._input:
            self._first = False
            if self._input.startswith(_TLS_HANDSHAKE):
                # The client says nothing more before it has heard from us.
                return Reject(_TLS)
        if self.reusable:
            self._begin_again()
        if self._plain is not None and self._plain.begun:
            return Signal.CLOSED
        while self._clean and self._input.startswith(b"\r\n"):
            # Old clients end a body with a line end too many (RFC 9112 §2.2).
            self._input = self._input[2:]
        if self._clean and not self._eof and self._input == b"\r":
            return Signal.NEED_DATA
        head = self._head() if self._clean else None
        if head is not None and (known := plain.known(head)) is not None:
            self._plain, self._input = plain.Lane(known, head), self._input[len(head) :]
            self._handed_out = True
            return known
        return self._read(head)

    def answer(self, head: AnswerHead, pull: Pull, now: float) -> bytes:
        """The status line and header of a pull's answer, with the body where that is JSON of
        ours. On HEAD the Content-Length is that of the GET."""
        if self._plain is not None:
            start = self._plain.answer(head, pull, now)
            if start is not None:
                return start
            self._leave_to_h11(self._plain)
        _, target = urls.origin_form(self._http1.target)
        return self._http1.start(answers.answer(head, pull, target, now))

    def reply(self, said: Reply, now: float) -> bytes:
        """A complete answer."""
        if self._plain is not None:
            if not said.close:
                return self._plain.reply(said, now)
            self._leave_to_h11(self._plain)
        self._http1.close = self._http1.close or said.close
        return self._http1.start(answers.reply(said, now)) + self._http1.finish()

    @property
    def own(self) -> int:
        """Bytes of body in what the last `answer` or `reply` gave."""
        return self._http1.own if self._plain is None else self._plain.own

    def frame(self, length: int) -> tuple[bytes, bytes]:
        """What to send before and after the next `length` bytes of body, which the caller sends
        by itself: nothing, or the marks of a chunk. Raises h11.LocalProtocolError when the
        body becomes longer than announced."""
        if self._plain is not None:
            self._plain.sent(length)
            return b"", b""
        return self._http1.frame(length)

    def finish(self) -> bytes:
        """The end of the answer. Raises h11.LocalProtocolError when body bytes are missing: a
        short answer must be cut off, never ended."""
        if self._plain is not None:
            self._plain.finish()
            return b""
        return self._http1.finish()

    def _begin_again(self) -> None:
        self._handed_out = False
        if self._plain is not None:
            self._plain = None
            return
        self._input = self._http1.begin_again() + self._input
        self._clean = True

    def _head(self) -> bytes | None:
        """What the input begins with, up to an empty line."""
        end = self._input.find(b"\r\n\r\n") + 4
        return None if end == 3 else self._input[:end]

    def _read(self, head: bytes | None) -> Request | Reject | Signal:
        if self._http1.over:
            return Signal.CLOSED
        assert not self._handed_out, "the request before has not been answered"
        if self._input:
            self._clean = False
        found = self._http1.read(self._input, head, eof=self._eof)
        self._input = self._http1.left
        self._handed_out = isinstance(found, Request)
        return found

    def _leave_to_h11(self, lane: plain.Lane) -> None:
        """From here on the answer is h11's own."""
        self._plain, self._clean = None, False
        self._http1.take(lane.head)
