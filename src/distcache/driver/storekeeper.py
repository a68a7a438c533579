"""The driver's blocking work: commits and deletions in their order, and the journal.

For each digest one job at a time, in the order of the core's effects. The journal has one
writer: what comes up while it writes makes its next batch, so under load a batch is large and
a record costs little. So have the commits of what lies in memory.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from .. import log
from ..core.effects import CommitBlob, Spool
from ..core.events import BlobCommitted, BlobDeleted, Event, StoreFailed, StoreFault, StoreOperation
from ..core.inventory import Record
from ..core.oci import Digest
from ..settings import Level
from ..store import Body, FileSpool, MemorySpool, Store, StoreError
from .sources import OpenSpool

DELETIONS = 8
"""At once. Eviction may want tens of thousands: commits and the journal must not stand behind
all of them."""

COMMITS = 64
"""Of what lies in memory in one batch: each waits for all of them."""

StoreJob = Callable[[], Event]
After = Callable[[], None]


class RunJob(Protocol):
    def __call__(self, job: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """See `driver.Shell.run_job`."""


class StoreKeeper:
    def __init__(self, store: Store, run_job: RunJob, feed: Callable[[Event], None]) -> None:
        self.journal_failures = 0
        self._store = store
        self._run_job = run_job
        self._feed = feed
        self._jobs: dict[Digest, deque[tuple[StoreJob, After]]] = {}
        self._deleting = 0
        self._deletions: deque[tuple[StoreJob, Callable[[Event], None]]] = deque()
        self._small: deque[_Small] = deque()
        self._committing = self._telling = False
        self._journal: list[Record] = []
        self._writing = False

    def commit(self, spool: OpenSpool | None, effect: CommitBlob) -> None:
        """`spool` None: it is not open, which fails as any fault does."""
        body = None if spool is None else spool.use().body

        def job() -> Event:
            try:
                if body is None:
                    raise StoreError(f"spool {effect.spool.number} was never written")
                self._store.commit(body, effect.digest)
            except Exception as error:
                return StoreFailed(StoreOperation.COMMIT, effect.digest, _fault_of(error))
            return BlobCommitted(effect.digest)

        def after() -> None:
            if spool is not None:
                spool.release()

        run: RunJob = self._run_job
        if isinstance(body, MemorySpool):
            run = partial(self._run_small, body, effect.digest)
        self._do(effect.digest, job, after, run)

    def delete(self, digest: Digest) -> None:
        def job() -> Event:
            try:
                return BlobDeleted(digest, self._store.delete(digest))
            except Exception as error:
                return StoreFailed(StoreOperation.DELETE, digest, _fault_of(error))

        self._do(digest, job, lambda: None, self._run_deletion)

    def close(self, body: Body) -> None:
        """Discard a body that nobody uses any more; nobody is told."""
        if not isinstance(body, FileSpool):
            body.discard()
            return

        def job() -> Exception | None:
            try:
                body.discard()
            except Exception as error:
                return error
            return None

        self._run_job(job, partial(self._closed, body.spool))

    @property
    def behind(self) -> bool:
        """Records are queued, and no more are about to come."""
        return bool(self._journal) and not self._telling

    def journal(self, record: Record) -> None:
        """Queue it for `write_journal`."""
        self._journal.append(record)

    def write_journal(self) -> None:
        """Begin to write what is queued, unless the writer is busy: then it follows."""
        if self._writing or not self._journal:
            return
        self._writing = True
        batch, self._journal = self._journal, []

        def job() -> Exception | None:
            try:
                self._store.write(batch)
            except Exception as error:
                return error
            return None

        self._run_job(job, partial(self._written, len(batch)))

    def _do(self, digest: Digest, job: StoreJob, after: After, run: RunJob) -> None:
        waiting = self._jobs.get(digest)
        if waiting is not None:
            waiting.append((job, after))
            return
        self._jobs[digest] = deque()
        run(job, partial(self._done, digest, after))

    def _run_small(
        self,
        body: Body,
        digest: Digest,
        _: Callable[[], Any],
        then: Callable[[Any], None],
    ) -> None:
        """In place of the commit's own job."""
        self._small.append((body, digest, then))
        if not self._committing:
            self._commit_small()

    def _commit_small(self) -> None:
        self._committing = True
        batch = [self._small.popleft() for _ in range(min(len(self._small), COMMITS))]

        def job() -> list[Event]:
            results: Sequence[Exception | None]
            try:
                results = self._store.commit_all([(body, digest) for body, digest, _ in batch])
            except Exception as error:
                results = [error] * len(batch)
            return [
                BlobCommitted(digest)
                if error is None
                else StoreFailed(StoreOperation.COMMIT, digest, _fault_of(error))
                for (_, digest, _), error in zip(batch, results, strict=True)
            ]

        self._run_job(job, partial(self._committed, batch))

    def _committed(self, batch: list["_Small"], events: list[Event]) -> None:
        self._committing = False
        if self._small:
            self._commit_small()
        # Their records make one batch, too.
        self._telling = True
        try:
            for (_, _, then), event in zip(batch, events, strict=True):
                then(event)
        finally:
            self._telling = False
        self.write_journal()

    def _run_deletion(self, job: Callable[[], Any], then: Callable[[Any], None]) -> None:
        if self._deleting >= DELETIONS:
            self._deletions.append((job, then))
            return
        self._deleting += 1
        self._run_job(job, partial(self._deleted, then))

    def _deleted(self, then: Callable[[Any], None], event: Event) -> None:
        self._deleting -= 1
        if self._deletions:
            self._run_deletion(*self._deletions.popleft())
        then(event)

    def _done(self, digest: Digest, after: After, event: Event) -> None:
        waiting = self._jobs[digest]
        if waiting:
            job, its_after = waiting.popleft()
            self._run_job(job, partial(self._done, digest, its_after))
        else:
            del self._jobs[digest]
        after()
        self._feed(event)

    def _closed(self, spool: Spool, error: Exception | None) -> None:
        if error is not None:
            fields: dict[str, log.Value] = {"spool": spool.number, "error": str(error)}
            log.note(Level.WARN, "a spool file could not be removed", fields)

    def _written(self, count: int, error: Exception | None) -> None:
        self._writing = False
        if error is not None:
            # The files are the truth: what is missing here is adopted, or asked again.
            self.journal_failures += 1
            fields: dict[str, log.Value] = {"records": count, "error": str(error)}
            log.note(Level.ERROR, "the index could not be written", fields)
        self.write_journal()


_Small = tuple[Body, Digest, Callable[[Any], None]]
"""What is to be committed, and who is to hear of it."""


def _fault_of(error: Exception) -> StoreFault:
    """Every job answers, so that nobody waits for ever; a bug is at least seen."""
    if isinstance(error, StoreError):
        return error.fault
    log.failure("the store failed on something unforeseen", error)
    return StoreFault.FAULT
