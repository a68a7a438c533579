"""Connections to upstreams, as httpcore wants them given.

Beside httpcore's own backend for trio: larger reads, no descriptor left behind when a TLS
handshake is cancelled, and streams that can be torn (httpcore's generators are only unwound
by a read that fails; left half-way they would be finalized at some other time).
"""

import select
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import trio

from ..driver.bodies import Resumable
from ..driver.http import READ
from ..driver.reach import Reach


class Stream(Resumable, httpcore.AsyncNetworkStream):
    def __init__(self, stream: trio.SocketStream | trio.SSLStream[Any]) -> None:
        super().__init__()
        self._stream = stream
        self._socket = _socket_of(stream)
        self._look = select.poll()
        self._look.register(self._socket.fileno(), select.POLLIN)

    def readable(self) -> bool:
        """One that was torn must not be taken for idle."""
        return self._socket.fileno() < 0 or bool(self._look.poll(0))

    def tear(self) -> None:
        """Close it at once. Nobody waits for it."""
        self._socket.close()

    @property
    def fd(self) -> int | None:
        """The socket, if nothing lies between it and what `read_into` gives."""
        plain = isinstance(self._stream, trio.SocketStream)
        return self._stream.socket.fileno() if plain else None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """May return more than asked for: whoever asks takes any number."""
        if data := self.came():
            return data
        with _reading(timeout):
            return bytes(await self._stream.receive_some(max(READ, max_bytes)))

    async def read_into(self, room: memoryview, timeout: float | None = None) -> int:
        """Bytes put there; 0: upstream sends no more. httpcore's errors."""
        with _reading(timeout):
            if isinstance(self._stream, trio.SocketStream):
                return await self._stream.socket.recv_into(room)
            data = await self._stream.receive_some(len(room))
            room[: len(data)] = data
            return len(data)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        buffer = self.unsent(buffer)
        if not buffer:
            return
        try:
            with trio.fail_after(_bound(timeout)):
                await self._stream.send_all(buffer)
        except trio.TooSlowError as error:
            raise httpcore.WriteTimeout from error
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise httpcore.WriteError(str(error)) from error

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self._stream)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> "Stream":
        # Many servers close without close_notify; HTTP's own framing tells a cut (RFC 9112 §9.8).
        secured = trio.SSLStream(
            self._stream, ssl_context, server_hostname=server_hostname, https_compatible=True
        )
        try:
            with trio.fail_after(_bound(timeout)):
                await secured.do_handshake()
        except BaseException as error:
            await trio.aclose_forcefully(self._stream)
            if isinstance(error, trio.TooSlowError):
                raise httpcore.ConnectTimeout from error
            if isinstance(error, trio.BrokenResourceError):
                raise httpcore.ConnectError(str(error.__cause__ or error)) from error
            raise
        return Stream(secured)

    def get_extra_info(self, info: str) -> Any:
        if info != "is_readable":
            return None  # asked for to see whether HTTP/2 was agreed on: it is never offered
        if isinstance(self._stream, trio.SSLStream) and _left_over(self._stream):
            return True
        return self.readable()


class Backend(httpcore.AsyncNetworkBackend):
    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> Stream:
        try:
            with trio.fail_after(_bound(timeout)):
                stream = await trio.open_tcp_stream(host, port)
                try:
                    await self._look(stream, host)
                except BaseException:
                    await trio.aclose_forcefully(stream)
                    raise
                return Stream(stream)
        except trio.TooSlowError as error:
            raise httpcore.ConnectTimeout from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error

    async def _look(self, stream: trio.SocketStream, host: str) -> None:
        """OSError, ForbiddenError."""
        reach, address = self._reach, stream.socket.getpeername()[0]
        if not reach.suspicious(host, address):
            return
        found = await trio.socket.getaddrinfo(reach.home, None)
        if not reach.permits(address, (str(one[4][0]) for one in found)):
            raise reach.refuse(host, address)


def _socket_of(stream: trio.SocketStream | trio.SSLStream[Any]) -> trio.socket.SocketType:
    while isinstance(stream, trio.SSLStream):
        stream = stream.transport_stream
    return stream.socket


def _left_over(stream: trio.SSLStream[Any]) -> bool:
    """trio decrypts no more than it is asked for, and does not say what is left."""
    inner = stream.transport_stream
    below = isinstance(inner, trio.SSLStream) and _left_over(inner)
    return bool(stream._incoming.pending or stream.pending() or below)


@contextmanager
def _reading(timeout: float | None) -> Iterator[None]:
    """httpcore's errors for what may be raised within."""
    try:
        with trio.fail_after(_bound(timeout)):
            yield
    except trio.TooSlowError as error:
        raise httpcore.ReadTimeout from error
    except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
        raise httpcore.ReadError(str(error)) from error


def _bound(timeout: float | None) -> float:
    return float("inf") if timeout is None else timeout
