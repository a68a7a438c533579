"""Requests to upstreams as httpcore takes them, its pools, and what its errors mean.

httpcore is right about HTTP and less so about cancellation: a request that is cancelled in the
wrong moment leaves an open connection in its pool that is never used again. So a pool is
replaced after such a request, and closed after its last one.
"""

import ssl
from collections.abc import Callable
from typing import Any

import httpcore
from attrs import define, frozen

from .. import log
from ..core.events import Cause
from ..settings import Level, UpstreamTimeouts
from ..wire.outgoing import HttpRequest
from ..wire.sites import UpstreamSite
from .reach import ForbiddenError, Reach, reach_of
from .transfers import cause_of

READ = 1024 * 1024
"""Bytes of one read. httpcore asks for 64 KiB, which costs many more turns of the loop."""

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
    ((ForbiddenError,), Cause.REFUSED),
    ((httpcore.ConnectError, httpcore.ProxyError), Cause.UNREACHABLE),
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


def http_request(
    sent: HttpRequest, timeouts: UpstreamTimeouts, *, socks: bool = False
) -> httpcore.Request:
    """The time up to the answer's head is the caller's to bound. `socks`: by such a proxy."""
    url = httpcore.URL(
        scheme=sent.url.scheme, host=sent.url.host, port=sent.url.port, target=sent.url.target
    )
    limits = {"connect": timeouts.connect, "read": timeouts.idle, "write": timeouts.idle}
    extensions: dict[str, Any] = {"timeout": limits}
    if socks:
        extensions["trace"] = _SocksTrace()
    return httpcore.Request(
        sent.method,
        url,
        headers=list(sent.headers),
        content=_Body(sent.body),
        extensions=extensions,
    )


@frozen
class Trust:
    """Whom to believe to be an upstream over TLS, and the proxy before it."""

    upstream: ssl.SSLContext | None = None
    proxy: ssl.SSLContext | None = None


def load_trust(site: UpstreamSite, scheme: str) -> Trust:
    """The system's certificates take up to tenths of a second to load: for a thread. ConnectError:
    a file is not what it was at the start."""
    try:
        upstream = _context(site) if scheme == "https" else None
        return Trust(upstream, _context(site.stranger()) if _secure_proxy(site) else None)
    except OSError as error:
        fields: dict[str, log.Value] = {"upstream": site.key, "error": str(error)}
        log.note(Level.ERROR, "a certificate for upstream cannot be used", fields)
        raise httpcore.ConnectError(str(error)) from error


@define(eq=False)
class Pool:
    """`users`: requests that have a connection of it. `retired`: the last one closes it."""

    connections: httpcore.AsyncConnectionPool
    proxied: bool = False
    socks: bool = False
    users: int = 0
    retired: bool = False


class Shelf:
    """The pools, one for each upstream and scheme. Closing them is for who may await. `backend`
    makes connections that lead as far as that."""

    def __init__(self, backend: Callable[[Reach], httpcore.AsyncNetworkBackend]) -> None:
        self._backend = backend
        self._pools: dict[tuple[UpstreamSite, str], Pool] = {}
        self._spent: list[Pool] = []

    def usable(self, site: UpstreamSite, scheme: str) -> bool:
        """`take` needs no certificates."""
        pool = self._pools.get((site, scheme))
        plain = scheme != "https" and not _secure_proxy(site)
        return plain or (pool is not None and not pool.retired)

    def take(self, site: UpstreamSite, scheme: str, trust: Trust) -> Pool:
        """A use of the pool."""
        key = (site, scheme)
        pool = self._pools.get(key)
        if pool is None or pool.retired:
            if pool is not None and not pool.users:
                self._spent.append(pool)
            proxy = site.proxy
            socks = proxy is not None and proxy.url.startswith("socks5:")
            connections = self._connections(site, trust)
            pool = self._pools[key] = Pool(connections, proxy is not None, socks)
        pool.users += 1
        return pool

    def give_back(self, pool: Pool) -> list[Pool]:
        """The use ends. What is to be closed now."""
        pool.users -= 1
        spent, self._spent = self._spent, []
        if pool.retired and not pool.users:
            self._pools = {key: one for key, one in self._pools.items() if one is not pool}
            spent.append(pool)
        return spent

    def renew(self) -> None:
        """From now on connections are new, and certificates as they are in their files."""
        for pool in self._pools.values():
            pool.retired = True

    def clear(self) -> list[Pool]:
        """What is to be closed, when nobody uses any."""
        pools = [*self._pools.values(), *self._spent]
        self._pools.clear()
        self._spent.clear()
        return pools

    def _connections(self, site: UpstreamSite, trust: Trust) -> httpcore.AsyncConnectionPool:
        # No bound on connections: a request that waits for its turn inside the pool and is
        # cancelled in the moment it gets it would cost the pool that place for ever.
        return httpcore.AsyncConnectionPool(
            ssl_context=trust.upstream,
            proxy=_proxy(site, trust),
            max_connections=None,
            max_keepalive_connections=KEPT,
            keepalive_expiry=KEPT_FOR,
            network_backend=self._backend(reach_of(site)),
        )


def _context(site: UpstreamSite) -> ssl.SSLContext:
    context = ssl.create_default_context()
    # Python 3.13 refuses what sites' own authorities often lack (RFC 5280 4.2.1.1, 4.2.1.3).
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if site.ca is not None:
        context.load_verify_locations(site.ca)
    if site.client_cert is not None:
        context.load_cert_chain(site.client_cert, site.client_key)
    return context


def _secure_proxy(site: UpstreamSite) -> bool:
    return site.proxy is not None and site.proxy.url.startswith("https:")


def _proxy(site: UpstreamSite, trust: Trust) -> httpcore.Proxy | None:
    if site.proxy is None:
        return None
    login = site.proxy.login
    auth = None if login is None else (login.username.encode(), login.password.encode())
    return httpcore.Proxy(site.proxy.url, auth, ssl_context=trust.proxy)


class _SocksTrace:
    """httpcore leaves the connection open when a SOCKS proxy does not do as it should, and lets
    any error out."""

    def __init__(self) -> None:
        self._stream: httpcore.AsyncNetworkStream | None = None

    async def __call__(self, name: str, info: dict[str, Any]) -> None:
        if name == "socks.connect_tcp.complete":
            self._stream = info["return_value"]
        elif name == "socks.setup_socks5_connection.failed" and self._stream is not None:
            await self._stream.aclose()
            error = info["exception"]
            if isinstance(error, Exception):
                raise httpcore.ProxyError("no way through the proxy") from error


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
