"""What the driver works between: the core above it, the adapter below."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from attrs import evolve, field, frozen

from ..core.config import Config
from ..core.effects import Effect
from ..core.events import Event
from ..core.hits import Hit
from ..core.oci import Digest, Time
from ..core.pull import Pull, RangeSpec, Span
from ..credentials import Ask as Ask
from ..credentials import CredentialSource, Failed, Known
from ..settings import Seconds, UpstreamTimeouts
from ..wire.outgoing import Credentials
from ..wire.sites import UpstreamSite
from .transfers import TokenCall, Transfer

T = TypeVar("T")

MIRROR_PATIENCE = Seconds(5)
"""Seconds that a mirror has for the head of an answer: what is asked for in vain there is still to
be had from upstream in the client's half minute."""


class Core(Protocol):
    """The part of `core.cache.Cache` that is driven."""

    @property
    def late(self) -> int: ...

    def handle(self, event: Event, now: Time) -> list[Effect]: ...

    def whole(self, pull: Pull, now: Time) -> Hit | None: ...

    def part(
        self, pull: Pull, specs: Sequence[RangeSpec], now: Time
    ) -> tuple[Hit, Span] | None: ...

    def begin(self, exchange: int, pull: Pull, now: Time) -> Hit | None: ...

    def next_deadline(self) -> Time | None: ...

    def sizes(self) -> dict[Digest, int]: ...

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
    """By the upstream's key. `sources` know the logins that `credentials` has not got; `timeouts`
    are for those upstreams that have their own, `common` for the others."""

    sites: Mapping[str, UpstreamSite]
    credentials: Mapping[str, Credentials]
    sources: Mapping[str, CredentialSource] = field(factory=dict)
    timeouts: Mapping[str, UpstreamTimeouts] = field(factory=dict)
    common: UpstreamTimeouts = field(factory=UpstreamTimeouts)

    def place(self, key: str, mirror: int | None) -> UpstreamSite:
        """Whom to ask. IndexError: there is no such mirror any more."""
        site = self.sites[key]
        return site if mirror is None else site.mirrors[mirror]

    def login(self, key: str, now: Time) -> Known | Failed | Ask:
        """What to show there; never to a mirror."""
        source = self.sources.get(key)
        return Known(self.credentials.get(key)) if source is None else source.current(now)

    def patience(self, key: str, mirror: int | None) -> UpstreamTimeouts:
        own = self.timeouts.get(key, self.common)
        if mirror is None or own.headers <= MIRROR_PATIENCE:
            return own
        return evolve(own, headers=MIRROR_PATIENCE)
