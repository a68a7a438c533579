"""A client's connection as h11 has it: requests read, answers framed, sans I/O.

h11 parses and frames. This module adds what a server must decide by itself: how large a header
may be, what becomes of request bodies (a registry's pulls have none), when a connection may carry
another request, and what a client is told whose bytes are no request.
"""

from enum import Enum
from http import HTTPStatus
from typing import cast

import h11
from attrs import frozen

from ..core.effects import Code
from . import plain
from .answers import Answer
from .headers import folded
from .plain import Request
from .replies import Reply, refusal

HEADER_LIMIT = 64 * 1024
"""Bytes of request line and header fields. Bearer tokens of cloud registries pass 16 KiB, and
podman sends Range headers of 14 KiB; nginx is set to 128 KiB in such places."""

BODY_LIMIT = 64 * 1024
"""Bytes of a request body that are read and dropped to keep the connection; with more to come
it is closed after the answer."""

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


class Http1:
    """`close`: this answer is the last one. `left`: of the bytes last given to `read`, those that
    h11 has not been given."""

    def __init__(self) -> None:
        self.own = 0
        """Bytes of body in the last `start`."""
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADER_LIMIT)
        self._eof_passed_on = False
        self._request: h11.Request | None = None
        self._dropped = 0
        self.close = False
        self.left = b""

    @property
    def reusable(self) -> bool:
        """Both messages are complete and the connection may carry another request."""
        return self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE

    @property
    def over(self) -> bool:
        """No request can be read any more."""
        return self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE)

    @property
    def target(self) -> str:
        """That of the request."""
        assert self._request is not None
        return self._request.target.decode("latin-1")

    def begin_again(self) -> bytes:
        """After an answer, when `reusable`. Bytes that came together with the last request."""
        self._request, self._dropped = None, 0
        rest = self._h11.trailing_data[0]
        self._h11.start_next_cycle()
        if rest:
            # They go back to where all begin.
            self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADER_LIMIT)
        return rest

    def take(self, head: bytes) -> None:
        """A request that has been handed out already, without a body."""
        self._h11.receive_data(head)
        self._request = cast("h11.Request", self._h11.next_event())
        self._h11.next_event()

    def read(self, data: bytes, head: bytes | None, *, eof: bool) -> Request | Reject | Signal:
        """The next request. `head`: what `data` begins with, up to an empty line, when nothing
        of this request has been given before; it is remembered if it was all. `eof`: nothing
        follows. Never raises on what the client sent."""
        self.left = data
        try:
            found = self._read(eof=eof)
        except h11.RemoteProtocolError as error:
            return Signal.CLOSED if self._eof_passed_on else _reject(error.error_status_hint)
        if head is not None and isinstance(found, Request):
            unread = len(self._h11.trailing_data[0]) + len(self.left)
            if unread == len(data) - len(head) and self._is_plain(found):
                plain.remember(head, found)
        return found

    def start(self, answer: Answer) -> bytes:
        """The status line and header, with the body where there is one of ours."""
        headers = list(answer.headers)
        if self.close:
            headers.append((b"Connection", b"close"))
        reason = HTTPStatus(answer.status).phrase
        out = self._h11.send(
            h11.Response(status_code=answer.status, headers=headers, reason=reason)
        )
        self.own = 0
        if answer.body and (self._request is None or self._request.method != b"HEAD"):
            self.own = len(answer.body)
            out += self._h11.send(h11.Data(data=answer.body))
        return out

    def frame(self, length: int) -> tuple[bytes, bytes]:
        """What goes before and after the next `length` bytes of body: nothing, or the marks of a
        chunk. h11.LocalProtocolError: the body becomes longer than announced."""
        body = cast("bytes", _Length(length))
        parts = self._h11.send_with_data_passthrough(h11.Data(data=body)) or []
        at = next((i for i, part in enumerate(parts) if part is body), len(parts))
        return b"".join(parts[:at]), b"".join(parts[at + 1 :])

    def finish(self) -> bytes:
        """The end of the answer. h11.LocalProtocolError: body bytes are missing."""
        return self._h11.send(h11.EndOfMessage())

    def _read(self, *, eof: bool) -> Request | Reject | Signal:
        while True:
            match self._event(eof=eof):
                case h11.Request() as request:
                    self._request = request
                    if not b"1.0" <= request.http_version < b"2":
                        return _reject(505)
                    if self._unwelcome(request):
                        return self._hand_out()
                case h11.Data(data=data):
                    self._dropped += len(data)
                    if self._dropped > BODY_LIMIT:
                        self.close = True
                        return self._hand_out()
                case h11.EndOfMessage():
                    return self._hand_out()
                case h11.ConnectionClosed():
                    return Signal.CLOSED
                case _:
                    return Signal.NEED_DATA

    def _event(self, *, eof: bool) -> object:
        """h11's next event. It is never given more than a header may be long, so that the limit
        does not depend on how the bytes come in."""
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            if self.left:
                before = self._h11.trailing_data[0]
                room = HEADER_LIMIT + 1 - len(before)
                data, self.left = self.left[:room], self.left[room:]
                if self._h11.their_state is h11.IDLE and folded(before + data):
                    raise h11.RemoteProtocolError("a folded field")
                self._h11.receive_data(data)
            elif eof:
                self._eof_passed_on = True
                self._h11.receive_data(b"")
            else:
                break
        return event

    def _unwelcome(self, request: h11.Request) -> bool:
        """Whether the body will not be read; sets `close` for every reason to close later."""
        fields = dict(request.headers)
        length = int(fields.get(b"content-length", b"0"))
        chunked = b"transfer-encoding" in fields
        if chunked and b"content-length" in fields:
            # Two framings at once may be a smuggled request (RFC 9112 §6.1).
            self.close = True
        # Whoever waits for 100 Continue is given the final answer instead (RFC 9110 §10.1.1).
        waits = self._h11.they_are_waiting_for_100_continue and (length > 0 or chunked)
        unwelcome = waits or (length > BODY_LIMIT and not chunked)
        self.close = self.close or unwelcome
        return unwelcome

    def _hand_out(self) -> Request:
        request = self._request
        assert request is not None
        headers = tuple(request.headers)
        return Request(request.method, request.target, headers, request.http_version)

    def _is_plain(self, request: Request) -> bool:
        """Without a body, and the connection goes on after it."""
        fields = {name for name, _ in request.headers}
        return (
            self._h11.their_state is h11.DONE
            and not self.close
            and request.http_version == b"1.1"
            and fields.isdisjoint(_FRAMING)
        )


class _Length:
    """So many bytes, of which h11 keeps count without seeing them."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length


def _reject(status: int) -> Reject:
    code, message = _UNREADABLE.get(status, (Code.UNSUPPORTED, "not an HTTP request"))
    return Reject(refusal(status, code, message, close=True))
