"""Connections to upstreams on asyncio: sockets of ours, with fewer turns of the loop than those of
httpcore, which are anyio's. No descriptor is left behind, whatever is cancelled."""

import asyncio
import socket
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager

import httpcore

from ..driver.reach import Reach
from ..driver.streams import Stream
from . import dialing
from .poller import READ, WRITE, Poller


class _Stream(Stream):
    """Owns the socket, which is non-blocking."""

    def __init__(self, sock: socket.socket, poller: Poller) -> None:
        super().__init__(sock.fileno())
        self._socket = sock
        self._poller = poller

    @property
    def fileno(self) -> int:
        return self._socket.fileno()

    def tear(self) -> None:
        self._socket.close()

    def _within(self, timeout: float | None) -> AbstractAsyncContextManager[object]:
        return asyncio.timeout(timeout)

    async def _receive(self, count: int) -> bytes:
        while True:
            self._check_open()
            try:
                data = self._socket.recv(count)
            except BlockingIOError:
                await self._poller.wait(self._socket, READ)
            else:
                # A fast upstream always has more: the others are to get their turn.
                await asyncio.sleep(0)
                return data

    async def _receive_into(self, room: memoryview) -> int:
        while True:
            self._check_open()
            try:
                count = self._socket.recv_into(room)
            except BlockingIOError:
                await self._poller.wait(self._socket, READ)
            else:
                await asyncio.sleep(0)
                return count

    async def _send(self, data: bytes) -> None:
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
    ) -> _Stream:
        try:
            async with asyncio.timeout(timeout):
                addresses = await dialing.find(host, port)
                sock = await dialing.connect(self._poller, addresses)
                try:
                    await self._look(sock, host)
                except BaseException:
                    sock.close()
                    raise
                return _Stream(sock, self._poller)
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
