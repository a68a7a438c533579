"""Sockets of ours on any asyncio loop: one epoll for all of them, the room's, which is itself what
the loop watches.

The loop then has one callback for all that is ready, instead of one for each socket. And a
reset is told as any other event is: uvloop's own `add_reader` gives a socket up on it, and
calls nobody.
"""

import asyncio
import select
import socket
from collections.abc import Callable

from ..driver.room import Room

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
LOST = select.EPOLLERR | select.EPOLLHUP
"""Told always, asked for or not."""

Ready = Callable[[int], None]


class Poller:
    """Level-triggered: what is not dealt with is told again."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._room = Room(self._tell)
        self._epoll = self._room.epoll
        self._ready: dict[int, Ready] = {}
        self.enter = self._room.enter
        self._loop.add_reader(self._epoll.fileno(), self._room.turn)

    def watch(self, fd: int, events: int, ready: Ready) -> None:
        """`ready` is given the events that have come, until `forget`."""
        self._epoll.register(fd, events)
        self._ready[fd] = ready

    def change(self, fd: int, events: int) -> None:
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Before it is closed."""
        del self._ready[fd]
        self._room.leave(fd)
        self._epoll.unregister(fd)

    async def wait(self, sock: socket.socket, events: int) -> None:
        """Until one of them has come, or the socket is lost."""
        fd = sock.fileno()
        come = self._loop.create_future()

        def ready(_: int) -> None:
            if not come.done():
                come.set_result(None)

        self.watch(fd, events, ready)
        try:
            await come
        finally:
            self.forget(fd)

    def close(self) -> None:
        self._loop.remove_reader(self._epoll.fileno())
        self._room.close()

    def _tell(self, fd: int, events: int) -> None:
        # One of those before it may have made it forgotten.
        ready = self._ready.get(fd)
        if ready is not None:
            ready(events)
