"""Logins that take a thread to be checked: few at once, so that guessing at passwords takes no
threads from those who are already in."""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from attrs import define

from ..access import Check, Refused, Verdict
from ..core.effects import Code

T = TypeVar("T")

AT_ONCE = 2
"""Threads. bcrypt keeps a processor busy for tens or hundreds of milliseconds."""

WAITING = 100
"""Checks that may wait: with the usual costs of bcrypt the last one's turn comes within the half
minute that clients wait."""

BUSY = Refused(503, Code.UNAVAILABLE, "too many logins are being checked")


class RunJob(Protocol):
    def __call__(self, job: Callable[[], T], then: Callable[[T], None]) -> None: ...


@define(eq=False)
class Ticket:
    """A check that somebody waits for. `left`: nobody does any more."""

    check: Check
    then: Callable[[Verdict], None]
    left: bool = False


class Checks:
    """Belongs to the loop's thread. `run_job` is the shell's."""

    def __init__(self, run_job: RunJob) -> None:
        self._run_job = run_job
        self._running = 0
        self._waiting: deque[Ticket] = deque()

    def begin(self, check: Check, then: Callable[[Verdict], None]) -> Ticket | Refused:
        """`then` is given the verdict, not before this returns, unless the ticket is left."""
        if sum(not one.left for one in self._waiting) >= WAITING:
            return BUSY
        ticket = Ticket(check, then)
        self._waiting.append(ticket)
        self._go_on()
        return ticket

    def _go_on(self) -> None:
        while self._waiting and self._running < AT_ONCE:
            ticket = self._waiting.popleft()
            if not ticket.left:
                self._running += 1
                self._run_job(ticket.check.job, partial(self._done, ticket))

    def _done(self, ticket: Ticket, verdict: Verdict) -> None:
        self._running -= 1
        if not ticket.left:
            ticket.then(verdict)
        self._go_on()
