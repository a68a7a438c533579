"""Upstream requests on asyncio: one task each, from httpcore's pools to the driver's transfers.

A body that goes to a file is read by its task while a thread writes and hashes what came
before; most of a large one does not pass the loop at all (`driver/pump.py`). A body is always
read to its end or torn off, and every request ends its transfer, whatever is raised or cancelled,
a task that is cancelled before its first step included.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any

from ..core.events import Cause
from ..driver import TOKEN_LIMIT, TokenCall, Transfer
from ..driver.errands import Errand, Errands
from ..driver.http import WRITERS, failure_cause
from ..driver.intake import Intake
from ..driver.pump import PUMPS, Pump, Pumps
from .poller import Poller
from .pools import Body, Pools, send
from .shielding import in_thread, seen_through, until_done


class Fetcher:
    """Made by `open_fetcher`."""

    def __init__(
        self,
        group: asyncio.TaskGroup,
        pools: Pools,
        writers: Executor,
        pumping: Executor,
        poller: Poller,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._group = group
        self._pools = pools
        self._writers = writers
        self._pumps = Pumps(asyncio.get_running_loop().call_soon_threadsafe)
        self._pumping = pumping
        self._errands = Errands(pools.shelf, poller, self, self._loop.time)
        self._alarm: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def start_fetch(self, transfer: Transfer) -> None:
        if not self._errands.begin(transfer):
            self._start(self._run_fetch(transfer), lambda: transfer.fail(Cause.CANCELLED))

    def go_on(self, errand: Errand) -> None:
        """For errands."""
        self._start(self._run_fetch(errand.transfer, errand), errand.leave)

    def alarm(self, at: float) -> None:
        """For errands."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_at(at, self._errands.expire)

    def renew(self) -> None:
        self._pools.renew()

    def start_token(self, call: TokenCall) -> None:
        self._start(self._run_token(call), lambda: call.fail(Cause.CANCELLED))

    def cancel(self) -> None:
        """Everything, and from now on what is started, too."""
        self._closed = True
        self._errands.close()
        if self._alarm is not None:
            self._alarm.cancel()
        for task in list(self._tasks):
            task.cancel()

    def _start(self, work: Coroutine[Any, Any, None], end: Callable[[], None]) -> None:
        if self._closed:
            work.close()
            end()
            return
        task = self._group.create_task(work)
        self._tasks.add(task)

        def ended(_: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            end()

        task.add_done_callback(ended)

    async def _run_fetch(self, transfer: Transfer, errand: Errand | None = None) -> None:
        # An eager task would otherwise begin within the call that only was to start it.
        await asyncio.sleep(0)
        try:
            await self._fetch(transfer, errand)
        except Exception as error:
            transfer.fail(failure_cause(error))

    async def _run_token(self, call: TokenCall) -> None:
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(call.timeouts.headers):
                await self._token(call)
        except TimeoutError:
            call.fail(Cause.TIMEOUT)
        except Exception as error:
            call.fail(failure_cause(error))

    async def _fetch(self, transfer: Transfer, errand: Errand | None) -> None:
        patience = float(transfer.timeouts.headers)
        lent = None if errand is None else errand.loan
        if errand is not None:
            patience = errand.resume(self._loop.time())
        async with self._pools.to(transfer.way, transfer.sent.url, lent) as loan:
            try:
                async with _stoppable(transfer, patience):
                    response = await send(loan, transfer.sent, transfer.timeouts)
            except TimeoutError:
                transfer.fail(Cause.TIMEOUT)
                return
            async with Body(response, transfer.timeouts.idle) as body:
                if transfer.head(response.status, response.headers):
                    await self._spool(transfer, body)
                elif not transfer.cancelled:
                    transfer.end(transfer.conclude())
                else:
                    transfer.fail(Cause.CANCELLED)
                if not transfer.long_rest:
                    await body.skip()

    async def _spool(self, transfer: Transfer, body: Body) -> None:
        try:
            async with _stoppable(transfer, None):
                if transfer.in_memory:
                    await _collect(transfer, body)
                else:
                    await _Pipe(transfer, body, self._writers, self._pumps, self._pumping).run()
                if transfer.heavy:
                    found = await in_thread(self._writers, transfer.conclude)
                else:
                    found = transfer.conclude()
                transfer.end(found)
        except TimeoutError:
            # Stopped half-way.
            transfer.fail(Cause.CANCELLED)

    async def _token(self, call: TokenCall) -> None:
        async with self._pools.to(call.way, call.sent.url) as loan:
            response = await send(loan, call.sent, call.timeouts)
            async with Body(response, call.timeouts.idle) as body:
                pieces = bytearray()
                while (piece := await body.next()) is not None:
                    pieces += piece
                    if len(pieces) > TOKEN_LIMIT:
                        call.fail(Cause.TOO_LARGE)
                        return
                call.answer(response.status, response.headers, bytes(pieces))


@asynccontextmanager
async def open_fetcher(poller: Poller) -> AsyncIterator[Fetcher]:
    """Leaving the block cancels all requests, those that are started on the way out too, waits
    for them and closes the connections."""
    with (
        ThreadPoolExecutor(WRITERS, "distcache-spool") as writers,
        ThreadPoolExecutor(PUMPS, "distcache-pump") as pumping,
    ):
        pools = Pools(writers, poller)
        await pools.warm_up()
        try:
            async with asyncio.TaskGroup() as group:
                fetcher = Fetcher(group, pools, writers, pumping, poller)
                try:
                    yield fetcher
                finally:
                    fetcher.cancel()
        finally:
            await pools.aclose()


@asynccontextmanager
async def _stoppable(transfer: Transfer, patience: float | None) -> AsyncIterator[None]:
    """The block ends by TimeoutError when its time is over, or when the transfer is cancelled."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(0 if transfer.cancelled else patience) as scope:
        transfer.stop = lambda: scope.reschedule(loop.time())
        try:
            yield
        finally:
            transfer.stop = None


class _Pipe:
    """Reads a body while a thread writes what came before."""

    def __init__(
        self,
        transfer: Transfer,
        body: Body,
        writers: Executor,
        pumps: Pumps,
        pumping: Executor,
    ) -> None:
        self._transfer = transfer
        self._body = body
        self._writers = writers
        self._pumps = pumps
        self._pumping = pumping
        self._intake = Intake(transfer.expected)
        self._batch = 0
        self._writing: asyncio.Future[int] | None = None
        self._error: BaseException | None = None
        self._moved = asyncio.Event()

    async def run(self) -> None:
        """Raises the first error of either side, when both have ended: what came before a cut is
        still written."""
        try:
            try:
                await self._read()
            except Exception as error:
                self._error = self._error or error
            while self._writing is not None:
                await self._move()
        finally:
            if self._writing is not None:
                # A thread that still writes must not meet the next transfer's.
                await until_done(self._writing)
        if self._error is not None:
            raise self._error

    async def _read(self) -> None:
        await self._pump()
        while self._error is None and (count := await self._body.fill(self._intake.room())):
            self._intake.filled(count)
            self._write()
            while not self._intake.room() and self._error is None:
                await self._move()
            await self._pump()

    async def _pump(self) -> None:
        """Let a thread take what it may, if there is one for it."""
        pump = self._pumps.begin(self._transfer, self._body.straight)
        if pump is None:
            return
        try:
            while self._writing is not None:
                await self._move()
            if self._error is None:
                await _run(pump, self._pumping)
                self._body.took(pump.taken)
        finally:
            self._pumps.end(pump)

    async def _move(self) -> None:
        self._moved.clear()
        await self._moved.wait()

    def _write(self) -> None:
        if self._writing is None and (batch := self._intake.batch()):
            loop = asyncio.get_running_loop()
            self._batch = len(batch)
            self._writing = loop.run_in_executor(self._writers, self._transfer.take, (batch,))
            self._writing.add_done_callback(self._written)

    def _written(self, writing: asyncio.Future[int]) -> None:
        self._writing = None
        failed = writing.exception()
        if failed is not None:
            self._error = failed
        else:
            self._intake.written(self._batch)
            self._transfer.spooled(writing.result())
            if not self._transfer.cancelled:
                self._write()
        self._moved.set()


async def _run(pump: Pump, threads: Executor) -> None:
    """To its end; cancelling makes that come soon. Raises what it raises."""
    running = asyncio.get_running_loop().run_in_executor(threads, pump.run)
    try:
        await asyncio.wait((running,))
    except asyncio.CancelledError:
        pump.stop()
        with suppress(Exception):
            await seen_through(running)
        raise
    running.result()


async def _collect(transfer: Transfer, body: Body) -> None:
    """Takes a body into memory; one that a reader follows only as far as that one has come."""
    freed = asyncio.Event()
    assert transfer.spool is not None
    transfer.spool.on_room = freed.set
    try:
        while (piece := await body.next()) is not None:
            view = memoryview(piece)
            while view:
                room = transfer.room()
                if room == 0:
                    freed.clear()
                    await freed.wait()
                    continue
                transfer.spooled(transfer.take([view[:room]]))
                view = view[room:] if room is not None else view[:0]
    finally:
        transfer.spool.on_room = None
