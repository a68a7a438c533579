"""`healthcheck`: for a container's HEALTHCHECK and for scripts."""

import json
import ssl
from typing import Annotated

import typer

from .address import CacertOption, CertOption, KeyOption, reached, unwanted
from .common import ConfigOption, JsonOption, fail, settings_of, told

PATIENCE = 5.0
"""Seconds for each step of an answer."""

WELL = (200, 401)


def healthcheck(
    url: Annotated[
        str | None, typer.Option(help="The cache's address; else the configuration's.")
    ] = None,
    cert: CertOption = None,
    key: KeyOption = None,
    cacert: CacertOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Exit status 0 when the server answers, and says that it can serve; else 1.

    The debug listener's /readyz is asked where the configuration has one, else /v2/. A server
    that asks for a login is well."""
    settings = settings_of(config)
    tls = None
    if url is None and settings.debug is not None:
        target = f"http://{settings.debug.authority}/readyz"
        unwanted(target, "for the cache itself give --url", cert=cert, key=key, cacert=cacert)
    else:
        with told():
            base, tls = reached(settings, url, cert=cert, key=key, cacert=cacert)
        target = f"{base}/v2/"
    status, reason = _asked(target, tls)
    if as_json:
        tree = {"url": target, "well": reason is None, "status": status, "reason": reason}
        print(json.dumps(tree, indent=2))
        raise typer.Exit(0 if reason is None else 1)
    if reason is not None:
        fail(reason, 1, where=target)


def _asked(target: str, tls: ssl.SSLContext | None) -> tuple[int | None, str | None]:
    """The answer's status, if there was one, and what is wrong, if anything."""
    # Not at the top: it brings event loops, which other commands need not load.
    import httpcore

    limits = {"connect": PATIENCE, "read": PATIENCE, "write": PATIENCE, "pool": PATIENCE}
    try:
        with httpcore.ConnectionPool(ssl_context=tls) as pool:
            answer = pool.request("GET", target, extensions={"timeout": limits})
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
        return None, str(error) or type(error).__name__
    if answer.status in WELL:
        return answer.status, None
    return answer.status, f"{answer.status} {answer.content.decode(errors='replace').strip()}"
