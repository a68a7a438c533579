"""Requests of ours, to an upstream or to its token service."""

from base64 import b64encode

from attrs import field, frozen

from .. import __version__
from ..core.events import Secret
from .headers import sendable
from .urls import Url

USER_AGENT = f"distcache/{__version__}"
WARMING = "distcache-warm"
"""What `distcache warm` calls itself, a client of this cache."""


@frozen
class HttpRequest:
    """`url` has the parts an HTTP client takes: scheme, host, port, target. Header values and
    the body may be secret, so a repr shows the names of fields only."""

    method: str
    url: Url
    headers: tuple[tuple[bytes, bytes], ...] = field(repr=lambda h: repr([n for n, _ in h]))
    body: bytes = field(default=b"", repr=False)


@frozen
class Credentials:
    """A user name and password for one upstream. Never shown."""

    username: str = field(repr=lambda _: "***")
    password: str = field(repr=lambda _: "***")

    def basic(self) -> str:
        """The value of Authorization (RFC 7617, UTF-8)."""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {b64encode(pair).decode()}"


@frozen
class IdentityToken:
    """What a registry gave at `docker login` in a password's place: a refresh token, good for
    access tokens of its token service (CNCF Distribution, "OAuth2 Token Authentication")."""

    token: Secret


Login = Credentials | IdentityToken
"""What proves to one upstream who we are."""


def compose(
    method: str, url: Url, *fields: tuple[str, str | None], body: bytes = b""
) -> HttpRequest:
    """With Host and User-Agent in front, and Content-Length for a body. A field without a
    value, or with one that cannot be sent, is left out."""
    length = str(len(body)) if body else None
    common = (
        ("Host", url.authority),
        ("User-Agent", USER_AGENT),
        ("Content-Length", length),
    )
    return HttpRequest(
        method,
        url,
        tuple(
            (name.encode(), value.encode())
            for name, value in (*common, *fields)
            if value is not None and sendable(value)
        ),
        body,
    )
