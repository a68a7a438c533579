"""What a wiretap can do to an answer, and where a test can hold one."""

import threading
from collections.abc import Callable

from attrs import define, field, frozen

PATIENCE = 60.0
"""Seconds after which a gate gives way, so that a failing test ends."""


@define(eq=False)
class Gate:
    """Holds an answer after `at` bytes of its body until the test opens it; an answer
    without a body is held before its head."""

    at: int
    _reached: threading.Event = field(factory=threading.Event, init=False)
    _opened: threading.Event = field(factory=threading.Event, init=False)

    def open(self) -> None:
        self._opened.set()

    def await_reached(self) -> None:
        """Block until exactly `at` bytes have gone out."""
        assert self._reached.wait(PATIENCE), "upstream's answer never came this far"

    def pass_through(self) -> None:
        """The wiretap's side."""
        self._reached.set()
        self._opened.wait(PATIENCE)


@frozen
class Fault:
    """Befalls the next `times` answers to `method` whose path contains `path`.

    Offsets count bytes of the answer's body. `cut`: close the connection there; `corrupt`:
    invert the byte there; `gate`: hold there, or with `mute` before the head; `piece`: send no
    more bytes than this at once; `extra` follows the body; `rewrite` makes another head of the
    head's lines, the status line first. Without asking anyone: `drop` closes the connection
    instead of answering; `status` is answered, with `headers`."""

    path: str
    method: str = "GET"
    times: int = 1
    cut: int | None = None
    corrupt: int | None = None
    gate: Gate | None = None
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    mute: bool = False
    drop: bool = False
    piece: int | None = None
    extra: bytes = b""
    rewrite: Callable[[list[str]], list[str]] | None = None


@define
class Plan:
    """Faults in the order in which they were planned; each is used up by matching requests."""

    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _left: list[tuple[Fault, int]] = field(factory=list, init=False)
    _gates: list[Gate] = field(factory=list, init=False)

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._left.append((fault, fault.times))
            if fault.gate is not None:
                self._gates.append(fault.gate)

    def take(self, method: str, path: str) -> Fault | None:
        with self._lock:
            for place, (fault, left) in enumerate(self._left):
                if fault.method == method and fault.path in path:
                    self._left[place] = (fault, left - 1)
                    if left == 1:
                        del self._left[place]
                    return fault
        return None

    def clear(self) -> None:
        """Forget what has not been used up, and let go of what is held."""
        with self._lock:
            self._left.clear()
        self.open_gates()

    @property
    def left(self) -> list[Fault]:
        """What has still to befall an answer."""
        with self._lock:
            return [fault for fault, _ in self._left]

    def open_gates(self) -> None:
        """Let go of every answer that is held, or would be."""
        with self._lock:
            for gate in self._gates:
                gate.open()
