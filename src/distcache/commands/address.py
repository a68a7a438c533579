"""Where the cache of a configuration is found, and how a command speaks to it."""

import ssl
from urllib.parse import urlsplit

from ..settings import Settings
from .common import fail

_ANYWHERE = {None: "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
"""What is listened on, if it is every interface, and where it is found on this machine."""


def address(settings: Settings) -> str:
    """The URL of the configuration's own listener, as this machine finds it."""
    host = _ANYWHERE.get(settings.host, settings.host)
    scheme = "http" if settings.tls is None else "https"
    return f"{scheme}://{f'[{host}]' if host and ':' in host else host}:{settings.port}"


def everywhere(settings: Settings) -> bool:
    """Whether the address that is listened on says nothing of where clients find it."""
    return settings.host in _ANYWHERE


def given(url: str) -> str:
    """A URL as the operator spells it, without a slash at its end; a wrong one ends the command.
    Without a scheme it is http."""
    whole = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(whole)
        port = parts.port
    except ValueError as error:
        fail(f"{url}: {error}", 2)
    plain = whole.isascii() and whole.isprintable() and " " not in whole
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain or port == 0:
        fail(f"not a URL like http://127.0.0.1:5000: {url!r}", 2)
    return whole.rstrip("/")


def trust(settings: Settings) -> ssl.SSLContext | None:
    """For the configuration's own listener: the certificate that it shows and no other, whatever
    name is in it. None: it speaks plain HTTP. OSError: the file cannot be read."""
    if settings.tls is None:
        return None
    context = ssl.create_default_context(cafile=settings.tls.certificate)
    context.check_hostname = False
    # The certificate may be signed by somebody who is not in the file.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
