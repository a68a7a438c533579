"""`healthcheck`: for a container's HEALTHCHECK and for scripts."""

from typing import Annotated

import typer

from .address import address, given, trust
from .common import ConfigOption, fail, settings_of, told

PATIENCE = 5.0
"""Seconds for each step of an answer."""


def healthcheck(
    url: Annotated[
        str | None, typer.Option(help="The cache's address; else the configuration's.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Exit status 0 when the server answers, and says that it can serve; else 1.

    The debug listener's /readyz is asked where the configuration has one, else /v2/. A server
    that asks for a login is well."""
    # Not at the top: it brings event loops, which other commands need not load.
    import httpcore

    settings = settings_of(config)
    debug = settings.debug
    own = None
    if url is not None:
        target = f"{given(url)}/v2/"
    elif debug is not None:
        target = f"http://{debug.authority}/readyz"
    else:
        target = f"{address(settings)}/v2/"
        with told():
            own = trust(settings)
    limits = {"connect": PATIENCE, "read": PATIENCE, "write": PATIENCE, "pool": PATIENCE}
    try:
        with httpcore.ConnectionPool(ssl_context=own) as pool:
            answer = pool.request("GET", target, extensions={"timeout": limits})
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
        fail(f"{target}: {str(error) or type(error).__name__}", 1)
    if answer.status not in (200, 401):
        fail(f"{target}: {answer.status} {answer.content.decode(errors='replace').strip()}", 1)
