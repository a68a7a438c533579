"""What happened lately, for people who look at the dashboard: errors, and who pulls most."""

from collections import deque
from collections.abc import Callable

from attrs import define, frozen

from ..core.oci import Time

ERRORS = 50
REPOSITORIES = 1000
"""Repositories that are counted; beyond them the least asked for makes room."""


@frozen
class Happened:
    """An answer that was an error: `what` was asked for, in the words of the log. `status` None:
    it was cut off after it had begun."""

    at: Time
    what: str
    status: int | None
    reason: str


@define
class Count:
    pulls: int = 0
    sent: int = 0
    hits: int = 0


class Recent:
    """On the event loop's thread; an addition or two a pull."""

    def __init__(self, now: Callable[[], Time]) -> None:
        self.errors: deque[Happened] = deque(maxlen=ERRORS)
        self._now = now
        self._counts: dict[str, Count] = {}

    def answered(self, repository: str, sent: int, *, hit: bool) -> None:
        count = self._counts.get(repository)
        if count is None:
            if len(self._counts) >= REPOSITORIES:
                del self._counts[min(self._counts, key=lambda name: self._counts[name].pulls)]
            count = self._counts[repository] = Count()
        count.pulls += 1
        count.sent += sent
        count.hits += hit

    def failed(self, what: str, status: int | None, reason: str) -> None:
        self.errors.appendleft(Happened(self._now(), what, status, reason))

    def top(self, number: int) -> list[tuple[str, Count]]:
        """Who was sent most."""
        return sorted(self._counts.items(), key=lambda item: -item[1].sent)[:number]
