"""Connections to upstreams between two requests: which is used again, and which is closed.

httpcore is right about HTTP and less so about cancellation: a request that is cancelled in the
wrong moment leaves its connection open. So whatever fails before the answer's head costs the
connection.
"""

import math
import time
from collections.abc import Callable
from typing import Any, Protocol

import httpcore
from attrs import define, field

from ..wire.outgoing import HttpRequest
from ..wire.sites import UpstreamSite
from ..wire.urls import Url
from .http import Trust, origin, proxy_of, secure_proxy
from .insides import alone, unanswered
from .reach import Reach, reach_of

KEPT = 32
"""Idle connections to one upstream, enough for the layers of two images at once."""

KEPT_FOR = 30.0
"""Seconds; below what servers commonly allow (nginx 75, Go and Caddy minutes)."""

Connection = httpcore.AsyncConnectionInterface


@define(eq=False)
class Pool:
    """Idle connections, the last used last; `connect` makes a new one."""

    connect: Callable[[httpcore.Origin], Connection]
    socks: bool = False
    direct: bool = False
    """It speaks HTTP with upstream itself, and not with a proxy."""
    retired: bool = False
    idle: list["Loan"] = field(factory=list, init=False)


class Bare(Protocol):
    """A stream below httpcore, which lets it be used without waiting: see `streams.Stream`."""

    @property
    def fileno(self) -> int: ...

    def readable(self) -> bool: ...

    def ask(self, request: bytes) -> bool: ...

    def hear(self) -> bytes | None: ...

    def resume(self, data: bytes) -> None: ...

    def tear(self) -> None: ...


@define(eq=False)
class Loan:
    """A connection that nobody else uses meanwhile. `bare`: of one that has answered."""

    connection: Connection
    pool: Pool
    origin: tuple[str, str, int]
    bare: Bare | None = None
    until: float = math.inf
    """When it will have been idle for too long, by time.monotonic."""

    def anew(self, sent: HttpRequest, error: BaseException) -> bool:
        """Whether to send it again, on a new connection that this is of from now on: upstream had
        closed the one that was kept, or did so before it saw the request (RFC 9112 §9.3.1)."""
        ended = isinstance(error, httpcore.NetworkError | httpcore.RemoteProtocolError)
        used = self.until != math.inf
        if not (ended and used and not sent.body and unanswered(self.connection)):
            return False
        self.connection, self.bare, self.until = connect(self.pool, sent.url), None, math.inf
        return True

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
        plain = scheme != "https" and not secure_proxy(site)
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
        return Loan(connect(pool, url), pool, url.origin)

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
            proxy=proxy_of(site, trust),
            network_backend=self._backend(reach_of(site)),
        )
        socks = site.proxy is not None and site.proxy.url.startswith("socks5:")
        direct = site.proxy is None or scheme == "https"
        return Pool(maker.create_connection, socks, direct)


def connect(pool: Pool, url: Url) -> Connection:
    """One that connects when it is used."""
    connection = pool.connect(origin(url))
    alone(connection)
    return connection
