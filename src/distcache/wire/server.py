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

import h11
from attrs import frozen

from ..core.effects import AnswerHead, Code
from ..core.pull import Pull
from . import answers
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
        self._first = True
        self._close = False
        self._target = ""

    @property
    def full(self) -> bool:
        """Enough has been received for now; `receive` takes more, but nobody should read it."""
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
        """The next request. To be called when the one before has been answered."""
        if self._first and self._input:
            self._first = False
            if self._input.startswith(_TLS_HANDSHAKE):
                # It will not send another byte before it hears from us.
                return self._reject(_TLS)
        if self.reusable:
            self._h11.start_next_cycle()
            self._begun = None
        if self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return Signal.CLOSED
        return self._next()
