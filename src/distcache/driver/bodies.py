"""The body of an answer that httpcore reads. It waits for httpcore alone, on any loop.

httpcore hands a body over through nested generators: they are run to their end, or into the error
of a torn connection, and never dropped half-way, which would leave them to the garbage collector.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Protocol

import httpcore

from .insides import Straight, surplus
from .tls import Tls
from .transfers import REST

BROKEN = (httpcore.NetworkError, httpcore.ProtocolError)
"""What a torn connection ends in."""


class Stream(Protocol):
    """An adapter's own connection."""

    @property
    def fileno(self) -> int:
        """The socket, negative once it is closed."""

    @property
    def tls(self) -> Tls | None:
        """What lies between the socket and what upstream sends."""

    async def read_into(self, room: memoryview, timeout: float | None) -> int: ...

    async def aclose(self) -> None: ...


class BodyReader:
    """One body, from its first byte on. `idle`: seconds that upstream may be silent."""

    def __init__(self, response: httpcore.Response, idle: float) -> None:
        self._response = response
        self._idle = idle
        self._straight = Straight(response)
        self._rest = memoryview(b"")
        self._parts: AsyncIterator[bytes] | None = None
        self._over = False

    async def next(self) -> bytes | None:
        """The next piece, None at the end. Raises httpcore's errors."""
        if self._parts is None:
            self._parts = self._response.aiter_stream()
        try:
            return await anext(self._parts)
        except StopAsyncIteration:
            self._over = True
            return None
        except BaseException:
            self._over = True
            raise

    @property
    def straight(self) -> tuple[int, Tls | None, int] | None:
        """The socket that the next bytes come on, TLS if that is spoken there, and how many bytes:
        they may be read there, and are then `took`."""
        fd, tls = self._stream.fileno, self._stream.tls
        count = 0 if self._rest else self._straight.room()
        return (fd, tls, count) if fd >= 0 and count else None

    def took(self, count: int) -> None:
        self._straight.took(count)

    async def fill(self, room: memoryview) -> int:
        """Bytes put there, 0 at the end. Raises httpcore's errors."""
        straight = min(self._straight.room(), len(room))
        if straight and not self._rest:
            count = await self._stream.read_into(room[:straight], self._idle)
            if not count:
                raise httpcore.RemoteProtocolError("the body ends before its length")
            self._straight.took(count)
            return count
        while not self._rest:
            piece = await self.next()
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(self._rest), len(room))
        room[:count], self._rest = self._rest[:count], self._rest[count:]
        return count

    @property
    def _stream(self) -> Stream:
        stream: Stream = self._response.extensions["network_stream"]
        return stream

    @property
    def _half_read(self) -> bool:
        return self._parts is not None and not self._over

    async def _read_rest(self) -> None:
        """If it is little."""
        left = REST
        with suppress(*BROKEN):
            while not self._over and left >= 0:
                left -= len(await self.next() or b"")

    async def _tear(self) -> None:
        await self._stream.aclose()
        with suppress(*BROKEN):
            while await self.next() is not None:
                pass
        await self._response.aclose()

    async def _part(self) -> None:
        """With the body at its end, or not begun: the connection may be used again, unless more
        has come on it than was asked for."""
        if self._over and surplus(self._response):
            await self._stream.aclose()
        await self._response.aclose()
