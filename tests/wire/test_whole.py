"""What is told of a whole answer is what h11 tells of it on the connection itself."""

from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcache.wire import whole
from distcache.wire.outgoing import HttpRequest, compose
from distcache.wire.sites import UpstreamSite
from distcache.wire.urls import Url
from tests.wire.samples import DIGEST, NOON

HOME = Url("http", "up", 5000, "/v2/a/manifests/1")
SITE = UpstreamSite("up", Url("http", "up", 5000))
DATES = [b"Date: Sun, 06 Nov 1994 08:49:37 GMT", b"date: x", b"DATE: y", b"Date:", b"Date: a\r\n b"]

lines = st.sampled_from(
    [
        *DATES,
        b"Content-Length: 0",
        b"Content-Length: 2",
        b"Content-Length: 2, 3",
        b"Transfer-Encoding: chunked",
        b"Connection: close",
        b"Connection: keep-alive",
        b"X: a",
        b"X: a\r\n b",
        b" b",
        b"Bad Name: c",
        b"Docker-Content-Digest: " + DIGEST.encode(),
        b"X: " + b"x" * 5000,
        b"content-length: 2",
        b"Content-Length: 02",
        b"Content-Length:2",
        b"CONNECTION: Keep-Alive",
        b"Connection: keep-alive, close",
        b"X: a ",
        b"X: ",
        b"X: \xff",
        b"Date: Mon, 07",
    ]
)
ends = st.sampled_from([b"\r\n"] * 6 + [b"\n", b"\r\n\r\n"])


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    version, status = (
        draw(st.sampled_from(["1.1", "1.1", "1.0"])),
        draw(st.sampled_from([200, 200, 304, 404, 100, 101, 204])),
    )
    data = f"HTTP/{version} {status} Such".encode() + draw(ends)
    for line in draw(st.lists(lines, max_size=4)):
        data += line + draw(ends)
    data += draw(ends)
    return data + draw(st.sampled_from([b"", b"", b"ok", b"2\r\nok\r\n0\r\n\r\n", b"HTTP/1.1 200"]))


def by_h11(method: str, data: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes] | None:
    """On a connection that has served before; None: it is not over, or is not to be used again."""
    connection = h11.Connection(h11.CLIENT)
    for asked, came in (("HEAD", b"HTTP/1.1 200 OK\r\n\r\n"), (method, data)):
        if connection.our_state is h11.DONE:
            connection.start_next_cycle()
        connection.send(h11.Request(method=asked, target="/", headers=[("Host", "h")]))
        connection.send(h11.EndOfMessage())
        connection.receive_data(came)
        events: list[Any] = []
        try:
            while not events or type(events[-1]) not in (h11.EndOfMessage, type):
                events.append(connection.next_event())
                if events[-1] in (h11.NEED_DATA, h11.PAUSED):
                    return None
        except h11.RemoteProtocolError:
            return None
    head = events[0]
    if not isinstance(head, h11.Response) or connection.their_state is not h11.DONE:
        return None
    if connection.trailing_data[0]:
        return None
    body = b"".join(bytes(e.data) for e in events if isinstance(e, h11.Data))
    return head.status_code, list(head.headers.raw_items()), body


@given(st.sampled_from(["GET", "HEAD"]), answers())
def test_a_whole_answer_is_what_h11_makes_of_it(method: str, data: bytes) -> None:
    whole.forget()
    expected = by_h11(method, data)
    for _ in range(2):
        found = whole.answer(method, data)
        if expected is None or b"\r\n\r\n" not in data:
            assert found is None
        else:
            status, headers, body = expected
            undated = [(n, v) for n, v in headers if n.lower() != b"date"]
            assert found is not None
            assert (found.status, list(found.headers), found.body) == (status, undated, body)


CONTENT = b"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 4\r\nETag: a\r\n\r\n"


@pytest.mark.parametrize("cut", range(len(CONTENT) + 4))
def test_a_message_says_how_long_it_is_once_its_head_is_there(cut: int) -> None:
    begun = (CONTENT + b"body")[:cut]
    known = len(CONTENT) + 4 if cut >= len(CONTENT) else None
    assert whole.length("GET", begun) == known
    assert whole.length("HEAD", begun) is None


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Content-Length: 4\r\n\r\n",
    ],
)
def test_other_messages_do_not_say_how_long_they_are(head: bytes) -> None:
    assert whole.length("GET", head) is None


def test_answers_that_differ_in_their_date_are_one() -> None:
    whole.forget()
    first, second, other = (
        whole.answer("HEAD", b"HTTP/1.1 200 OK\r\nDate: %s\r\nETag: %s\r\n\r\n" % it)
        for it in ((b"Mon, 07", b"a"), (b"Tue, 08", b"a"), (b"Mon, 07", b"b"))
    )
    assert first is second
    assert first is not other


def test_the_head_for_the_core_is_of_the_place_that_was_asked() -> None:
    whole.forget()
    data = b"HTTP/1.1 307 No\r\nLocation: x\r\nContent-Length: 0\r\n\r\n"
    found = whole.answer("GET", data)
    assert found is not None
    for target in ("/v2/a/x", "/v2/b/x", "/v2/a/x"):
        asked = HttpRequest("GET", Url("http", "up", 5000, target), ())
        head = found.head(SITE, asked, NOON)
        assert head.location is not None
        assert head.location.url == f"http://up:5000{target}"


def test_a_moment_to_come_again_is_told_as_seconds_from_now() -> None:
    whole.forget()
    data = b"HTTP/1.1 429 No\r\nRetry-After: Sun, 06 Nov 1994 12:00:00 GMT\r\n\r\n"
    found = whole.answer("HEAD", data)
    assert found is not None
    asked, then = HttpRequest("HEAD", HOME, ()), 784_123_200.0
    assert [found.head(SITE, asked, then - left).retry_after for left in (60, 9)] == [60, 9]


@given(st.sampled_from(["GET", "HEAD"]), st.lists(st.sampled_from(["a", "b, c", "Bearer x"])))
def test_a_request_is_written_as_h11_writes_it(method: str, values: list[str]) -> None:
    sent = compose(method, HOME, *[(f"X-{n}", value) for n, value in enumerate(values)])
    connection = h11.Connection(h11.CLIENT)
    event = h11.Request(method=method, target=HOME.target, headers=list(sent.headers))
    assert whole.request(sent) == connection.send(event)
