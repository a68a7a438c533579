"""httpcore's connections on asyncio, and the bodies of answers.

A body left half-way would leave httpcore's generators to the garbage collector: it is read to
its end, or torn off.
"""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress

import httpcore

from ..driver import REST
from ..driver.http import REST_TIME, Connection, Loan, Shelf, Trust, http_request, load_trust
from ..driver.insides import Straight, surplus
from ..settings import UpstreamTimeouts
from ..wire.outgoing import HttpRequest
from ..wire.sites import UpstreamSite
from ..wire.urls import Url
from .network import Backend, Stream
from .poller import Poller
from .shielding import in_thread, run_through


async def send(loan: Loan, sent: HttpRequest, timeouts: UpstreamTimeouts) -> httpcore.Response:
    """Up to the answer's head, for which the caller's patience counts. Raises httpcore's errors."""
    request = http_request(sent, timeouts, socks=loan.pool.socks)
    try:
        return await loan.connection.handle_async_request(request)
    except BaseException:
        # Perhaps between connecting and sending, or with a tunnel that was opened in vain.
        await run_through(loan.connection.aclose())
        raise


class Pools:
    """Certificates are loaded in a thread of `executor`."""

    def __init__(self, executor: Executor, poller: Poller) -> None:
        self._executor = executor
        self._shelf = Shelf(lambda reach: Backend(poller, reach))

    @asynccontextmanager
    async def to(self, site: UpstreamSite, url: Url) -> AsyncIterator[Loan]:
        """The connection for one request, until its answer is done with."""
        trust = Trust()
        if not self._shelf.usable(site, url.scheme):
            trust = await in_thread(self._executor, lambda: load_trust(site, url.scheme))
        loan = self._shelf.take(site, url, trust)
        try:
            yield loan
        finally:
            await _close(self._shelf.give_back(loan))

    async def warm_up(self) -> None:
        """What httpcore's first use loads takes a tenth of a second: not while a client waits."""
        async with httpcore.AsyncConnectionPool():
            pass

    def renew(self) -> None:
        """See `Shelf.renew`."""
        self._shelf.renew()

    async def aclose(self) -> None:
        """When nobody uses any."""
        await _close(self._shelf.clear())


class Body:
    """The body of one answer. httpcore hands it over through nested generators: they are run to
    their end, or into the error of a torn connection, and never dropped half-way. `idle`: seconds
    that upstream may be silent."""

    def __init__(self, response: httpcore.Response, idle: float) -> None:
        self._response = response
        self._idle = idle
        self._straight = Straight(response)
        self._rest = memoryview(b"")
        self._parts: AsyncIterator[bytes] | None = None
        self._over = False

    @property
    def _stream(self) -> Stream:
        stream = self._response.extensions["network_stream"]
        assert isinstance(stream, Stream)
        return stream

    async def __aenter__(self) -> "Body":
        return self

    async def __aexit__(self, *_: object) -> None:
        """Unless it was read to its end, the connection is closed."""
        if self._parts is not None and not self._over:
            await run_through(self._tear())
            return
        if self._over and surplus(self._response):
            await self._stream.aclose()
        # Cancelled here, its connection is not idle, and is closed when it is given back.
        await self._response.aclose()

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

    async def fill(self, room: memoryview) -> int:
        """Bytes put there, 0 at the end. Raises httpcore's errors."""
        straight = min(self._straight.room(), len(room))
        if straight and not self._rest:
            count = await self._stream.read_into(room[:straight], self._idle)
            if not count:
                raise httpcore.RemoteProtocolError("the body ends before its length")
            self._straight.took(count)
            return count
        while not self._rest:
            piece = await self.next()
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(self._rest), len(room))
        room[:count], self._rest = self._rest[:count], self._rest[count:]
        return count

    async def skip(self) -> None:
        """Read what is left, if it is little and quick to come, so that the connection can be
        used again."""
        left = REST
        with suppress(TimeoutError, httpcore.NetworkError, httpcore.ProtocolError):
            async with asyncio.timeout(REST_TIME):
                while not self._over and left >= 0:
                    left -= len(await self.next() or b"")

    async def _tear(self) -> None:
        await self._stream.aclose()
        with suppress(httpcore.NetworkError, httpcore.ProtocolError):
            while await self.next() is not None:
                pass
        await self._response.aclose()


async def _close(spent: list[Connection]) -> None:
    cancelled = False
    for connection in spent:
        try:
            await run_through(connection.aclose())
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
