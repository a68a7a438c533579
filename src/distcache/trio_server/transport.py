"""A client's socket on trio: every wait bounded, every loss of the client one exception."""

import socket
import ssl

import trio

from ..access import subject
from ..driver import SendFile, sockets
from ..driver.sockets import SlowError, Want


class Transport:
    """Owns the socket. `patience`: seconds that a client may read nothing."""

    def __init__(self, sock: socket.socket, patience: float) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._fd = sock.fileno()
        self._patience = patience

    async def shake_hands(self) -> str | None:
        """Over TLS, before everything else: the name in the client's certificate, if it has shown
        one. GoneError."""
        sock = self._socket
        if not isinstance(sock, ssl.SSLSocket):
            return None
        while (want := sockets.shake_hands(sock)) is not None:
            if want is Want.READ:
                await trio.lowlevel.wait_readable(sock)
            else:
                await trio.lowlevel.wait_writable(sock)
        return subject(sock.getpeercert())

    async def read(self) -> bytes:
        """What is there; waits for the first of it. Empty: the client sends no more. GoneError:
        it is gone. Cancelling loses nothing."""
        while (data := sockets.receive(self._socket)) is None:
            await trio.lowlevel.wait_readable(self._fd)
        return data

    async def write(self, data: bytes | memoryview, *, more: bool = False) -> None:
        """All of it. `more` follows at once: they may leave together. GoneError."""
        view = memoryview(data)
        while view:
            count = sockets.send(self._socket, view, more=more)
            if not count:
                await self._writable()
            view = view[count:]

    async def send_file(self, file: SendFile) -> None:
        """What is behind its `before`. GoneError, SourceError."""
        while file.start < file.stop and isinstance(self._socket, ssl.SSLSocket):
            piece = sockets.read_file(file.fd, file.start, file.stop)
            await self.write(piece)
            file.start += len(piece)
            await trio.lowlevel.checkpoint()
        while file.start < file.stop:
            count = sockets.send_file(self._socket, file.fd, file.start, file.stop)
            full = count < min(sockets.PIECE, file.stop - file.start)
            file.start += count
            if full:
                await self._writable()
            else:
                await trio.lowlevel.checkpoint()

    async def part(self) -> None:
        """End our side and let the client close its own, but not for ever. GoneError."""
        try:
            sockets.end(self._socket)
        except OSError:
            return
        with trio.move_on_after(sockets.LINGER):
            for _ in range(sockets.LINGER_READS):
                if not await self.read():
                    return

    def close(self, *, reset: bool) -> None:
        sockets.close(self._socket, reset=reset)

    async def _writable(self) -> None:
        with trio.move_on_after(self._patience) as scope:
            await trio.lowlevel.wait_writable(self._socket)
        if scope.cancelled_caught:
            raise SlowError
