"""The client forgives nothing: what it takes for an answer is one."""

import fcntl
import re
import socket
import struct
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from distcache.conformance.client import Client
from distcache.conformance.connection import Address, Connection, whole_url
from distcache.conformance.messages import Broken, Ended, Request, Stalled

GET = Request("GET", "/v2/")
OK = b"HTTP/1.1 200 OK\r\n"

WRONG = {
    "no status line": b"200 OK\r\n\r\n",
    "another version": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "space before the colon": OK + b"Content-Length : 0\r\n\r\n",
    "folded field": OK + b"A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "bare line feed": OK + b"A: b\nContent-Length: 0\r\n\r\n",
    "control character": OK + b"A: \x00\r\nContent-Length: 0\r\n\r\n",
    "two lengths": OK + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "length of no digits": OK + b"Content-Length: +0\r\n\r\n",
    "both framings": OK + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding not asked for": OK + b"Transfer-Encoding: gzip\r\n\r\n",
    "short body": OK + b"Content-Length: 5\r\n\r\nfour",
    "chunk size that is none": OK + b"Transfer-Encoding: chunked\r\n\r\nx\r\n",
    "long chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
    "chunks without end": OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
    "half a head": OK + b"Content-",
    "head without end": OK + b"A: " + b"x" * 70_000,
}

RIGHT = {
    "length": (OK + b"Content-Length: 2\r\n\r\n{}", b"{}"),
    "chunks": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n1;a=b\r\n{\r\n1\r\n}\r\n0\r\nT: x\r\n\r\n",
        b"{}",
    ),
    "to the end": (OK + b"\r\n{}", b"{}"),
    "after an interim one": (
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n",
        b"",
    ),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", b""),
}


@contextmanager
def saying(data: bytes, *, stay: bool = False, reset: bool = False) -> Iterator[Address]:
    """A server that says `data` to its first client, and then leaves unless it is to stay: with
    an end, or with a reset once the client has what was said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(65536)
                client.sendall(data)
                if stay:
                    done.wait()
                if reset:
                    reset_when_read(client)
                    return
                client.shutdown(socket.SHUT_WR)
                client.recv(65536)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Address("127.0.0.1", listener.getsockname()[1], tls=False)
        finally:
            done.set()
            thread.join()


def reset_when_read(one: socket.socket) -> None:
    """A reset drops what the peer has not read yet."""
    outstanding = struct.pack("i", 1)
    while outstanding != bytes(4):
        outstanding = fcntl.ioctl(one, termios.TIOCOUTQ, bytes(4))
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_answer_is_told(name: str) -> None:
    with (
        saying(WRONG[name]) as address,
        Connection(address, 10) as connection,
        pytest.raises(Broken),
    ):
        connection.ask(GET)


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_an_answer_is_read(name: str) -> None:
    data, body = RIGHT[name]
    with saying(data) as address, Connection(address, 10) as connection:
        answer = connection.ask(GET)
    assert (answer.status, answer.body) == (200, body)


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_an_answer_without_body_ends_with_its_head(status: bytes) -> None:
    data = b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\n"
    with saying(data, stay=True) as address, Connection(address, 10) as connection:
        assert connection.ask(GET).body == b""


def test_chunks_for_an_old_client_are_told() -> None:
    data = OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    with (
        saying(data) as address,
        Connection(address, 10) as connection,
        pytest.raises(Broken, match=r"1\.0"),
    ):
        connection.ask(Request("GET", "/", version="1.0"))


def test_no_answer_is_told_apart_from_a_broken_one() -> None:
    with saying(b"") as address, Connection(address, 10) as connection, pytest.raises(Ended):
        connection.ask(GET)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 "])
def test_a_connection_that_breaks_is_told(said: bytes) -> None:
    with saying(said, reset=True) as address, Connection(address, 10) as connection:
        with pytest.raises(Broken) as caught:
            connection.ask(GET)
        assert isinstance(caught.value, Ended) is not said.startswith(b"HTTP")


def test_an_end_is_silent_however_it_comes() -> None:
    for reset in (False, True):
        with saying(b"", reset=reset) as address, Connection(address, 10) as connection:
            connection.send(GET.encode("x"))
            assert connection.silent()
    with saying(b"more") as address, Connection(address, 10) as connection:
        connection.send(GET.encode("x"))
        assert not connection.silent()


def test_a_server_that_says_nothing_is_given_up() -> None:
    with (
        saying(b"", stay=True) as address,
        Connection(address, 0.1) as connection,
        pytest.raises(Stalled),
    ):
        connection.ask(GET)


def test_a_password_is_no_evidence() -> None:
    assert "secret" not in str(Request("GET", "/v2/", (("Authorization", "Basic secret"),)))


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("http://here", "here"),
        ("https://here:443/", "here"),
        ("http://here:5000/base/", "here:5000"),
        ("https://[::1]:5000", "[::1]:5000"),
    ],
)
def test_addresses(url: str, authority: str) -> None:
    assert Address.parse(url).authority == authority


@pytest.mark.parametrize("url", ["here:5000", "ftp://here", "http://", "http://here:x"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Address.parse(url)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("localhost:5000", "http://localhost:5000"),
        ("127.0.0.1", "http://127.0.0.1"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("user:word@127.0.0.2:5000/base", "http://user:word@127.0.0.2:5000/base"),
        ("registry.example", "https://registry.example"),
        ("registry.example:5000", "https://registry.example:5000"),
        ("192.0.2.1:5000", "https://192.0.2.1:5000"),
        ("http://registry.example", "http://registry.example"),
        ("HTTPS://127.0.0.1:5000/", "https://127.0.0.1:5000/"),
    ],
)
def test_without_a_scheme_it_is_https_but_on_this_machine(text: str, url: str) -> None:
    assert whole_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ":5000", "::1", "here:x", "here:0", "here:70000", "http:/here", "//here"),
        *("http://", "ftp://here", "here there", "h\x00", "hére", "http://user@", "."),
        *("999.1.2.3:5000", "here?x", "here#x", "here:5000/v2/", "http://here/v2"),
    ],
)
def test_what_is_no_url_at_all(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        whole_url(text)


@pytest.mark.parametrize("location", ["", "Location: ftp://x/\r\n", "Location: /again\r\n"])
def test_a_redirect_that_leads_nowhere_is_told(location: str) -> None:
    data = f"HTTP/1.1 307 Elsewhere\r\n{location}Content-Length: 0\r\nConnection: close\r\n\r\n"
    with (
        saying(data.encode()) as address,
        Client(address, patience=0.5) as client,
        pytest.raises((Broken, OSError)),
    ):
        client.get("/v2/x/blobs/y")
