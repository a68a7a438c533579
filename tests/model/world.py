"""The environment of the core, as hostile as the contract of events allows.

The World owns clients, upstream, token service, store and clock. `actions()` lists everything
that could happen next (`choices`), `act()` lets one of them happen in a copy: what upstream does
is `fetching`, what the store does is `store`. What the core does about it is taken (`taking`) and
held to every promise that its effects make (`promises`). Faults are budgets: the core must be
right with each of them used at any moment.
"""

from __future__ import annotations

from collections.abc import Sequence

from distcache.core import effects as fx
from distcache.core import events as ev
from distcache.core.cache import Cache
from distcache.core.config import Config, Limits, Upstream
from distcache.core.inventory import Inventory, Record
from distcache.core.oci import Content, Digest, Repository, TagRef

from . import choices, fetching, health, promises, store, taking
from .clients import BrokenPromise, Client
from .scene import D1, D2, ORDERS, PULLS, STOCK, TAG, A, B, Bound, token
from .sometimes import Sightings
from .store import Job
from .upstream import Sim

FOR_EVER = 720 * 3600.0


class World:
    """`fork` copies it; whatever its containers hold is frozen."""

    def __init__(self, bound: Bound, sightings: Sightings | None = None) -> None:
        self.bound = bound
        self.sightings = Sightings() if sightings is None else sightings
        self.left = bound.budgets()
        self.now = 1000.0
        self.offline = False
        self.draining = False
        self.tag: Digest | None = D1
        self.clients: dict[int, Client] = {}
        self.fetches: dict[int, Sim] = {}
        self.spools: dict[int, tuple[bool, ...]] = {}
        self.tokens: dict[int, ev.Challenge] = {}
        self.jobs: tuple[Job, ...] = ()
        self.disk: frozenset[Digest] = frozenset()
        self.records: tuple[Record, ...] = ()
        """The journal, kept as long as there may be a kill."""
        self.said404: frozenset[object] = frozenset()
        self.vouched: frozenset[Repository] = frozenset({A})
        """Repositories under which upstream has the blob, and has said so."""
        self.agreed: dict[Repository, float] = {}
        """When upstream last said so to a client's own authority."""
        self.pins: frozenset[TagRef | Content] = frozenset()
        self.ill: dict[int, tuple[int, float]] = {}
        """Mirrors that failed so often in a row, as far as is certain, and until when they are
        to be passed over."""
        self.limited_until = 0.0
        """Upstream said that it is not to be asked about names before."""
        self.discarded: frozenset[int] = frozenset()
        self.held: Digest | None = None
        """What the tag was answered with, as long as nothing has happened that may lose it."""
        self.said: Digest | None = D1 if bound.stocked else None
        """What upstream last said the tag is."""
        self.trail: frozenset[Digest] = frozenset()
        """What the tag was since the oldest check under way began."""
        self.words: dict[Digest, float] = {D1: 900.0} if bound.stocked else {}
        """When upstream last said that the tag is that, where it may be used for a while."""
        self.heard: dict[Digest, float] = {}
        """When upstream first said that it has this manifest, where there is a cool-down."""
        self.known: dict[Digest, float] = {D1: 0.0} if bound.stocked and bound.cool_down else {}
        """Since when it is known, as the journal has it; 0: it was held before."""
        self.last_fetch = 0
        self.event: ev.Event | None = None
        """What the core is being told."""
        self.did: Sequence[fx.Effect] = ()
        """What it did about it."""
        self.timed = bool(bound.tag_ttl or bound.scarce or bound.stale_if_error < FOR_EVER)
        shown = [PULLS[name].authority for name in bound.pulls]
        self.absolute = any(a is not None and a.expires is not None for a in shown)
        """Some moment counts for itself, not by its distance."""
        if bound.stocked:
            self.records, self.disk = STOCK, frozenset({B, D1})
        self.cache = Cache(self.config(), Inventory(self.records))

    def fork(self) -> World:
        other = World.__new__(World)
        copies = vars(other)
        copies.update(vars(self))
        copies["cache"] = self.cache.fork()
        for name in ("left", "clients", "fetches", "spools", "tokens"):
            copies[name] = copies[name].copy()
        return other

    def actions(self) -> list[str]:
        """Everything that could happen next."""
        return list(choices.actions(self))

    def act(self, action: str) -> World:
        """The world after it; this one stays as it is."""
        world = self.fork()
        world.happen(action)
        return world

    def happen(self, action: str) -> None:
        """It happens in this very world."""
        word, *rest = action.split()
        getattr(self, f"_{word}")(*rest)
        if self.discarded:
            store.tidy(self)

    def feed(self, event: ev.Event, about: fx.UpstreamRequest | None = None) -> None:
        """Tell the core, and take what it does about it. `about`: what this is an answer to."""
        self.sightings.events.add(type(event))
        self.event = event
        self.did = self.cache.handle(event, self.now)
        for effect in self.did:
            self.sightings.effects.add(type(effect))
            if isinstance(effect, fx.Fetch):
                promises.fetch(self, effect)
                health.asks(self, effect.request, event, about)
            taking.take(self, effect)
        if self.trail and not self.checking():
            self.trail = frozenset()

    @property
    def quiet(self) -> bool:
        """Nothing is under way that could bring news."""
        busy = self.fetches or self.jobs or self.tokens
        return not busy and not any(c.out for c in self.clients.values())

    # Helpers

    def config(self) -> Config:
        """What the operator has set."""
        bound = self.bound
        limits = Limits(answer=28.0, attempts=2, redirects=1, authorities=bound.authorities)
        up = Upstream(
            tag_ttl=bound.tag_ttl,
            stale_if_error=bound.stale_if_error,
            basic=bound.auth == "basic",
            mirrors=bound.mirrors,
            immutable=(TAG.tag,) if bound.immutable else (),
            cool_down=bound.cool_down,
        )
        return Config(
            {"up": up},
            max_size=bound.max_size,
            ttl=bound.ttl,
            offline=self.offline,
            limits=limits,
        )

    def checking(self) -> bool:
        """It is being found out what the tag is."""
        asked = any(isinstance(s.request.resource, TagRef) for s in self.fetches.values())
        return asked or bool(self.tokens)

    # By the first words of actions

    def _pull(self, slot: str, name: str) -> None:
        self.left["starts"] -= 1
        # Simultaneous pulls share one check: current since that check began is current enough.
        current = self.trail | ({self.tag} if self.tag else frozenset())
        client = Client(name, current)
        if self.bound.mirrors:
            client = client._replace(itself=health.is_asked(self, client))
        self.clients[int(slot)] = client
        self.feed(ev.PullRequested(int(slot), PULLS[name]))
        if self.draining and int(slot) in self.clients:
            raise BrokenPromise("a pull is taken on although the cache is shutting down")

    def _sent(self, slot: str) -> None:
        number = int(slot)
        client = self.clients[number]
        out = client.out
        assert out is not None
        bad = client.bad
        if isinstance(out.source, fx.Spool):
            bad = bad or not all(self.spools[out.source.number][out.span.start : out.span.stop])
        self.clients[number] = client._replace(out=None, pos=out.span.stop, bad=bad, old=False)
        self.feed(ev.BodySent(number, out.span.stop))

    def _lost(self, slot: str) -> None:
        number = int(slot)
        client = self.clients[number]
        assert client.out is not None
        assert isinstance(client.out.source, fx.Stored)
        digest = client.out.source.digest
        self.left["faults"] -= 1
        answered = client.pos is not None
        head = client.head if answered else None
        self.clients[number] = client._replace(out=None, head=head, old=False)
        if not client.old:
            self.disk -= {digest}
            store.let_go(self, digest)
            for other, reader in self.clients.items():
                if reader.out is not None and reader.out.source == client.out.source:
                    self.clients[other] = reader._replace(old=True)
        self.feed(ev.SourceLost(number, digest, answered))

    def _close(self, slot: str) -> None:
        self.left["closes"] -= 1
        del self.clients[int(slot)]
        self.feed(ev.ClientClosed(int(slot)))

    def _token(self, number: str, result: str) -> None:
        request = int(number)
        wanted = self.tokens.pop(request)
        if result == "ok":
            self.feed(ev.TokenGranted(request, token(wanted), 60.0))
            return
        self.left["faults"] -= 1
        status = {"refused": 401, "lost": 404, "down": None}[result]
        cause = ev.Cause.UNREACHABLE if status is None else None
        self.feed(ev.TokenRefused(request, status, cause))

    def _wake(self) -> None:
        at = self.cache.next_deadline()
        assert at is not None
        self.left["wakes"] -= 1
        self.now = max(self.now, at)
        self.feed(ev.Woke())

    def _pause(self) -> None:
        self.left["pauses"] -= 1
        self.now += self.bound.pause

    def _order(self, wish: str) -> None:
        self.left["wishes"] -= 1
        order = ORDERS[wish]
        promises.ordered(self, order)
        self.feed(order)

    def _move(self) -> None:
        self._becomes(D2)

    def _vanish(self) -> None:
        self._becomes(None)

    def _becomes(self, tag: Digest | None) -> None:
        self.left["moves"] -= 1
        new = frozenset({tag} if tag else ())
        for number, client in self.clients.items():
            self.clients[number] = client._replace(current=client.current | new)
        if self.checking():
            self.trail |= {self.tag} if self.tag else frozenset()
        self.tag = tag

    def _drain(self) -> None:
        self.left["drains"] -= 1
        self.held = None
        self.draining = True
        self.feed(ev.Draining())

    def _switch(self) -> None:
        """The operator sets `offline`, while upstream may be being asked already."""
        self.left["switches"] -= 1
        self.offline = True
        self.cache.configure(self.config())

    def _fetch(self, number: str, what: str) -> None:
        fetching.act(self, int(number), what)

    def _job(self, digest: str, result: str) -> None:
        store.do(self, digest, result)

    def _kill(self, written: str) -> None:
        store.kill(self, int(written))
