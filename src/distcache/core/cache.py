"""The cache as one pure machine: an event and the time in, effects out.

This module only routes: event → machine → verdict → whoever waits, to a fixed point. What is
decided, and why, stands in the machines' own modules.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import assert_never

from . import (
    authorities,
    blobs,
    calls,
    cooldown,
    decide,
    eviction,
    exchanges,
    fills,
    grants,
    hits,
    invariants,
    operations,
    pings,
    tags,
    tokens,
)
from .calls import CallState
from .config import Config
from .decision import Fwd
from .effects import DeleteBlob, DiscardSpool, Effect, Level, Medium, Note, Spool
from .events import (
    BlobCommitted,
    BlobDeleted,
    BodySent,
    BodySpooled,
    Cause,
    ClientClosed,
    Draining,
    Event,
    FetchEnded,
    FetchFailed,
    Forgotten,
    HeadReceived,
    Held,
    Pinned,
    Pruned,
    PullRequested,
    SourceLost,
    StoreFailed,
    StoreOperation,
    TokenGranted,
    TokenRefused,
    UpstreamHead,
    Woke,
)
from .exchanges import Exchange, ExchangeState
from .fills import Fill, FillState
from .fingerprint import Labels, fingerprint
from .hits import Hit
from .inventory import BlobStored, GrantStored, Inventory, PinStored, SeenStored, TagStored
from .oci import Content, Digest, Kind, Repository, Time
from .operations import Explanation, Filling, Image, Named, Reach, Stats
from .problems import TOO_SLOW, Failure
from .pull import ByDigest, Catalog, Ping, Pull
from .state import FillKey, Look, Owner, Relay, State
from .tokens import TokenKey
from .values import evolve

UNKNOWN_NEED = 64 * 1024 * 1024
"""Bytes to make room for, when a full disk stops a fill whose size is not known."""

MAY_EVICT = frozenset({HeadReceived, FetchEnded, BlobCommitted, Woke})
"""After these there may be too much, or something has been idle for too long."""

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
        self._deadline_known = False
        if kind not in CONTENT_STAYS:
            state.version += 1
        self._route(event, now)
        if state.woken:
            self._settle(now)
        if kind in MAY_EVICT:
            # Last: who has waited for content is by now its reader.
            eviction.run(state, now)
        effects, state.effects = state.effects, []
        if isinstance(event, PullRequested):
            hits.keep(state, event, effects, now)
        return effects

    def whole(self, pull: Pull, now: Time) -> Hit | None:
        """PullRequested, and BodySent to the end, in one; the same is decided and comes to be. The
        answer, whose bytes its caller must have. None, with nothing changed: it takes an event."""
        return hits.whole(self._state, pull, now)

    def next_deadline(self) -> Time | None:
        """When Woke is due, if nothing else happens before. It may come in vain."""
        if not self._deadline_known:
            # A mere hit moves none.
            times = (self._state.deadlines.first(), eviction.next_deadline(self._state))
            self._deadline = min((t for t in times if t is not None), default=None)
            self._deadline_known = True
        return self._deadline

    def configure(self, config: Config) -> None:
        """New policies from now on; the upstreams' keys must not shrink while in use."""
        self._state.config = config
        cooldown.begin(self._state)
        self._state.version += 1
        self._deadline_known = False

    @property
    def late(self) -> int:
        """Events that came for something already ended."""
        return self._state.late

    def stats(self) -> Stats:
        """Sums, for metrics."""
        return operations.stats(self._state)

    def images(self, latest: int | None = None) -> list[Image]:
        """Every tag that is known, or so many that were used last."""
        return operations.images(self._state, latest)

    def fillings(self) -> list[Filling]:
        """The transfers under way."""
        return operations.fillings(self._state)

    def reach(self, now: Time) -> list[Reach]:
        """How the upstreams are to be reached."""
        return operations.reach(self._state, now)

    def explain(self, what: Named, repository: Repository, now: Time) -> Explanation:
        """What a pull of a tag, or of content under a repository, would meet."""
        return operations.explain(self._state, what, repository, now)

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
        for record in inventory.records:
            match record:
                case BlobStored():
                    blobs.add(state, record.digest, record.size, record.document, record.used)
                case TagStored():
                    known = record.reference.repository.upstream in state.config.upstreams
                    if known and blobs.stored(state, record.descriptor.content):
                        tags.restore(state, record)
                case GrantStored():
                    if blobs.stored(state, record.content):
                        holders = state.grants.get(record.content, frozenset())
                        state.grants[record.content] = holders | {record.repository}
                case PinStored():
                    state.pins |= {record.what}
                case SeenStored():
                    if record.repository.upstream in state.config.upstreams:
                        state.seen[record.repository, record.digest] = record.since
                case _:
                    pass  # what was dropped is not there
        cooldown.begin(state)

    def _route(self, event: Event, now: Time) -> None:
        state = self._state
        match event:
            case PullRequested():
                assert event.exchange not in state.exchanges, event
                if event.pull.authority is not None:
                    authorities.note(state, event.pull.authority, now)
                state.exchanges[event.exchange] = Exchange(event.pull)
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
                self._source_lost(event, now)
            case HeadReceived() | BodySpooled() | FetchEnded() | FetchFailed():
                owner = state.fetches.get(event.fetch)
                if owner is None:
                    state.late += 1
                else:
                    self._fetched(owner, event, now)
            case TokenGranted() | TokenRefused():
                if event.request in state.requests:
                    self._token(event, now)
                else:
                    state.late += 1
            case BlobCommitted() | StoreFailed(operation=StoreOperation.COMMIT):
                self._committed(event, now)
            case BlobDeleted() | StoreFailed():
                self._deleted(event, now)
            case Woke():
                while (key := state.deadlines.pop_due(now)) is not None:
                    self._due(key, now)
                    self._settle(now)
            case Draining():
                state.draining = True
                for key in list(state.fills):
                    fills.drop_if_unread(state, key)
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

    def _fetched(
        self, owner: Owner, event: HeadReceived | BodySpooled | FetchEnded | FetchFailed, now: Time
    ) -> None:
        state = self._state
        match event:
            case HeadReceived():
                verdict = calls.on_head(state, owner, event.head, now)
                if isinstance(verdict, Failure):
                    self._failed(owner, verdict, now)
                elif verdict is not None:
                    self._answered(owner, verdict, now)
            case BodySpooled():
                if isinstance(owner, Content | Relay):
                    self._fill_verdict(
                        owner, fills.on_spooled(state, owner, event.length, now), now
                    )
                elif not isinstance(owner, ByDigest | Ping):
                    tags.on_spooled(state, owner, event.length)
            case FetchEnded():
                self._ended(owner, event, now)
            case FetchFailed():
                self._broke_off(owner, event.cause, now, event.held)
            case _:
                assert_never(event)

    def _broke_off(self, owner: Owner, cause: Cause, now: Time, held: Held | None = None) -> None:
        failure = calls.on_failed(self._state, owner, cause, now)
        if not isinstance(failure, Failure):
            return
        # A relay and a document have nothing on disk that could fail.
        if failure.cause in (Cause.NO_SPACE, Cause.STORE) and isinstance(owner, Content):
            self._store_failed(owner, failure, held, now)
        else:
            self._failed(owner, failure, now)

    def _answered(self, owner: Owner, head: UpstreamHead, now: Time) -> None:
        state = self._state
        if isinstance(owner, Content | Relay):
            failure = fills.on_answer(state, owner, head, now)
            if failure is not None:
                self._failed(owner, failure, now)
        elif isinstance(owner, ByDigest):
            grants.on_answer(state, owner, head, now)
        elif isinstance(owner, Ping):
            pings.on_answer(state, owner, head, now)
        else:
            tags.on_answer(state, owner, head, now)

    def _ended(self, owner: Owner, event: FetchEnded, now: Time) -> None:
        state = self._state
        if state.calls[owner].state is CallState.ASKED:
            # A message that is over before its head has said anything.
            self._broke_off(owner, Cause.CUT, now)
        elif isinstance(owner, Content | Relay):
            verdict = fills.on_ended(state, owner, event.digest, event.document, now)
            self._fill_verdict(owner, verdict, now)
        else:
            assert not isinstance(owner, ByDigest | Ping), "it ends with its head"
            tags.on_ended(state, owner, event.digest, event.document, now)

    def _failed(self, owner: Owner, failure: Failure, now: Time) -> None:
        state = self._state
        if isinstance(owner, Content | Relay):
            self._fill_verdict(owner, fills.cut(state, owner, failure, now), now)
        elif isinstance(owner, ByDigest):
            grants.on_failed(state, owner, failure)
        elif isinstance(owner, Ping):
            pings.on_failed(state, owner, failure, now)
        else:
            tags.on_failed(state, owner, failure, now)

    def _fill_verdict(self, key: FillKey, failure: Failure | None, now: Time) -> None:
        """A fill that cannot go on: abort who was promised bytes, tell who waits. Who came for
        another repository tries its own, and whom a mirror failed the next place: these may be
        better off."""
        state = self._state
        if failure is None:
            if isinstance(key, Relay) and blobs.stored(state, key.content) is not None:
                exchanges.spare(state, key.content)
            return
        fill = fills.drop(state, key)
        for number in fill.readers:
            x = state.exchanges[number]
            if x.state is not ExchangeState.WAITING:
                exchanges.abort(state, number, now)
                continue
            x = evolve(x, on=None, turns=x.turns + 1)
            state.exchanges[number] = x
            better = failure.elsewhere or _repository_differs(x, fill)
            if better and x.turns <= state.limits.redispatch:
                state.wake((number,), Look())
            else:
                state.wake((number,), failure)

    def _store_failed(self, key: Content, failure: Failure, held: Held | None, now: Time) -> None:
        """The spool cannot grow. Make room and go on; where there is none to make, each reader
        gets a transfer of its own that keeps nothing."""
        state = self._state
        fill = state.fills[key]
        need = UNKNOWN_NEED if fill.size is None else fill.size - fill.have
        full = failure.cause is Cause.NO_SPACE
        if full and fill.attempts < state.limits.attempts and eviction.make_room(state, need, now):
            fills.pause(state, key, now)
            return
        fields = (("digest", key.digest), ("fault", failure.cause.value if failure.cause else ""))
        state.emit(Note(Level.WARNING, "the store is failing: passing content through", fields))
        fill = fills.drop(state, key)
        for number in fill.readers:
            self._relay(number, key, fill, held, now)

    def _relay(
        self, number: int, content: Content, broken: Fill, held: Held | None, now: Time
    ) -> None:
        state = self._state
        x = state.exchanges[number]
        started = x.state is not ExchangeState.WAITING
        first = x.credit or x.pos if started else 0
        after = held if first > x.first else None
        if after is None and first > x.first:
            exchanges.abort(state, number, now)
            return
        spool = Spool(state.number(), Medium.WINDOW, content.digest, first, after=after)
        key = Relay(number, content)
        size = broken.size if started else None
        fill = Fill(broken.repository, spool, size=size, readers=(number,))
        if not started:
            x = evolve(x, fwd=Fwd.BYPASS, collapsed=False)
        state.exchanges[number] = evolve(x, on=key)
        failure = fills.begin(state, key, fill, now)
        if failure is not None and started:
            exchanges.abort(state, number, now)
        elif failure is not None:
            state.exchanges[number] = evolve(x, on=None)
            state.wake((number,), failure)

    def _token(self, event: TokenGranted | TokenRefused, now: Time) -> None:
        state = self._state
        if isinstance(event, TokenGranted):
            owners = tokens.granted(state, event.request, event.token, event.expires_in, now)
            for owner in owners:
                unasked = calls.on_token(state, owner, event.token)
                if unasked is not None:
                    self._failed(owner, unasked, now)
            return
        failure = tokens.failure_of(event)
        for owner in tokens.refused(state, event.request, failure, now):
            verdict = calls.on_refused(state, owner, failure, now)
            if verdict is not None:
                self._failed(owner, verdict, now)

    def _committed(self, event: BlobCommitted | StoreFailed, now: Time) -> None:
        state = self._state
        key = _committing(state, event.digest)
        if key is None:
            state.late += 1
            return
        if isinstance(event, StoreFailed):
            fills.commit_failed(state, key, event.fault)
            return
        fill = state.fills.pop(key)
        blobs.add(state, key.digest, fill.have, fill.document, now)
        blobs.journal(state, key.digest)
        for repository in fill.granted:
            grants.grant(state, repository, key)
        tags.committed(state, key.digest)
        for number in fill.readers:
            exchanges.publish(state, number, key.digest)
        state.wake(fill.readers, Look())
        state.emit(DiscardSpool(fill.spool))
        exchanges.spare(state, key)

    def _deleted(self, event: BlobDeleted | StoreFailed, now: Time) -> None:
        state = self._state
        blob = state.blobs.get(event.digest)
        if blob is None or blob.state is blobs.BlobState.STORED:
            state.late += 1
        elif isinstance(event, BlobDeleted):
            blobs.deleted(state, event.digest)
        else:
            state.no_eviction_before = now + state.limits.delete_retry
            blobs.kept(state, event.digest, now)
            blobs.journal(state, event.digest)
            fields = (("digest", event.digest), ("fault", event.fault.value))
            state.emit(Note(Level.WARNING, "content could not be deleted", fields))

    def _source_lost(self, event: SourceLost, now: Time) -> None:
        """What cannot be read is dropped, and fetched again where nothing has been sent."""
        state = self._state
        x = state.exchanges.get(event.exchange)
        if x is None or x.state is not ExchangeState.SENDING:
            state.late += 1
            return
        fields = (("digest", event.digest),)
        state.emit(Note(Level.ERROR, "stored content cannot be read", fields))
        lost = x.reading
        if event.answered:
            exchanges.abort(state, event.exchange, now)
        else:
            exchanges.unsent(state, event.exchange, now)
            turns = state.exchanges[event.exchange].turns
            over = turns > state.limits.redispatch
            news = Failure(fault="content that cannot be kept") if over else Look()
            state.wake((event.exchange,), news)
        if lost is not None and lost in state.blobs:
            self._forget_blob(lost)

    def _forget_blob(self, digest: Digest) -> None:
        state = self._state
        for number, x in state.exchanges.items():
            if x.reading == digest and x.state is not ExchangeState.WAITING:
                # It has the file open; what it was promised is still coming out of it.
                state.exchanges[number] = evolve(x, reading=None)
        blobs.lost(state, digest)
        eviction.drop(state, digest)

    def _due(self, key: Hashable, now: Time) -> None:
        state = self._state
        match key:
            case ("answer", int(number)):
                exchanges.release(state, number, now)
                decide.fail(state, number, TOO_SLOW, now)
            case (Content() | Relay() as fill, "retry"):
                self._fill_verdict(fill, fills.again(state, fill, now), now)
            case (Content() | Relay() as fill, "linger"):
                fills.drop_if_unread(state, fill)
            case (authorities.KEY, str(name)):
                authorities.expire(state, name, now)
            case TokenKey():
                tokens.expire(state, key)
            case _:
                tags.lookup(state, key, now)  # type: ignore[arg-type]


def _repository_differs(x: Exchange, fill: Fill) -> bool:
    target = x.pull.target
    return not isinstance(target, Catalog) and target.repository != fill.repository


def _committing(state: State, digest: Digest) -> Content | None:
    for kind in Kind:
        fill = state.fills.get(Content(kind, digest))
        if fill is not None and fill.state is FillState.COMMITTING:
            return Content(kind, digest)
    return None
