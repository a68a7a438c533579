"""Requests to upstreams as httpcore takes them, its pools, and what its errors mean.

httpcore is right about HTTP and less so about cancellation: a request that is cancelled in the
wrong moment leaves its connection open. So whatever fails before the answer's head costs the
connection.
"""

import math
import ssl
import time
from collections.abc import Callable
from typing import Any, Protocol

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
    direct: bool = False
    """It speaks plain HTTP with upstream itself."""
    retired: bool = False
    idle: list["Loan"] = field(factory=list, init=False)


class Bare(Protocol):
    """An adapter's own stream, without TLS."""

    @property
    def fd(self) -> int | None:
        """Of its socket, which is non-blocking; never None without TLS."""

    def readable(self) -> bool:
        """Something has come, or it has ended."""

    def resume(self, sent: int, data: bytes) -> None:
        """So many bytes of what is written next have gone out already, and this has come."""

    def tear(self) -> None:
        """Close it at once. Nobody waits for it."""


@define(eq=False)
class Loan:
    """A connection that nobody else uses meanwhile. `bare`: of a plain one that has answered."""

    connection: Connection
    pool: Pool
    origin: tuple[str, str, int]
    bare: Bare | None = None
    until: float = math.inf
    """When it will have been idle for too long, by time.monotonic."""

    def answered(self, stream: Any) -> None:
        """By httpcore, over this stream."""
        if self.pool.direct and hasattr(stream, "resume"):
            self.bare = stream

    @property
    def spent(self) -> bool:
        """Idle, and of no more use."""
        if time.monotonic() > self.until:
            return True
        return self.connection.has_expired() if self.bare is None else self.bare.readable()


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
            pool = self._pools[key] = self._pool(site, url.scheme, trust)
        for place in range(len(pool.idle) - 1, -1, -1):
            if pool.idle[place].origin == url.origin:
                loan = pool.idle.pop(place)
                if not loan.spent:
                    return loan
                self._drop(loan)
        connection = pool.connect(_url(url).origin)
        alone(connection)
        return Loan(connection, pool, url.origin)

    def bare(self, site: UpstreamSite, url: Url) -> tuple[Loan, Bare] | None:
        """As `take`, if the last used one leads there and is bare."""
        pool = self._pools.get((site, url.scheme))
        if pool is None or not pool.idle:
            return None
        loan = pool.idle[-1]
        bare = loan.bare
        if bare is None or loan.origin != url.origin or loan.spent:
            return None
        pool.idle.pop()
        return loan, bare

    def give_back(self, loan: Loan) -> list[Connection]:
        """Nobody uses it any more. What is to be closed now."""
        connection = loan.connection
        if connection.is_idle() and not loan.pool.retired:
            if loan.until == math.inf:
                alone(connection)  # what it is made of has come since
            self.keep(loan)
        elif not connection.is_closed():
            self._spent.append(connection)
        spent, self._spent = self._spent, []
        return spent

    def keep(self, loan: Loan) -> None:
        """It is idle, and nobody uses it any more."""
        pool = loan.pool
        loan.until = time.monotonic() + KEPT_FOR
        pool.idle.append(loan)
        # Those first in the list have been idle for the longest time.
        while pool.idle and (len(pool.idle) > KEPT or pool.retired or pool.idle[0].spent):
            self._drop(pool.idle.pop(0))

    def _drop(self, loan: Loan) -> None:
        if loan.bare is not None:
            loan.bare.tear()
        else:
            self._spent.append(loan.connection)

    def renew(self) -> None:
        """From now on connections are new, and certificates as they are in their files."""
        for pool in self._pools.values():
            pool.retired = True
            self._spent += [loan.connection for loan in pool.idle]
        self._pools.clear()

    def clear(self) -> list[Connection]:
        """What is to be closed, when nobody uses any."""
        self.renew()
        spent, self._spent = self._spent, []
        return spent

    def _pool(self, site: UpstreamSite, scheme: str, trust: Trust) -> Pool:
        # Of httpcore's pool only that it knows the ways through proxies.
        maker = httpcore.AsyncConnectionPool(
            ssl_context=trust.upstream,
            proxy=_proxy(site, trust),
            network_backend=self._backend(reach_of(site)),
        )
        socks = site.proxy is not None and site.proxy.url.startswith("socks5:")
        direct = site.proxy is None and scheme == "http"
        return Pool(maker.create_connection, socks, direct)


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
