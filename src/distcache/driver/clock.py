"""The core's time: wall time at start, carried on by a clock that never steps back."""

import time
from collections.abc import Callable

from ..core.oci import Time

ROUNDING = 1e-6
"""Seconds. Today's times are multiples of a quarter of it as floating-point numbers go, and a
loop that woke a rounding error early would spin until its clock moved."""


class Clock:
    """`monotonic` is the event loop's clock in seconds, so that tests with a virtual one move
    the core's time too. Wall time is read once: a step of the system's clock neither ends
    nor prolongs anything, and stored times still mean something after a restart."""

    def __init__(
        self, monotonic: Callable[[], float], wall: Callable[[], float] = time.time
    ) -> None:
        self._monotonic = monotonic
        self._offset = wall() - monotonic()
        self.last: Time = wall()

    def now(self) -> Time:
        """`last` is what this said the last time."""
        now = self._offset + self._monotonic()
        if now > self.last:
            self.last = now
        return self.last

    def on_loop(self, at: Time) -> float:
        """When that is by the loop's own clock: not before, as rounding would have it."""
        return at - self._offset + ROUNDING
