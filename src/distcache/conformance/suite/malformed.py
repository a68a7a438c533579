"""Requests that are wrong, or that two readers could understand differently: they are refused, and
what comes behind them is not taken for another request."""

from ..checks import Section, Target, expect, require
from ..messages import Ended, Request
from . import picks

malformed = Section("Malformed requests")


@malformed.must("http-host", "RFC 9112 §3.2")
def host(target: Target) -> None:
    """A request of HTTP/1.1 without Host, or with two, is 400."""
    base = target.client.address.base
    name = target.client.address.authority
    for hosts in ("", f"Host: {name}\r\nHost: other\r\n"):
        with target.client.connect() as connection:
            connection.send(f"GET {base}/v2/ HTTP/1.1\r\n{hosts}\r\n".encode())
            shown = Request("GET", picks.PING, (("as sent", repr(hosts)),))
            expect(target.client.note(connection.read(shown)), 400)


@malformed.must("http-two-framings", "RFC 9112 §6.1")
def two_framings(target: Target) -> None:
    """A request with both Content-Length and Transfer-Encoding is refused, or answered and the
    connection closed."""
    base, name = target.client.address.base, target.client.address.authority
    head = f"GET {base}/v2/ HTTP/1.1\r\nHost: {name}\r\n"
    lines = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"
    _refused(target, f"{head}{lines}\r\n0\r\n\r\n", 400, 401, 200)


@malformed.must("http-two-lengths", "RFC 9112 §6.3")
def two_lengths(target: Target) -> None:
    """A request with two different Content-Lengths, or one that is no number, is refused and
    the connection closed."""
    base, name = target.client.address.base, target.client.address.authority
    head = f"GET {base}/v2/ HTTP/1.1\r\nHost: {name}\r\n"
    for lines in ("Content-Length: 0\r\nContent-Length: 5\r\n", "Content-Length: +0\r\n"):
        _refused(target, f"{head}{lines}\r\n", 400)


@malformed.must("http-unknown-coding", "RFC 9112 §6.1")
def unknown_coding(target: Target) -> None:
    """A transfer coding that is not known is refused, and the connection closed."""
    base, name = target.client.address.base, target.client.address.authority
    head = f"GET {base}/v2/ HTTP/1.1\r\nHost: {name}\r\nTransfer-Encoding: bogus\r\n\r\n"
    _refused(target, head, 501, 400)


@malformed.must("http-space-before-colon", "RFC 9112 §5.1")
def space_before_colon(target: Target) -> None:
    """White space between a field's name and its colon is refused with 400."""
    base, name = target.client.address.base, target.client.address.authority
    _refused(target, f"GET {base}/v2/ HTTP/1.1\r\nHost: {name}\r\nAccept : */*\r\n\r\n", 400)


@malformed.must("http-request-body", "RFC 9110 §9.3.1")
def request_body(target: Target) -> None:
    """A body on a GET is not taken for the next request."""
    inner = target.client.request("GET", f"/v2/{'x' * 5}").encode("x").decode("latin-1")
    for fields, body in (
        (("Content-Length", str(len(inner))), inner),
        (("Transfer-Encoding", "chunked"), f"{len(inner):x}\r\n{inner}\r\n0\r\n\r\n"),
    ):
        with target.client.connect() as connection:
            base = target.client.request("GET", picks.PING, fields)
            request = Request("GET", base.target, base.fields, body.encode())
            expect(target.client.note(connection.ask(request)), 200, 400)
            if connection.open:
                picks.ping(target, connection)


@malformed.must("http-header-limit", "RFC 6585 §5")
def header_limit(target: Target) -> None:
    """A head without end is refused, not read for ever."""
    with target.client.connect() as connection:
        request = target.client.request("GET", picks.PING)
        head = request.encode(connection.address.authority)[:-2]
        connection.send(head + b"X-Conformance: ")
        piece = b"x" * 65536
        if all(connection.send(piece) for _ in range(64)):
            connection.send(b"\r\n\r\n")
        try:
            answer = connection.read(request)
        except Ended:
            return
        expect(target.client.note(answer), 431, 400, 413)


def _refused(target: Target, head: str, *statuses: int) -> None:
    """One answer with one of these statuses, then the connection's end: what follows a request
    that cannot be understood must not be taken for another one."""
    request = target.client.request("GET", picks.PING)
    following = request.encode("x").decode("latin-1")
    with target.client.connect() as connection:
        connection.send(f"{head}{following}".encode("latin-1"))
        shown = Request("GET", picks.PING, (("as sent", repr(head)),))
        try:
            answer = target.client.note(connection.read(shown))
        except Ended:
            # Closed at once: nobody is deceived.
            return
        expect(answer, *statuses)
        if connection.open:
            require(connection.silent(), "the connection goes on", answer)
