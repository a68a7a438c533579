"""Connections to upstreams on trio. No descriptor is left behind, whatever is cancelled."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpcore
import trio

from ..driver.reach import Reach
from ..driver.streams import Stream


class _Stream(Stream):
    """Owns the socket."""

    def __init__(self, sock: trio.socket.SocketType) -> None:
        super().__init__(sock.fileno())
        self._socket = sock

    @property
    def fileno(self) -> int:
        return self._socket.fileno()

    def tear(self) -> None:
        self._socket.close()

    def _within(self, timeout: float | None) -> AbstractAsyncContextManager[object]:
        return _within(timeout)

    async def _receive(self, count: int) -> bytes:
        return await self._socket.recv(count)

    async def _receive_into(self, room: memoryview) -> int:
        return await self._socket.recv_into(room)

    async def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[await self._socket.send(view) :]


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
    ) -> _Stream:
        try:
            async with _within(timeout):
                sock = (await trio.open_tcp_stream(host, port)).socket
                try:
                    await self._look(sock, host)
                except BaseException:
                    sock.close()
                    raise
                return _Stream(sock)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error

    async def _look(self, sock: trio.socket.SocketType, host: str) -> None:
        """OSError, ForbiddenError."""
        reach, address = self._reach, sock.getpeername()[0]
        if not reach.suspicious(host, address):
            return
        found = await trio.socket.getaddrinfo(reach.home, None)
        if not reach.permits(address, (str(one[4][0]) for one in found)):
            raise reach.refuse(host, address)


@asynccontextmanager
async def _within(timeout: float | None) -> AsyncIterator[None]:
    """TimeoutError when its seconds are over; OSError for a socket that is closed meanwhile."""
    try:
        with trio.fail_after(float("inf") if timeout is None else timeout):
            yield
    except trio.TooSlowError as error:
        raise TimeoutError from error
    except trio.ClosedResourceError as error:
        raise ConnectionError("torn") from error
