"""Connections to upstreams: TLS, several addresses, and what a connection that is given up
leaves behind."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import httpcore
import pytest

from distcache.asyncio_server import dialing
from distcache.asyncio_server.network import Backend
from distcache.asyncio_server.poller import Poller
from distcache.driver.reach import Reach
from distcache.wire.sites import UpstreamSite
from distcache.wire.urls import Url
from tests.adapters.certificates import certificate as certificate
from tests.adapters.harness import Benches, nothing_left
from tests.adapters.runtimes import on_asyncio

ERRORS = {"too slow": httpcore.ConnectTimeout, "not TLS": httpcore.ConnectError}
BODY = bytes(range(256)) * 20000


def run(main: Callable[[Backend], Awaitable[None]]) -> None:
    async def with_backend() -> None:
        poller = Poller()
        try:
            await main(Backend(poller, Reach("127.0.0.1")))
        finally:
            poller.close()

    asyncio.run(with_backend())


@contextmanager
def server(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """One connection is talked to, on a thread; in the end nothing of it may be left."""
    with nothing_left():
        yield from _serve(talk)


def _serve(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            one, _ = listener.accept()
            with one:
                talk(one)

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    thread.join(30)
    assert not thread.is_alive(), "the other side was not let go"
    listener.close()


@pytest.mark.parametrize("trusting", [True, False])
def test_an_upstream_is_trusted_by_its_own_ca_and_not_without(
    tmp_path: Path, certificate: tuple[Path, Path], trusting: bool
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()

    def talk(one: socket.socket) -> None:
        with context.wrap_socket(one, server_side=True) as secured:
            secured.recv(65536)
            secured.sendall(head + BODY)
            secured.recv(65536)

    with server(talk) as port:
        ca = str(certificate[0]) if trusting else None
        sites = {"up": UpstreamSite("up", Url("https", "127.0.0.1", port), ca=ca)}
        with Benches(on_asyncio, tmp_path / "store")(sites=sites) as b:
            answer = b.get(b.upstream.blob("a/img", BODY))
            assert answer.status == (200 if trusting else 502)
            assert not trusting or answer.body == BODY


@pytest.mark.parametrize("how", ["cancelled", "too slow", "not TLS"])
def test_a_handshake_that_fails_leaves_no_connection(how: str) -> None:
    def talk(one: socket.socket) -> None:
        one.recv(65536)  # the ClientHello
        if how == "not TLS":
            one.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        while one.recv(65536):
            pass

    async def main(backend: Backend) -> None:
        connected = await backend.connect_tcp("127.0.0.1", port, timeout=5)
        expected = pytest.raises(ERRORS[how]) if how in ERRORS else nullcontext()
        patience = 0.01 if how == "too slow" else 5
        with suppress(TimeoutError), expected:
            async with asyncio.timeout(0.01 if how == "cancelled" else 5):
                await connected.start_tls(ssl.create_default_context(), "localhost", patience)
        assert connected.get_extra_info("is_readable"), "it must not be taken for idle"

    with server(talk) as port:
        run(main)


def test_of_several_addresses_the_first_that_answers_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dialing, "HEAD_START", 0.0)

    def talk(one: socket.socket) -> None:
        one.sendall(b"hello")

    async def main(backend: Backend) -> None:
        def addresses(*_: object, **__: object) -> list[tuple[object, ...]]:
            found = [("127.0.0.1", 1), ("127.0.0.1", port), ("127.0.0.1", 1)]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", one) for one in found]

        monkeypatch.setattr(socket, "getaddrinfo", addresses)
        stream = await backend.connect_tcp("several", 80, timeout=5)
        assert await stream.read(100, 5) == b"hello"
        await stream.aclose()

    with server(talk) as port:
        run(main)


def test_no_address_that_answers_is_an_error() -> None:
    async def main(backend: Backend) -> None:
        with pytest.raises(httpcore.ConnectError, match="refused"):
            await backend.connect_tcp("127.0.0.1", 1, timeout=5)

    with nothing_left():
        run(main)


def test_a_stream_that_is_torn_fails_every_use() -> None:
    async def main(backend: Backend) -> None:
        stream = await backend.connect_tcp("127.0.0.1", port, timeout=5)
        await stream.aclose()
        with pytest.raises(httpcore.ReadError):
            await stream.read(1)
        with pytest.raises(httpcore.WriteError):
            await stream.write(b"x")

    with server(lambda one: None) as port:
        run(main)


def test_a_peer_that_is_silent_is_given_up_after_its_time() -> None:
    def talk(one: socket.socket) -> None:
        closed.wait(30)

    closed = threading.Event()

    async def main(backend: Backend) -> None:
        stream = await backend.connect_tcp("127.0.0.1", port, timeout=5)
        with pytest.raises(httpcore.ReadTimeout):
            await stream.read(1, timeout=0.01)
        with pytest.raises(httpcore.WriteTimeout):
            await stream.write(bytes(50_000_000), timeout=0.01)
        await stream.aclose()
        closed.set()

    with server(talk) as port:
        run(main)
