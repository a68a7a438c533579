"""Requests of ours, to an upstream or to its token service."""

from base64 import b64encode

from attrs import field, frozen

from .. import __version__
from .headers import sendable
from .urls import Url

USER_AGENT = f"distcache/{__version__}"


@frozen
class HttpRequest:
    """A request without a body. `url` has the parts an HTTP client takes: scheme, host, port,
    target. Header values may be secret, so a repr shows their names only."""

    method: str
    url: Url
    headers: tuple[tuple[bytes, bytes], ...] = field(repr=lambda h: repr([n for n, _ in h]))


@frozen
class Credentials:
    """A user name and password for one upstream. Never shown."""

    username: str = field(repr=lambda _: "***")
    password: str = field(repr=lambda _: "***")

    def basic(self) -> str:
        """The value of Authorization (RFC 7617, UTF-8)."""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {b64encode(pair).decode()}"


def compose(method: str, url: Url, *fields: tuple[str, str | None]) -> HttpRequest:
    """With Host and User-Agent in front. A field without a value, or with one that cannot be
    sent, is left out."""
    common = (("Host", url.authority), ("User-Agent", USER_AGENT))
    return HttpRequest(
        method,
        url,
        tuple(
            (name.encode(), value.encode())
            for name, value in (*common, *fields)
            if value is not None and sendable(value)
        ),
    )
