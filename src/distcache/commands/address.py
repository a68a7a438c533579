"""Where the cache of a configuration is found, and how a command speaks to it."""

import ssl
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from ..configuration.tls import check_authorities, check_pair, trusting
from ..configuration.tree import Problem
from ..settings import Settings
from .failing import Failed, Trouble, fail

CertOption = Annotated[
    Path | None,
    typer.Option("--cert", help="A certificate to show, where the cache wants one (PEM)."),
]
KeyOption = Annotated[
    Path | None, typer.Option("--key", help="Its key, where that is in a file of its own.")
]
CacertOption = Annotated[
    Path | None,
    typer.Option("--cacert", help="Who signed the certificate of --url, if unknown here (PEM)."),
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
        fail(str(error), 2, where=url)
    plain = whole.isascii() and whole.isprintable() and " " not in whole
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain or port == 0:
        fail(f"not a URL like http://127.0.0.1:5000: {url!r}", 2)
    return whole.rstrip("/")


def reached(
    settings: Settings,
    url: str | None,
    *,
    cert: Path | None,
    key: Path | None,
    cacert: Path | None,
) -> tuple[str, ssl.SSLContext | None]:
    """The address of the cache, at `url` or, None, at the configuration's own listener, and how to
    speak TLS with it. What cannot be done ends the command. OSError: the server's own certificate
    cannot be read."""
    base = address(settings) if url is None else given(url)
    if base.startswith("http:"):
        unwanted(base, "is it https:// that you mean?", cert=cert, key=key, cacert=cacert)
        return base, None
    if key is not None and cert is None:
        fail("of no use without --cert", 2, where="--key")
    if url is None and cacert is not None:
        what = "of no use without --url: the configuration's own certificate is trusted"
        fail(what, 2, where="--cacert")
    tls = settings.tls if url is None else None
    if cert is None and tls is not None and tls.client_cas and tls.demanded:
        what, where = "the cache wants a certificate", "$.http.tls.clientcas"
        fail(what, 2, where=where, hint="give --cert and --key")
    context = _trust(settings) if url is None else _trusting(cacert)
    if cert is not None:
        _show(context, cert, key)
    return base, context


def unwanted(base: str, hint: str, **options: Path | None) -> None:
    """What would have no effect on what is spoken there, plain HTTP, is not passed over."""
    for name, value in options.items():
        if value is not None:
            fail(f"of no use: {base} is plain HTTP", 2, where=f"--{name}", hint=hint)


def _trusting(cacert: Path | None) -> ssl.SSLContext:
    problems: list[Problem] = []
    if cacert is not None:
        check_authorities(str(cacert), "--cacert", problems)
    _wrong(problems)
    return trusting(cacert)


def _show(context: ssl.SSLContext, cert: Path, key: Path | None) -> None:
    problems: list[Problem] = []
    check_pair(str(cert), None if key is None else str(key), "--cert", "--key", problems)
    _wrong(problems)
    context.load_cert_chain(cert, key)


def _wrong(problems: list[Problem]) -> None:
    if problems:
        raise Failed([Trouble(one.message, one.path) for one in problems], 2)


def _trust(settings: Settings) -> ssl.SSLContext:
    """For the configuration's own listener: the certificate that it shows and no other, whatever
    name is in it. OSError: the file cannot be read."""
    assert settings.tls is not None
    context = ssl.create_default_context(cafile=settings.tls.certificate)
    context.check_hostname = False
    # The certificate may be signed by somebody who is not in the file.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
