"""The cache as one pure machine: an event and the time in, effects out.

This module only routes: event → machine → verdict → whoever waits, to a fixed point. What is
decided, and why, stands in the machines' own modules.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import assert_never

from . import (
    arrivals,
    authorities,
    blobs,
    cooldown,
    decide,
    eviction,
    exchanges,
    grants,
    hits,
    invariants,
    operations,
    provenance,
    reports,
    storage,
    tags,
    tokens,
    transfers,
)
from .config import Config
from .effects import DeleteBlob, Effect
from .events import (
    BlobCommitted,
    BlobDeleted,
    BodySent,
    BodySpooled,
    ClientClosed,
    Draining,
    Event,
    FetchEnded,
    FetchFailed,
    Forgotten,
    HeadReceived,
    Pinned,
    Pruned,
    PullRequested,
    SourceLost,
    StoreFailed,
    StoreOperation,
    TokenGranted,
    TokenRefused,
    Woke,
)
from .exchanges import Exchange, ExchangeState
from .fingerprint import Labels, fingerprint
from .hits import Hit
from .inventory import (
    BlobStored,
    FillStored,
    GrantStored,
    Inventory,
    PinStored,
    SeenStored,
    TagStored,
)
from .oci import Content, Digest, Repository, TagRef, Time
from .problems import TOO_SLOW
from .pull import Probing, Pull, RangeSpec, Span
from .reports import Explanation, Filling, Image, Named, Reach, Stats
from .state import Relay, State
from .tokens import TokenKey

MAY_EVICT = frozenset({HeadReceived, FetchEnded, BlobCommitted, Woke})
"""After these there may be too much, or something has been idle for too long."""

OF_A_FETCH = (HeadReceived, BodySpooled, FetchEnded, FetchFailed)

CONTENT_STAYS = frozenset({PullRequested, BodySent, BodySpooled, ClientClosed})
"""These leave alone what is stored, who may have it, and the configuration."""


class Cache:
    """`handle` is total and deterministic: no outside input makes it raise; a late event for
    something that has ended is ignored and counted. Not thread-safe: one caller at a time."""

    def __init__(self, config: Config, inventory: Inventory) -> None:
        self._state = State(config)
        self._deadline: Time | None = None
        self._deadline_known = False
        self._restore(inventory)

    def handle(self, event: Event, now: Time) -> list[Effect]:
        """Take in what happened; what to do, in order."""
        state = self._state
        known = None
        if isinstance(event, PullRequested):
            known = hits.again(state, event, now)
        elif isinstance(event, BodySent):
            known = hits.done(state, event)
        if known is not None:
            return known
        kind = type(event)
        if isinstance(event, OF_A_FETCH) and event.fetch not in state.fetches:
            # What is called off still says that it has ended.
            state.late += 1
            return []
        self._deadline_known = False
        if kind not in CONTENT_STAYS:
            state.changed()
        self._route(event, now)
        if state.woken:
            self._settle(now)
        if kind in MAY_EVICT:
            # Last: who has waited for content is by now its reader.
            eviction.run(state, now)
        effects, state.effects = state.effects, []
        if isinstance(event, PullRequested):
            hits.keep(state, event, effects)
        return effects

    def whole(self, pull: Pull, now: Time) -> Hit | None:
        """PullRequested, and BodySent to the end, in one; the same is decided and comes to be. The
        answer, whose bytes its caller must have; or `begin`, as with `part`. None, with nothing
        changed: it takes an event."""
        return hits.whole(self._state, pull, now)

    def part(self, pull: Pull, specs: Sequence[RangeSpec], now: Time) -> tuple[Hit, Span] | None:
        """`whole`, of the pull with these ranges: see `hits.part`. Whoever cannot send it at once
        calls `begin`, of the same pull in the same moment, before anything else."""
        return hits.part(self._state, pull, specs, now)

    def begin(self, exchange: int, pull: Pull, now: Time) -> Hit | None:
        """PullRequested, for whom needs no effects to be told of an answer that is all there: it is
        to end as one that began with them. None, with nothing changed: it takes the event."""
        return hits.begin(self._state, exchange, pull, now)

    def next_deadline(self) -> Time | None:
        """When Woke is due, if nothing else happens before. It may come in vain."""
        if not self._deadline_known:
            # A mere hit moves none.
            first, idle = self._state.deadlines.first(), eviction.next_deadline(self._state)
            later = idle is None or (first is not None and first < idle)
            self._deadline = first if later else idle
            self._deadline_known = True
        return self._deadline

    def configure(self, config: Config) -> None:
        """New policies from now on; the upstreams' keys must not shrink while in use."""
        self._state.config = config
        cooldown.begin(self._state)
        self._state.changed()
        self._deadline_known = False

    @property
    def late(self) -> int:
        """Events that came for something already ended."""
        return self._state.late

    def stats(self) -> Stats:
        """Sums, for metrics."""
        return reports.stats(self._state)

    def sizes(self) -> dict[Digest, int]:
        """Bytes of everything that is stored; the caller's own."""
        return {digest: blob.size for digest, blob in self._state.blobs.items()}

    def images(self, latest: int | None = None) -> list[Image]:
        """Every tag that is known, or so many that were used last."""
        return reports.images(self._state, latest)

    def fillings(self) -> list[Filling]:
        """The transfers under way."""
        return reports.fillings(self._state)

    def reach(self, now: Time) -> list[Reach]:
        """How the upstreams are to be reached."""
        return reports.reach(self._state, now)

    def explain(self, what: Named, repository: Repository, now: Time) -> Explanation:
        """What a pull of a tag, or of content under a repository, would meet."""
        return reports.explain(self._state, what, repository, now)

    def knows(self, what: TagRef | Repository | Digest) -> bool:
        """Whether there is something to forget."""
        return operations.known(self._state, what)

    def would_free(self, event: Event, now: Time) -> tuple[int, int]:
        """Blobs and bytes that would be deleted if `event` came; nothing is."""
        after = self.fork()
        effects = after.handle(event, now)
        blobs_gone = sum(isinstance(effect, DeleteBlob) for effect in effects)
        return blobs_gone, self.stats().stored_bytes - after.stats().stored_bytes

    def fork(self) -> Cache:
        """An independent copy, for exploration."""
        other = Cache.__new__(Cache)
        other._state = self._state.fork()
        other._deadline, other._deadline_known = self._deadline, self._deadline_known
        return other

    def fingerprint(
        self,
        now: Time,
        alike: Mapping[int, int] | None = None,
        labels: Labels | None = None,
    ) -> Hashable:
        """Equal, within one process, for states that behave alike: see `fingerprint`."""
        return fingerprint(self._state, now, alike, labels)

    def check(self) -> None:
        """Assert every invariant that spans machines. Linear in the state: for tests."""
        invariants.check(self._state)

    def _restore(self, inventory: Inventory) -> None:
        state = self._state
        # One set for all that a repository alone may serve.
        alone: dict[Repository, frozenset[Repository]] = {}
        for record in inventory.records:
            match record:
                case BlobStored():
                    blobs.restore(state, record)
                case TagStored():
                    known = record.reference.repository.upstream in state.config.upstreams
                    if known and blobs.stored(state, record.descriptor.content):
                        tags.restore(state, record)
                case GrantStored(repository, content):
                    if blobs.stored(state, content):
                        own = alone.get(repository)
                        if own is None:
                            own = alone[repository] = frozenset((repository,))
                        others = state.grants.setdefault(content, own)
                        if others is not own:
                            state.grants[content] = others | own
                case PinStored():
                    state.pins |= {record.what}
                case SeenStored():
                    if record.repository.upstream in state.config.upstreams:
                        state.seen[record.repository, record.digest] = record.since
                case FillStored():
                    provenance.restore(state, record)
                case _:
                    pass  # what was dropped is not there
        blobs.list_roots(state)
        cooldown.begin(state)

    def _route(self, event: Event, now: Time) -> None:
        state = self._state
        match event:
            case PullRequested():
                assert event.exchange not in state.exchanges, event
                if event.pull.authority is not None:
                    authorities.note(state, event.pull.authority, now)
                state.exchanges[event.exchange] = Exchange(event.pull, client=event.client)
                decide.look(state, event.exchange, now)
            case BodySent():
                x = state.exchanges.get(event.exchange)
                if x is not None and x.credit == event.stop:
                    exchanges.sent(state, event.exchange, event.stop, now)
                else:
                    state.late += 1
            case ClientClosed():
                if event.exchange in state.exchanges:
                    exchanges.close(state, event.exchange, now)
                else:
                    state.late += 1
            case SourceLost():
                storage.source_lost(state, event, now)
            case HeadReceived() | BodySpooled() | FetchEnded() | FetchFailed():
                arrivals.fetched(state, state.fetches[event.fetch], event, now)
            case TokenGranted() | TokenRefused():
                if event.request in state.requests:
                    arrivals.token(state, event, now)
                else:
                    state.late += 1
            case BlobCommitted() | StoreFailed(operation=StoreOperation.COMMIT):
                storage.committed(state, event, now)
            case BlobDeleted() | StoreFailed():
                storage.deleted(state, event, now)
            case Woke():
                while (key := state.deadlines.pop_due(now)) is not None:
                    self._due(key, now)
                    self._settle(now)
            case Draining():
                exchanges.drain(state)
            case Forgotten():
                operations.forget(state, event.what)
            case Pinned():
                operations.pin(state, event.what, event.keep)
            case Pruned():
                eviction.prune(state, event.max_size, event.idle, now)
            case _:
                assert_never(event)

    def _settle(self, now: Time) -> None:
        """Tell everyone who waits, until nobody has news."""
        state = self._state
        while state.woken:
            number, news = state.woken.popleft()
            if state.exchanges[number].state is ExchangeState.WAITING:
                decide.hear(state, number, news, now)
            else:
                exchanges.pump(state, number, now)

    def _due(self, key: Hashable, now: Time) -> None:
        state = self._state
        match key:
            case ("answer", int(number)):
                exchanges.release(state, number, now)
                decide.fail(state, number, TOO_SLOW, now)
            case (Content() | Relay() as fill, "retry"):
                arrivals.settle(state, fill, transfers.again(state, fill, now), now)
            case (Probing() as probing, "retry"):
                grants.again(state, probing, now)
            case (Content() | Relay() | Probing() as owner, "linger"):
                exchanges.lapse(state, owner)
            case (authorities.KEY, str(name)):
                authorities.expire(state, name, now)
            case TokenKey():
                tokens.expire(state, key)
            case _:
                tags.lookup(state, key, now)  # type: ignore[arg-type]
