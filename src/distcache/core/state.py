"""What the machines share: their records, the effects so far, and who must be told.

A mutable container of frozen values, so that `fork` is a handful of shallow copies. Only
`cache.py` makes one; each machine module writes its own records and nobody else's, except
through that module's functions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING

from attrs import frozen

from .config import Config, Limits
from .deadlines import Deadlines
from .effects import Effect
from .oci import Content, Descriptor, Digest, Reference, Repository, TagRef, Time
from .problems import Failure
from .pull import ByDigest, Ping, Probing

if TYPE_CHECKING:
    from .acceptance import Accepted
    from .blobs import Blob
    from .calls import Call
    from .events import Challenge
    from .exchanges import Exchange
    from .fills import Fill
    from .grants import Probe
    from .hits import Hit
    from .inventory import Answer, Filled
    from .mirrors import Health
    from .pings import Greeting
    from .quota import Reading
    from .tags import Tag
    from .tokens import Token, TokenKey


@frozen
class Relay:
    """Key of a fill that keeps nothing and serves one exchange (the store is full or broken)."""

    exchange: int
    content: Content


FillKey = Content | Relay
Owner = Reference | Probing | Ping | FillKey
"""Who asked upstream: a tag check, a probe, a ping, a fill. At most one call each at a time."""


@frozen
class Look:
    """Something that an exchange waited for has changed: let it look again."""


@frozen
class Resolved:
    """What a reference resolves to, or what a probe learnt, with upstream's status."""

    descriptor: Descriptor
    status: int | None


CONTAINERS = (
    *("exchanges", "tags", "tags_of", "fills", "probes", "calls", "fetches", "tokens", "requests"),
    *(
        "schemes",
        "blobs",
        "used",
        "readers",
        "parents",
        "grants",
        "lru",
        "deadlines",
        "woken",
        "effects",
    ),
    *("pings", "authorities", "mirrors", "quotas", "hits", "parts", "seen"),
    *("filled", "answers"),
)
"""The fields of State that change in place."""

News = Look | Resolved | Failure


class State:
    def __init__(self, config: Config) -> None:
        self.config = config
        self.exchanges: dict[int, Exchange] = {}
        self.tags: dict[Reference, Tag] = {}
        self.tags_of: dict[Digest, frozenset[Reference]] = {}
        self.fills: dict[FillKey, Fill] = {}
        self.probes: dict[Probing, Probe] = {}
        self.pings: dict[Ping, Greeting] = {}
        self.authorities: dict[str, Accepted] = {}
        self.calls: dict[Owner, Call] = {}
        self.fetches: dict[int, Owner] = {}
        self.tokens: dict[TokenKey, Token] = {}
        self.requests: dict[int, TokenKey] = {}
        self.schemes: dict[tuple[Repository, int | None], Challenge] = {}
        self.mirrors: dict[tuple[str, int], Health] = {}
        self.quotas: dict[str, Reading] = {}
        self.blobs: dict[Digest, Blob] = {}
        self.used: dict[Digest, Time] = {}
        self.readers: dict[Digest, int] = {}
        self.parents: dict[Digest, frozenset[Digest]] = {}
        self.grants: dict[Content, frozenset[Repository]] = {}
        self.lru: list[tuple[Time, Digest]] = []
        self.deadlines = Deadlines()
        self.seen: dict[tuple[Repository, Digest], Time] = {}
        """Of manifests, for the cool-down, in the order in which they became known."""
        self.filled: dict[Digest, Filled] = {}
        """How stored content came, in the order in which it did."""
        self.answers: dict[Reference | ByDigest, tuple[Time, Answer]] = {}
        """Upstream's last, but for those that confirmed a tag; see `provenance`."""
        self.pins: frozenset[TagRef | Content] = frozenset()
        self.stored = 0
        self.doomed = 0
        self.no_eviction_before: Time = 0.0
        self.draining = False
        self.version = 0
        """Counts the events that may have changed what a hit is decided by: see `hits`."""
        self.hits: dict[int, Hit] = {}
        self.parts: dict[Hashable, Hit] = {}
        self.late = 0
        self._number = 0
        self.woken: deque[tuple[int, News]] = deque()
        self.effects: list[Effect] = []

    @property
    def limits(self) -> Limits:
        return self.config.limits

    def changed(self) -> None:
        """Something happened that may change what a hit is decided by."""
        self.version += 1

    def number(self) -> int:
        """A number never given before: for fetches, token requests and spools."""
        self._number += 1
        return self._number

    def emit(self, effect: Effect) -> None:
        self.effects.append(effect)

    def wake(self, exchanges: tuple[int, ...], news: News) -> None:
        self.woken.extend((number, news) for number in exchanges)

    def fork(self) -> State:
        """An independent copy, for exploration: every value in the containers is frozen."""
        other = State.__new__(State)
        own = vars(self)
        copies = vars(other)
        copies.update(own)
        for name in CONTAINERS:
            copies[name] = own[name].copy()
        return other
