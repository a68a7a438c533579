"""What the driver asks for, done on trio: transfers, jobs in threads, the next alarm."""

from collections.abc import Callable
from typing import TypeVar

import trio

from ..core.oci import Time
from ..driver.hosted import Fetching
from .timer import Timer
from .waiting import Hall

T = TypeVar("T")


class Shell(Fetching):
    """See `driver.Shell`. `jobs` outlives clients and transfers; without `fetcher` no
    transfer begins any more."""

    def __init__(self) -> None:
        super().__init__()
        self.timer = Timer()
        self.hall = Hall()
        self.jobs: trio.Nursery | None = None

    def run_job(self, job: Callable[[], T], then: Callable[[T], None]) -> None:
        assert self.jobs is not None
        self.jobs.start_soon(_run_job, job, then)

    def arm(self, deadline: Time | None) -> None:
        self.timer.arm(deadline)

    def close(self) -> None:
        self.hall.close()


async def _run_job(job: Callable[[], T], then: Callable[[T], None]) -> None:
    with trio.CancelScope(shield=True):
        then(await trio.to_thread.run_sync(job))
