"""Upstream's answers that came whole in one piece, and the requests to them, as h11 has them.

On an idle connection an answer is a function of its bytes and of the method that was asked by. So
h11 is asked for it beside the connection, and what it made of a head that nothing follows is
remembered but for the Date: a tag that is asked about again is answered in the same words. Content
whose head is of the plainest form is read without h11. What is not whole, or ends the connection,
is left to h11 on the connection itself; that all ways say the same is a property that the tests
hold (tests/wire/test_whole.py).
"""

import re

import h11
from attrs import define, field

from ..core.events import UpstreamHead
from . import upstream
from .headers import Headers
from .memo import HEADS, LONGEST_HEAD, Memo
from .outgoing import HttpRequest
from .sites import UpstreamSite
from .urls import Url

_DATE = re.compile(rb"\r\n[Dd]ate: [A-Za-z0-9,: ]{1,40}(?=\r\n[^ \t])")
"""Its line, unless it goes on in the next one."""

_END = b"\r\n\r\n"

_FIELD = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [!-~](?:[ -~]*[!-~])?\r\n"
_OK = re.compile(rb"HTTP/1\.1 200 [ -~]*\r\n((?:%s)+)\r\n" % _FIELD)
"""The head of content as servers write it, in which there is nothing to be read in two ways."""

_LENGTH = re.compile(rb"HTTP/1\.1 200 [^\0]*?\r\n[Cc]ontent-[Ll]ength: ([0-9]{1,18})\r\n")


@define(eq=False)
class Whole:
    """A complete answer, after which the connection goes on. `headers` are without a Date: nothing
    here depends on that."""

    status: int
    headers: Headers
    body: bytes = b""
    _head: tuple[UpstreamSite, Url, UpstreamHead] | None = field(default=None, init=False)

    def head(self, site: UpstreamSite, sent: HttpRequest, now: float) -> UpstreamHead:
        """See `upstream.head`; `sent` always by the same method."""
        known = self._head
        if known is not None and known[0] is site and known[1] == sent.url:
            return known[2]
        made = upstream.head(site, sent, self.status, self.headers, now)
        if made.retry_after is None:  # which may be a moment, and not a while
            self._head = site, sent.url, made
        return made


def request(sent: HttpRequest) -> bytes:
    """A request without a body, on the wire."""
    lines = [b"%s %s HTTP/1.1" % (sent.method.encode(), sent.url.target.encode())]
    lines += [name + b": " + value for name, value in sent.headers]
    return b"\r\n".join(lines) + _END


def length(method: str, data: bytes) -> int | None:
    """Of the message that begins so, as its head says; None: it does not, or not in the usual way.
    Whether the message is right is for `answer` to say."""
    end = data.find(_END)
    found = _LENGTH.match(data, 0, end + 2) if end >= 0 and method == "GET" else None
    return None if found is None else end + len(_END) + int(found[1])


def answer(method: str, data: bytes) -> Whole | None:
    """What came in answer to one request of `method` on an idle connection. None: that is not all
    of it, or more than it, or not the way it is done; then the connection's own h11 must see it."""
    end = data.find(_END)
    if end < 0:
        return None
    if end + len(_END) < len(data):
        return _content(method, data) or _parse(method, data)
    found = _DATE.search(data)
    if found is not None:
        data = data[: found.start()] + data[found.end() :]
    known = _heads.get((method, data))
    if known is None:
        known = _parse(method, data)
        if known is not None and len(data) <= LONGEST_HEAD:
            _heads.put((method, data), known)
    return known


def forget() -> None:
    """Everything, so that h11 does all of the work the next time."""
    _heads.clear()


def _content(method: str, data: bytes) -> Whole | None:
    """The usual answer to a GET. No two of them have the same head, and h11 takes longer over one
    than all else that is done with it. None: it is for h11 to say what it is."""
    found = _OK.match(data) if method == "GET" else None
    if found is None:
        return None
    fields = [line.split(b": ", 1) for line in found[1][:-2].split(b"\r\n")]
    headers, lengths = [], []
    for name, value in fields:
        match name.lower():
            case b"date":
                continue
            case b"content-length":
                lengths.append(value)
            case b"transfer-encoding":
                return None
            case b"connection" if value.lower() != b"keep-alive":
                return None
        headers.append((name, value))
    body = data[found.end() :]
    if lengths != [b"%d" % len(body)]:
        return None
    return Whole(200, tuple(headers), body)


def _parse(method: str, data: bytes) -> Whole | None:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "upstream")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    try:
        head, body = connection.next_event(), b""
        if not isinstance(head, h11.Response):
            return None
        while isinstance(event := connection.next_event(), h11.Data):
            body += event.data
    except h11.RemoteProtocolError:
        return None
    over = isinstance(event, h11.EndOfMessage) and connection.their_state is h11.DONE
    if not over or connection.trailing_data[0]:
        return None
    headers = tuple((n, v) for n, v in head.headers.raw_items() if n.lower() != b"date")
    return Whole(head.status_code, headers, body)


_heads: Memo[tuple[str, bytes], Whole] = Memo(HEADS)
