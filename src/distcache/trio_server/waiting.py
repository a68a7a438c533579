"""Waiting for clients' requests on trio: one task that watches the room, and a seat for each
connection's own."""

import select
import socket

import trio

from ..driver import Dialogue, Pause, Step
from ..driver.room import Room


class Seat:
    """Of one connection, which owns the socket. Closed before it."""

    def __init__(self, sock: socket.socket, dialogue: Dialogue, hall: "Hall") -> None:
        self.sock = sock
        self.dialogue = dialogue
        self._fd = sock.fileno()
        self._hall = hall
        self._task: trio.lowlevel.Task | None = None
        self._step: Step = Pause.BYTES
        self._error: Exception | None = None

    async def wait(self) -> Step:
        """While the dialogue is at Pause.BYTES: what is to be done then. Cancelling loses nothing.
        GoneError."""
        self._task = trio.lowlevel.current_task()
        self._hall.enter(self._fd, self)
        await trio.lowlevel.wait_task_rescheduled(self._leave)
        if self._error is not None:
            raise self._error
        return self._step

    def leaves(self, step: Step) -> None:
        self._step = step
        self._wake()

    def fails(self, error: Exception) -> None:
        self._error = error
        self._wake()

    def close(self) -> None:
        self._hall.forget(self._fd)

    def _wake(self) -> None:
        assert self._task is not None
        trio.lowlevel.reschedule(self._task)

    def _leave(self, _: object) -> trio.lowlevel.Abort:
        self._hall.leave(self._fd)
        return trio.lowlevel.Abort.SUCCEEDED


class Hall:
    """The room of one server. Nobody waits in it unless it runs."""

    def __init__(self) -> None:
        self._room = Room(self._nobody)
        self._watched: set[int] = set()
        self.leave = self._room.leave

    def enter(self, fd: int, seat: Seat) -> None:
        if fd not in self._watched:
            self._room.epoll.register(fd, select.EPOLLIN)
            self._watched.add(fd)
        self._room.enter(fd, seat)

    def forget(self, fd: int) -> None:
        """Before it is closed."""
        if fd in self._watched:
            self._watched.discard(fd)
            self._room.epoll.unregister(fd)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._room.epoll.fileno())
            self._room.turn()

    def close(self) -> None:
        """When it does not run and everybody has gone."""
        self._room.close()

    def _nobody(self, fd: int, events: int) -> None:
        # Whoever has left most often comes back before the client sends more.
        self.forget(fd)
