"""A local registry for tests: code that pulls images can be tested without a network.

docs/embedding.md shows it at work.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .images import Blob as Blob
    from .images import Flavor as Flavor
    from .images import Manifest as Manifest
    from .images import artifact as artifact
    from .images import image as image
    from .images import index as index
    from .registry import LocalRegistry as LocalRegistry
    from .registry import Policy as Policy
    from .registry import local_registry as local_registry
    from .rules import Cut as Cut
    from .rules import Failure as Failure
    from .rules import Hold as Hold
    from .rules import Rule as Rule
    from .shelves import Images as Images
    from .shelves import Request as Request
    from .upstream import Upstream as Upstream
    from .upstream import WrongRequests as WrongRequests

_NAMES = {
    "images": ("Blob", "Flavor", "Manifest", "artifact", "image", "index"),
    "registry": ("LocalRegistry", "Policy", "local_registry"),
    "rules": ("Cut", "Failure", "Hold", "Rule"),
    "shelves": ("Images", "Request"),
    "upstream": ("Upstream", "WrongRequests"),
}
_PLACES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    # Not before they are asked for: every run of pytest loads the plugin, and this with it.
    if name in _PLACES:
        return getattr(import_module(f".{_PLACES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
