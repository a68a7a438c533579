import json
from collections.abc import Iterable

import h11
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from distcache.core.decision import HIT
from distcache.core.effects import AnswerHead, Code, Problem
from distcache.core.oci import Descriptor
from distcache.core.pull import Method
from distcache.wire.http1 import BODY_LIMIT, HEADER_LIMIT
from distcache.wire.replies import PING
from distcache.wire.server import (
    Reject,
    Request,
    ServerWire,
    Signal,
)
from tests.wire.samples import BLOB, DIGEST, GET_BLOB, NOON

GET = b"GET /v2/ HTTP/1.1\r\nHost: h\r\n\r\n"
HEAD_BLOB = evolve(GET_BLOB, method=Method.HEAD)
WHOLE = AnswerHead(200, HIT, 100, Descriptor(BLOB, 100, "application/x.layer"))
UNKNOWN_LENGTH = evolve(WHOLE, length=None)


def fed(*pieces: bytes) -> ServerWire:
    wire = ServerWire()
    for piece in pieces:
        wire.receive(piece)
    return wire


def requested(raw: bytes) -> tuple[ServerWire, Request]:
    wire = fed(raw)
    request = wire.next()
    assert isinstance(request, Request), request
    return wire, request


def heard(sent: bytes, method: str = "GET") -> tuple[h11.Response, bytes]:
    """What a client reads out of `sent`, which must be one whole answer."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "h")]))
    client.send(h11.EndOfMessage())
    client.receive_data(sent)
    response = client.next_event()
    assert isinstance(response, h11.Response)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage), event
    assert client.trailing_data[0] == b""
    return response, body


def fields(response: h11.Response) -> dict[bytes, bytes]:
    return dict(response.headers)


def rejected(raw: bytes) -> tuple[int, bytes]:
    wire = fed(raw)
    said = wire.next()
    assert isinstance(said, Reject), said
    response, body = heard(wire.reply(said.reply, NOON))
    assert fields(response)[b"connection"] == b"close"
    assert wire.next() is Signal.CLOSED
    assert not wire.reusable
    return response.status_code, body


def test_a_request_is_answered_and_the_connection_serves_the_next() -> None:
    wire, request = requested(GET)
    assert request == Request(b"GET", b"/v2/", ((b"host", b"h"),), b"1.1")
    response, body = heard(wire.reply(PING, NOON))
    assert (response.status_code, response.reason, body) == (200, b"OK", b"{}")
    assert wire.reusable
    assert wire.next() is Signal.NEED_DATA
    wire.receive(GET)
    assert isinstance(wire.next(), Request)


def test_pipelined_requests_are_answered_in_order() -> None:
    wire = fed(b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % n for n in range(3)))
    for n in range(3):
        request = wire.next()
        assert isinstance(request, Request)
        assert request.target == b"/%d" % n
        wire.reply(PING, NOON)
    assert wire.next() is Signal.NEED_DATA


def test_bytes_that_come_while_answering_are_kept_and_bounded() -> None:
    wire, _ = requested(GET)
    assert not wire.full
    wire.receive(GET * (HEADER_LIMIT // len(GET) + 1))
    assert wire.full
    wire.reply(PING, NOON)
    assert isinstance(wire.next(), Request)


@pytest.mark.parametrize(
    ("raw", "closes"),
    [
        (GET, False),
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", True),
        (b"GET / HTTP/1.0\r\n\r\n", True),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", False),
    ],
)
def test_connection_close_and_http_1_0_are_honoured(raw: bytes, closes: bool) -> None:
    wire, _ = requested(raw)
    response, _ = heard(wire.reply(PING, NOON))
    assert (fields(response).get(b"connection") == b"close") is closes
    assert wire.reusable is not closes
    assert wire.next() is (Signal.CLOSED if closes else Signal.NEED_DATA)


def test_a_client_that_only_half_closes_is_answered() -> None:
    wire = fed(GET, b"")
    assert isinstance(wire.next(), Request)
    wire.reply(PING, NOON)
    assert wire.next() is Signal.CLOSED


@pytest.mark.parametrize("raw", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: h\r\n"])
def test_a_client_that_leaves_early_gets_no_answer(raw: bytes) -> None:
    assert fed(raw, b"").next() is Signal.CLOSED


def test_a_client_that_leaves_within_its_body_gets_no_answer() -> None:
    wire = fed(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabc")
    assert wire.next() is Signal.NEED_DATA
    wire.receive(b"")
    assert wire.next() is Signal.CLOSED


def test_a_tls_client_hello_on_the_plain_port_is_answered_at_once() -> None:
    status, body = rejected(b"\x16")
    assert status == 400
    assert b"not TLS" in body
    assert rejected(b"\x16\x03\x01\x00\xdf" + bytes(223)) == (status, body)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x00", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * HEADER_LIMIT, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * HEADER_LIMIT + b"\r\n\r\n", 431),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET / HTTP/0.9\r\n\r\n", 505),
    ],
)
def test_what_is_no_request_is_refused_in_oci_json(raw: bytes, status: int) -> None:
    said, body = rejected(raw)
    assert said == status
    (error,) = json.loads(body)["errors"]
    assert error["code"] in Code.__members__
    assert error["message"]


def test_headers_beyond_16_kib_are_taken() -> None:
    _, request = requested(
        b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + b"x" * 60_000 + b"\r\n\r\n"
    )
    assert len(dict(request.headers)[b"authorization"]) > 60_000


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"PUT"])
@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 5\r\n\r\nhello",
        b"Content-Length: %d\r\n\r\n%s" % (BODY_LIMIT, bytes(BODY_LIMIT)),
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ],
)
def test_small_bodies_are_dropped_and_the_connection_stays(method: bytes, body: bytes) -> None:
    wire, request = requested(method + b" / HTTP/1.1\r\nHost: h\r\n" + body + GET)
    assert request.method == method
    wire.reply(PING, NOON)
    assert wire.reusable
    again = wire.next()
    assert isinstance(again, Request)
    assert again.target == b"/v2/"


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: %d\r\n\r\n" % (BODY_LIMIT + 1),
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s" % (10**7, bytes(BODY_LIMIT + 1)),
        b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
        b"Transfer-Encoding: chunked\r\nExpect: 100-Continue\r\n\r\n",
    ],
)
def test_other_bodies_are_answered_without_being_read_and_the_connection_closes(
    body: bytes,
) -> None:
    wire, _ = requested(b"PATCH / HTTP/1.1\r\nHost: h\r\n" + body)
    response, _ = heard(wire.reply(PING, NOON))
    assert fields(response)[b"connection"] == b"close"
    assert wire.next() is Signal.CLOSED


def test_expect_without_a_body_is_nothing_special() -> None:
    wire, _ = requested(b"GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n")
    wire.reply(PING, NOON)
    assert wire.reusable


def test_a_connection_with_two_framings_is_closed_after_the_answer() -> None:
    wire, _ = requested(
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\n" + GET
    )
    response, _ = heard(wire.reply(PING, NOON))
    assert fields(response)[b"connection"] == b"close"
    assert wire.next() is Signal.CLOSED


def test_a_body_of_known_length_is_counted_without_being_seen() -> None:
    wire, _ = requested(GET)
    sent = wire.answer(WHOLE, GET_BLOB, NOON)
    for piece in (60, 40):
        assert wire.frame(piece) == (b"", b"")
        sent += bytes(piece)
    assert wire.finish() == b""
    response, body = heard(sent)
    assert fields(response)[b"content-length"] == b"100"
    assert fields(response)[b"docker-content-digest"] == DIGEST.encode()
    assert body == bytes(100)
    assert wire.reusable


def test_a_body_of_unknown_length_goes_in_chunks() -> None:
    wire, _ = requested(GET)
    sent = wire.answer(UNKNOWN_LENGTH, GET_BLOB, NOON)
    for piece in (b"hello", b"", b"x" * 300):
        before, after = wire.frame(len(piece))
        sent += before + piece + after
    sent += wire.finish()
    response, body = heard(sent)
    assert fields(response)[b"transfer-encoding"] == b"chunked"
    assert b"content-length" not in fields(response)
    assert body == b"hello" + b"x" * 300
    assert wire.reusable


def test_http_1_0_is_sent_no_chunks() -> None:
    wire, _ = requested(b"GET / HTTP/1.0\r\n\r\n")
    sent = wire.answer(UNKNOWN_LENGTH, GET_BLOB, NOON)
    assert b"chunked" not in sent.lower()
    assert wire.frame(5) == (b"", b"")
    assert wire.finish() == b""
    assert not wire.reusable


def test_an_answer_cut_short_can_neither_be_ended_nor_the_connection_used_again() -> None:
    wire, _ = requested(GET)
    wire.answer(WHOLE, GET_BLOB, NOON)
    wire.frame(99)
    with pytest.raises(h11.LocalProtocolError):
        wire.finish()
    assert not wire.reusable
    assert wire.next() is Signal.CLOSED


def test_more_than_announced_is_never_framed() -> None:
    wire, _ = requested(GET)
    wire.answer(WHOLE, GET_BLOB, NOON)
    with pytest.raises(h11.LocalProtocolError):
        wire.frame(101)


@pytest.mark.parametrize("answer", [WHOLE, UNKNOWN_LENGTH])
def test_head_has_the_length_of_the_get_and_no_body(answer: AnswerHead) -> None:
    wire, _ = requested(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
    response, body = heard(wire.answer(answer, HEAD_BLOB, NOON) + wire.finish(), "HEAD")
    expected = None if answer.length is None else b"100"
    assert fields(response).get(b"content-length") == expected
    assert body == b""
    assert wire.reusable


def test_head_has_no_body_with_an_error_either() -> None:
    wire, _ = requested(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
    problem = Problem(404, Code.BLOB_UNKNOWN, "not found")
    sent = wire.answer(AnswerHead(404, HIT, problem=problem), HEAD_BLOB, NOON) + wire.finish()
    response, body = heard(sent, "HEAD")
    assert response.status_code == 404
    assert int(fields(response)[b"content-length"]) > 0
    assert body == b""
    assert wire.reusable


def test_an_error_brings_its_own_body() -> None:
    wire, _ = requested(GET)
    problem = Problem(404, Code.BLOB_UNKNOWN, "not found")
    sent = wire.answer(AnswerHead(404, HIT, problem=problem), GET_BLOB, NOON) + wire.finish()
    response, body = heard(sent)
    assert response.reason == b"Not Found"
    assert json.loads(body)["errors"][0]["code"] == "BLOB_UNKNOWN"


def test_304_has_no_body() -> None:
    wire, _ = requested(GET)
    sent = wire.answer(evolve(WHOLE, status=304, length=0), GET_BLOB, NOON) + wire.finish()
    response, body = heard(sent)
    assert response.status_code == 304
    assert body == b""
    assert wire.reusable


def test_location_is_the_path_that_the_client_came_by() -> None:
    path = f"/v2/a/blobs/{DIGEST}?ns=docker.io".encode()
    for target in (path, b"http://cache:5000" + path):
        wire, _ = requested(b"GET " + target + b" HTTP/1.1\r\nHost: h\r\n\r\n")
        sent = wire.answer(WHOLE, GET_BLOB, NOON)
        wire.frame(100)
        response, _ = heard(sent + bytes(100) + wire.finish())
        assert fields(response)[b"location"] == path


PIECES = st.sampled_from(
    [
        GET,
        b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
        b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\nabc",
        b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
        b"GET / HTTP/1.1\r\n",
        b"Host: h\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: close\r\n",
        b"\r\n",
        b"0\r\n\r\n",
        b"\x16\x03",
        b"\x00",
    ]
) | st.binary(max_size=6)


def story(pieces: Iterable[bytes]) -> list[Request | Reject | Signal]:
    """All that a connection comes to when every request is answered at once."""
    wire, told = ServerWire(), list[Request | Reject | Signal]()
    for piece in (*pieces, b""):
        wire.receive(piece)
        while (said := wire.next()) is not Signal.NEED_DATA:
            told.append(said)
            if not isinstance(said, Request):
                if isinstance(said, Reject):
                    wire.reply(said.reply, NOON)
                return told
            wire.reply(PING, NOON)
    raise AssertionError("a connection at its end must come to an end")


@given(st.lists(PIECES, max_size=8).map(b"".join))
def test_bytes_mean_the_same_whole_and_one_by_one(raw: bytes) -> None:
    one_by_one = story(raw[i : i + 1] for i in range(len(raw)))
    assert story([raw] if raw else []) == one_by_one


@pytest.mark.parametrize("excess", [-1, 0, 1, 2])
@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\r\nbad\r\n\r\n", b""])
def test_the_limit_does_not_depend_on_how_bytes_come_in(excess: int, end: bytes) -> None:
    start = b"GET / HTTP/1.1\r\nHost: h\r\nX: "
    raw = start + b"x" * (HEADER_LIMIT + excess - len(start) - len(end)) + end
    tail = len(raw) - 8
    one_by_one = story([raw[:tail], *(raw[i : i + 1] for i in range(tail, len(raw)))])
    assert story([raw]) == one_by_one


@given(st.binary(max_size=200))
def test_no_bytes_are_too_odd(raw: bytes) -> None:
    story([raw] if raw else [])


@pytest.mark.parametrize("cut", range(1, 5))
def test_line_ends_before_a_request_are_passed_over_wherever_they_are_cut(cut: int) -> None:
    wire = fed((b"\r\n\r\n" + GET)[:cut])
    assert wire.next() is Signal.NEED_DATA
    wire.receive((b"\r\n\r\n" + GET)[cut:])
    assert isinstance(wire.next(), Request)


def test_head_of_a_later_http_is_refused_without_a_body() -> None:
    """The refusal's own body once broke the connection's framing."""
    wire = fed(b"HEAD /v2/ HTTP/2.0\r\nHost: h\r\n\r\n")
    said = wire.next()
    assert isinstance(said, Reject)
    response, body = heard(wire.reply(said.reply, NOON), "HEAD")
    assert (response.status_code, body) == (505, b"")


@pytest.mark.parametrize("cut", [0, 30, 47, 48])
def test_a_field_in_two_lines_is_refused(cut: int) -> None:
    raw = b"GET /v2/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n chunked\r\n\r\n"
    wire = fed(raw[:cut]) if cut else ServerWire()
    if cut:
        assert wire.next() is Signal.NEED_DATA
    wire.receive(raw[cut:])
    said = wire.next()
    assert isinstance(said, Reject)
    response, _ = heard(wire.reply(said.reply, NOON))
    assert response.status_code == 400


def test_a_body_with_indented_lines_is_not_a_folded_field() -> None:
    raw = b"POST /v2/ HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n{\n 1}"
    _, request = requested(raw)
    assert request.method == b"POST"
