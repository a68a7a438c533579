"""`client-config`: what to paste into a client's configuration."""

import sys
from typing import Annotated

import typer

from ..operations.client_config import Cache, Client, pastes
from .address import address, everywhere, given
from .common import ConfigOption, JsonOption, settings_of, show


def client_config(
    client: Annotated[Client, typer.Argument(help="Whose configuration.")],
    addr: Annotated[
        str | None, typer.Option(help="Where clients find the cache, like https://cache.example.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print CLIENT's configuration for pulling through this cache, file by file.

    What goes into a file is on standard output, with its path and what to do then; nothing is
    written anywhere."""
    settings = settings_of(config)
    url = address(settings) if addr is None else given(addr)
    if addr is None and everywhere(settings):
        print(f"note: {url} is this machine for itself; others need --addr", file=sys.stderr)
    upstreams = {key: str(site.url).rstrip("/") for key, site in settings.sites.items()}
    found = pastes(client, Cache(url, upstreams, settings.default))
    tree = [{"path": one.path, "text": one.text, "after": one.after} for one in found]

    def draw(console: object) -> None:
        for one in found:
            print(f"# {one.path}\n{one.text}# then: {one.after}\n")

    show({"files": tree}, as_json, draw)
