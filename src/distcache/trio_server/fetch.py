"""Upstream requests on trio: one task each, from httpcore's pools to the driver's transfers.

A body that goes to a file is read by one task while a thread writes and hashes what came
before; most of a large one does not pass the loop at all (`driver/pump.py`). A body is always
read to its end or torn off, and every request ends its transfer, whatever is raised or cancelled.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from ..core.events import Cause
from ..driver import TOKEN_LIMIT, TokenCall, Transfer
from ..driver.errands import Errand, Errands
from ..driver.http import WRITERS, failure_cause
from ..driver.intake import Intake
from ..driver.pump import PUMPS, Pump, Pumps
from .poller import Poller
from .pools import Body, Pools, send


class Fetcher:
    """Made by `open_fetcher`."""

    def __init__(self, nursery: trio.Nursery, pools: Pools, poller: Poller) -> None:
        self._nursery = nursery
        self._pools = pools
        self._writers = trio.CapacityLimiter(WRITERS)
        self._pumps = Pumps(trio.lowlevel.current_trio_token().run_sync_soon)
        self._pumping = trio.CapacityLimiter(PUMPS)
        self._alarm = trio.CancelScope()
        self._errands = Errands(pools.shelf, poller, self, trio.current_time)

    def start_fetch(self, transfer: Transfer) -> None:
        if not self._errands.begin(transfer):
            self._nursery.start_soon(self._run_fetch, transfer)

    def go_on(self, errand: Errand) -> None:
        """For errands."""
        self._nursery.start_soon(self._run_fetch, errand.transfer, errand)

    def alarm(self, at: float) -> None:
        """For errands."""
        self._alarm.deadline = at

    async def expire(self) -> None:
        """Until cancelled: those errands whose time is over."""
        while True:
            with self._alarm:
                await trio.sleep_forever()
            self._alarm = trio.CancelScope()
            self._errands.expire()

    def close(self) -> None:
        """No errand begins any more, and those that have begun end."""
        self._errands.close()

    def renew(self) -> None:
        self._pools.renew()

    def start_token(self, call: TokenCall) -> None:
        self._nursery.start_soon(self._run_token, call)

    async def _run_fetch(self, transfer: Transfer, errand: Errand | None = None) -> None:
        try:
            await self._fetch(transfer, errand)
        except Exception as error:
            transfer.fail(failure_cause(error))
        finally:
            transfer.fail(Cause.CANCELLED)

    async def _run_token(self, call: TokenCall) -> None:
        try:
            with trio.fail_after(call.timeouts.headers):
                await self._token(call)
        except trio.TooSlowError:
            call.fail(Cause.TIMEOUT)
        except Exception as error:
            call.fail(failure_cause(error))
        finally:
            call.fail(Cause.CANCELLED)

    async def _fetch(self, transfer: Transfer, errand: Errand | None) -> None:
        now, patience = trio.current_time(), float(transfer.timeouts.headers)
        lent = None if errand is None else errand.loan
        if errand is not None:
            patience = errand.resume(now)
        async with self._pools.to(transfer.way, transfer.sent.url, lent) as loan:
            with trio.CancelScope(deadline=now + patience) as scope:
                transfer.stop = scope.cancel
                if transfer.cancelled:
                    scope.cancel()
                response = await send(loan, transfer.sent, transfer.timeouts)
            transfer.stop = None
            if scope.cancelled_caught:
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

    async def _spool(self, transfer: Transfer, body: "Body") -> None:
        with trio.CancelScope() as scope:
            transfer.stop = scope.cancel
            if transfer.in_memory:
                await _collect(transfer, body)
            else:
                await _Pipe(transfer, body, self._writers, self._pumps, self._pumping).run()
            if transfer.heavy:
                found = await trio.to_thread.run_sync(transfer.conclude, limiter=self._writers)
            else:
                found = transfer.conclude()
            transfer.end(found)
        transfer.stop = None
        # Stopped half-way; else this is said in vain.
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
async def open_fetcher() -> AsyncIterator[Fetcher]:
    """Leaving the block cancels all requests, those that are started on the way out too, waits
    for them and closes the connections."""
    pools, poller = Pools(), Poller()
    try:
        async with trio.open_nursery() as nursery:
            fetcher = Fetcher(nursery, pools, poller)
            nursery.start_soon(poller.run)
            nursery.start_soon(fetcher.expire)
            try:
                yield fetcher
            finally:
                fetcher.close()
                nursery.cancel_scope.cancel()
    finally:
        poller.close()
        await pools.aclose()


class _Pipe:
    """Reads a body while a thread writes what came before."""

    def __init__(
        self,
        transfer: Transfer,
        body: Body,
        writers: trio.CapacityLimiter,
        pumps: Pumps,
        pumping: trio.CapacityLimiter,
    ) -> None:
        self._transfer = transfer
        self._body = body
        self._writers = writers
        self._pumps = pumps
        self._pumping = pumping
        self._intake = Intake(transfer.expected)
        self._errors: list[Exception] = []
        self._moved = trio.Event()
        self._over = False

    async def run(self) -> None:
        """Raises the first error of either side, when both have ended: what came before a cut is
        still written."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            await self._read()
        if self._errors:
            raise self._errors[0]

    async def _read(self) -> None:
        try:
            await self._pump()
            while not self._over and (count := await self._body.fill(self._intake.room())):
                self._intake.filled(count)
                self._move()
                while not self._intake.room() and not self._over:
                    await self._moved.wait()
                await self._pump()
        except Exception as error:
            self._errors.append(error)
        self._over = True
        self._move()

    async def _pump(self) -> None:
        """Let a thread take what it may, if there is one for it."""
        pump = self._pumps.begin(self._transfer, self._body.straight)
        if pump is None:
            return
        try:
            while self._intake.batch() and not self._over:
                await self._moved.wait()
            if not self._over:
                await _run(pump, self._pumping)
                self._body.took(pump.taken)
        finally:
            self._pumps.end(pump)

    async def _write(self) -> None:
        try:
            while batch := await self._next():
                length = await trio.to_thread.run_sync(
                    self._transfer.take, (batch,), limiter=self._writers
                )
                self._intake.written(len(batch))
                self._move()
                self._transfer.spooled(length)
        except Exception as error:
            self._errors.append(error)
            self._over = True
            self._move()

    async def _next(self) -> memoryview:
        """What has come meanwhile, or comes next; empty: that was all."""
        while not (batch := self._intake.batch()) and not self._over:
            await self._moved.wait()
        return batch

    def _move(self) -> None:
        """The other side may go on."""
        self._moved.set()
        self._moved = trio.Event()


async def _run(pump: Pump, threads: trio.CapacityLimiter) -> None:
    """To its end; cancelling makes that come soon. Raises what it raises."""
    failed: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_when_cancelled, pump)
        try:
            await trio.to_thread.run_sync(pump.run, limiter=threads)
        except Exception as error:
            failed = error
        nursery.cancel_scope.cancel()
    if failed is not None:
        raise failed


async def _stop_when_cancelled(pump: Pump) -> None:
    try:
        await trio.sleep_forever()
    finally:
        pump.stop()


async def _collect(transfer: Transfer, body: Body) -> None:
    """Takes a body into memory; one that a reader follows only as far as that one has come."""
    freed = trio.Event()

    def on_room() -> None:
        nonlocal freed
        freed.set()
        freed = trio.Event()

    assert transfer.spool is not None
    transfer.spool.on_room = on_room
    try:
        while (piece := await body.next()) is not None:
            view = memoryview(piece)
            while view:
                room = transfer.room()
                if room == 0:
                    await freed.wait()
                    continue
                transfer.spooled(transfer.take([view[:room]]))
                view = view[room:] if room is not None else view[:0]
    finally:
        transfer.spool.on_room = None
