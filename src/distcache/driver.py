"""Between the core and a shell that can wait: feeds events, carries out effects.

Synchronous and free of any async library, so that every adapter shares it. Whatever takes
time is handed to the shell: requests to upstream, and blocking jobs for worker threads. All
methods belong to the loop's thread.

A spool lives until the core has discarded it and nobody holds it any more: neither an
answer being sent from it, nor a fetch that writes into it, nor a commit.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol, assert_never

from attrs import define, field, frozen

from .clock import Clock
from .core.cache import Cache
from .core.effects import (
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
    Level,
    Medium,
    Note,
    Respond,
    SendBody,
    Spool,
    Stored,
)
from .core.events import (
    BlobCommitted,
    BlobDeleted,
    BodySent,
    Cause,
    ClientClosed,
    Draining,
    Event,
    FetchFailed,
    PullRequested,
    SourceLost,
    StoreFailed,
    StoreFault,
    StoreOperation,
    Woke,
)
from .core.inventory import BlobStored, Record
from .core.oci import Digest, Time
from .core.pull import Pull, Span
from .store import Body, FileSpool, MemorySpool, Store, StoreError, WindowSpool

log = logging.getLogger("distcache")

Job = Callable[[], Callable[[], None]]
"""Runs in a worker thread and never raises; what it returns is then called in the loop."""

_LEVELS = {
    Level.DEBUG: logging.DEBUG,
    Level.INFO: logging.INFO,
    Level.WARNING: logging.WARNING,
    Level.ERROR: logging.ERROR,
}


@define(eq=False)
class Held:
    """An open spool. `wake_writer` is called when a window has room again."""

    body: Body
    users: int = 0
    discarded: bool = False
    wake_writer: Callable[[], None] = lambda: None


@frozen
class Send:
    """SendBody with its source at hand: an open spool, or stored content of `size` bytes."""

    source: Held | Stored
    span: Span
    size: int = 0


Answer = Respond | Send | Finish | Abort


@define(eq=False)
class Exchange:
    """One pull: what is still to be done for it, in order; `wake` is called for each."""

    number: int
    pull: Pull
    wake: Callable[[], None]
    inbox: deque[Answer] = field(factory=deque)
    over: bool = False
    """The core has said its last word."""


class Shell(Protocol):
    def start_fetch(self, fetch: Fetch, held: Held | None) -> None:
        """`held` is to be given to `Driver.release` when nothing more is written."""

    def cancel_fetch(self, number: int) -> None: ...

    def start_token(self, acquire: AcquireToken) -> None: ...

    def run_blocking(self, job: Job) -> None: ...

    def set_timer(self, deadline: Time | None) -> None:
        """Call `Driver.woke` then; replaces what was set before."""


class Driver:
    def __init__(self, cache: Cache, store: Store, clock: Clock) -> None:
        self.clock = clock
        self._cache = cache
        self._store = store
        self._shell: Shell
        self._events: deque[Event] = deque()
        self._inside = False
        self._deadline: Time | None = None
        self._count = 0
        self._exchanges: dict[int, Exchange] = {}
        self._spools: dict[int, Held] = {}
        self._jobs: dict[Digest, deque[Job]] = {}
        self._journal: list[Record] = []
        self._writing = False
        self._sizes: dict[Digest, int] = {
            record.digest: record.size
            for record in store.inventory.records
            if isinstance(record, BlobStored)
        }

    def start(self, shell: Shell) -> None:
        """Once, before anything else: effects go to `shell`."""
        self._shell = shell
        self.woke()

    def begin(self, pull: Pull, wake: Callable[[], None]) -> Exchange:
        self._count += 1
        exchange = Exchange(self._count, pull, wake)
        self._exchanges[exchange.number] = exchange
        self.feed(PullRequested(exchange.number, pull))
        return exchange

    def sent(self, exchange: Exchange, send: Send) -> None:
        """The span went out."""
        if isinstance(send.source, Held):
            body = send.source.body
            if isinstance(body, WindowSpool):
                body.release(send.span.stop)
                send.source.wake_writer()
            self.release(send.source)
        self.feed(BodySent(exchange.number, send.span.stop))

    def lost(self, exchange: Exchange, send: Send, answered: bool) -> None:
        """The source cannot be read."""
        if isinstance(send.source, Held):
            digest = send.source.body.spool.digest or send.source.body.digest()
            self.release(send.source)
        else:
            digest = send.source.digest
        self.feed(SourceLost(exchange.number, digest, answered))

    def leave(self, exchange: Exchange, send: Send | None = None) -> None:
        """The connection is through with it, finished or not; `send` was under way."""
        for item in (send, *exchange.inbox):
            if isinstance(item, Send) and isinstance(item.source, Held):
                self.release(item.source)
        exchange.inbox.clear()
        if not exchange.over:
            del self._exchanges[exchange.number]
            exchange.over = True
            self.feed(ClientClosed(exchange.number))

    def release(self, held: Held) -> None:
        """One user less."""
        held.users -= 1
        self._free(held)

    def open_stored(self, send: Send) -> int:
        """A descriptor, the caller's to close. StoreError: it cannot be read."""
        assert isinstance(send.source, Stored)
        return self._store.open(send.source.digest, send.size)

    def woke(self) -> None:
        self._deadline = None
        self.feed(Woke())

    def drain(self) -> None:
        self.feed(Draining())

    def feed(self, event: Event) -> None:
        """Tell the core. Events that come up on the way wait for the effects before them."""
        self._events.append(event)
        if self._inside:
            return
        self._inside = True
        try:
            while self._events:
                for effect in self._cache.handle(self._events.popleft(), self.clock.now()):
                    self._do(effect)
        finally:
            self._inside = False
        deadline = self._cache.next_deadline()
        if deadline != self._deadline:
            self._deadline = deadline
            self._shell.set_timer(deadline)

    def _do(self, effect: Effect) -> None:
        match effect:
            case Respond() | Finish() | Abort():
                self._tell(effect.exchange, effect)
            case SendBody():
                self._tell(effect.exchange, self._send(effect))
            case Fetch():
                self._fetch(effect)
            case CancelFetch():
                self._shell.cancel_fetch(effect.fetch)
            case AcquireToken():
                self._shell.start_token(effect)
            case CommitBlob():
                self._commit(self._spools[effect.spool.number], effect.digest)
            case DiscardSpool():
                held = self._spools.pop(effect.spool.number, None)
                if held is not None:
                    held.discarded = True
                    self._free(held)
            case DeleteBlob():
                self._delete(effect.digest)
            case Journal():
                if isinstance(effect.record, BlobStored):
                    self._sizes[effect.record.digest] = effect.record.size
                self._journal.append(effect.record)
                self._write_journal()
            case Note():
                said = "".join(f" {name}={value}" for name, value in effect.fields)
                log.log(_LEVELS[effect.level], "%s%s", effect.message, said)
            case _:
                assert_never(effect)

    def _tell(self, number: int, item: Answer) -> None:
        exchange = self._exchanges.get(number)
        if exchange is None:
            # The client left while this was decided.
            if isinstance(item, Send) and isinstance(item.source, Held):
                self.release(item.source)
            return
        if isinstance(item, Finish | Abort):
            del self._exchanges[number]
            exchange.over = True
        exchange.inbox.append(item)
        exchange.wake()

    def _send(self, effect: SendBody) -> Send:
        match effect.source:
            case Stored(digest):
                return Send(effect.source, effect.span, self._sizes[digest])
            case Spool(number):
                held = self._spools[number]
                held.users += 1
                return Send(held, effect.span)

    def _fetch(self, effect: Fetch) -> None:
        spool = effect.spool
        if spool is None:
            self._shell.start_fetch(effect, None)
            return
        held = self._spools.get(spool.number)
        if held is None:
            try:
                held = Held(self._open(spool))
            except StoreError as error:
                self._events.append(FetchFailed(effect.fetch, cause_of(error)))
                return
            self._spools[spool.number] = held
        held.users += 1
        self._shell.start_fetch(effect, held)

    def _open(self, spool: Spool) -> Body:
        match spool.medium:
            case Medium.FILE:
                return self._store.create(spool)
            case Medium.MEMORY:
                return MemorySpool(spool)
            case Medium.WINDOW:
                return WindowSpool(spool)

    def _free(self, held: Held) -> None:
        if held.users or not held.discarded:
            return
        body = held.body
        if not isinstance(body, FileSpool):
            body.discard()
            return

        def job() -> Callable[[], None]:
            try:
                body.discard()
            except StoreError as error:
                log.warning("a spool could not be deleted: %s", error)
            return lambda: None

        self._shell.run_blocking(job)

    def _commit(self, held: Held, digest: Digest) -> None:
        held.users += 1

        def job() -> Callable[[], None]:
            event: Event
            try:
                self._store.commit(held.body, digest)
                event = BlobCommitted(digest)
            except Exception as error:
                event = _store_failed(StoreOperation.COMMIT, digest, error)
            return lambda: (self.release(held), self.feed(event))[1]

        self._enqueue(digest, job)

    def _delete(self, digest: Digest) -> None:
        def job() -> Callable[[], None]:
            event: Event
            try:
                event = BlobDeleted(digest, self._store.delete(digest))
            except Exception as error:
                event = _store_failed(StoreOperation.DELETE, digest, error)
            return lambda: self.feed(event)

        self._enqueue(digest, job)

    def _enqueue(self, digest: Digest, job: Job) -> None:
        """Jobs of one digest run one after the other."""
        queue = self._jobs.get(digest)
        if queue is not None:
            queue.append(job)
            return
        self._jobs[digest] = deque()
        self._run(digest, job)

    def _run(self, digest: Digest, job: Job) -> None:
        def wrapped() -> Callable[[], None]:
            then = job()

            def done() -> None:
                queue = self._jobs[digest]
                if queue:
                    self._run(digest, queue.popleft())
                else:
                    del self._jobs[digest]
                then()

            return done

        self._shell.run_blocking(wrapped)

    def _write_journal(self) -> None:
        """Everything that waits goes in one transaction; one at a time."""
        if self._writing or not self._journal:
            return
        self._writing = True
        records, self._journal = self._journal, []

        def job() -> Callable[[], None]:
            try:
                self._store.write(records)
            except Exception as error:
                log.error("%d records could not be written: %s", len(records), error)
            return done

        def done() -> None:
            self._writing = False
            self._write_journal()

        self._shell.run_blocking(job)


def cause_of(error: StoreError) -> Cause:
    return Cause.NO_SPACE if error.fault is StoreFault.NO_SPACE else Cause.STORE


def _store_failed(operation: StoreOperation, digest: Digest, error: Exception) -> StoreFailed:
    fault = error.fault if isinstance(error, StoreError) else StoreFault.FAULT
    log.warning("%s of %s failed: %s", operation.value, digest, error)
    return StoreFailed(operation, digest, fault)
