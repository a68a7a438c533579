"""A client's socket on asyncio, without asyncio's transports: what can be done at once is done in
the calling callback, and what cannot goes on when the socket is ready.

Streams of asyncio's own cost a task and a buffer each, and no transport of asyncio's lets files
be sent as the socket has room for them.
"""

import socket
import ssl
from collections.abc import Callable

from ..access import subject
from ..driver import SendFile, sockets
from ..driver.room import Guest
from ..driver.sockets import SourceError, Want
from .poller import LOST, READ, WRITE, Poller


class Transport:
    """Owns the socket. `readable` is called while reading is on and something is there,
    `writable` when there is room for what is left over, `lost` when neither is waited for and
    the client is gone."""

    def __init__(
        self,
        sock: socket.socket,
        poller: Poller,
        readable: Callable[[], None],
        writable: Callable[[], None],
        lost: Callable[[], None],
    ) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._tls = isinstance(sock, ssl.SSLSocket)
        self._fd = sock.fileno()
        self._poller = poller
        self._readable = readable
        self._writable = writable
        self._lost = lost
        self._events = 0
        self._data: bytes | memoryview = b""
        self._file: SendFile | None = None
        poller.watch(self._fd, 0, self._ready)

    @property
    def subject(self) -> str | None:
        """The name in the certificate that the client has shown, if it has."""
        sock = self._socket
        return subject(sock.getpeercert()) if isinstance(sock, ssl.SSLSocket) else None

    def shake_hands(self) -> bool:
        """Over TLS, before everything else. False: `readable` or `writable` will be called, then
        this again. GoneError."""
        if not self._tls:
            return True
        assert isinstance(self._socket, ssl.SSLSocket)
        want = sockets.shake_hands(self._socket)
        events = {None: 0, Want.READ: READ, Want.WRITE: WRITE}[want]
        if events != self._events:
            self._wait_for(events)
        return want is None

    def read(self) -> bytes | None:
        """See `sockets.receive`."""
        return sockets.receive(self._socket)

    def write(self, data: bytes) -> bool:
        """False: `writable` will be called, then `flush`. GoneError."""
        sent = sockets.send(self._socket, data)
        if sent == len(data):
            return True
        self._data = memoryview(data)[sent:]
        return self._wait()

    def send_file(self, file: SendFile) -> bool:
        """False: `writable` will be called, then `flush`. GoneError, SourceError."""
        self._data = file.before
        self._file = file
        return self.flush()

    def flush(self) -> bool:
        """Whether nothing is left. GoneError, SourceError. Of a file one piece at a time, so that
        the others get their turn."""
        file = self._file
        while self._data:
            sent = sockets.send(self._socket, self._data, more=file is not None)
            if not sent:
                return self._wait()
            self._data = memoryview(self._data)[sent:]
        if file is not None and file.start < file.stop:
            try:
                self._send_piece(file)
            except SourceError:
                self._file = None
                self._go_on()
                raise
            if file.start < file.stop or self._data:
                return self._wait()
        self._file = None
        self._go_on()
        return True

    def _send_piece(self, file: SendFile) -> None:
        """GoneError, SourceError."""
        if self._tls:
            self._data = sockets.read_file(file.fd, file.start, file.stop)
            file.start += len(self._data)
        else:
            file.start += sockets.send_file(self._socket, file.fd, file.start, file.stop)

    def enter_room(self, guest: Guest) -> None:
        """Until it is told that its stay has ended, or `close`: what comes is the room's."""
        self.resume_reading()
        self._poller.enter(self._fd, guest)

    def resume_reading(self) -> None:
        if not self._events & READ:
            self._wait_for(self._events | READ)

    def pause_reading(self) -> None:
        if self._events & READ:
            self._wait_for(self._events & ~READ)

    def end(self) -> bool:
        """End our side. False: the client is gone."""
        try:
            sockets.end(self._socket)
        except OSError:
            return False
        return True

    def close(self, *, reset: bool) -> None:
        self._poller.forget(self._fd)
        sockets.close(self._socket, reset=reset)

    def _ready(self, events: int) -> None:
        wanted = self._events
        if not wanted & (READ | WRITE):
            self._lost()
        elif wanted & WRITE and events & (WRITE | LOST):
            self._writable()
        elif wanted & READ:
            self._readable()

    def _wait(self) -> bool:
        if not self._events & WRITE:
            self._wait_for(self._events | WRITE)
        return False

    def _go_on(self) -> None:
        if self._events & WRITE:
            self._wait_for(self._events & ~WRITE)

    def _wait_for(self, events: int) -> None:
        self._events = events
        self._poller.change(self._fd, events)
