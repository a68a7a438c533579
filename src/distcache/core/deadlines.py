"""What happens by itself, and when: a heap with lazy deletion.

`_due` is the truth, the heap finds its minimum; an entry of the heap that `_due` does not
confirm is dropped when it comes up. So setting, moving and clearing cost O(log n).
"""

from collections.abc import Hashable
from heapq import heappop, heappush

from .oci import Time


class Deadlines:
    """At most one deadline a key."""

    def __init__(self) -> None:
        self._due: dict[Hashable, Time] = {}
        self._heap: list[tuple[Time, int, Hashable]] = []
        # Breaks ties in the order set: keys need not be comparable.
        self._count = 0

    def set(self, key: Hashable, at: Time) -> None:
        if self._due.get(key) != at:
            self._due[key] = at
            self._count += 1
            heappush(self._heap, (at, self._count, key))

    def clear(self, key: Hashable) -> None:
        self._due.pop(key, None)

    def __contains__(self, key: object) -> bool:
        return key in self._due

    def first(self) -> Time | None:
        """The earliest deadline."""
        heap = self._heap
        while heap and self._due.get(heap[0][2]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else None

    def pop_due(self, now: Time) -> Hashable | None:
        """Take one key whose time has come, in order of time."""
        at = self.first()
        if at is None or at > now:
            return None
        key = heappop(self._heap)[2]
        del self._due[key]
        return key

    def items(self) -> list[tuple[Hashable, Time]]:
        return list(self._due.items())

    def copy(self) -> "Deadlines":
        other = Deadlines.__new__(Deadlines)
        other._due = self._due.copy()
        other._heap = self._heap.copy()
        other._count = self._count
        return other
