"""Connections to upstreams, as httpcore wants them given: sockets of ours, read in large pieces.

httpcore's own backend for asyncio is anyio's. Beside it: fewer turns of the loop, no descriptor
left behind whatever is cancelled, and streams that can be torn (httpcore's generators are only
unwound by a read that fails; left half-way they would be finalized at some other time).
"""

import asyncio
import select
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import httpcore

from ..driver.bodies import Resumable
from ..driver.http import READ
from ..driver.reach import Reach
from . import dialing
from .poller import READ as READABLE
from .poller import WRITE, Poller

T = TypeVar("T")


class Stream(Resumable, httpcore.AsyncNetworkStream):
    """Owns the socket, which is non-blocking."""

    def __init__(self, sock: socket.socket, poller: Poller) -> None:
        super().__init__()
        self._socket = sock
        self._poller = poller
        self._look = select.poll()
        self._look.register(sock, select.POLLIN)

    def readable(self) -> bool:
        """One that was torn must not be taken for idle."""
        return self._socket.fileno() < 0 or self._is_readable()

    def tear(self) -> None:
        """Close it at once. Nobody waits for it."""
        self._socket.close()

    @property
    def fd(self) -> int | None:
        """The socket, if nothing lies between it and what `read_into` gives."""
        return self._socket.fileno()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """May return more than asked for: whoever asks takes any number."""
        if data := self.came():
            return data
        async with _reading(timeout):
            return await self._receive(max(READ, max_bytes))

    async def read_into(self, room: memoryview, timeout: float | None = None) -> int:
        """Bytes put there; 0: upstream sends no more. httpcore's errors."""
        async with _reading(timeout):
            return await self._receive_into(room)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        buffer = self.unsent(buffer)
        if not buffer:
            return
        try:
            async with asyncio.timeout(timeout):
                await self._send(buffer)
        except TimeoutError as error:
            raise httpcore.WriteTimeout from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    async def aclose(self) -> None:
        self._socket.close()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> "Stream":
        secured = _SecuredStream(self, ssl_context, server_hostname)
        try:
            async with asyncio.timeout(timeout):
                await secured.shake_hands()
        except BaseException as error:
            self._socket.close()
            if isinstance(error, TimeoutError):
                raise httpcore.ConnectTimeout from error
            if isinstance(error, OSError):
                raise httpcore.ConnectError(str(error)) from error
            raise
        return secured

    def get_extra_info(self, info: str) -> Any:
        if info != "is_readable":
            return None  # asked for to see whether HTTP/2 was agreed on: it is never offered
        return self.readable()

    def _is_readable(self) -> bool:
        return bool(self._look.poll(0))

    async def _receive(self, count: int) -> bytes:
        """OSError."""
        while True:
            self._check_open()
            try:
                data = self._socket.recv(count)
            except BlockingIOError:
                await self._poller.wait(self._socket, READABLE)
            else:
                # A fast upstream always has more: the others are to get their turn.
                await asyncio.sleep(0)
                return data

    async def _receive_into(self, room: memoryview) -> int:
        """OSError."""
        while True:
            self._check_open()
            try:
                count = self._socket.recv_into(room)
            except BlockingIOError:
                await self._poller.wait(self._socket, READABLE)
            else:
                await asyncio.sleep(0)
                return count

    async def _send(self, data: bytes) -> None:
        """OSError."""
        view = memoryview(data)
        while view:
            self._check_open()
            try:
                view = view[self._socket.send(view) :]
            except BlockingIOError:
                await self._poller.wait(self._socket, WRITE)

    def _check_open(self) -> None:
        if self._socket.fileno() < 0:
            raise ConnectionError("torn")


class _SecuredStream(Stream):
    """TLS over it. Many servers close without close_notify; HTTP's own framing tells a cut
    (RFC 9112 §9.8)."""

    def __init__(self, inner: Stream, context: ssl.SSLContext, name: str | None) -> None:
        super().__init__(inner._socket, inner._poller)
        self._inner = inner
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)

    @property
    def fd(self) -> None:
        return None

    async def shake_hands(self) -> None:
        """OSError, of which ssl.SSLError is one."""
        await self._do(self._tls.do_handshake)

    async def _receive(self, count: int) -> bytes:
        room = memoryview(bytearray(count))
        return bytes(room[: await self._receive_into(room)])

    async def _receive_into(self, room: memoryview) -> int:
        # OpenSSL gives one record at a time, of 16 KiB at most.
        try:
            have = await self._do(lambda: self._decrypt(room))
        except ssl.SSLEOFError:
            return 0
        with suppress(ssl.SSLWantReadError, ssl.SSLEOFError):
            while have < len(room) and (more := self._decrypt(room[have:])):
                have += more
        return have

    def _decrypt(self, room: memoryview) -> int:
        """ssl.SSLWantReadError, ssl.SSLEOFError."""
        count: Any = self._tls.read(len(room), room)  # bytes only where it has no buffer
        return int(count)

    async def _send(self, data: bytes) -> None:
        await self._do(lambda: self._tls.write(data))

    async def _do(self, step: Callable[[], T]) -> T:
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                await self._flush()
            else:
                await self._flush()
                return done
            data = await self._inner._receive(READ)
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._inner._send(self._outgoing.read())

    def _is_readable(self) -> bool:
        left = self._incoming.pending or self._tls.pending()
        return bool(left) or self._inner._is_readable()


class Backend(httpcore.AsyncNetworkBackend):
    def __init__(self, poller: Poller, reach: Reach) -> None:
        self._poller = poller
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
            async with asyncio.timeout(timeout):
                addresses = await dialing.find(host, port)
                sock = await dialing.connect(self._poller, addresses)
                try:
                    await self._look(sock, host)
                except BaseException:
                    sock.close()
                    raise
                return Stream(sock, self._poller)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error

    async def _look(self, sock: socket.socket, host: str) -> None:
        """OSError, ForbiddenError."""
        reach, address = self._reach, sock.getpeername()[0]
        if not reach.suspicious(host, address):
            return
        found = await dialing.find(reach.home, 0)
        if not reach.permits(address, (str(where[0]) for _, where in found)):
            raise reach.refuse(host, address)


@asynccontextmanager
async def _reading(timeout: float | None) -> AsyncIterator[None]:
    """httpcore's errors for what may be raised within."""
    try:
        async with asyncio.timeout(timeout):
            yield
    except TimeoutError as error:
        raise httpcore.ReadTimeout from error
    except OSError as error:
        raise httpcore.ReadError(str(error)) from error
