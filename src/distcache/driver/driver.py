"""The core's effects made real, the half that both event loops share: nothing here awaits.

An adapter feeds events and is given work through `Shell`; everything runs on the loop's
thread, except the jobs that it is asked to run elsewhere. An event that comes up while
another is being dealt with waits for its turn, so the core is never entered twice.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import TypeVar, assert_never

from .. import log, settings
from ..core.config import Config
from ..core.effects import (
    Abort,
    AcquireToken,
    Blame,
    CancelFetch,
    CommitBlob,
    DeleteBlob,
    DiscardSpool,
    Effect,
    Fetch,
    Finish,
    Journal,
    Level,
    Note,
    Respond,
    SendBody,
    Spool,
    Stored,
)
from ..core.events import (
    BodySent,
    ClientClosed,
    Event,
    PullRequested,
    SourceLost,
    Woke,
)
from ..core.inventory import BlobDropped, BlobStored, Record
from ..core.oci import Digest, Time
from ..core.pull import Catalog, Pull, Span
from ..store import Store, StoreError
from .clock import Clock
from .exchange import Asker, Exchange, Send
from .fetches import Fetches
from .ports import Core, Shell, Upstreams
from .sources import Blobs, OpenSpool, Source, Spools
from .storekeeper import StoreKeeper
from .tracing import Tracing

T = TypeVar("T")


class Driver:
    """One for each server. `fetches`: what it asks of upstreams; see there."""

    def __init__(
        self,
        core: Core,
        store: Store,
        upstreams: Upstreams,
        clock: Clock,
        shell: Shell,
        tracing: Tracing | None = None,
    ) -> None:
        self._blobs = Blobs()
        self.clock = clock
        self.whole = core.whole
        self.part = core.part
        self.find = self._blobs.find
        self._core = core
        self._store = store
        self._shell = shell
        self._events: deque[Event] = deque()
        self._feeding = False
        self._event: Event = Woke()
        self._armed: Time | None = None
        self._number = 0
        self._exchanges: dict[int, Exchange] = {}
        self._keeper = StoreKeeper(store, shell.run_job, self.feed)
        self._spools = Spools(self._keeper.close)
        self.fetches = Fetches(
            store, upstreams, clock, shell, self._spools, self._exchanges, self.feed, tracing
        )
        self._sizes = core.sizes()
        self.deletions = self.deleted_bytes = 0
        self.noted: Counter[str] = Counter()
        """How often the core had what to say to the operator, by its words."""

    @property
    def late(self) -> int:
        """Events that came for something already ended."""
        return self._core.late

    @property
    def journal_failures(self) -> int:
        """Batches of records that could not be written."""
        return self._keeper.journal_failures

    def configure(self, config: Config, upstreams: Upstreams) -> None:
        """From now on; no upstream may be missing that there was."""
        self.fetches.upstreams = upstreams
        self._core.configure(config)

    def feed(self, event: Event) -> None:
        """Tell the core, and begin everything that it wants done."""
        if self._feeding:
            self._events.append(event)
            return
        self._feeding = True
        woke = False
        try:
            while True:
                self._event = event
                woke |= isinstance(event, Woke)
                for effect in self._handle(event):
                    self._interpret(effect)
                if not self._events:
                    break
                event = self._events.popleft()
        finally:
            self._feeding = False
        if self._keeper.behind:
            self._keeper.write_journal()
        deadline, armed = self._core.next_deadline(), self._armed
        # It moves back with nearly every answer: to wake in vain at times is less than to follow.
        if (woke and deadline != armed) or _before(deadline, armed):
            self._armed = deadline
            self._shell.arm(deadline)

    # For a client's connection

    def open(self, pull: Pull, wake: Callable[[], None], asker: Asker | None = None) -> Exchange:
        """A client asks. `wake` is called when there are effects for it. Upstream is told the
        asker's id, and through whom it came, so that a circle of several caches is seen by the
        first."""
        if asker is not None and asker.via and not isinstance(pull.target, Catalog):
            self.fetches.came_by(pull.target.repository, asker.via)
        self._number += 1
        exchange = Exchange(self._number, wake, asker)
        self._exchanges[exchange.number] = exchange
        client = None if asker is None else asker.client
        self.feed(PullRequested(exchange.number, pull, client))
        return exchange

    def begin(self, pull: Pull, now: Time) -> int:
        """A client goes on with what was a hit `now`, by `whole` or `part`: its number, with which
        BodySent, ClientClosed or `lost` is to be told."""
        self._number += 1
        hit = self._core.begin(self._number, pull, now)
        assert hit is not None, pull
        return self._number

    def sent(self, exchange: Exchange, sending: Send) -> None:
        """It is out, and released."""
        if isinstance(sending.opened, OpenSpool):
            sending.opened.sent(sending.span.stop)
        if not exchange.done:
            self.feed(BodySent(exchange.number, sending.span.stop))

    def lost(self, exchange: Exchange, sending: Send, *, answered: bool) -> None:
        """Its source cannot be read."""
        if isinstance(sending.source, Stored):
            self._blobs.drop(sending.source.digest)
        if not exchange.done:
            digest = sending.source.digest or Digest("")
            self.feed(SourceLost(exchange.number, digest, answered))

    def left(self, exchange: Exchange) -> None:
        """The client left, or is being left; harmless when the core is done with it."""
        if exchange.effects:
            exchange.forget()
        if not exchange.done:
            exchange.done = True
            del self._exchanges[exchange.number]
            self.feed(ClientClosed(exchange.number))

    def run_job(self, job: Callable[[], T], then: Callable[[T], None]) -> None:
        """The shell's."""
        self._shell.run_job(job, then)

    def open_blob(self, digest: Digest, then: Callable[[Source | StoreError], None]) -> None:
        """Open a stored blob's file in a thread; `then` is given a use of it, on the loop's
        thread. What has been deleted meanwhile is not kept open."""
        size = self._sizes.get(digest, -1)

        def job() -> int | StoreError:
            try:
                return self._store.open(digest, size)
            except StoreError as error:
                return error

        def done(found: int | StoreError) -> None:
            if isinstance(found, StoreError):
                then(found)
            else:
                then(self._blobs.add(digest, found, keep=digest in self._sizes, size=size))

        self._shell.run_job(job, done)

    def read(self, digest: Digest, span: Span) -> bytes | None:
        """Of a stored blob whose file is open; None: it is not, or cannot be read."""
        blob = self._blobs.find(digest)
        if blob is None:
            return None
        try:
            return blob.read(span.start, span.stop)
        except StoreError:
            return None
        finally:
            blob.release()

    def close(self) -> None:
        """After the last job, event and connection. Does not close the store."""
        self._blobs.close()
        self._spools.close()

    # The core's effects

    def _handle(self, event: Event) -> Sequence[Effect]:
        try:
            return self._core.handle(event, self.clock.now())
        except Exception as error:
            # Other clients' pulls must not go down with one that met a bug.
            log.failure(f"the core failed on {type(event).__name__}", error)
            number = getattr(event, "exchange", None)
            if number is None:
                return ()
            return (Abort(number, "an error of the cache itself", Blame.CACHE),)

    def _interpret(self, effect: Effect) -> None:
        match effect:
            case Respond():
                # None, here and below: the client left, and the core did not know it yet.
                if (exchange := self._exchanges.get(effect.exchange)) is not None:
                    exchange.take(effect)
            case SendBody():
                if (exchange := self._exchanges.get(effect.exchange)) is not None:
                    source = effect.source
                    exchange.take(Send(source, effect.span, self._use(source)))
            case Finish():
                if (exchange := self._exchanges.pop(effect.exchange, None)) is not None:
                    exchange.done = True
                    exchange.take(effect)
            case Abort():
                if (exchange := self._exchanges.pop(effect.exchange, None)) is not None:
                    exchange.forget()
                    exchange.done = True
                    exchange.take(effect)
            case Fetch():
                self.fetches.fetch(effect, self._event)
            case CancelFetch():
                self.fetches.cancel(effect.fetch)
            case AcquireToken():
                self.fetches.acquire_token(effect)
            case CommitBlob():
                self._keeper.commit(self._spools.find(effect.spool), effect)
            case DiscardSpool():
                self._spools.discard(effect.spool)
            case DeleteBlob():
                self._blobs.drop(effect.digest)
                self._keeper.delete(effect.digest)
            case Journal():
                self._note_size(effect.record)
                self._keeper.journal(effect.record)
            case Note():
                self.noted[effect.message] += 1
                log.note(_LEVELS[effect.level], effect.message, dict(effect.fields))
            case _:
                assert_never(effect)

    def _use(self, source: Stored | Spool) -> Source | None:
        if isinstance(source, Stored):
            return self._blobs.find(source.digest)
        spool = self._spools.find(source)
        return None if spool is None or spool.body is None else spool.use()

    def _note_size(self, record: Record) -> None:
        match record:
            case BlobStored():
                self._sizes[record.digest] = record.size
            case BlobDropped():
                self.deletions += 1
                self.deleted_bytes += self._sizes.pop(record.digest, 0)
                self._blobs.drop(record.digest)


def _before(deadline: Time | None, armed: Time | None) -> bool:
    return deadline is not None and (armed is None or deadline < armed)


_LEVELS = {
    Level.DEBUG: settings.Level.DEBUG,
    Level.INFO: settings.Level.INFO,
    Level.WARNING: settings.Level.WARN,
    Level.ERROR: settings.Level.ERROR,
}
