"""`client-config`: what to paste into a client's configuration."""

from typing import Annotated

import typer

from ..operations.client_config import Cache, Client, pastes
from .common import ConfigOption, JsonOption, settings_of, show
from .warming import _address


def client_config(
    client: Annotated[Client, typer.Argument()],
    addr: Annotated[
        str | None, typer.Option(help="Where clients find the cache, like https://cache.example.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print CLIENT's configuration for pulling through this cache, file by file."""
    settings = settings_of(config)
    url = addr or _address(settings)
    if "://" not in url:
        url = f"http://{url}"
    upstreams = {key: str(site.url).rstrip("/") for key, site in settings.sites.items()}
    found = pastes(client, Cache(url.rstrip("/"), upstreams, settings.default))
    tree = [{"path": one.path, "text": one.text, "after": one.after} for one in found]

    def draw(console: object) -> None:
        for one in found:
            print(f"# {one.path}\n{one.text}# then: {one.after}\n")

    show({"files": tree}, as_json, draw)
