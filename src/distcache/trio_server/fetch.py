"""Upstream requests on trio: one task each, from httpcore's pools to the driver's transfers.

A body that goes to a file is read by one task while a thread writes and hashes what came
before. A body is always read to its end or torn off, and every request ends its transfer,
whatever is raised or cancelled.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import suppress

import httpcore
import trio

from .. import log
from ..core.events import Cause
from ..driver import REST, TOKEN_LIMIT, TokenCall, Transfer, cause_of
from ..settings import UpstreamTimeouts
from ..wire.outgoing import HttpRequest
from ..wire.sites import UpstreamSite
from .network import READ, Backend

AHEAD = 4 * 1024 * 1024 // READ
"""Pieces of a body that may wait for the disk, 4 MiB: more would only fill the memory when the
disk is slower than the network."""

REST_TIME = 1.0
"""Seconds that an unwanted rest may take; see `transfers.REST`."""

KEPT = 32
"""Idle connections to one upstream, enough for the layers of two images at once."""

KEPT_FOR = 30.0
"""Seconds; below what servers commonly allow (nginx 75, Go and Caddy minutes)."""

WRITERS = 8
"""Threads that write spools at once; they share the disk and the processors anyway."""


class Fetcher:
    """Starts tasks in `nursery`; when that is cancelled every transfer ends as cancelled."""

    def __init__(self, nursery: trio.Nursery, timeouts: UpstreamTimeouts) -> None:
        self.timeouts = timeouts
        self._nursery = nursery
        self._writers = trio.CapacityLimiter(WRITERS)
        self._pools: dict[tuple[UpstreamSite, str], httpcore.AsyncConnectionPool] = {}

    def start_fetch(self, transfer: Transfer) -> None:
        self._nursery.start_soon(self._run_fetch, transfer)

    def start_token(self, call: TokenCall) -> None:
        self._nursery.start_soon(self._run_token, call)

    async def aclose(self) -> None:
        """Close the connections, when no task is left."""
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            await pool.aclose()

    async def _run_fetch(self, transfer: Transfer) -> None:
        try:
            await self._fetch(transfer)
        except Exception as error:
            transfer.fail(_cause(error))
        finally:
            transfer.fail(Cause.CANCELLED)

    async def _run_token(self, call: TokenCall) -> None:
        try:
            with trio.fail_after(self.timeouts.headers):
                await self._token(call)
        except trio.TooSlowError:
            call.fail(Cause.TIMEOUT)
        except Exception as error:
            call.fail(_cause(error))
        finally:
            call.fail(Cause.CANCELLED)

    async def _fetch(self, transfer: Transfer) -> None:
        with trio.CancelScope(deadline=trio.current_time() + self.timeouts.headers) as scope:
            transfer.stop = scope.cancel
            response = await self._send(transfer.site, transfer.sent)
        transfer.stop = None
        if scope.cancelled_caught:
            transfer.fail(Cause.TIMEOUT)
            return
        body = Body(response)
        try:
            if transfer.head(response.status, response.headers):
                await self._spool(transfer, body)
            elif not transfer.cancelled:
                transfer.end(transfer.conclude())
            else:
                transfer.fail(Cause.CANCELLED)
            if not transfer.long_rest:
                await body.skip()
        finally:
            await body.aclose()

    async def _spool(self, transfer: Transfer, body: "Body") -> None:
        with trio.CancelScope() as scope:
            transfer.stop = scope.cancel
            if transfer.in_memory:
                await _collect(transfer, body)
            else:
                await _Pipe(transfer, body, self._writers).run()
            if transfer.heavy:
                found = await trio.to_thread.run_sync(transfer.conclude, limiter=self._writers)
            else:
                found = transfer.conclude()
            transfer.end(found)
        transfer.stop = None
        # Stopped half-way; else this is said in vain.
        transfer.fail(Cause.CANCELLED)

    async def _token(self, call: TokenCall) -> None:
        response = await self._send(call.site, call.sent)
        body = Body(response)
        try:
            pieces = bytearray()
            while (piece := await body.next()) is not None:
                pieces += piece
                if len(pieces) > TOKEN_LIMIT:
                    call.fail(Cause.TOO_LARGE)
                    return
            call.answer(response.status, response.headers, bytes(pieces))
        finally:
            await body.aclose()

    async def _send(self, site: UpstreamSite, sent: HttpRequest) -> httpcore.Response:
        url = httpcore.URL(
            scheme=sent.url.scheme, host=sent.url.host, port=sent.url.port, target=sent.url.target
        )
        idle = self.timeouts.idle
        timeouts = {"connect": self.timeouts.connect, "read": idle, "write": idle}
        request = httpcore.Request(
            sent.method, url, headers=list(sent.headers), extensions={"timeout": timeouts}
        )
        pool = await self._pool(site, sent.url.scheme)
        return await pool.handle_async_request(request)

    async def _pool(self, site: UpstreamSite, scheme: str) -> httpcore.AsyncConnectionPool:
        key = (site, scheme)
        context = None
        if key not in self._pools and scheme == "https":
            # The system's certificates take up to tenths of a second to load.
            context = await trio.to_thread.run_sync(_context, site.ca)
        if key not in self._pools:
            # No bound on connections: a request that waits for its turn inside the pool and is
            # cancelled in the moment it gets it would cost the pool that place for ever.
            self._pools[key] = httpcore.AsyncConnectionPool(
                ssl_context=context,
                max_connections=None,
                max_keepalive_connections=KEPT,
                keepalive_expiry=KEPT_FOR,
                network_backend=Backend(),
            )
        return self._pools[key]


class Body:
    """The body of one answer. httpcore hands it over through nested generators: they are run to
    their end, or into the error of a torn connection, and never dropped half-way."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response
        self._parts: AsyncIterator[bytes] | None = None
        self._over = False

    async def next(self) -> bytes | None:
        """The next piece, None at the end. Raises httpcore's errors."""
        if self._parts is None:
            self._parts = self._response.aiter_stream()
        try:
            return await anext(self._parts)
        except StopAsyncIteration:
            self._over = True
            return None
        except BaseException:
            self._over = True
            raise

    async def skip(self) -> None:
        """Read what is left, if it is little and quick to come, so that the connection can be
        used again."""
        left = REST
        with trio.move_on_after(REST_TIME), suppress(httpcore.NetworkError, httpcore.ProtocolError):
            while not self._over and left >= 0:
                left -= len(await self.next() or b"")

    async def aclose(self) -> None:
        """Unless it was read to its end, the connection is closed."""
        with trio.CancelScope(shield=True):
            if self._parts is not None and not self._over:
                await self._response.extensions["network_stream"].aclose()
                with suppress(httpcore.NetworkError, httpcore.ProtocolError):
                    while await self.next() is not None:
                        pass
            await self._response.aclose()


class _Pipe:
    """Reads a body while a thread writes what came before."""

    def __init__(self, transfer: Transfer, body: Body, writers: trio.CapacityLimiter) -> None:
        self._transfer = transfer
        self._body = body
        self._writers = writers
        self._errors: list[Exception] = []

    async def run(self) -> None:
        """Raises the first error of either side, when both have ended."""
        pieces_in, pieces_out = trio.open_memory_channel[bytes](AHEAD)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, pieces_out)
            await self._read(pieces_in)
        if self._errors:
            raise self._errors[0]

    async def _read(self, pieces: trio.MemorySendChannel[bytes]) -> None:
        with pieces:
            try:
                while (piece := await self._body.next()) is not None:
                    await pieces.send(piece)
            except trio.BrokenResourceError:
                pass  # the writer has failed, and said why
            except Exception as error:
                self._errors.append(error)

    async def _write(self, pieces: trio.MemoryReceiveChannel[bytes]) -> None:
        with pieces:
            try:
                async for piece in pieces:
                    batch = [piece]
                    with suppress(trio.WouldBlock, trio.EndOfChannel):
                        while True:
                            batch.append(pieces.receive_nowait())
                    self._transfer.spooled(
                        await trio.to_thread.run_sync(
                            self._transfer.take, batch, limiter=self._writers
                        )
                    )
            except Exception as error:
                self._errors.append(error)


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


def _context(ca: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca is not None:
        context.load_verify_locations(ca)
    return context


def _cause(error: Exception) -> Cause:
    known = cause_of(error)
    if known is not None:
        return known
    for kinds, cause in _CAUSES:
        if isinstance(error, kinds):
            return cause
    log.failure("an upstream request failed on something unforeseen", error)
    return Cause.CUT


_CAUSES: tuple[tuple[tuple[type[Exception], ...], Cause], ...] = (
    ((httpcore.TimeoutException,), Cause.TIMEOUT),
    ((httpcore.ConnectError,), Cause.UNREACHABLE),
    ((httpcore.LocalProtocolError, httpcore.UnsupportedProtocol), Cause.REFUSED),
    ((httpcore.NetworkError, httpcore.RemoteProtocolError), Cause.CUT),
)
