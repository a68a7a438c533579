"""Stories told to the core: clients ask, upstream answers, the store stores.

A `Scenario` is the shell around one `Cache`, as the contract of events and effects wants it,
with every turn taken by the test. It checks each effect as it comes (a body without gap or
overlap from bytes that are there, nothing for who has left, no fetch cancelled that is not
open, no spool used after its end) and the cache's invariants after each event, so that a test
says only what its story is about.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from attrs import define, field

from distcache.core.cache import Cache
from distcache.core.config import Config, Limits, Upstream
from distcache.core.effects import (
    Abort,
    AcquireToken,
    CancelFetch,
    CommitBlob,
    DeleteBlob,
    DiscardSpool,
    Effect,
    Fetch,
    Finish,
    Journal,
    Note,
    Respond,
    SendBody,
    Source,
    Stored,
)
from distcache.core.events import (
    BlobCommitted,
    BlobDeleted,
    Draining,
    Event,
    PullRequested,
    StoreFailed,
    StoreFault,
    StoreOperation,
    Woke,
)
from distcache.core.inventory import BlobStored, Inventory, Record
from distcache.core.oci import Content, Digest, Reference, Repository, TagRef, Time
from distcache.core.pull import ByDigest, Catalog, Method, Ping, Pull
from distcache.core.pull import Client as Asker
from distcache.core.reports import Explanation
from tests.core.actors import Client, TokenRequest, Transfer
from tests.core.content import APP, HUB, IMAGE, LATEST, LAYER, SETTINGS, START, Item, held

WHOLE = held(IMAGE, SETTINGS, LAYER, tag=LATEST)

R = TypeVar("R", bound=Record)


def config(*, limits: Limits | None = None, others: Iterable[str] = (), **policy: Any) -> Config:
    """One upstream, `hub`, and `others` like it; `policy` goes where it belongs."""
    whole = {k: policy.pop(k) for k in ("max_size", "ttl", "evict", "offline") if k in policy}
    names = (HUB, *others)
    upstream = Upstream(**policy)
    return Config(dict.fromkeys(names, upstream), limits=limits or Limits(), **whole)


@define(eq=False)
class Scenario:
    """`records` is what the store held at the start; `whose` the pulls are from now on."""

    cache: Cache
    now: float = START
    disk: set[Digest] = field(factory=set)
    clients: list[Client] = field(factory=list)
    transfers: list[Transfer] = field(factory=list)
    tokens: list[TokenRequest] = field(factory=list)
    jobs: list[CommitBlob | DeleteBlob] = field(factory=list)
    spools: dict[int, int] = field(factory=dict)
    discarded: set[int] = field(factory=set)
    journal: list[Record] = field(factory=list)
    notes: list[Note] = field(factory=list)
    whose: Asker | None = None
    effects: list[Effect] = field(factory=list)
    """Of the last event."""

    # What clients do

    def get(self, what: Reference | ByDigest | Catalog | Ping, **pull: Any) -> Client:
        return self.ask(Pull(Method.GET, what, **pull))

    def head(self, what: Reference | ByDigest, **pull: Any) -> Client:
        return self.ask(Pull(Method.HEAD, what, **pull))

    def ask(self, pull: Pull) -> Client:
        client = Client(self, len(self.clients) + 1, pull)
        self.clients.append(client)
        self.handle(PullRequested(client.number, pull, self.whose))
        return client

    # What upstream and its token service are asked

    @property
    def fetches(self) -> list[Transfer]:
        return [t for t in self.transfers if t.open]

    @property
    def fetch(self) -> Transfer:
        """The one that is open."""
        (only,) = self.fetches
        return only

    def asked(self) -> tuple[Method, Reference | Content | Ping]:
        """Of that one: method and resource."""
        return self.fetch.request.method, self.fetch.request.resource

    @property
    def token(self) -> TokenRequest:
        (only,) = [t for t in self.tokens if t.open]
        return only

    # What the store does

    def stores(self) -> None:
        """Everything it was told to store is durable."""
        while commits := [j for j in self.jobs if isinstance(j, CommitBlob)]:
            job = commits[0]
            self.jobs.remove(job)
            self.disk.add(job.digest)
            self.handle(BlobCommitted(job.digest))

    def cannot_store(self, fault: StoreFault = StoreFault.FAULT) -> None:
        (job,) = [j for j in self.jobs if isinstance(j, CommitBlob)]
        self.jobs.remove(job)
        self.handle(StoreFailed(StoreOperation.COMMIT, job.digest, fault))

    def deletes(self) -> list[Digest]:
        """Everything it was told to delete is gone; what that was."""
        gone = []
        while doomed := [j for j in self.jobs if isinstance(j, DeleteBlob)]:
            self.jobs.remove(doomed[0])
            self.disk.remove(doomed[0].digest)
            gone.append(doomed[0].digest)
            self.handle(BlobDeleted(doomed[0].digest, 1))
        return gone

    def cannot_delete(self) -> None:
        job = next(j for j in self.jobs if isinstance(j, DeleteBlob))
        self.jobs.remove(job)
        self.handle(StoreFailed(StoreOperation.DELETE, job.digest, StoreFault.READ_ONLY))

    @property
    def undiscarded(self) -> set[int]:
        """Spools that are still in use."""
        spools = {t.effect.spool.number for t in self.transfers if t.effect.spool}
        return spools - self.discarded

    @property
    def doomed(self) -> set[Digest]:
        return {j.digest for j in self.jobs if isinstance(j, DeleteBlob)}

    def journalled(self, kind: type[R]) -> list[R]:
        return [r for r in self.journal if isinstance(r, kind)]

    # What else happens

    def passes(self, seconds: float) -> None:
        """Time, with every deadline in it kept."""
        until = self.now + seconds
        while (due := self.cache.next_deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            self.handle(Woke())
            after = self.cache.next_deadline()
            assert after is None or after > self.now, "a deadline that stays due"
        self.now = until

    def drains(self) -> None:
        self.handle(Draining())

    def pulls_tag(self, item: Item, tag: TagRef = LATEST) -> Client:
        """A whole pull of a tag: checked, delivered, stored and taken."""
        client = self.get(tag)
        self.fetch.offers(item)
        return self._to_the_end(client, item)

    def pulls(self, item: Item, repository: Repository = APP) -> Client:
        """A whole pull by digest."""
        return self._to_the_end(self.get(item.under(repository)), item)

    def _to_the_end(self, client: Client, item: Item) -> Client:
        self.fetch.delivers(item)
        self.stores()
        client.takes_all()
        assert (client.status, client.end) == (200, "finished")
        return client

    def handle(self, event: Event) -> list[Effect]:
        self.effects = self.cache.handle(event, self.now)
        self.cache.check()
        for effect in self.effects:
            self._take(effect)
        return self.effects

    def _take(self, effect: Effect) -> None:
        match effect:
            case Respond() | SendBody() | Finish() | Abort():
                self._serve(effect)
            case Fetch():
                assert effect.fetch not in {t.effect.fetch for t in self.transfers}
                self.transfers.append(Transfer(self, effect))
            case CancelFetch():
                (transfer,) = [t for t in self.fetches if t.effect.fetch == effect.fetch]
                transfer.open = False
            case AcquireToken():
                self.tokens.append(TokenRequest(self, effect))
            case CommitBlob():
                assert effect.spool.number not in self.discarded
                self.jobs.append(effect)
            case DiscardSpool():
                assert effect.spool.number not in self.discarded, "discarded twice"
                self.discarded.add(effect.spool.number)
            case DeleteBlob():
                assert effect.digest in self.disk
                self.jobs.append(effect)
            case Journal(record):
                self.journal.append(record)
            case Note():
                self.notes.append(effect)

    def _serve(self, effect: Respond | SendBody | Finish | Abort) -> None:
        client = self.clients[effect.exchange - 1]
        assert not client.end, "it has left, or been answered"
        match effect:
            case Respond():
                assert client.head is None, "answered twice"
                client.head = effect.head
            case SendBody():
                first = client.answer.span.start if client.answer.span else 0
                assert client.turn is None, "two credits"
                assert effect.span.start == (first if client.at is None else client.at)
                assert effect.span.start < effect.span.stop <= self._readable(effect.source)
                client.turn = effect
            case Finish():
                assert client.head is not None
                assert client.turn is None
                client.end = "finished"
            case Abort():
                assert client.head is not None, "cut without an answer"
                client.end, client.blame = "aborted", effect.blame

    def _readable(self, source: Source) -> int:
        if isinstance(source, Stored):
            assert source.digest in self.disk, "not stored"
            return 1 << 62
        assert source.number not in self.discarded, "its spool is gone"
        return self.spools[source.number]


def scenario(
    settings: Config | None = None, records: Iterable[Record] = (), now: float = START
) -> Scenario:
    """A cache that starts at `now` with what `records` say the store holds."""
    held = list(records)
    disk = {r.digest for r in held if isinstance(r, BlobStored)}
    return Scenario(Cache(settings or config(), Inventory(held)), now, disk)


def warm(now: Time = START, **policy: Any) -> Scenario:
    """The image and its layer are held, and so is what the tag resolves to."""
    return scenario(config(**policy), held(IMAGE, LAYER, tag=LATEST), now)


def whole(now: Time = START, **policy: Any) -> Scenario:
    """As `warm`, and the image's configuration is held, too."""
    return scenario(config(**policy), WHOLE, now)


def explained(s: Scenario, what: TagRef | Content = LATEST) -> Explanation:
    """What is said of a pull of it, for which nothing may change."""
    repository = what.repository if isinstance(what, TagRef) else APP
    before = s.cache.fingerprint(s.now)
    found = s.cache.explain(what, repository, s.now)
    assert s.cache.fingerprint(s.now) == before, "looking changes nothing"
    return found


def streaming(upto: int = 40, **policy: Any) -> tuple[Scenario, Client]:
    """A client is being sent the layer, of which upstream has brought `upto` bytes."""
    s = scenario(config(**policy))
    client = s.get(LAYER.under(APP))
    s.fetch.offers(LAYER)
    s.fetch.brings(upto)
    return s, client
