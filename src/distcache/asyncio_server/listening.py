"""Taking in connections: their bound, and running out of files."""

import asyncio
import socket
from collections.abc import Callable

from .. import log
from ..driver.listening import BATCH, OUT, PAUSE, client_name
from ..settings import Level

Serve = Callable[[socket.socket, str], None]


class Listener:
    """Calls `serve` for each connection, with the client's address; while no place is free, new
    ones wait in the kernel. Owns the sockets. Each connection that ends is to be told."""

    def __init__(self, sockets: list[socket.socket], places: int, serve: Serve) -> None:
        self._loop = asyncio.get_running_loop()
        self._sockets = sockets
        self._places = places
        self._serve = serve
        self._accepting: set[socket.socket] = set()
        self._pauses: dict[socket.socket, asyncio.TimerHandle] = {}
        self._closed = False

    def start(self) -> None:
        if not self._closed:
            for one in self._sockets:
                if one not in self._accepting and one not in self._pauses:
                    self._accepting.add(one)
                    self._loop.add_reader(one.fileno(), self._accept, one)

    def ended(self) -> None:
        """A connection has given back its place."""
        self._places += 1
        if self._places == 1:
            self.start()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for handle in self._pauses.values():
            handle.cancel()
        for one in self._sockets:
            self._rest(one)
            one.close()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(BATCH):
            if not self._places:
                for one in list(self._accepting):
                    self._rest(one)
                return
            try:
                one, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in OUT:
                    log.note(Level.ERROR, "cannot accept a connection", {"error": str(error)})
                    self._rest(listener)
                    self._pauses[listener] = self._loop.call_later(PAUSE, self._resume, listener)
                    return
                continue  # it was gone before we came to it
            self._places -= 1
            self._serve(one, client_name(address))

    def _resume(self, listener: socket.socket) -> None:
        del self._pauses[listener]
        if self._places:
            self.start()

    def _rest(self, listener: socket.socket) -> None:
        if listener in self._accepting:
            self._accepting.discard(listener)
            self._loop.remove_reader(listener.fileno())
