"""The core's time: wall time at start, moved on by a monotonic clock."""

from collections.abc import Callable

from .core.oci import Time


class Clock:
    """Never steps back, whatever is done to the wall clock while the process runs."""

    def __init__(self, wall: Time, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._offset = wall - monotonic()

    def now(self) -> Time:
        return self._monotonic() + self._offset

    def monotonic(self, time: Time) -> float:
        """When `time` is, as the monotonic clock counts."""
        return time - self._offset
