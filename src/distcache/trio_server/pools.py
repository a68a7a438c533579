"""httpcore's connection pools, one for each upstream and scheme, and the bodies of answers.

httpcore is right about HTTP and less so about cancellation: a request that is cancelled in the
wrong moment leaves an open connection in its pool that is never used again, and a body left
half-way leaves generators to the garbage collector. So a pool is replaced after the one, and
a body is torn off instead of the other.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpcore
import trio
from attrs import define

from ..driver import REST
from ..settings import UpstreamTimeouts
from ..wire.outgoing import HttpRequest
from ..wire.sites import UpstreamSite
from .network import Backend

REST_TIME = 1.0
"""Seconds that an unwanted rest of REST bytes may take."""

KEPT = 32
"""Idle connections to one upstream, enough for the layers of two images at once."""

KEPT_FOR = 30.0
"""Seconds; below what servers commonly allow (nginx 75, Go and Caddy minutes)."""


@define(eq=False)
class Pool:
    """`users`: requests that have a connection of it. `retired`: the last one closes it."""

    connections: httpcore.AsyncConnectionPool
    users: int = 0
    retired: bool = False

    async def send(self, sent: HttpRequest, timeouts: UpstreamTimeouts) -> httpcore.Response:
        """Up to the answer's head, for which the caller's patience counts. Raises httpcore's
        errors."""
        url = httpcore.URL(
            scheme=sent.url.scheme, host=sent.url.host, port=sent.url.port, target=sent.url.target
        )
        limits = {"connect": timeouts.connect, "read": timeouts.idle, "write": timeouts.idle}
        request = httpcore.Request(
            sent.method,
            url,
            headers=list(sent.headers),
            content=_NoBody(),
            extensions={"timeout": limits},
        )
        try:
            return await self.connections.handle_async_request(request)
        except trio.Cancelled:
            # Perhaps between connecting and sending, which httpcore forgets to undo.
            self.retired = True
            raise


class _NoBody:
    """Instead of httpcore's empty body, which is a generator, too."""

    def __aiter__(self) -> "_NoBody":
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration


class Pools:
    def __init__(self) -> None:
        self._pools: dict[tuple[UpstreamSite, str], Pool] = {}

    @asynccontextmanager
    async def of(self, site: UpstreamSite, scheme: str) -> AsyncIterator[Pool]:
        """The pool for one request, until its answer is done with."""
        key = (site, scheme)
        context = None
        if scheme == "https" and self._usable(key) is None:
            # The system's certificates take up to tenths of a second to load.
            context = await trio.to_thread.run_sync(_context, site.ca)
        pool = self._usable(key)
        if pool is None:
            pool = self._pools[key] = Pool(_connections(context))
        pool.users += 1
        try:
            yield pool
        finally:
            pool.users -= 1
            if pool.retired and not pool.users:
                if self._pools.get(key) is pool:
                    del self._pools[key]
                await _close(pool)

    async def aclose(self) -> None:
        """When nobody uses any."""
        for pool in self._pools.values():
            await _close(pool)
        self._pools.clear()

    def _usable(self, key: tuple[UpstreamSite, str]) -> Pool | None:
        pool = self._pools.get(key)
        return None if pool is None or pool.retired else pool


class Body:
    """The body of one answer. httpcore hands it over through nested generators: they are run to
    their end, or into the error of a torn connection, and never dropped half-way."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response
        self._parts: AsyncIterator[bytes] | None = None
        self._over = False

    async def __aenter__(self) -> "Body":
        return self

    async def __aexit__(self, *_: object) -> None:
        """Unless it was read to its end, the connection is closed."""
        with trio.CancelScope(shield=True):
            if self._parts is not None and not self._over:
                await self._response.extensions["network_stream"].aclose()
                with suppress(httpcore.NetworkError, httpcore.ProtocolError):
                    while await self.next() is not None:
                        pass
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

    async def skip(self) -> None:
        """Read what is left, if it is little and quick to come, so that the connection can be
        used again."""
        left = REST
        with trio.move_on_after(REST_TIME), suppress(httpcore.NetworkError, httpcore.ProtocolError):
            while not self._over and left >= 0:
                left -= len(await self.next() or b"")


def _connections(context: ssl.SSLContext | None) -> httpcore.AsyncConnectionPool:
    # No bound on connections: a request that waits for its turn inside the pool and is cancelled
    # in the moment it gets it would cost the pool that place for ever.
    return httpcore.AsyncConnectionPool(
        ssl_context=context,
        max_connections=None,
        max_keepalive_connections=KEPT,
        keepalive_expiry=KEPT_FOR,
        network_backend=Backend(),
    )


def _context(ca: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca is not None:
        context.load_verify_locations(ca)
    return context


async def _close(pool: Pool) -> None:
    with trio.CancelScope(shield=True):
        await pool.connections.aclose()
