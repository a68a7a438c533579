"""Requests that two servers could cut up differently, each followed by one that must not be
taken for a request of its own (RFC 9112 §11.2).

A cache often stands behind a proxy that shares one connection among clients. Where a request
can be read in two ways, the connection ends with its answer.
"""

import re
import socket

import pytest

from tests.faults.bench import REPOSITORY, Bench
from tests.support.raw import TIMEOUT

HIDDEN = f"GET /v2/{REPOSITORY}/manifests/hidden HTTP/1.1\r\nHost: h\r\n\r\n".encode()
LAST = b"GET /v2/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
HOST = b"Host: h"
LENGTH = b"Content-Length: %d" % len(HIDDEN)
CHUNKED = b"Transfer-Encoding: chunked"
NO_CHUNKS = b"0\r\n\r\n"


def request(*fields: bytes, line: bytes = b"GET /v2/ HTTP/1.1", body: bytes = b"") -> bytes:
    return b"\r\n".join((line, *fields)) + b"\r\n\r\n" + body


AMBIGUOUS = {
    "length-then-chunks": request(
        HOST, b"Content-Length: %d" % (5 + len(HIDDEN)), CHUNKED, body=NO_CHUNKS
    ),
    "chunks-then-length": request(HOST, CHUNKED, b"Content-Length: 4", body=NO_CHUNKS),
    "two-lengths": request(HOST, b"Content-Length: 0", LENGTH),
    "two-lengths-in-one": request(HOST, b"Content-Length: 0, %d" % len(HIDDEN)),
    "length-with-a-plus": request(HOST, b"Content-Length: +0"),
    "length-in-hexadecimal": request(HOST, b"Content-Length: 0x0"),
    "negative-length": request(HOST, b"Content-Length: -1"),
    "length-with-an-underscore": request(HOST, b"Content-Length: 1_0"),
    "length-beyond-all-numbers": request(HOST, b"Content-Length: " + b"9" * 40),
    "length-before-a-space": request(HOST, b"Content-Length : %d" % len(HIDDEN)),
    "chunks-before-a-space": request(HOST, b"Transfer-Encoding : chunked", body=NO_CHUNKS),
    "unknown-coding": request(HOST, b"Transfer-Encoding: xchunked", body=NO_CHUNKS),
    "chunks-twice": request(HOST, CHUNKED, CHUNKED, body=NO_CHUNKS),
    "chunks-not-last": request(HOST, CHUNKED, b"Transfer-Encoding: identity", body=NO_CHUNKS),
    "chunks-in-a-list": request(HOST, b"Transfer-Encoding: identity, chunked", body=NO_CHUNKS),
    "chunks-after-a-tab": request(HOST, b"Transfer-Encoding: \x0bchunked", body=NO_CHUNKS),
    "chunks-in-http-1.0": request(HOST, CHUNKED, line=b"GET /v2/ HTTP/1.0", body=NO_CHUNKS),
    "length-folded-first": request(b" " + LENGTH, HOST),
    "length-after-a-bare-cr": request(HOST, b"X: a\r" + LENGTH),
    "nul": request(HOST, b"X: a\0b"),
    "chunk-size-0x": request(HOST, CHUNKED, body=b"0x0\r\n\r\n"),
    "chunk-size-negative": request(HOST, CHUNKED, body=b"-0\r\n\r\n"),
    "chunk-size-after-a-space": request(HOST, CHUNKED, body=b" 0\r\n\r\n"),
    "chunk-size-beyond-all-numbers": request(HOST, CHUNKED, body=b"f" * 30 + b"\r\n"),
    "chunk-without-its-end": request(HOST, CHUNKED, body=b"1\r\nAXX0\r\n\r\n"),
    "chunk-ended-by-a-bare-lf": request(HOST, CHUNKED, body=b"1\r\nA\n0\r\n\r\n"),
    "chunk-extension-over-two-lines": request(HOST, CHUNKED, body=b"0;a=\nb\r\n\r\n"),
    "no-host": request(),
    "two-hosts": request(HOST, b"Host: i"),
    "http-2": request(HOST, line=b"GET /v2/ HTTP/2.0"),
    "http-0.9": b"GET /v2/\r\n",
    "a-third-word": request(HOST, line=b"GET /v2/ HTTP/1.1 HTTP/1.1"),
    "http-2-without-asking": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a-body-to-be-asked-for": request(HOST, b"Expect: 100-continue", LENGTH),
}

CLEAR = {
    "a-body": request(HOST, LENGTH, body=HIDDEN),
    "a-body-in-chunks": request(
        HOST, CHUNKED, body=b"%x\r\n%s\r\n%s" % (len(HIDDEN), HIDDEN, NO_CHUNKS)
    ),
    "a-body-after-bare-lfs": request(HOST, b"X: a\n" + LENGTH, body=HIDDEN),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_what_can_be_read_in_two_ways_ends_the_connection(bench: Bench, name: str) -> None:
    for _ in ("first", "remembered"):
        assert len(answers(bench, AMBIGUOUS[name] + HIDDEN + LAST)) == 1
    assert bench.wiretap.seen() == []
    bench.assert_tidy()


@pytest.mark.parametrize("name", CLEAR)
def test_a_body_is_no_request(bench: Bench, name: str) -> None:
    for _ in ("first", "remembered"):
        assert answers(bench, CLEAR[name] + LAST) == [200, 200]
    assert bench.wiretap.seen() == []
    bench.assert_tidy()


def test_a_request_is_seen_where_there_is_one(bench: Bench) -> None:
    """Else the tests above would prove nothing."""
    assert answers(bench, request(HOST) + HIDDEN + LAST) == [200, 404, 200]
    assert {one.path for one in bench.wiretap.seen()} == {f"/v2/{REPOSITORY}/manifests/hidden"}


def test_one_empty_line_before_a_request_is_passed_over(bench: Bench) -> None:
    """RFC 9112 §2.2."""
    assert answers(bench, b"\r\n" + request(HOST) + b"\r\n" + LAST) == [200, 200]


def test_a_folded_coding_ends_the_connection(bench: Bench) -> None:
    """RFC 9112 §5.2 lets a server join the lines; a proxy that took the first one alone would
    see no body here."""
    folded = request(HOST, b"Transfer-Encoding:\r\n chunked", body=NO_CHUNKS)
    assert len(answers(bench, folded + HIDDEN + LAST)) == 1


def answers(bench: Bench, data: bytes) -> list[int]:
    """The statuses of everything that comes until the server closes."""
    with socket.create_connection(("127.0.0.1", bench.cache.port), TIMEOUT) as one:
        one.sendall(data)
        said = bytearray()
        while piece := one.recv(65536):
            said += piece
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3})", said)]
