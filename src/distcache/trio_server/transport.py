"""A client's socket on trio: every wait bounded, every loss of the client one exception.

The socket itself is non-blocking and tried first; the loop is asked only when there is
nothing to read or no room to write.
"""

import errno
import os
import socket
import struct

import trio

READ = 64 * 1024
"""Bytes of one read: a whole header at its largest."""

PIECE = 1024 * 1024
"""Bytes given to the kernel at once; between pieces the others get their turn."""

LINGER = 2.0
"""Seconds that a client has to take the last answer and close."""

LINGER_READS = 64
"""Reads meanwhile: what the client sends in vain, up to 4 MiB."""

_RESET = struct.pack("ii", 1, 0)
_CLIENT_LOST = (errno.EPIPE, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH)


class GoneError(Exception):
    """The client left, or does not take what it asked for."""


class SourceError(Exception):
    """The file ended early or could not be read."""


class Transport:
    """Owns the socket. `patience`: seconds that a client may read nothing."""

    def __init__(self, sock: socket.socket, patience: float) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._patience = patience
        self._reset = False

    async def read(self) -> bytes:
        """What is there; waits for the first of it. Empty: the client sends no more. GoneError:
        it is gone. Cancelling loses nothing."""
        while True:
            try:
                return self._socket.recv(READ)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._socket)
            except OSError as error:
                raise GoneError from error

    async def write(self, data: bytes, *, more: bool = False) -> None:
        """All of it. `more` follows at once: they may leave together."""
        view = memoryview(data)
        while view:
            try:
                count = self._socket.send(view, socket.MSG_MORE if more else 0)
            except BlockingIOError:
                await self._writable()
                continue
            except OSError as error:
                raise GoneError from error
            view = view[count:]

    async def send_file(self, fd: int, start: int, stop: int) -> None:
        """GoneError, SourceError."""
        while start < stop:
            try:
                count = os.sendfile(self._socket.fileno(), fd, start, min(PIECE, stop - start))
            except BlockingIOError:
                await self._writable()
                continue
            except OSError as error:
                if isinstance(error, ConnectionError) or error.errno in _CLIENT_LOST:
                    raise GoneError from error
                raise SourceError(str(error)) from error
            if not count:
                raise SourceError("it is shorter than it was")
            start += count
            await trio.lowlevel.checkpoint()

    async def part(self) -> None:
        """End our side and let the client close its own: a socket closed with bytes unread is
        reset, and the answer may be lost with it (RFC 9112 §9.6)."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            return
        with trio.move_on_after(LINGER):
            for _ in range(LINGER_READS):
                if not await self.read():
                    return

    def reset_on_close(self) -> None:
        """Closing is to be seen as an error, not as an end."""
        self._reset = True

    def close(self) -> None:
        if self._reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._socket.close()

    async def _writable(self) -> None:
        with trio.move_on_after(self._patience) as scope:
            await trio.lowlevel.wait_writable(self._socket)
        if scope.cancelled_caught:
            raise GoneError
