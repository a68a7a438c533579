"""Upstreams' sockets on trio: one epoll for all of them, in which one task waits."""

import select
from collections.abc import Callable

import trio

BATCH = 64
"""Sockets dealt with in a row; then the loop's others get their turn."""


class Poller:
    """Level-triggered: what is not dealt with is told again."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ready: dict[int, Callable[[int], None]] = {}

    def watch(self, fd: int, events: int, ready: Callable[[int], None]) -> None:
        """`ready` is given the events that have come, until `forget`."""
        self._epoll.register(fd, events)
        self._ready[fd] = ready

    def forget(self, fd: int) -> None:
        """Before it is closed."""
        del self._ready[fd]
        self._epoll.unregister(fd)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            for fd, events in self._epoll.poll(0, BATCH):
                # One of those before it may have made it forgotten.
                ready = self._ready.get(fd)
                if ready is not None:
                    ready(events)

    def close(self) -> None:
        """When it does not run."""
        self._epoll.close()
