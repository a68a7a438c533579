"""Where clients' connections wait for the next request: one epoll for all, which a loop watches.

A request that is a complete hit is answered here, as it comes: read, found, written, without its
connection's task or callback hearing of it, and without a word to the loop. All else, at any
point, is the connection's own business again, from the step that its dialogue says is next.
"""

import select
import socket
from collections.abc import Callable
from typing import Protocol

from .dialogue import Dialogue
from .sockets import SourceError, begin_file, receive, send, send_parts
from .steps import Pause, SendFile, Step

TURN = 64
"""Sockets dealt with in a row; then the loop's others get their turn."""


class Guest(Protocol):
    """A connection whose dialogue is at Pause.BYTES. Its stay ends with one call of these two,
    or when it leaves by itself."""

    @property
    def sock(self) -> socket.socket: ...

    @property
    def dialogue(self) -> Dialogue: ...

    def leaves(self, step: Step) -> None:
        """To do this, and what follows it."""

    def fails(self, error: Exception) -> None:
        """GoneError: the client is gone. Another: a bug."""


class Room:
    """Sockets are registered in `epoll` by their owners, level-triggered: what is not dealt with
    is told again. `elsewhere` is told what has come for one that is no guest's; it may not want
    to be told again and again."""

    def __init__(self, elsewhere: Callable[[int, int], None]) -> None:
        self.epoll = select.epoll()
        self._guests: dict[int, Guest] = {}
        self._elsewhere = elsewhere

    def enter(self, fd: int, guest: Guest) -> None:
        """Its socket is registered for reading."""
        self._guests[fd] = guest

    def leave(self, fd: int) -> None:
        """By itself, before the socket is closed. Harmless when it is not here."""
        self._guests.pop(fd, None)

    def turn(self) -> None:
        """All that is ready now, and, while that are guests only, what becomes ready meanwhile, up
        to TURN: whoever is quick with the next request is served, but keeps nobody waiting."""
        left, guests = TURN, self._guests
        while left and (ready := self.epoll.poll(0, left)):
            left -= len(ready)
            for fd, events in ready:
                # One of those before it may have made it leave.
                guest = guests.get(fd)
                if guest is None:
                    # It may be dealt with only after this turn, and is ready until then.
                    left = 0
                    self._elsewhere(fd, events)
                    continue
                try:
                    step = _serve(guest)
                except Exception as error:
                    self.leave(fd)
                    guest.fails(error)
                else:
                    if step is not None:
                        self.leave(fd)
                        guest.leaves(step)

    def close(self) -> None:
        self.epoll.close()


def _serve(guest: Guest) -> Step | None:
    """What it is to do; None: it waits on. GoneError."""
    data = receive(guest.sock)
    if data is None:
        return None
    dialogue = guest.dialogue
    answer = dialogue.at_once(data)
    if answer is None:
        dialogue.receive(data)
        return dialogue.step()
    if isinstance(answer, SendFile):
        if not _begin(guest, answer):
            dialogue.lasts()
            return answer
    elif isinstance(answer, bytes):
        count = send(guest.sock, answer)
        if count < len(answer):
            return answer[count:]
    elif rest := send_parts(guest.sock, answer):
        return bytes(rest)
    step = dialogue.step()
    return None if step is Pause.BYTES else step


def _begin(guest: Guest, file: SendFile) -> bool:
    """Whether nothing is left to send. GoneError."""
    try:
        return begin_file(guest.sock, file)
    except SourceError as error:
        guest.dialogue.lost(error)
        return True
