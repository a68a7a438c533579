"""`healthcheck`: for a container's HEALTHCHECK and for scripts."""

from typing import Annotated

import typer

from .common import ConfigOption, fail, settings_of
from .warming import _address


def healthcheck(
    url: Annotated[
        str | None, typer.Option(help="The cache's address; else the configuration's.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Exit status 0 when the server answers, and says that it can serve; else 1."""
    # Not at the top: it brings event loops, which other commands need not load.
    import httpcore

    settings = settings_of(config)
    debug = settings.debug
    target = (
        f"http://{debug.authority}/readyz"
        if debug and url is None
        else f"{url or _address(settings)}/v2/"
    )
    limits = {"connect": 5.0, "read": 5.0, "write": 5.0}
    try:
        answer = httpcore.request("GET", target, extensions={"timeout": limits})
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
        fail(f"{target}: {error or type(error).__name__}", 1)
    # A server that asks for a login is well.
    if answer.status not in (200, 401):
        fail(f"{target}: {answer.status} {answer.content.decode(errors='replace').strip()}", 1)
