"""What the driver asks for, done on trio: transfers, jobs in threads, the next alarm."""

from collections.abc import Callable
from typing import TypeVar

import trio

from ..core.events import Cause
from ..core.oci import Time
from ..driver import TokenCall, Transfer
from .fetch import Fetcher
from .timer import Timer

T = TypeVar("T")


class Shell:
    """See `driver.Shell`. `jobs` outlives clients and transfers; without `fetcher` no
    transfer begins any more."""

    def __init__(self) -> None:
        self.timer = Timer()
        self.fetcher: Fetcher | None = None
        self.jobs: trio.Nursery | None = None

    def start_fetch(self, transfer: Transfer) -> None:
        if self.fetcher is None:
            transfer.fail(Cause.CANCELLED)
        else:
            self.fetcher.start_fetch(transfer)

    def start_token(self, call: TokenCall) -> None:
        if self.fetcher is None:
            call.fail(Cause.CANCELLED)
        else:
            self.fetcher.start_token(call)

    def run_job(self, job: Callable[[], T], then: Callable[[T], None]) -> None:
        assert self.jobs is not None
        self.jobs.start_soon(_run_job, job, then)

    def arm(self, deadline: Time | None) -> None:
        self.timer.arm(deadline)


async def _run_job(job: Callable[[], T], then: Callable[[T], None]) -> None:
    with trio.CancelScope(shield=True):
        then(await trio.to_thread.run_sync(job))
