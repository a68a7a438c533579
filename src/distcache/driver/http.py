"""Requests to upstreams as httpcore takes them, its pools, and what its errors mean.

httpcore is right about HTTP and less so about cancellation: a request that is cancelled in the
wrong moment leaves its connection open. So whatever fails before the answer's head costs the
connection.
"""

import ssl
from collections.abc import Callable
from typing import Any

import httpcore
from attrs import define, field, frozen

from .. import log
from ..core.events import Cause
from ..settings import Level, UpstreamTimeouts
from ..wire.outgoing import HttpRequest
from ..wire.sites import UpstreamSite
from ..wire.urls import Url
from .insides import alone
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
    limits = {"connect": timeouts.connect, "read": timeouts.idle, "write": timeouts.idle}
    extensions: dict[str, Any] = {"timeout": limits}
    if socks:
        extensions["trace"] = _SocksTrace()
    return httpcore.Request(
        sent.method,
        _url(sent.url),
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


Connection = httpcore.AsyncConnectionInterface


@define(eq=False)
class Pool:
    """Idle connections, the last used last; `connect` makes one that connects when it is used."""

    connect: Callable[[httpcore.Origin], Connection]
    socks: bool = False
    retired: bool = False
    idle: list[Connection] = field(factory=list, init=False)


@frozen(eq=False)
class Loan:
    """A connection that nobody else uses meanwhile."""

    connection: Connection
    pool: Pool


class Shelf:
    """The pools, one for each upstream and scheme. Closing what they hold is for who may await.
    `backend` makes connections that lead as far as that.

    httpcore's own pool looks at each of its connections at each request, twice, and forgets one
    whose request was cancelled in the wrong moment."""

    def __init__(self, backend: Callable[[Reach], httpcore.AsyncNetworkBackend]) -> None:
        self._backend = backend
        self._pools: dict[tuple[UpstreamSite, str], Pool] = {}
        self._spent: list[Connection] = []

    def usable(self, site: UpstreamSite, scheme: str) -> bool:
        """`take` needs no certificates."""
        plain = scheme != "https" and not _secure_proxy(site)
        return plain or (site, scheme) in self._pools

    def take(self, site: UpstreamSite, url: Url, trust: Trust) -> Loan:
        """The last used one that leads there, or a new one."""
        key = (site, url.scheme)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = self._pool(site, trust)
        origin = _url(url).origin
        for place in range(len(pool.idle) - 1, -1, -1):
            if pool.idle[place].can_handle_request(origin):
                connection = pool.idle.pop(place)
                if not connection.has_expired():
                    return Loan(connection, pool)
                self._spent.append(connection)
        connection = pool.connect(origin)
        alone(connection)
        return Loan(connection, pool)

    def give_back(self, loan: Loan) -> list[Connection]:
        """Nobody uses it any more. What is to be closed now."""
        pool, connection = loan.pool, loan.connection
        if connection.is_idle() and not pool.retired:
            alone(connection)  # what it is made of has come since
            pool.idle.append(connection)
            # Those first in the list have been idle for the longest time.
            while len(pool.idle) > KEPT or (pool.idle and pool.idle[0].has_expired()):
                self._spent.append(pool.idle.pop(0))
        elif not connection.is_closed():
            self._spent.append(connection)
        spent, self._spent = self._spent, []
        return spent

    def renew(self) -> None:
        """From now on connections are new, and certificates as they are in their files."""
        for pool in self._pools.values():
            pool.retired = True
            self._spent += pool.idle
        self._pools.clear()

    def clear(self) -> list[Connection]:
        """What is to be closed, when nobody uses any."""
        self.renew()
        spent, self._spent = self._spent, []
        return spent

    def _pool(self, site: UpstreamSite, trust: Trust) -> Pool:
        # Of httpcore's pool only that it knows the ways through proxies.
        maker = httpcore.AsyncConnectionPool(
            ssl_context=trust.upstream,
            proxy=_proxy(site, trust),
            keepalive_expiry=KEPT_FOR,
            network_backend=self._backend(reach_of(site)),
        )
        socks = site.proxy is not None and site.proxy.url.startswith("socks5:")
        return Pool(maker.create_connection, socks)


def _url(url: Url) -> httpcore.URL:
    return httpcore.URL(scheme=url.scheme, host=url.host, port=url.port, target=url.target)


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
