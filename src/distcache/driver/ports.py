"""What the driver works between: the core above it, the adapter below."""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from attrs import frozen

from ..core.config import Config
from ..core.effects import Effect
from ..core.events import Event
from ..core.oci import Time
from ..wire.outgoing import Credentials
from ..wire.sites import UpstreamSite
from .transfers import TokenCall, Transfer

T = TypeVar("T")


class Core(Protocol):
    """The part of `core.cache.Cache` that is driven."""

    @property
    def late(self) -> int: ...

    def handle(self, event: Event, now: Time) -> list[Effect]: ...

    def next_deadline(self) -> Time | None: ...

    def configure(self, config: Config) -> None: ...


class Shell(Protocol):
    """What an adapter does for the driver. None of it runs anything before it returns."""

    def start_fetch(self, transfer: Transfer) -> None: ...

    def start_token(self, call: TokenCall) -> None: ...

    def run_job(self, job: Callable[[], T], then: Callable[[T], None]) -> None:
        """`job` in a thread, then `then` on the loop, whatever is cancelled meanwhile."""

    def arm(self, deadline: Time | None) -> None:
        """`Woke` is due then, and no longer when it was due before."""


@frozen
class Upstreams:
    """By the upstream's key."""

    sites: Mapping[str, UpstreamSite]
    credentials: Mapping[str, Credentials]
