"""Requests to upstreams as httpcore takes them, its pools, and what its errors mean.

httpcore is right about HTTP and less so about cancellation: a request that is cancelled in the
wrong moment leaves an open connection in its pool that is never used again. So a pool is
replaced after such a request, and closed after its last one.
"""

import ssl

import httpcore
from attrs import define

from .. import log
from ..core.events import Cause
from ..settings import UpstreamTimeouts
from ..wire.outgoing import HttpRequest
from ..wire.sites import UpstreamSite
from .transfers import cause_of

READ = 1024 * 1024
"""Bytes of one read. httpcore asks for 64 KiB, which costs many more turns of the loop."""

AHEAD = 4 * READ
"""Bytes of a body that may wait for the disk: more would only fill the memory when the disk is
slower than the network."""

WRITERS = 8
"""Threads that write spools at once; they share the disk and the processors anyway."""

REST_TIME = 1.0
"""Seconds that an unwanted rest of REST bytes may take."""

KEPT = 32
"""Idle connections to one upstream, enough for the layers of two images at once."""

KEPT_FOR = 30.0
"""Seconds; below what servers commonly allow (nginx 75, Go and Caddy minutes)."""

CAUSES: tuple[tuple[tuple[type[Exception], ...], Cause], ...] = (
    ((httpcore.TimeoutException,), Cause.TIMEOUT),
    ((httpcore.ConnectError,), Cause.UNREACHABLE),
    ((httpcore.LocalProtocolError, httpcore.UnsupportedProtocol), Cause.REFUSED),
    ((httpcore.NetworkError, httpcore.RemoteProtocolError), Cause.CUT),
)


def failure_cause(error: Exception) -> Cause:
    """Of whatever ended an upstream request."""
    known = cause_of(error)
    if known is not None:
        return known
    for kinds, cause in CAUSES:
        if isinstance(error, kinds):
            return cause
    log.failure("an upstream request failed on something unforeseen", error)
    return Cause.CUT


def http_request(sent: HttpRequest, timeouts: UpstreamTimeouts) -> httpcore.Request:
    """The time up to the answer's head is the caller's to bound."""
    url = httpcore.URL(
        scheme=sent.url.scheme, host=sent.url.host, port=sent.url.port, target=sent.url.target
    )
    limits = {"connect": timeouts.connect, "read": timeouts.idle, "write": timeouts.idle}
    return httpcore.Request(
        sent.method,
        url,
        headers=list(sent.headers),
        content=_Body(sent.body),
        extensions={"timeout": limits},
    )


def ssl_context(ca: str | None) -> ssl.SSLContext:
    """The system's certificates take up to tenths of a second to load: for a thread."""
    context = ssl.create_default_context()
    if ca is not None:
        context.load_verify_locations(ca)
    return context


@define(eq=False)
class Pool:
    """`users`: requests that have a connection of it. `retired`: the last one closes it."""

    connections: httpcore.AsyncConnectionPool
    users: int = 0
    retired: bool = False


class Shelf:
    """The pools, one for each upstream and scheme. Closing them is for who may await."""

    def __init__(self, backend: httpcore.AsyncNetworkBackend) -> None:
        self._backend = backend
        self._pools: dict[tuple[UpstreamSite, str], Pool] = {}

    def usable(self, site: UpstreamSite, scheme: str) -> bool:
        """`take` needs no certificates."""
        pool = self._pools.get((site, scheme))
        return scheme != "https" or (pool is not None and not pool.retired)

    def take(self, site: UpstreamSite, scheme: str, context: ssl.SSLContext | None) -> Pool:
        """A use of the pool."""
        key = (site, scheme)
        pool = self._pools.get(key)
        if pool is None or pool.retired:
            pool = self._pools[key] = Pool(self._connections(context))
        pool.users += 1
        return pool

    def give_back(self, pool: Pool) -> bool:
        """The use ends. True: the pool is to be closed."""
        pool.users -= 1
        if not pool.retired or pool.users:
            return False
        self._pools = {key: one for key, one in self._pools.items() if one is not pool}
        return True

    def clear(self) -> list[Pool]:
        """What is to be closed, when nobody uses any."""
        pools = list(self._pools.values())
        self._pools.clear()
        return pools

    def _connections(self, context: ssl.SSLContext | None) -> httpcore.AsyncConnectionPool:
        # No bound on connections: a request that waits for its turn inside the pool and is
        # cancelled in the moment it gets it would cost the pool that place for ever.
        return httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=None,
            max_keepalive_connections=KEPT,
            keepalive_expiry=KEPT_FOR,
            network_backend=self._backend,
        )


class _Body:
    """Instead of httpcore's, which is a generator to be finalized. Good for one reading."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __aiter__(self) -> "_Body":
        return self

    async def __anext__(self) -> bytes:
        if not self._data:
            raise StopAsyncIteration
        data, self._data = self._data, b""
        return data
