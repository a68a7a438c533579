"""Small questions to upstreams on connections that are there already: sent at once, and answered in
the callback that the answer comes with, without a task.

It is for HTTP/1.1 that has been spoken with upstream before, for requests without a body, and for
answers that come whole in one piece. All else, at any point, goes httpcore's way: with the
same connection, what has been sent and what has come. That both ways tell the core the same is
held by the tests: tests/wire/test_whole.py as a property, test_fetch.py of each adapter on sockets.
"""

import select
from collections.abc import Callable
from typing import Protocol

from attrs import define, field

from ..core.events import Cause
from ..wire import whole
from .http import failure_cause
from .shelf import Bare, Loan, Shelf
from .transfers import Transfer

LONGEST = 64 * 1024
"""Bytes of an answer that is waited for here."""

GATHER = 0.02
"""Seconds to let the next bytes of it come. Whoever waits for them is told of what is there
already by httpcore's way alone."""


class Poller(Protocol):
    """Level-triggered; `ready` is called on the loop's thread with what has come."""

    def watch(self, fd: int, events: int, ready: Callable[[int], None]) -> None: ...

    def forget(self, fd: int) -> None: ...


@define(eq=False)
class Errand:
    """One request on a connection, with the rest of its time. `bare` is of `loan`."""

    transfer: Transfer
    loan: Loan
    bare: Bare
    fd: int
    deadline: float
    until: float = field(init=False)
    """When it is given up here."""
    come: bytes = field(default=b"", init=False)
    begun: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.until = self.deadline

    def resume(self, now: float) -> float:
        """Httpcore goes on with it, with what has come; seconds that are left for the head."""
        self.begun = True
        return max(0.0, self.deadline - now)

    def leave(self) -> None:
        """Nobody goes on with it any more."""
        if not self.begun:
            self.bare.tear()
        self.transfer.fail(Cause.CANCELLED)


class Ways(Protocol):
    """What only an adapter can do."""

    def go_on(self, errand: Errand) -> None:
        """Httpcore's way: `resume`, then all as ever, on this connection. Whatever happens,
        `leave` follows."""

    def alarm(self, at: float) -> None:
        """Call `expire` then, by the loop's clock."""


class Errands:
    """Of one adapter. `time` is the loop's clock."""

    def __init__(self, shelf: Shelf, poller: Poller, ways: Ways, time: Callable[[], float]) -> None:
        self._shelf = shelf
        self._poller = poller
        self._ways = ways
        self._time = time
        self._running: dict[int, Errand] = {}
        self._alarm: float | None = None
        self._closed = False

    def begin(self, transfer: Transfer) -> bool:
        """False: it is not for here, and nothing has happened."""
        sent = transfer.sent
        if self._closed or sent.body or not transfer.light:
            return False
        found = self._shelf.bare(transfer.way, sent.url)
        if found is None:
            return False
        loan, bare = found
        patience = min(transfer.timeouts.headers, transfer.timeouts.idle)
        errand = Errand(transfer, loan, bare, fd := bare.fileno, self._time() + patience)
        if not bare.ask(whole.request(sent)):
            self._give_up(errand)
            return True
        self._running[fd] = errand
        transfer.stop = lambda: self._abandon(errand, Cause.CANCELLED)
        self._poller.watch(fd, select.EPOLLIN, lambda _: self._ready(errand))
        self._wake_by(errand.until)
        return True

    def expire(self) -> None:
        """For the adapter's timer."""
        self._alarm = None
        now = self._time()
        for errand in list(self._running.values()):
            if errand.until <= now:
                if errand.come:
                    self._end(errand)
                    self._give_up(errand)
                else:
                    self._abandon(errand, Cause.TIMEOUT)
        left = [errand.until for errand in self._running.values()]
        if left:
            self._alarm = min(left)
            self._ways.alarm(self._alarm)

    def close(self) -> None:
        """All of them, and from now on none begins."""
        self._closed = True
        for errand in list(self._running.values()):
            self._abandon(errand, Cause.CANCELLED)

    def _ready(self, errand: Errand) -> None:
        transfer = errand.transfer
        while data := errand.bare.hear():
            errand.come += data
            length = whole.length(transfer.sent.method, errand.come)
            if length is None or not len(errand.come) < length <= LONGEST:
                break
        if data is None:
            if errand.come and errand.until == errand.deadline:
                errand.until = min(errand.deadline, self._time() + GATHER)
                self._wake_by(errand.until)
            return
        self._end(errand)
        answer = whole.answer(transfer.sent.method, errand.come)
        if answer is None:
            self._give_up(errand)
            return
        self._shelf.keep(errand.loan)
        try:
            transfer.whole(answer)
        except Exception as error:
            transfer.fail(failure_cause(error))

    def _wake_by(self, at: float) -> None:
        if self._alarm is None or at < self._alarm:
            self._alarm = at
            self._ways.alarm(at)

    def _give_up(self, errand: Errand) -> None:
        errand.bare.resume(errand.come)
        self._ways.go_on(errand)

    def _abandon(self, errand: Errand, cause: Cause) -> None:
        """An answer that still comes must not be taken for the next one's."""
        if errand.fd in self._running:
            self._end(errand)
            errand.bare.tear()
            errand.transfer.fail(cause)

    def _end(self, errand: Errand) -> None:
        errand.transfer.stop = None
        del self._running[errand.fd]
        self._poller.forget(errand.fd)
