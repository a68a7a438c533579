"""A plain HTTP client for tests: whole answers, and downloads that can be read in steps."""

import contextlib
import http.client
import socket
from collections.abc import Iterator, Mapping

from attrs import frozen

TIMEOUT = 60.0
"""Seconds without a byte after which a test fails instead of hanging."""

CHUNK = 256 * 1024


class TornError(Exception):
    """The connection ended before the announced length."""


@frozen
class Answer:
    """Header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(
    port: int, path: str, method: str = "GET", headers: Mapping[str, str] | None = None
) -> Answer:
    """One request on a connection of its own. Raises TornError, OSError."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    with contextlib.closing(connection):
        try:
            connection.request(method, path, headers=dict(headers or {}))
            with connection.getresponse() as response:
                named = {name.lower(): value for name, value in response.getheaders()}
                return Answer(response.status, named, response.read())
        except http.client.HTTPException as error:
            raise TornError(repr(error)) from error


@contextlib.contextmanager
def asking(port: int, path: str) -> Iterator[http.client.HTTPConnection]:
    """A GET that is sent, its answer still to be read."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    with contextlib.closing(connection):
        connection.request("GET", path)
        yield connection


class Download:
    """An answer whose body is read in steps and compared on the way.

    `expected` is what the answered bytes must be; nothing is kept."""

    def __init__(self, response: http.client.HTTPResponse, expected: bytes) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.position = 0
        self._response = response
        self._expected = expected

    def read(self, count: int) -> None:
        """Read `count` more bytes. Raises TornError, AssertionError."""
        stop = self.position + count
        while self.position < stop:
            chunk = self._response.read1(min(CHUNK, stop - self.position))
            if not chunk:
                raise TornError(f"after {self.position} of {len(self._expected)} bytes")
            right = self._expected[self.position : self.position + len(chunk)]
            assert chunk == right, f"wrong bytes after {self.position}"
            self.position += len(chunk)

    def read_rest(self) -> None:
        """Read to the end and make sure that it is the end."""
        self.read(len(self._expected) - self.position)
        assert self._response.read1(1) == b"", "more bytes than the content has"


@contextlib.contextmanager
def download(
    port: int,
    path: str,
    expected: bytes,
    headers: Mapping[str, str] | None = None,
    receive_buffer: int | None = None,
) -> Iterator[Download]:
    """GET `path`; leaving the block closes the connection. `receive_buffer` in bytes: small
    ones make a reader that stops reading felt by the server at once. Raises TornError, OSError."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    with contextlib.closing(connection):
        if receive_buffer is not None:
            connection.sock = connect_with_buffer(port, receive_buffer)
        try:
            connection.request("GET", path, headers=dict(headers or {}))
            with connection.getresponse() as response:
                yield Download(response, expected)
        except http.client.HTTPException as error:
            raise TornError(repr(error)) from error


def connect_with_buffer(port: int, size: int) -> socket.socket:
    """The buffer's size is settled at connection time, so it is set before."""
    one = socket.socket()
    one.settimeout(TIMEOUT)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    one.connect(("127.0.0.1", port))
    return one
