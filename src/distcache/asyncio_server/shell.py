"""What the driver asks for, done on asyncio: transfers, jobs in threads, the next alarm."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ..core.oci import Time
from ..driver.hosted import Fetching
from .poller import Poller
from .timer import Timer

T = TypeVar("T")


class Shell(Fetching):
    """See `driver.Shell`. Without `fetcher` no transfer begins any more."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        super().__init__()
        self.timer = Timer()
        self.poller = Poller()
        self._executor = executor
        self._jobs: set[asyncio.Future[Any]] = set()

    def run_job(self, job: Callable[[], T], then: Callable[[T], None]) -> None:
        future = asyncio.get_running_loop().run_in_executor(self._executor, job)
        self._jobs.add(future)

        def done(future: asyncio.Future[T]) -> None:
            self._jobs.discard(future)
            then(future.result())

        future.add_done_callback(done)

    def arm(self, deadline: Time | None) -> None:
        self.timer.arm(deadline)

    def close(self) -> None:
        self.poller.close()

    async def finish(self) -> None:
        """Until no job is left, nor any that one of them led to; a cancellation waits as long."""
        cancelled = False
        while self._jobs:
            try:
                await asyncio.wait(self._jobs)
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            raise asyncio.CancelledError
