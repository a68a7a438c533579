"""A body's bytes on their way from the network to the disk: a ring in memory, filled at one end
while a thread writes what lies at the other.

So memory is flat whatever the rates of both, and a slow disk holds the network back.
"""

import mmap

SIZE = 4 * 1024 * 1024
"""Bytes of the ring at the most. Half of it is written at once: handing that to a thread costs
little beside hashing it, and there is room for as much meanwhile."""


def ring(size: int) -> memoryview:
    """Memory that costs nothing before it is used; a bytearray is written all over at once, which
    takes the loop a millisecond for this size, and most bodies are small."""
    return memoryview(mmap.mmap(-1, size))


class Intake:
    """`expected`: the body's length in bytes, if upstream has said it. The room and the batch that
    were given stay as they are until `filled` and `written`, whatever is called meanwhile."""

    def __init__(self, expected: int | None) -> None:
        size = SIZE if expected is None else min(SIZE, max(expected, 1))
        self._ring = ring(size)
        self._filled = self._written = 0

    def room(self) -> memoryview:
        """Where the next bytes may be put; empty: wait until something is written."""
        size = len(self._ring)
        start = self._filled % size
        return self._ring[start : min(size, start + size - (self._filled - self._written))]

    def filled(self, count: int) -> None:
        """So many bytes of `room` have come."""
        self._filled += count

    def batch(self) -> memoryview:
        """What is to be written next; empty: nothing is there."""
        size = len(self._ring)
        start = self._written % size
        count = min(self._filled - self._written, (size + 1) // 2)
        return self._ring[start : min(size, start + count)]

    def written(self, count: int) -> None:
        """So many bytes of `batch` are written."""
        self._written += count
