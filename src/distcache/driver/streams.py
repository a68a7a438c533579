"""A connection to upstream, as httpcore wants it given, but for the waiting, which each event loop
does in its own way.

Beside it, the same connection can be asked and heard without waiting, by whoever has it while
httpcore does not (`errands.py`); httpcore then goes on with what was sent and what has come.
"""

import os
import select
import ssl
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Self

import httpcore

from .http import READ
from .tls import Tls

HEARD = 64 * 1024
"""Bytes of one look without waiting: a manifest with its head, but for the rarest."""


class Stream(httpcore.AsyncNetworkStream):
    """Over a non-blocking socket, with TLS or without. httpcore's own streams read less at once,
    and cannot be torn: its generators are only unwound by a read that fails."""

    def __init__(self, fd: int) -> None:
        self._tls: Tls | None = None
        self._look = select.poll()
        self._look.register(fd, select.POLLIN)
        self._asked = self._gone = 0
        self._unsent = self._come = b""

    # For an adapter

    @property
    @abstractmethod
    def fileno(self) -> int:
        """Negative once it is closed."""

    @abstractmethod
    def tear(self) -> None:
        """Close it at once, whoever waits for it. Harmless when it is closed."""

    @abstractmethod
    def _within(self, timeout: float | None) -> AbstractAsyncContextManager[object]:
        """TimeoutError when its seconds are over; OSError for a connection that is torn."""

    @abstractmethod
    async def _receive(self, count: int) -> bytes:
        """Up to so many bytes, none at the end. OSError."""

    @abstractmethod
    async def _receive_into(self, room: memoryview) -> int:
        """OSError."""

    @abstractmethod
    async def _send(self, data: bytes) -> None:
        """OSError."""

    # For httpcore, and for bodies

    @property
    def tls(self) -> Tls | None:
        """What lies between the socket and what `read_into` gives."""
        return self._tls

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """May return more than asked for: whoever asks takes any number."""
        if self._come:
            data, self._come = self._come, b""
            return data
        with _told(httpcore.ReadTimeout, httpcore.ReadError):
            async with self._within(timeout):
                if self._tls is None:
                    return await self._receive(max(READ, max_bytes))
                return await self._decrypt(self._tls)

    async def read_into(self, room: memoryview, timeout: float | None = None) -> int:
        """Bytes put there; 0: upstream sends no more. httpcore's errors."""
        with _told(httpcore.ReadTimeout, httpcore.ReadError):
            async with self._within(timeout):
                if self._tls is None:
                    return await self._receive_into(room)
                return await self._decrypt_into(self._tls, room)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        gone = min(self._gone, len(buffer))
        self._gone -= gone
        buffer, tls = buffer[gone:], self._tls
        if not buffer and not self._unsent:
            return
        with _told(httpcore.WriteTimeout, httpcore.WriteError):
            async with self._within(timeout):
                unsent, self._unsent = self._unsent, b""
                if tls is None or not buffer:
                    await self._send(unsent + buffer)
                    return
                await self._send(unsent)
                await self._encrypt(tls, buffer)

    async def aclose(self) -> None:
        self.tear()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> Self:
        """It speaks TLS from now on; once more, inside of that, when it does already."""
        tls = Tls(ssl_context, server_hostname, self._tls)
        try:
            with _told(httpcore.ConnectTimeout, httpcore.ConnectError):
                async with self._within(timeout):
                    await self._do(tls, tls.shake)
        except BaseException:
            self.tear()
            raise
        self._tls = tls
        return self

    def get_extra_info(self, info: str) -> Any:
        if info != "is_readable":
            return None  # asked for to see whether HTTP/2 was agreed on: it is never offered
        return self.readable()

    async def _encrypt(self, tls: Tls, data: bytes) -> None:
        def step() -> bool:
            nonlocal data
            data = data[tls.write(data) :]
            return not data

        await self._do(tls, step)

    async def _decrypt(self, tls: Tls) -> bytes:
        data = b""

        def step() -> bool:
            nonlocal data
            data = tls.read()
            return bool(data) or tls.over

        await self._do(tls, step)
        return data

    async def _decrypt_into(self, tls: Tls, room: memoryview) -> int:
        count = 0

        def step() -> bool:
            nonlocal count
            count = tls.read_into(room)
            return count > 0 or tls.over

        await self._do(tls, step)
        return count

    async def _do(self, tls: Tls, step: Callable[[], bool]) -> None:
        """What TLS may have to hear something for first."""
        while not step():
            await self._send(tls.give())
            tls.take(await self._receive(READ))
        await self._send(tls.give())

    # For those who do not wait

    def readable(self) -> bool:
        """Idle, it is of no more use: something has come that nobody asked for, or it has ended.
        What TLS says to itself between two answers is not that."""
        tls = self._tls
        if self.fileno < 0 or self._come:
            return True  # one that was torn must not be taken for idle
        if tls is None:
            return bool(self._look.poll(0))
        if not tls.left and not self._look.poll(0):
            return tls.over
        heard = self.hear()
        self._come += heard or b""
        return heard is not None

    def ask(self, request: bytes) -> bool:
        """Send it. False: not all of it is out, and it is for httpcore to go on."""
        tls, self._asked = self._tls, 0
        try:
            if tls is None:
                self._asked, self._unsent = len(request), request
            else:
                self._asked = tls.write(request)
                self._unsent = tls.give()
            self._unsent = self._unsent[os.write(self.fileno, self._unsent) :]
        except OSError:
            return False  # there is no room, or it is lost: httpcore will see
        return self._asked == len(request) and not self._unsent

    def hear(self) -> bytes | None:
        """What has come. Empty: upstream sends no more, or an error that it ends with. None:
        nothing yet."""
        tls = self._tls
        try:
            if tls is None:
                return os.read(self.fileno, HEARD)
            if not tls.left and not tls.over:
                tls.take(os.read(self.fileno, HEARD))
            data = tls.read()
        except BlockingIOError:
            return None
        except OSError:
            return b""
        return data if data or tls.over else None

    def resume(self, data: bytes) -> None:
        """For httpcore to go on with: what was asked has been written, and this has come."""
        self._gone, self._come = self._asked, data


@contextmanager
def _told(slow: type[Exception], broken: type[Exception]) -> Iterator[None]:
    """httpcore's errors for what may be raised within."""
    try:
        yield
    except TimeoutError as error:
        raise slow from error
    except OSError as error:
        raise broken(str(error)) from error
