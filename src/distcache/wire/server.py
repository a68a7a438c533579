"""One client connection, sans I/O: bytes in, requests out; answers in, bytes out.

h11 parses and frames, except for what it did with the same bytes before (`plain`). This
module adds what a server must decide by itself: how large a header may be, what becomes of
request bodies (a registry's pulls have none), when a connection may carry another request,
and what a client is told whose bytes are no request.

The life of one request:
    receive(bytes) ... next() -> Request
    answer(head, pull, now), then for each piece of body sent(length), then finish()
    or reply(reply, now), which is complete
    reusable -> next() again; otherwise close
"""

from enum import Enum
from http import HTTPStatus
from typing import cast

import h11
from attrs import frozen

from ..core.effects import AnswerHead, Code
from ..core.pull import Pull
from . import answers, plain, urls
from .answers import Answer
from .headers import folded
from .plain import Request as Request
from .replies import Reply, refusal

HEADER_LIMIT = 64 * 1024
"""Bytes of request line and header fields. Bearer tokens of cloud registries pass 16 KiB, and
podman sends Range headers of 14 KiB; nginx is set to 128 KiB in such places."""

BODY_LIMIT = 64 * 1024
"""Bytes of a request body that are read and dropped to keep the connection; with more to come
it is closed after the answer."""

_TLS_HANDSHAKE = b"\x16"
_TLS = Reply(400, b"This port speaks HTTP, not TLS.\n", "text/plain; charset=utf-8", close=True)
_FRAMING = (b"content-length", b"transfer-encoding", b"expect", b"upgrade")
_UNREADABLE = {
    431: (Code.SIZE_INVALID, "the request's header is too large"),
    501: (Code.UNSUPPORTED, "the only transfer coding understood is chunked"),
    505: (Code.UNSUPPORTED, "this server speaks HTTP/1.1"),
}


class Signal(Enum):
    NEED_DATA = "need-data"
    """Nothing complete yet: read more and `receive` it."""
    CLOSED = "closed"
    """No request will come any more: close."""


@frozen
class Reject:
    """The bytes are no request that can be served: send `reply`, then close."""

    reply: Reply


class _Length:
    """So many bytes, of which h11 keeps count without seeing them."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length


class ServerWire:
    def __init__(self) -> None:
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADER_LIMIT)
        self._input = b""
        self._eof = False
        self._eof_passed_on = False
        self._first = True
        self._request: h11.Request | None = None
        self._handed_out = False
        self._dropped = 0
        self._close = False
        # h11 has seen nothing of what comes next, so that `plain` may know it.
        self._clean = True
        self._head: bytes | None = None
        self._rest = 0
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
        return self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE

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
        if self._clean and self._input and (known := self._known()) is not None:
            return known
        if self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return Signal.CLOSED
        assert not self._handed_out, "the request before has not been answered"
        try:
            return self._read()
        except h11.RemoteProtocolError as error:
            return Signal.CLOSED if self._eof_passed_on else _reject(error.error_status_hint)
        finally:
            self._head = None

    def answer(self, head: AnswerHead, pull: Pull, now: float) -> bytes:
        """The status line and header of a pull's answer, with the body where that is JSON of
        ours. On HEAD the Content-Length is that of the GET."""
        if self._plain is not None:
            start = self._plain.answer(head, pull, now)
            if start is not None:
                return start
            self._leave_to_h11(self._plain)
        assert self._request is not None
        _, target = urls.origin_form(self._request.target.decode("latin-1"))
        return self._start(answers.answer(head, pull, target, now))

    def reply(self, said: Reply, now: float) -> bytes:
        """A complete answer."""
        if self._plain is not None:
            if not said.close:
                return self._plain.reply(said, now)
            self._leave_to_h11(self._plain)
        self._close = self._close or said.close
        return self._start(answers.reply(said, now)) + self.finish()

    def frame(self, length: int) -> tuple[bytes, bytes]:
        """What to send before and after the next `length` bytes of body, which the caller sends
        by itself: nothing, or the marks of a chunk. Raises h11.LocalProtocolError when the
        body becomes longer than announced."""
        if self._plain is not None:
            self._plain.sent(length)
            return b"", b""
        body = cast("bytes", _Length(length))
        parts = self._h11.send_with_data_passthrough(h11.Data(data=body)) or []
        at = next((i for i, part in enumerate(parts) if part is body), len(parts))
        return b"".join(parts[:at]), b"".join(parts[at + 1 :])

    def finish(self) -> bytes:
        """The end of the answer. Raises h11.LocalProtocolError when body bytes are missing: a
        short answer must be cut off, never ended."""
        if self._plain is not None:
            self._plain.finish()
            return b""
        return self._h11.send(h11.EndOfMessage())

    def _begin_again(self) -> None:
        self._request, self._handed_out, self._dropped = None, False, 0
        if self._plain is not None:
            self._plain = None
            return
        rest = self._h11.trailing_data[0]
        self._h11.start_next_cycle()
        if rest:
            # Requests that came together with the last one: back to where all begin.
            self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADER_LIMIT)
            self._input = rest + self._input
        self._clean = True

    def _known(self) -> Request | None:
        """The next request, if the input begins with a head that has been parsed before."""
        end = self._input.find(b"\r\n\r\n") + 4
        if end == 3:
            return None
        # Only good for the parse that comes next: see `next`.
        self._head = self._input[:end]
        self._rest = len(self._input) - end
        request = plain.known(self._head)
        if request is not None:
            self._plain = plain.Lane(request, self._head)
            self._input = self._input[end:]
            self._handed_out = True
        return request

    def _leave_to_h11(self, lane: plain.Lane) -> None:
        """From here on the answer is h11's own."""
        self._plain, self._clean = None, False
        self._h11.receive_data(lane.head)
        self._request = cast("h11.Request", self._h11.next_event())
        self._h11.next_event()

    def _read(self) -> Request | Reject | Signal:
        while True:
            match self._event():
                case h11.Request() as request:
                    self._request = request
                    if not b"1.0" <= request.http_version < b"2":
                        return _reject(505)
                    if self._unwelcome(request):
                        return self._hand_out()
                case h11.Data(data=data):
                    self._dropped += len(data)
                    if self._dropped > BODY_LIMIT:
                        self._close = True
                        return self._hand_out()
                case h11.EndOfMessage():
                    return self._hand_out()
                case h11.ConnectionClosed():
                    return Signal.CLOSED
                case _:
                    return Signal.NEED_DATA

    def _event(self) -> object:
        """h11's next event. It is never given more than a header may be long, so that the limit
        does not depend on how the bytes come in."""
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            if self._input:
                self._clean = False
                before = self._h11.trailing_data[0]
                room = HEADER_LIMIT + 1 - len(before)
                data, self._input = self._input[:room], self._input[room:]
                if self._h11.their_state is h11.IDLE and folded(before + data):
                    raise h11.RemoteProtocolError("a folded field")
                self._h11.receive_data(data)
            elif self._eof:
                self._eof_passed_on = True
                self._h11.receive_data(b"")
            else:
                break
        return event

    def _unwelcome(self, request: h11.Request) -> bool:
        """Whether the body will not be read; sets `_close` for every reason to close later."""
        fields = dict(request.headers)
        length = int(fields.get(b"content-length", b"0"))
        chunked = b"transfer-encoding" in fields
        if chunked and b"content-length" in fields:
            # Two framings at once may be a smuggled request (RFC 9112 §6.1).
            self._close = True
        # Whoever waits for 100 Continue is given the final answer instead (RFC 9110 §10.1.1).
        waits = self._h11.they_are_waiting_for_100_continue and (length > 0 or chunked)
        unwelcome = waits or (length > BODY_LIMIT and not chunked)
        self._close = self._close or unwelcome
        return unwelcome

    def _hand_out(self) -> Request:
        request = self._request
        assert request is not None
        self._handed_out = True
        headers = tuple(request.headers)
        found = Request(request.method, request.target, headers, request.http_version)
        if self._head is not None and self._whole(found):
            plain.remember(self._head, found)
        return found

    def _whole(self, request: Request) -> bool:
        """Whether `_head` was all of the request, and the connection goes on after it."""
        fields = {name for name, _ in request.headers}
        return (
            self._h11.their_state is h11.DONE
            and not self._close
            and request.http_version == b"1.1"
            and fields.isdisjoint(_FRAMING)
            and len(self._h11.trailing_data[0]) + len(self._input) == self._rest
        )

    def _start(self, answer: Answer) -> bytes:
        headers = list(answer.headers)
        if self._close:
            headers.append((b"Connection", b"close"))
        reason = HTTPStatus(answer.status).phrase
        out = self._h11.send(
            h11.Response(status_code=answer.status, headers=headers, reason=reason)
        )
        if answer.body and (self._request is None or self._request.method != b"HEAD"):
            out += self._h11.send(h11.Data(data=answer.body))
        return out


def _reject(status: int) -> Reject:
    code, message = _UNREADABLE.get(status, (Code.UNSUPPORTED, "not an HTTP request"))
    return Reject(refusal(status, code, message, close=True))
