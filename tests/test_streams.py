"""A connection to upstream that is asked and heard without waiting, and what httpcore then goes on
with; plain, over TLS, and over TLS within TLS."""

import asyncio
import select
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpcore
import pytest

from distcache.driver.streams import Stream
from tests.adapters.certificates import certificate as certificate
from tests.support.tls import Peer, context, trusting

ASKED, ANSWER = b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"
KINDS = ["plain", "TLS 1.2", "TLS 1.3", "TLS in TLS"]
VERSIONS = {"TLS 1.2": ssl.TLSVersion.TLSv1_2}


class Upstream:
    """The other end, which is served whenever the stream would wait. Of what it has to say it
    sends nothing while it is `silent`."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.peer: Peer | None = None
        self.got = b""
        self.silent = False

    def serve(self) -> None:
        if self.sock.fileno() < 0:
            return
        while select.select([self.sock], [], [], 0)[0] and (data := self.sock.recv(65536)):
            if self.peer is None:
                self.got += data
            else:
                self.peer.take(data)
                self.got = self.peer.got
        if self.peer is not None and not self.silent:
            self.sock.sendall(self.peer.give())

    def say(self, data: bytes) -> None:
        if self.peer is None:
            self.sock.sendall(data)
        else:
            self.peer.write(data)
            self.sock.sendall(self.peer.give())


class Direct(Stream):
    """Waits by having the other side do its part."""

    def __init__(self, sock: socket.socket, upstream: Upstream) -> None:
        super().__init__(sock.fileno())
        self.sock, self.upstream = sock, upstream

    @property
    def fileno(self) -> int:
        return self.sock.fileno()

    def tear(self) -> None:
        self.sock.close()

    def _within(self, timeout: float | None) -> AbstractAsyncContextManager[object]:
        return unbounded()

    async def _receive(self, count: int) -> bytes:
        self.upstream.serve()
        return self.sock.recv(count)

    async def _receive_into(self, room: memoryview) -> int:
        self.upstream.serve()
        return self.sock.recv_into(room)

    async def _send(self, data: bytes) -> None:
        while data:
            try:
                data = data[self.sock.send(data) :]
            except BlockingIOError:
                self.upstream.serve()


@asynccontextmanager
async def unbounded() -> AsyncIterator[None]:
    yield


Pair = tuple[Stream, Upstream]


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest, certificate: tuple[Path, Path]) -> Iterator[Pair]:
    """Connected; the last thing that upstream has said of itself has not gone out."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        upstream = Upstream(theirs)
        stream = Direct(ours, upstream)
        layers = {"plain": 0, "TLS in TLS": 2}.get(request.param, 1)
        trust = trusting(certificate, VERSIONS.get(request.param, ssl.TLSVersion.TLSv1_3))
        for _ in range(layers):
            upstream.peer = Peer(context(certificate), upstream.peer)
            asyncio.run(secure(stream, trust))
        upstream.silent = True
        upstream.serve()
        yield stream, upstream


async def secure(stream: Stream, trust: ssl.SSLContext) -> None:
    assert await stream.start_tls(trust, "registry.example") is stream


def test_an_answer_is_heard_without_waiting(pair: Pair) -> None:
    stream, upstream = pair
    for _ in range(3):
        assert not stream.readable()
        assert stream.ask(ASKED)
        upstream.serve()
        assert upstream.got.endswith(ASKED)
        assert stream.hear() is None
        upstream.say(ANSWER)
        assert stream.hear() == ANSWER
        assert stream.hear() is None


def test_what_tls_says_to_itself_while_idle_does_not_end_it(pair: Pair) -> None:
    stream, upstream = pair
    upstream.silent = False
    upstream.serve()  # TLS 1.3: session tickets
    assert not stream.readable()
    assert not select.select([stream.fileno], [], [], 0)[0], "it has been taken in"
    assert stream.ask(ASKED)
    upstream.serve()
    assert upstream.got == ASKED


def test_what_nobody_asked_for_makes_it_of_no_more_use(pair: Pair) -> None:
    stream, upstream = pair
    upstream.say(b"HTTP/1.1 408 Too Late\r\n\r\n")
    assert stream.readable()
    assert stream.readable(), "and it stays so"
    assert stream.get_extra_info("is_readable")
    assert asyncio.run(stream.read(99)) == b"HTTP/1.1 408 Too Late\r\n\r\n"


@pytest.mark.parametrize("told", [True, False])
def test_one_that_upstream_has_ended_is_of_no_more_use(pair: Pair, told: bool) -> None:
    stream, upstream = pair
    if told and upstream.peer is not None:
        upstream.peer.close()  # and the socket is still open
        upstream.sock.sendall(upstream.peer.give())
    else:
        upstream.sock.close()
    assert stream.readable()
    assert stream.hear() == b""
    assert asyncio.run(stream.read(99)) == b""


def test_one_that_is_torn_is_of_no_more_use(pair: Pair) -> None:
    stream, _ = pair
    stream.tear()
    assert stream.readable()
    assert not stream.ask(ASKED)
    with pytest.raises(httpcore.ReadError):
        asyncio.run(stream.read(99))


def test_httpcore_goes_on_with_what_was_sent_and_what_has_come(pair: Pair) -> None:
    stream, upstream = pair

    async def go_on() -> None:
        await stream.write(ASKED)
        assert await stream.read(99) == ANSWER[:9]
        upstream.say(ANSWER[9:])
        room = memoryview(bytearray(99))
        count = await stream.read_into(room)
        assert room[:count] == ANSWER[9:]
        await stream.write(b"next")

    assert stream.ask(ASKED)
    upstream.say(ANSWER[:9])
    heard = stream.hear()
    assert heard == ANSWER[:9]
    stream.resume(heard)
    asyncio.run(go_on())
    upstream.serve()
    assert upstream.got == ASKED + b"next", "nothing twice"


def test_httpcore_sends_the_rest_of_what_found_no_room(pair: Pair) -> None:
    stream, upstream = pair
    long = b"x" * 5_000_000
    assert not stream.ask(long)
    stream.resume(b"")
    asyncio.run(stream.write(long))
    upstream.serve()
    assert upstream.got == long
