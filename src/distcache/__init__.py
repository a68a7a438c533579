"""A container registry that is a pull-through cache.

In a program:

    config = distcache.Config(store="cache", upstreams={"ghcr.io": "https://ghcr.io"})
    async with distcache.asyncio_server.open_server(config) as server: ...

and the same with `distcache.trio_server`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import asyncio_server as asyncio_server
    from . import trio_server as trio_server
    from .driver import Decided as Decided
    from .embedding import Config as Config
    from .embedding import Upstream as Upstream

__version__ = "0.1.0"

_NAMES = {"Config": "embedding", "Upstream": "embedding", "Decided": "driver"}
_RUNTIMES = ("asyncio_server", "trio_server")


def __getattr__(name: str) -> Any:
    # Not before they are asked for: who uses one runtime need not load the other.
    if name in _RUNTIMES:
        return import_module(f".{name}", __name__)
    if name in _NAMES:
        return getattr(import_module(f".{_NAMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
