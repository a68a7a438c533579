"""The environment of the core, as hostile as the contract of events allows.

The World owns clients, upstream, token service, store and clock. `actions()` lists everything
that could happen next, `act()` lets one of them happen in a copy, and checks on the way every
promise that the core's effects make (`promises`). Faults are budgets: the core must be right
with each of them used at any moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from attrs import evolve

from distcache.core import effects as fx
from distcache.core import events as ev
from distcache.core.cache import Cache
from distcache.core.config import Config, Limits, Upstream
from distcache.core.inventory import GrantStored, Inventory, PinStored, Record, TagStored
from distcache.core.oci import Content, Digest, Repository, TagRef
from distcache.core.pull import ByDigest, Method

from . import health, promises, upstream
from .clients import BrokenPromise, Client, wish
from .keys import key
from .scene import (
    BLOB,
    D1,
    D2,
    DOCUMENTS,
    ORDERS,
    PULLS,
    SIZES,
    STOCK,
    TAG,
    A,
    B,
    Bound,
    L,
    challenge,
    second_page,
    token,
)
from .sometimes import Sightings
from .store import restarted

RIGHT, WRONG = Digest("sha256:right so far"), Digest("sha256:wrong")
FOR_EVER = 720 * 3600.0
FEW_STEPS = 400
"""More than it takes to come to rest from anywhere."""


class Sim(NamedTuple):
    """One fetch under way: nothing said yet, or the body of `digest` from `at` to `stop`."""

    request: fx.UpstreamRequest
    spool: fx.Spool | None
    at: int | None = None
    digest: Digest | None = None
    stop: int = 0


Job = fx.CommitBlob | fx.DeleteBlob


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
        self.last_fetch = 0
        self.event: ev.Event | None = None
        """What the core is being told."""
        self.timed = bool(bound.tag_ttl or bound.scarce or bound.stale_if_error < FOR_EVER)
        shown = [PULLS[name].authority for name in bound.pulls]
        self.absolute = any(a is not None and a.expires is not None for a in shown)
        """Some moment counts for itself, not by its distance."""
        if bound.stocked:
            self.records, self.disk = STOCK, frozenset({B, D1})
        self.cache = Cache(self._config(), Inventory(self.records))

    def fork(self) -> World:
        other = World.__new__(World)
        copies = vars(other)
        copies.update(vars(self))
        copies["cache"] = self.cache.fork()
        for name in ("left", "clients", "fetches", "spools", "tokens"):
            copies[name] = copies[name].copy()
        return other

    # What can happen

    def actions(self) -> list[str]:
        return list(self._actions())

    def benign(self) -> str | None:
        """What happens next in a world that means well; None: nothing is left to happen."""
        for number in sorted(self.clients):
            if self.clients[number].out is not None:
                return f"sent {number}"
        for number in sorted(self.fetches):
            return next(self._goes_on(number))
        for job in self.jobs:
            return f"job {job.digest} ok"
        for number in sorted(self.tokens):
            return f"token {number} ok"
        return "wake" if self.cache.next_deadline() is not None else None

    def _actions(self) -> Iterator[str]:
        left, bound = self.left, self.bound
        kinds = bound.kinds if left["faults"] else ()
        free = next((n for n in range(bound.clients) if n not in self.clients), None)
        if left["starts"] and free is not None:
            yield from (f"pull {free} {name}" for name in bound.pulls)
        for number, client in sorted(self.clients.items()):
            if client.out is not None:
                yield f"sent {number}"
                if "lost" in kinds and isinstance(client.out.source, fx.Stored):
                    yield f"lost {number}"
            if left["closes"]:
                yield f"close {number}"
        for number in sorted(self.fetches):
            yield from self._goes_on(number)
            for kind in self._goes_wrong(number):
                if kind in kinds:
                    yield f"fetch {number} {kind}"
        for job in {j.digest: j for j in reversed(self.jobs)}.values():
            yield f"job {job.digest} ok"
            if ("commit" if isinstance(job, fx.CommitBlob) else "delete") in kinds:
                yield f"job {job.digest} fail"
        for number in sorted(self.tokens):
            yield f"token {number} ok"
            if "token" in kinds:
                yield from (f"token {number} {why}" for why in ("refused", "down", "lost"))
        if left["wakes"] and self.cache.next_deadline() is not None:
            yield "wake"
        if left["pauses"]:
            yield "pause"
        if left["wishes"]:
            yield from (f"order {wish}" for wish in bound.orders)
        if left["moves"]:
            yield from ("move", "vanish")
        if left["drains"]:
            yield "drain"
        if left["switches"]:
            yield "switch"
        if left["kills"]:
            yield from (f"kill {n}" for n in range(self._written(), len(self.records) + 1))

    def _goes_on(self, number: int) -> Iterator[str]:
        sim = self.fetches[number]
        if sim.at is None:
            yield f"fetch {number} head"
        else:
            assert sim.digest is not None
            yield f"fetch {number} {'more' if sim.at < sim.stop else 'end'}"

    def _goes_wrong(self, number: int) -> list[str]:
        sim = self.fetches[number]
        if sim.at is None:
            return upstream.faults_before(sim.request, sim.spool)
        assert sim.digest is not None
        kinds = ["cut", "slow"]
        if sim.spool is not None and sim.at < sim.stop:
            kinds.append("corrupt")
        return [*kinds, "full", "fault"] if upstream.is_file(sim.spool) else kinds

    def _written(self) -> int:
        return len(STOCK) if self.bound.stocked else 0

    # What happens

    def act(self, action: str) -> World:
        """The world after it; this one stays as it is."""
        world = self.fork()
        word, *rest = action.split()
        getattr(world, f"_{word}")(*rest)
        if world.discarded:
            world._tidy()
        return world

    def _pull(self, slot: str, name: str) -> None:
        self.left["starts"] -= 1
        # Simultaneous pulls share one check: current since that check began is current enough.
        current = self.trail | ({self.tag} if self.tag else frozenset())
        client = Client(name, current)
        if self.bound.mirrors:
            client = client._replace(itself=health.is_asked(self, client))
        self.clients[int(slot)] = client
        self._feed(ev.PullRequested(int(slot), PULLS[name]))
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
        self._feed(ev.BodySent(number, out.span.stop))

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
            self._let_go(digest)
            for other, reader in self.clients.items():
                if reader.out is not None and reader.out.source == client.out.source:
                    self.clients[other] = reader._replace(old=True)
        self._feed(ev.SourceLost(number, digest, answered))

    def _close(self, slot: str) -> None:
        self.left["closes"] -= 1
        del self.clients[int(slot)]
        self._feed(ev.ClientClosed(int(slot)))

    def _job(self, digest: str, result: str) -> None:
        index, job = next((i, j) for i, j in enumerate(self.jobs) if j.digest == digest)
        self.jobs = self.jobs[:index] + self.jobs[index + 1 :]
        commit = isinstance(job, fx.CommitBlob)
        if result == "fail":
            self.left["faults"] -= 1
            self._let_go(job.digest)
            operation = ev.StoreOperation.COMMIT if commit else ev.StoreOperation.DELETE
            self._feed(ev.StoreFailed(operation, job.digest, ev.StoreFault.NO_SPACE))
        elif isinstance(job, fx.CommitBlob):
            held = self.spools[job.spool.number]
            if not all(held) or len(held) != SIZES[job.digest]:
                raise BrokenPromise(f"published what is wrong: {job}")
            self.disk |= {job.digest}
            self._feed(ev.BlobCommitted(job.digest))
        else:
            self.disk -= {job.digest}
            self._feed(ev.BlobDeleted(job.digest, SIZES[job.digest]))

    def _token(self, number: str, result: str) -> None:
        request = int(number)
        wanted = self.tokens.pop(request)
        if result == "ok":
            self._feed(ev.TokenGranted(request, token(wanted), 60.0))
            return
        self.left["faults"] -= 1
        status = {"refused": 401, "lost": 404, "down": None}[result]
        cause = ev.Cause.UNREACHABLE if status is None else None
        self._feed(ev.TokenRefused(request, status, cause))

    def _wake(self) -> None:
        at = self.cache.next_deadline()
        assert at is not None
        self.left["wakes"] -= 1
        self.now = max(self.now, at)
        self._feed(ev.Woke())

    def _pause(self) -> None:
        self.left["pauses"] -= 1
        self.now += self.bound.pause

    def _order(self, wish: str) -> None:
        self.left["wishes"] -= 1
        order = ORDERS[wish]
        promises.ordered(self, order)
        self._feed(order)

    def _move(self) -> None:
        self._becomes(D2)

    def _vanish(self) -> None:
        self._becomes(None)

    def _becomes(self, tag: Digest | None) -> None:
        self.left["moves"] -= 1
        new = frozenset({tag} if tag else ())
        for number, client in self.clients.items():
            self.clients[number] = client._replace(current=client.current | new)
        if self._checking():
            self.trail |= {self.tag} if self.tag else frozenset()
        self.tag = tag

    def _drain(self) -> None:
        self.left["drains"] -= 1
        self.held = None
        self.draining = True
        self._feed(ev.Draining())

    def _switch(self) -> None:
        """The operator sets `offline`, while upstream may be being asked already."""
        self.left["switches"] -= 1
        self.offline = True
        self.cache.configure(self._config())

    def _kill(self, written: str) -> None:
        """All that was in memory is lost, and the end of the journal."""
        self.left["kills"] -= 1
        inventory = restarted(self.records[: int(written)], self.disk, self.now)
        if not any(getattr(r, "reference", None) == TAG for r in inventory.records):
            self.held = None
        elif self.held is not None:
            there = [r for r in inventory.records if getattr(r, "digest", None) == self.held]
            self.held = self.held if any(getattr(r, "document", None) for r in there) else None
        self.records = tuple(inventory.records)
        told = [r for r in self.records if isinstance(r, TagStored) and r.reference == TAG]
        self.said = told[0].descriptor.content.digest if told else None
        self.pins = frozenset(r.what for r in self.records if isinstance(r, PinStored))
        self.agreed, self.ill, self.limited_until = {}, {}, 0.0
        # That it was forgotten may be lost.
        self.vouched |= {r.repository for r in self.records if isinstance(r, GrantStored)}
        for container in (self.clients, self.fetches, self.spools, self.tokens):
            container.clear()
        self.jobs, self.discarded, self.trail = (), frozenset(), frozenset()
        self.draining = False
        self.cache = Cache(self._config(), inventory)
        self.cache.check()

    def _fetch(self, number: str, what: str) -> None:
        fetch = int(number)
        sim = self.fetches[fetch]
        if what == "more":
            self._body(fetch, sim, right=True)
        elif what == "end":
            self._end(fetch, sim)
        elif what == "head":
            self._head(fetch, sim, upstream.honest(sim.request, self.bound, self.tag))
        else:
            self.left["faults"] -= 1
            if what == "corrupt":
                self._body(fetch, sim, right=False)
            elif what in upstream.CAUSES:
                del self.fetches[fetch]
                health.failed(self, sim.request, what, before=sim.at is None)
                cause, held = upstream.CAUSES[what], self._holds(sim, what)
                self._feed(ev.FetchFailed(fetch, cause, held), sim.request)
            else:
                self._head(fetch, sim, upstream.dishonest(sim.request, what))

    def _head(self, fetch: int, sim: Sim, head: ev.UpstreamHead) -> None:
        request = sim.request
        digest = upstream.digest_of(request, self.tag)
        self._hear(request, head, digest)
        if head.status in (200, 206) and request.method is Method.GET and digest is not None:
            at, stop = head.start, SIZES[digest]
            if digest == L and sim.spool is not None:
                # Its pages follow each other in the spool.
                at = len(self.spools[sim.spool.number])
                following = head.next_page or (None if at else second_page(request.mirror))
                head = evolve(head, length=1, size=1, next_page=following)
                stop = at + 1
            self.fetches[fetch] = sim._replace(at=at, digest=digest, stop=stop)
        else:
            # No body but an end.
            self.fetches[fetch] = sim._replace(at=SIZES[B], digest=B, stop=SIZES[B])
        self._feed(ev.HeadReceived(fetch, head), request)

    def _hear(
        self, request: fx.UpstreamRequest, head: ev.UpstreamHead, digest: Digest | None
    ) -> None:
        """What the cache is told, as far as promises are about it."""
        repository, resource = request.repository, request.resource
        health.told(self, request, head)
        lost_page = request.location == second_page(request.mirror)
        if head.status == 404 and request.mirror is None and not lost_page:
            self.said404 |= {(repository, resource)}
            if resource == TAG:
                self.held, self.said, self.words = None, None, {}
        if head.status == 200 and digest is not None:
            self.vouched |= {repository}
            if repository.authority is not None:
                if repository in self.agreed:
                    said = "a client's own authority is asked about again"
                    self.sightings.happened.add(said)
                self.agreed = {**self.agreed, repository: self.now}
                for number, client in self.clients.items():
                    if wish(client).repository == repository:
                        self.clients[number] = client._replace(agreed=True)
        says = digest if head.status in (200, 304) else None
        if resource == TAG and says is not None:
            self.said = says
            if self.timed:
                self.words = {**self.words, says: self.now}

    def _body(self, fetch: int, sim: Sim, *, right: bool) -> None:
        assert sim.at is not None
        self.fetches[fetch] = sim._replace(at=sim.at + 1)
        if sim.spool is None:
            return
        held = self.spools[sim.spool.number]
        if len(held) < sim.at:
            raise BrokenPromise(f"a gap in {sim.spool}")
        if len(held) == sim.at:
            held = (*held, right)
            self.spools[sim.spool.number] = held
        self._feed(ev.BodySpooled(fetch, len(held)), sim.request)

    def _end(self, fetch: int, sim: Sim) -> None:
        del self.fetches[fetch]
        if sim.spool is None or sim.digest is None:
            self._feed(ev.FetchEnded(fetch), sim.request)
            return
        held = self.spools[sim.spool.number]
        digest = sim.digest if all(held) and len(held) == SIZES[sim.digest] else WRONG
        if sim.spool.after is not None and sim.spool.after.digest == WRONG:
            digest = WRONG
        document = DOCUMENTS.get(digest)
        if sim.digest == L and all(held):
            document = DOCUMENTS[L]
        self._feed(ev.FetchEnded(fetch, digest, document), sim.request)

    def _holds(self, sim: Sim, what: str) -> ev.Held | None:
        if what not in ("full", "fault") or sim.spool is None:
            return None
        bits = self.spools[sim.spool.number]
        return ev.Held(len(bits), RIGHT if all(bits) else WRONG)

    # What the core does about it

    def _feed(self, event: ev.Event, about: fx.UpstreamRequest | None = None) -> None:
        """`about`: what it is an answer to."""
        self.sightings.events.add(type(event))
        self.event = event
        for effect in self.cache.handle(event, self.now):
            self.sightings.effects.add(type(effect))
            if isinstance(effect, fx.Fetch):
                promises.fetch(self, effect)
                health.asks(self, effect.request, event, about)
            self._take(effect)
        if self.trail and not self._checking():
            self.trail = frozenset()

    def _take(self, effect: fx.Effect) -> None:
        match effect:
            case fx.Respond(number, head):
                self._respond(number, head)
            case fx.SendBody():
                client = self._client(effect.exchange)
                promises.send(self, client, effect)
                self.clients[effect.exchange] = client._replace(out=effect)
            case fx.Finish(number):
                promises.finish(self._client(number), number)
                del self.clients[number]
            case fx.Abort(number):
                if self._client(number).head is None:
                    raise BrokenPromise(f"aborted without an answer: {effect}")
                del self.clients[number]
            case fx.Fetch(number, request, spool):
                if number <= self.last_fetch and not self.bound.kills:
                    raise BrokenPromise(f"a number given twice: {effect}")
                self.last_fetch = number
                if spool is not None:
                    self.spools.setdefault(spool.number, ())
                self.fetches[number] = Sim(request, spool)
            case fx.CancelFetch(number):
                if self.fetches.pop(number, None) is None:
                    raise BrokenPromise(f"cancelled what is not there: {effect}")
            case fx.AcquireToken(number, _, wanted, mirror):
                if wanted.realm != challenge(A, mirror).realm:
                    raise BrokenPromise(f"the token of one asked of another: {effect}")
                if mirror is None and self.bound.mirrors:
                    health.asked_itself(self, None)
                self.tokens[number] = wanted
            case fx.CommitBlob(spool):
                if spool.number in self.discarded or spool.number not in self.spools:
                    raise BrokenPromise(f"committed after it was discarded: {effect}")
                self.jobs = (*self.jobs, effect)
            case fx.DeleteBlob(digest):
                # Who reads an open file that is no longer the one on disk goes on with it.
                reading = [c.out.source for c in self.clients.values() if c.out and not c.old]
                if fx.Stored(digest) in reading:
                    raise BrokenPromise(f"deleted while read: {effect}")
                promises.deletes(self, digest)
                self._let_go(digest)
                self.jobs = (*self.jobs, effect)
            case fx.DiscardSpool(spool):
                self.discarded |= {spool.number}
            case fx.Journal(record):
                if self.left["kills"]:
                    self.records = (*self.records, record)
            case fx.Note():
                pass

    def _respond(self, number: int, head: fx.AnswerHead) -> None:
        client = self._client(number)
        promise = promises.respond(self, client, head, number)
        self.sightings.decided(head)
        self.clients[number] = client._replace(head=promise)
        target = PULLS[client.pull].target
        if target == TAG and promise.body and head.descriptor and not head.decision.stale_if_error:
            digest = head.descriptor.content.digest
            coming = any(isinstance(j, fx.CommitBlob) and j.digest == digest for j in self.jobs)
            there = coming or digest in self.disk
            self.held = digest if there and digest == self.said else None

    # Properties

    def check(self) -> None:
        """What holds in every state: the core's invariants, and the two ids that were the last
        to end mean nothing to it any more."""
        self.cache.check()
        for number in (self.last_fetch, self.last_fetch - 1):
            if number > 0 and number not in self.fetches:
                late = self.cache.handle(ev.FetchFailed(number, ev.Cause.CUT), self.now)
                if late:
                    raise BrokenPromise(f"a late event was not ignored: {late}")
        self._check_prompt()
        self.check_quiet()

    def _check_prompt(self) -> None:
        """As soon as upstream's head is known, every client is answered that waits for the same;
        but for those sent ways of their own by a failing store or by what the operator wants,
        and for other repositories."""
        if {"full", "fault"} & {*self.bound.kinds} or "cousin" in self.bound.pulls:
            return
        if self.bound.wishes:
            return
        for sim in self.fetches.values():
            if sim.at is None or not upstream.is_file(sim.spool) or self.bound.chunked:
                continue
            for number, client in self.clients.items():
                pull = PULLS[client.pull]
                plain = pull.method is Method.GET and not pull.if_none_match
                wants = plain and pull.target == ByDigest(A, BLOB)
                if wants and client.head is None and sim.request.resource == BLOB:
                    raise BrokenPromise(f"{number} waits although the head is known: {client}")

    @property
    def quiet(self) -> bool:
        """Nothing is under way that could bring news."""
        busy = self.fetches or self.jobs or self.tokens
        return not busy and not any(c.out for c in self.clients.values())

    def check_quiet(self) -> None:
        """With nothing under way and no deadline left, nobody waits and nothing is left over."""
        if not self.quiet:
            return
        for number, client in self.clients.items():
            if promises.is_there(self, client):
                raise BrokenPromise(f"{number} waits although it is stored: {client}")
        if self.cache.next_deadline() is not None:
            return
        if self.clients:
            raise BrokenPromise(f"waits for ever: {self.clients}")
        if self.spools.keys() - self.discarded:
            raise BrokenPromise(f"spools that nobody discards: {self.spools}")

    def settle(self, known: set[int]) -> list[str]:
        """Let everything go well, and time pass, until all is at rest, or as in a state that is
        `known` to come to rest; those on the way are known from then on. What was done."""
        world, done, marks = self.fork(), list[str](), list[int]()
        for _ in range(FEW_STEPS):
            mark = hash(key(world, budgets=False))
            action = None if mark in known else world.benign()
            if action is None:
                world.check_quiet()
                known.update(marks)
                return done
            marks.append(mark)
            done.append(action)
            world = world.act(action)
        raise BrokenPromise(f"does not come to rest: {self.clients}")

    # Helpers

    def _config(self) -> Config:
        bound = self.bound
        limits = Limits(answer=28.0, attempts=2, redirects=1, authorities=bound.authorities)
        up = Upstream(
            tag_ttl=bound.tag_ttl,
            stale_if_error=bound.stale_if_error,
            basic=bound.auth == "basic",
            mirrors=bound.mirrors,
            immutable=(TAG.tag,) if bound.immutable else (),
        )
        return Config(
            {"up": up},
            max_size=bound.max_size,
            ttl=bound.ttl,
            offline=self.offline,
            limits=limits,
        )

    def _checking(self) -> bool:
        asked = any(isinstance(s.request.resource, TagRef) for s in self.fetches.values())
        return asked or bool(self.tokens)

    def _client(self, number: int) -> Client:
        if number not in self.clients:
            raise BrokenPromise(f"an effect for the finished exchange {number}")
        return self.clients[number]

    def _let_go(self, digest: Digest) -> None:
        if self.held == digest:
            self.held = None
        if self.said == digest and self.bound.wishes:
            # The tag goes with it, and what it was is not pinned by it any more.
            self.said = None

    def _tidy(self) -> None:
        """Forget the spools that are discarded and that nobody works with any more."""
        used = {s.spool.number for s in self.fetches.values() if s.spool is not None}
        outs = [c.out.source for c in self.clients.values() if c.out is not None]
        used |= {source.number for source in outs if isinstance(source, fx.Spool)}
        used |= {job.spool.number for job in self.jobs if isinstance(job, fx.CommitBlob)}
        for number in self.discarded - used:
            self.spools.pop(number, None)
        self.discarded &= used
