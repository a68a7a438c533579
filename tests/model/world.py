"""The environment of the core, as hostile as the contract of events allows.

One repository `a/img` has a tag that names manifest D1 (and, once moved, D2); both name blob
B. Repository `a/other` has nothing of it. The World owns clients, upstream, token service,
store and clock; `actions()` lists everything that could happen next and `act()` lets it happen,
checking on the way every promise made by an effect. Faults are budgets: the core must be right
with each of them used at any moment.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from attrs import evolve, field, frozen

from distcache.core import effects as fx
from distcache.core import events as ev
from distcache.core.cache import Cache
from distcache.core.config import Config, Limits, Upstream
from distcache.core.inventory import Inventory
from distcache.core.oci import Content, Descriptor, Digest, Document, Kind, Repository, TagRef
from distcache.core.pull import ByDigest, Method, Pull, RangeSpec, Span

A, OTHER = Repository("up", "a/img"), Repository("up", "a/other")
TAG = TagRef(A, "latest")
D1, D2, B = Digest("sha256:d1"), Digest("sha256:d2"), Digest("sha256:b")
SIZE = 2
BLOB = Content(Kind.BLOB, B)
MANIFEST = {d: Content(Kind.MANIFEST, d) for d in (D1, D2)}
TYPE = "application/vnd.oci.image.manifest.v1+json"
DOCUMENT = Document(TYPE, (Descriptor(BLOB, SIZE, "layer"),))
CHALLENGE = ev.Challenge(True, "https://auth/token", "up", "repository:a/img:pull")
TOKEN = ev.Secret("token")

PULLS = {
    "tag": Pull(Method.GET, TAG),
    "head-tag": Pull(Method.HEAD, TAG),
    "blob": Pull(Method.GET, ByDigest(A, BLOB)),
    "head-blob": Pull(Method.HEAD, ByDigest(A, BLOB)),
    "range": Pull(Method.GET, ByDigest(A, BLOB), (RangeSpec(1, None),)),
    "stranger": Pull(Method.GET, ByDigest(OTHER, BLOB)),
    "manifest": Pull(Method.GET, ByDigest(A, MANIFEST[D1])),
}


class BrokenPromise(AssertionError):
    """The core did something that no environment excuses."""


@frozen
class Budget:
    """How much of each may still happen."""

    pulls: tuple[str, ...] = ("tag", "blob")
    clients: int = 2
    starts: int = 2
    faults: int = 1
    closes: int = 0
    wakes: int = 1
    moves: int = 0
    restarts: int = 0
    drains: int = 0
    auth: bool = False
    chunked: bool = False
    max_size: int | None = None
    tag_ttl: float = 0.0


@frozen
class Sim:
    """One fetch under way: nothing said yet, or the body from `at`."""

    request: fx.UpstreamRequest
    spool: fx.Spool | None
    at: int | None = None


@frozen
class Client:
    """What one exchange was promised and got. `bad`: it was sent a byte that is wrong."""

    pull: Pull
    current: frozenset[Digest]
    head: fx.AnswerHead | None = None
    out: fx.SendBody | None = None
    pos: int | None = None
    bad: bool = False


@frozen
class World:
    """Immutable but for the cache, which `act` forks: every state can be gone on from."""

    cache: Cache
    budget: Budget
    now: float = 1000.0
    tag: Digest | None = D1
    clients: dict[int, Client] = field(factory=dict)
    fetches: dict[int, Sim] = field(factory=dict)
    spools: dict[int, tuple[bool, ...]] = field(factory=dict)
    tokens: dict[int, ev.Challenge] = field(factory=dict)
    jobs: tuple[fx.CommitBlob | fx.DeleteBlob, ...] = ()
    disk: frozenset[Digest] = frozenset()
    said404: frozenset[object] = frozenset()
    discarded: frozenset[int] = frozenset()
    held: Digest | None = None
    """What the tag was answered with, as long as nothing has happened that may lose it."""
    trail: frozenset[Digest] = frozenset()
    """What the tag was since the oldest check under way began."""
    seen: frozenset[str] = frozenset()

    # What can happen

    def actions(self) -> list[str]:
        return list(self._actions())

    def _actions(self) -> Iterator[str]:
        budget, faulty = self.budget, self.budget.faults > 0
        free = next((n for n in range(budget.clients) if n not in self.clients), None)
        if budget.starts and free is not None:
            yield from (f"pull {free} {name}" for name in budget.pulls)
        for number, client in sorted(self.clients.items()):
            if client.out is not None:
                yield f"sent {number}"
                if faulty and isinstance(client.out.source, fx.Stored):
                    yield f"lost {number}"
            if budget.closes:
                yield f"close {number}"
        for number in sorted(self.fetches):
            yield from self._fetch_actions(number, faulty)
        done: set[Digest] = set()
        for index, job in enumerate(self.jobs):
            if job.digest not in done:
                yield f"job {index} ok"
                if faulty:
                    yield f"job {index} fail"
            done.add(job.digest)
        for number in sorted(self.tokens):
            yield f"token {number} ok"
            if faulty:
                yield f"token {number} refused"
                yield f"token {number} down"
        if budget.wakes and self.cache.next_deadline() is not None:
            yield "wake"
        if budget.moves:
            yield "move"
            yield "vanish"
        if budget.drains:
            yield "drain"

    def _fetch_actions(self, number: int, faulty: bool) -> Iterator[str]:
        sim = self.fetches[number]
        if sim.at is None:
            yield f"fetch {number} head"
            if faulty:
                kinds = (
                    "down",
                    "cut",
                    "limited",
                    "broken",
                    "bare",
                    "redirect",
                    "wrong-206",
                    "slow",
                )
                yield from (f"fetch {number} {kind}" for kind in kinds)
                if sim.spool is not None and sim.spool.medium is fx.Medium.FILE:
                    yield f"fetch {number} full"
        else:
            spool = sim.spool
            yield f"fetch {number} {'more' if sim.at < SIZE else 'end'}"
            if faulty and spool is not None:
                yield f"fetch {number} cut"
                if sim.at < SIZE:
                    yield f"fetch {number} corrupt"
                if spool.medium is fx.Medium.FILE:
                    yield f"fetch {number} full"

    # What happens

    def act(self, action: str) -> World:
        world = evolve(self, cache=self.cache.fork())
        word, *rest = action.split()
        after = getattr(world, f"_{word}")(*rest)
        assert isinstance(after, World)
        return after

    def _pull(self, slot: str, name: str) -> World:
        number, pull = int(slot), PULLS[name]
        current = frozenset({self.tag} if self.tag else ())
        # Simultaneous pulls share one check: current since that check began is current enough.
        current |= self.trail
        clients = {**self.clients, number: Client(pull, current)}
        world = self._spend(starts=1)
        return evolve(world, clients=clients)._feed(ev.PullRequested(number, pull))

    def _sent(self, slot: str) -> World:
        number = int(slot)
        client = self.clients[number]
        assert client.out is not None
        span = client.out.span
        bad = client.bad or self._bad(client.out.source, span)
        after = evolve(client, out=None, pos=span.stop, bad=bad)
        world = evolve(self, clients={**self.clients, number: after})
        return world._feed(ev.BodySent(number, span.stop))

    def _lost(self, slot: str) -> World:
        number = int(slot)
        client = self.clients[number]
        assert client.out is not None
        assert isinstance(client.out.source, fx.Stored)
        digest = client.out.source.digest
        head = client.head
        assert head is not None
        answered = client.pos is not None
        reset = evolve(client, out=None, head=head if answered else None)
        world = evolve(
            self._spend(faults=1),
            clients={**self.clients, number: reset},
            disk=self.disk - {digest},
        )._let_go(digest)
        return world._feed(ev.SourceLost(number, digest, answered))

    def _close(self, slot: str) -> World:
        number = int(slot)
        clients = {n: c for n, c in self.clients.items() if n != number}
        return evolve(self._spend(closes=1), clients=clients)._feed(ev.ClientClosed(number))

    def _job(self, index: str, result: str) -> World:
        job = self.jobs[int(index)]
        jobs = tuple(j for i, j in enumerate(self.jobs) if i != int(index))
        world = evolve(self, jobs=jobs)
        commit = isinstance(job, fx.CommitBlob)
        if result == "fail":
            operation = ev.StoreOperation.COMMIT if commit else ev.StoreOperation.DELETE
            failed = ev.StoreFailed(operation, job.digest, ev.StoreFault.NO_SPACE)
            return world._spend(faults=1)._let_go(job.digest)._feed(failed)
        if isinstance(job, fx.CommitBlob):
            if not all(self.spools[job.spool.number]) or self._length(job.spool) != SIZE:
                raise BrokenPromise(f"published what is wrong: {job}")
            world = evolve(world, disk=self.disk | {job.digest})
            return world._feed(ev.BlobCommitted(job.digest))
        world = evolve(world, disk=self.disk - {job.digest})
        return world._feed(ev.BlobDeleted(job.digest, SIZE))

    def _token(self, number: str, result: str) -> World:
        request = int(number)
        rest = {n: c for n, c in self.tokens.items() if n != request}
        world = evolve(self, tokens=rest)
        if result == "ok":
            return world._feed(ev.TokenGranted(request, TOKEN, 60.0))
        status, cause = (401, None) if result == "refused" else (None, ev.Cause.UNREACHABLE)
        return world._spend(faults=1)._feed(ev.TokenRefused(request, status, cause))

    def _wake(self) -> World:
        at = self.cache.next_deadline()
        assert at is not None
        return evolve(self._spend(wakes=1), now=max(self.now, at))._feed(ev.Woke())

    def _move(self) -> World:
        return self._spend(moves=1)._current(D2)

    def _vanish(self) -> World:
        return self._spend(moves=1)._current(None)

    def _current(self, tag: Digest | None) -> World:
        new = frozenset({tag} if tag else ())
        clients = {n: evolve(c, current=c.current | new) for n, c in self.clients.items()}
        old = frozenset({self.tag} if self.tag else ())
        checking = any(s.request.resource == TAG for s in self.fetches.values()) or self.tokens
        trail = self.trail | old if checking else frozenset()
        return evolve(self, tag=tag, clients=clients, trail=trail)

    def _drain(self) -> World:
        return evolve(self._spend(drains=1), held=None)._feed(ev.Draining())

    def _fetch(self, number: str, what: str) -> World:
        fetch = int(number)
        sim = self.fetches[fetch]
        causes = {"down": ev.Cause.UNREACHABLE, "cut": ev.Cause.CUT, "slow": ev.Cause.TIMEOUT}
        if what in causes or what == "full":
            cause = causes.get(what, ev.Cause.NO_SPACE)
            return self._spend(faults=1)._gone(fetch)._feed(ev.FetchFailed(fetch, cause))
        if what in ("more", "corrupt"):
            return self._body(fetch, sim, right=what == "more")
        if what == "end":
            return self._end(fetch, sim)
        honest = what == "head"
        head = self._honest(sim.request) if honest else self._dishonest(sim.request, what)
        world = self if honest else self._spend(faults=1)
        if head.status == 404:
            world = evolve(world, said404=world.said404 | {sim.request.resource})
        if sim.request.resource == TAG and head.status == 404:
            world = evolve(world, held=None)
        with_body = head.status in (200, 206) and sim.request.method is Method.GET
        stage = evolve(sim, at=head.start if with_body else SIZE)
        world = evolve(world, fetches={**world.fetches, fetch: stage})
        return world._feed(ev.HeadReceived(fetch, head))

    def _honest(self, request: fx.UpstreamRequest) -> ev.UpstreamHead:
        if self.budget.auth and request.authorization != TOKEN:
            return ev.UpstreamHead(401, challenges=(CHALLENGE,))
        digest = self._digest(request)
        if digest is None:
            return ev.UpstreamHead(404)
        length = None if self.budget.chunked and digest == B else SIZE
        if request.offset and not self.budget.chunked:
            start = request.offset
            return ev.UpstreamHead(206, SIZE - start, start, SIZE, digest, TYPE)
        return ev.UpstreamHead(200, length, size=length, digest=digest, media_type=TYPE)

    def _dishonest(self, request: fx.UpstreamRequest, what: str) -> ev.UpstreamHead:
        match what:
            case "limited":
                return ev.UpstreamHead(429, retry_after=1)
            case "broken":
                return ev.UpstreamHead(503)
            case "redirect":
                abroad = ev.Location("https://cdn/x", same_origin=False)
                return ev.UpstreamHead(307, location=abroad)
            case "wrong-206":
                return ev.UpstreamHead(206, 1, 1 - min(request.offset, 1), SIZE, None, TYPE)
        digest = self._digest(request)
        if digest is None or request.method is Method.GET:
            return ev.UpstreamHead(500)
        return ev.UpstreamHead(200)  # bare: no digest, no length

    def _digest(self, request: fx.UpstreamRequest) -> Digest | None:
        if request.repository != A:
            return None
        if isinstance(request.resource, Content):
            return request.resource.digest
        return self.tag

    def _body(self, fetch: int, sim: Sim, *, right: bool) -> World:
        assert sim.at is not None
        world = self if right else self._spend(faults=1)
        fetches = {**world.fetches, fetch: evolve(sim, at=sim.at + 1)}
        if sim.spool is None:
            return evolve(world, fetches=fetches)
        held = world.spools[sim.spool.number]
        if len(held) < sim.at:
            raise BrokenPromise(f"a gap in {sim.spool}")
        if len(held) == sim.at:
            held = (*held, right)
        spools = {**world.spools, sim.spool.number: held}
        world = evolve(world, fetches=fetches, spools=spools)
        return world._feed(ev.BodySpooled(fetch, len(held)))

    def _end(self, fetch: int, sim: Sim) -> World:
        world = self._gone(fetch)
        if sim.spool is None:
            return world._feed(ev.FetchEnded(fetch))
        held = world.spools[sim.spool.number]
        whole = len(held) == SIZE and all(held)
        digest = self._digest(sim.request) if whole else Digest("sha256:wrong")
        named = digest in MANIFEST
        document = DOCUMENT if whole and named else None
        if digest is None:
            digest, document = D1, DOCUMENT  # the tag vanished while its manifest came in
        return world._feed(ev.FetchEnded(fetch, digest, document))

    # What the core does about it

    def _feed(self, event: ev.Event) -> World:
        effects = self.cache.handle(event, self.now)
        self.cache.check()
        world = self
        for effect in effects:
            world = world._take(effect)
        if world.trail and not any(s.request.resource == TAG for s in world.fetches.values()):
            world = evolve(world, trail=frozenset())
        names = {type(e).__name__ for e in effects} - world.seen
        return evolve(world, seen=world.seen | names) if names else world

    def _take(self, effect: fx.Effect) -> World:
        match effect:
            case fx.Respond():
                return self._respond(effect)
            case fx.SendBody():
                return self._send(effect)
            case fx.Finish():
                return self._finish(effect)
            case fx.Abort():
                client = self._client(effect.exchange)
                if client.head is None:
                    raise BrokenPromise(f"aborted without an answer: {effect}")
                return self._without(effect.exchange)
            case fx.Fetch():
                return self._start(effect)
            case fx.CancelFetch():
                if effect.fetch not in self.fetches:
                    raise BrokenPromise(f"cancelled what is not there: {effect}")
                return self._gone(effect.fetch)
            case fx.AcquireToken():
                return evolve(self, tokens={**self.tokens, effect.request: effect.challenge})
            case fx.CommitBlob():
                if effect.spool.number in self.discarded:
                    raise BrokenPromise(f"committed after it was discarded: {effect}")
                return evolve(self, jobs=(*self.jobs, effect))
            case fx.DeleteBlob():
                reading = [c for c in self.clients.values() if c.out is not None]
                if any(c.out and c.out.source == fx.Stored(effect.digest) for c in reading):
                    raise BrokenPromise(f"deleted while read: {effect}")
                return evolve(self._let_go(effect.digest), jobs=(*self.jobs, effect))
            case fx.DiscardSpool():
                return evolve(self, discarded=self.discarded | {effect.spool.number})
        return self

    def _respond(self, effect: fx.Respond) -> World:
        client = self._client(effect.exchange)
        head, pull = effect.head, client.pull
        if client.head is not None:
            raise BrokenPromise(f"answered twice: {effect}")
        target = pull.target
        resource = target.content if isinstance(target, ByDigest) else target
        if head.status == 404 and resource not in self.said404:
            raise BrokenPromise(f"404 that upstream never said: {effect}")
        if head.status in (200, 206):
            if isinstance(target, ByDigest) and target.repository != A:
                raise BrokenPromise(f"served without a grant: {effect}")
            fresh = self.budget.tag_ttl or head.decision.stale_if_error
            named = head.descriptor.content.digest if head.descriptor else None
            if target == TAG and not fresh and named not in client.current:
                raise BrokenPromise(f"an old answer, unmarked: {effect}")
        if target == TAG and head.status >= 429 and self.held is not None:
            raise BrokenPromise(f"an error although it is held: {effect}")
        if bool(pull.ranges) and head.status == 200:
            raise BrokenPromise(f"200 for a range: {effect}")
        world = self._with(effect.exchange, evolve(client, head=head))
        body = head.status == 200 and pull.method is Method.GET
        if target == TAG and body and head.descriptor and not head.decision.stale_if_error:
            digest = head.descriptor.content.digest
            coming = any(isinstance(j, fx.CommitBlob) and j.digest == digest for j in self.jobs)
            return evolve(world, held=digest if coming or digest in self.disk else None)
        return world

    def _send(self, effect: fx.SendBody) -> World:
        client = self._client(effect.exchange)
        head = client.head
        if head is None or client.out is not None:
            raise BrokenPromise(f"not its turn: {effect}")
        first = head.span.start if head.span else 0
        if effect.span.start != (first if client.pos is None else client.pos):
            raise BrokenPromise(f"a gap or an overlap: {effect}")
        if effect.span.stop <= effect.span.start:
            raise BrokenPromise(f"nothing to send: {effect}")
        if isinstance(effect.source, fx.Stored):
            if effect.source.digest not in self.disk:
                raise BrokenPromise(f"not on disk: {effect}")
        elif effect.source.number in self.discarded:
            raise BrokenPromise(f"sent after it was discarded: {effect}")
        elif self._length(effect.source) < effect.span.stop:
            raise BrokenPromise(f"not readable yet: {effect}")
        return self._with(effect.exchange, evolve(client, out=effect))

    def _finish(self, effect: fx.Finish) -> World:
        client = self._client(effect.exchange)
        head = client.head
        if head is None or client.out is not None:
            raise BrokenPromise(f"finished too early: {effect}")
        body = client.pull.method is Method.GET and head.status in (200, 206)
        if body and head.repositories is None:
            first = head.span.start if head.span else 0
            sent = (client.pos or first) - first
            if head.length is not None and sent != head.length:
                raise BrokenPromise(f"{sent} bytes of {head.length}: {effect}")
            if sent == SIZE and client.bad:
                raise BrokenPromise(f"a complete answer with wrong bytes: {effect}")
            if head.length is None and sent != SIZE:
                raise BrokenPromise(f"ended early without a length: {effect}")
        return self._without(effect.exchange)

    def _start(self, effect: fx.Fetch) -> World:
        request = effect.request
        if request.location is not None and request.authorization is not None:
            raise BrokenPromise(f"credentials abroad: {effect}")
        if effect.spool is not None and effect.spool.medium is fx.Medium.FILE:
            shared = [
                s for s in self.fetches.values() if s.spool and s.spool.medium is fx.Medium.FILE
            ]
            if any(s.spool and s.spool.digest == effect.spool.digest for s in shared):
                raise BrokenPromise(f"fetched twice at a time: {effect}")
        spools = self.spools
        if effect.spool is not None and effect.spool.number not in spools:
            spools = {**spools, effect.spool.number: ()}
        fetches = {**self.fetches, effect.fetch: Sim(request, effect.spool)}
        return evolve(self, fetches=fetches, spools=spools)

    # Helpers

    def _client(self, number: int) -> Client:
        if number not in self.clients:
            raise BrokenPromise(f"an effect for the finished exchange {number}")
        return self.clients[number]

    def _with(self, number: int, client: Client) -> World:
        return evolve(self, clients={**self.clients, number: client})

    def _without(self, number: int) -> World:
        return evolve(self, clients={n: c for n, c in self.clients.items() if n != number})

    def _gone(self, fetch: int) -> World:
        return evolve(self, fetches={n: s for n, s in self.fetches.items() if n != fetch})

    def _let_go(self, digest: Digest) -> World:
        return evolve(self, held=None) if self.held == digest else self

    def _length(self, spool: fx.Spool) -> int:
        return len(self.spools[spool.number])

    def _bad(self, source: fx.Source, span: Span) -> bool:
        if isinstance(source, fx.Stored):
            return False
        return not all(self.spools[source.number][span.start : span.stop])

    def _spend(self, **spent: int) -> World:
        left = {name: getattr(self.budget, name) - n for name, n in spent.items()}
        return evolve(self, budget=evolve(self.budget, **left))

    @property
    def quiet(self) -> bool:
        """Nothing is under way that could bring news."""
        busy = self.fetches or self.jobs or self.tokens
        return not busy and not any(c.out for c in self.clients.values())

    def check_quiet(self) -> None:
        """With nothing under way and no deadline left, nobody may be waiting."""
        if self.quiet and self.cache.next_deadline() is None and self.clients:
            raise BrokenPromise(f"waits for ever: {self.clients}")

    def key(self) -> Hashable:
        """Equal for worlds that go on alike; `seen` is the explorer's affair."""
        live = {s.spool.number for s in self.fetches.values() if s.spool}
        outs = [c.out.source for c in self.clients.values() if c.out]
        live |= {source.number for source in outs if isinstance(source, fx.Spool)}
        live |= {j.spool.number for j in self.jobs if isinstance(j, fx.CommitBlob)}
        order = {n: i for i, n in enumerate(sorted(live))}
        relabel = {n: i for i, n in enumerate(sorted(self.fetches))}
        return (
            self.cache.fingerprint(self.now),
            self.budget,
            self.tag,
            self.held,
            tuple(sorted(self.trail)),
            tuple(order[n] for n in sorted(self.discarded & live)),
            tuple(
                sorted(
                    (n, repr(c.pull), c.head, _out(c, order), c.pos, c.bad, repr(sorted(c.current)))
                    for n, c in self.clients.items()
                )
            ),
            tuple(
                (relabel[n], repr(s.request), s.spool and order[s.spool.number], s.at)
                for n, s in sorted(self.fetches.items())
            ),
            tuple((order[n], bits) for n, bits in sorted(self.spools.items()) if n in order),
            tuple(sorted(map(repr, self.tokens.values()))),
            tuple((type(j).__name__, j.digest) for j in self.jobs),
            self.disk,
            self.said404,
        )


def _out(client: Client, order: dict[int, int]) -> Hashable:
    if client.out is None:
        return None
    source = client.out.source
    label = source.digest if isinstance(source, fx.Stored) else order[source.number]
    return (label, client.out.span)


def new_world(budget: Budget) -> World:
    limits = Limits(answer=28.0, attempts=2, redirects=1)
    upstream = Upstream(tag_ttl=budget.tag_ttl)
    config = Config({"up": upstream}, max_size=budget.max_size, ttl=None, limits=limits)
    return World(Cache(config, Inventory()), budget)
