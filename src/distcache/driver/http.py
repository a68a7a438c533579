"""Requests to upstreams as httpcore takes them, whom it believes, and what its errors mean."""

import ssl
from typing import Any

import httpcore
from attrs import frozen

from .. import log
from ..core.events import Cause
from ..settings import Level, UpstreamTimeouts
from ..wire.outgoing import HttpRequest
from ..wire.sites import UpstreamSite
from ..wire.urls import Url
from .reach import ForbiddenError
from .transfers import cause_of

READ = 1024 * 1024
"""Bytes of one read. httpcore asks for 64 KiB, which costs many more turns of the loop."""

WRITERS = 8
"""Threads that write spools at once; they share the disk and the processors anyway."""

REST_TIME = 1.0
"""Seconds that an unwanted rest of REST bytes may take."""

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


def origin(url: Url) -> httpcore.Origin:
    return _url(url).origin


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
        return Trust(upstream, _context(site.stranger()) if secure_proxy(site) else None)
    except OSError as error:
        fields: dict[str, log.Value] = {"upstream": site.key, "error": str(error)}
        log.note(Level.ERROR, "a certificate for upstream cannot be used", fields)
        raise httpcore.ConnectError(str(error)) from error


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


def secure_proxy(site: UpstreamSite) -> bool:
    return site.proxy is not None and site.proxy.url.startswith("https:")


def proxy_of(site: UpstreamSite, trust: Trust) -> httpcore.Proxy | None:
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
