"""A cache whose server does not run: the same core over the same store, without any upstream."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..core.cache import Cache
from ..core.config import Config
from ..core.effects import DeleteBlob, Effect, Journal
from ..core.events import BlobDeleted, Event, StoreFailed, StoreOperation
from ..core.inventory import Record
from ..core.oci import Digest, Repository, TagRef, Time
from ..core.reports import Explanation, Filling, Image, Named, Reach, Stats
from ..store import Store, StoreError, open_store


class AtRest:
    """Orders take effect before they return. StoreError: the store could not do it."""

    def __init__(self, config: Config, store: Store) -> None:
        self.store = store
        self._cache = Cache(config, store.inventory)

    def stats(self) -> Stats:
        return self._cache.stats()

    def images(self, latest: int | None = None) -> list[Image]:
        return self._cache.images(latest)

    def explain(self, what: Named, repository: Repository) -> Explanation:
        return self._cache.explain(what, repository, self.now())

    def knows(self, what: TagRef | Repository | Digest) -> bool:
        return self._cache.knows(what)

    def fillings(self) -> list[Filling]:
        return self._cache.fillings()

    def reach(self) -> list[Reach]:
        return self._cache.reach(self.now())

    def prunable(self, order: Event) -> tuple[int, int]:
        """Blobs and bytes that would go."""
        return self._cache.would_free(order, self.now())

    def feed(self, event: Event) -> None:
        records: list[Record] = []
        waiting: list[Effect] = list(self._cache.handle(event, self.now()))
        while waiting:
            effect = waiting.pop(0)
            if isinstance(effect, Journal):
                records.append(effect.record)
            elif isinstance(effect, DeleteBlob):
                # The record goes first: a file without one is found again, the reverse is a loss.
                self.store.write(records)
                records.clear()
                waiting += self._cache.handle(self._delete(effect), self.now())
        self.store.write(records)

    def now(self) -> Time:
        return time.time()

    def _delete(self, effect: DeleteBlob) -> Event:
        try:
            return BlobDeleted(effect.digest, self.store.delete(effect.digest))
        except StoreError as error:
            return StoreFailed(StoreOperation.DELETE, effect.digest, error.fault)


@contextmanager
def open_at_rest(config: Config, root: Path) -> Iterator[AtRest]:
    """Takes the store for itself. StoreLocked: a server runs on it."""
    store = open_store(root)
    try:
        yield AtRest(config, store)
    finally:
        store.close()
