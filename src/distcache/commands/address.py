"""Where the cache of a configuration is found, and how a command speaks to it."""

import ssl
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from ..configuration.tls import check_pair
from ..configuration.tree import Problem
from ..settings import Settings
from .common import fail

CertOption = Annotated[
    Path | None,
    typer.Option("--cert", help="A certificate to show, where the cache wants one (PEM)."),
]
KeyOption = Annotated[
    Path | None, typer.Option("--key", help="Its key, where that is in a file of its own.")
]

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


def secured(
    settings: Settings, url: str | None, cert: Path | None, key: Path | None
) -> ssl.SSLContext | None:
    """How to speak TLS with the cache at `url`, or, None, at the configuration's own listener. What
    cannot be done ends the command. None: as this system does, with nothing to show. OSError: the
    server's own certificate cannot be read."""
    if key is not None and cert is None:
        fail("--key is of no use without --cert", 2)
    tls = settings.tls if url is None else None
    if cert is None and tls is not None and tls.client_cas and tls.demanded:
        fail("the cache wants a certificate (http.tls.clientcas): give --cert and --key", 2)
    own = _trust(settings) if url is None else None
    return own if cert is None else _showing(own, cert, key)


def _showing(own: ssl.SSLContext | None, cert: Path, key: Path | None) -> ssl.SSLContext:
    problems: list[Problem] = []
    check_pair(str(cert), None if key is None else str(key), "--cert", "--key", problems)
    if problems:
        fail("\n".join(map(str, problems)), 2)
    if own is None:
        # Not at the top: it brings event loops, which other commands need not load.
        import httpcore

        own = httpcore.default_ssl_context()
    own.load_cert_chain(cert, key)
    return own


def _trust(settings: Settings) -> ssl.SSLContext | None:
    """For the configuration's own listener: the certificate that it shows and no other, whatever
    name is in it. None: it speaks plain HTTP. OSError: the file cannot be read."""
    if settings.tls is None:
        return None
    context = ssl.create_default_context(cafile=settings.tls.certificate)
    context.check_hostname = False
    # The certificate may be signed by somebody who is not in the file.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
