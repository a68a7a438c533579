"""One client connection, sans I/O: bytes in, requests out; answers in, bytes out.

h11 parses and frames. This module adds what a server must decide by itself: how large a
header may be, what becomes of request bodies (a registry's pulls have none), when a
connection may carry another request, and what a client is told whose bytes are no request.

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
from . import answers, urls
from .answers import Answer
from .headers import Headers
from .replies import Reply, refusal

HEADER_LIMIT = 64 * 1024
"""Bytes of request line and header fields. Bearer tokens of cloud registries pass 16 KiB, and
podman sends Range headers of 14 KiB; nginx is set to 128 KiB in such places."""

BODY_LIMIT = 64 * 1024
"""Bytes of a request body that are read and dropped to keep the connection; with more to come
it is closed after the answer."""

_TLS_HANDSHAKE = b"\x16"
_TLS = Reply(400, b"This port speaks HTTP, not TLS.\n", "text/plain; charset=utf-8", close=True)
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
class Request:
    """A request's head; its body, if any, has been dropped. Header names are in lower case."""

    method: bytes
    target: bytes
    headers: Headers
    http_version: bytes


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
        self._input = bytearray()
        self._eof = False
        self._eof_passed_on = False
        self._first = True
        self._request: h11.Request | None = None
        self._handed_out = False
        self._dropped = 0
        self._close = False

    @property
    def full(self) -> bool:
        """Enough has been received for now. More may be given to `receive`, but a reader that
        goes on reading lets the client fill the memory."""
        return len(self._input) > HEADER_LIMIT

    @property
    def reusable(self) -> bool:
        """Both messages are complete and the connection may carry another request."""
        return self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE

    def receive(self, data: bytes) -> None:
        """Bytes from the client, at any time; empty: it will send no more."""
        self._input += data
        self._eof = self._eof or not data

    def next(self) -> Request | Reject | Signal:
        """The next request; only when the one before has been answered. Never raises on what
        the client sent."""
        if self._first and self._input:
            self._first = False
            if self._input.startswith(_TLS_HANDSHAKE):
                # The client says nothing more before it has heard from us.
                return Reject(_TLS)
        if self.reusable:
            self._h11.start_next_cycle()
            self._request, self._handed_out, self._dropped = None, False, 0
        if self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return Signal.CLOSED
        assert not self._handed_out, "the request before has not been answered"
        try:
            return self._read()
        except h11.RemoteProtocolError as error:
            return Signal.CLOSED if self._eof_passed_on else _reject(error.error_status_hint)

    def answer(self, head: AnswerHead, pull: Pull, now: float) -> bytes:
        """The status line and header of a pull's answer, with the body where that is JSON of
        ours. On HEAD the Content-Length is that of the GET."""
        assert self._request is not None
        _, target = urls.origin_form(self._request.target.decode("latin-1"))
        return self._start(answers.answer(head, pull, target, now))

    def reply(self, said: Reply, now: float) -> bytes:
        """A complete answer."""
        self._close = self._close or said.close
        return self._start(answers.reply(said, now)) + self.finish()

    def frame(self, length: int) -> tuple[bytes, bytes]:
        """What to send before and after the next `length` bytes of body, which the caller sends
        by itself: nothing, or the marks of a chunk. Raises h11.LocalProtocolError when the
        body becomes longer than announced."""
        body = cast("bytes", _Length(length))
        parts = self._h11.send_with_data_passthrough(h11.Data(data=body)) or []
        at = next((i for i, part in enumerate(parts) if part is body), len(parts))
        return b"".join(parts[:at]), b"".join(parts[at + 1 :])

    def finish(self) -> bytes:
        """The end of the answer. Raises h11.LocalProtocolError when body bytes are missing: a
        short answer must be cut off, never ended."""
        return self._h11.send(h11.EndOfMessage())

    def _read(self) -> Request | Reject | Signal:
        while True:
            match self._event():
                case h11.Request() as request:
                    if not b"1.0" <= request.http_version < b"2":
                        return _reject(505)
                    self._request = request
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
                room = HEADER_LIMIT + 1 - len(self._h11.trailing_data[0])
                self._h11.receive_data(bytes(self._input[:room]))
                del self._input[:room]
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
        return Request(request.method, request.target, headers, request.http_version)

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
