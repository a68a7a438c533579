"""The pure machine: `Cache.handle(event, now) -> effects`. No I/O, no clock, no threads."""

from .cache import Cache
from .config import Config, Limits, Upstream
from .effects import Effect
from .events import Event
from .inventory import Inventory

__all__ = ["Cache", "Config", "Effect", "Event", "Inventory", "Limits", "Upstream"]
