"""The store: blobs as files, everything else in the index; blocking, for worker threads.

The directory is one process's at a time. Files are the truth about bytes, the index about
everything else; where they disagree after a crash, start-up goes by the files.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Thread
from typing import TypeVar

from attrs import evolve, frozen

from distcache.core.effects import Spool
from distcache.core.inventory import (
    BlobDropped,
    BlobStored,
    GrantDropped,
    Inventory,
    Record,
    TagDropped,
)
from distcache.core.oci import Digest

from .collector import collector_paused
from .errors import StoreError, StoreLocked, translated
from .files import Files
from .index import Index, open_index
from .spools import Body, FileSpool

CHECK = "distcache-check"
"""The thread of `check_behind`."""

T = TypeVar("T")


@frozen
class Swept:
    """What start-up put in order, for one log line; all zero after a clean stop.

    `spools`: unfinished transfers deleted. `adopted`: files that had no record. `lost`:
    records of blobs whose file is missing or, then deleted, is no file. `damaged`:
    records that could not be read. `orphans`: tags and grants of what is not there.
    `renewed`: the whole index was damaged and begun anew."""

    spools: int
    adopted: int
    lost: int
    damaged: int
    orphans: int
    renewed: bool


class Store:
    """Made by `open_store`. Operations on different digests may run at once, in any threads;
    those on one digest are the caller's to order. Errors are StoreError."""

    inventory: Inventory
    """What was there at start, blobs before what refers to them."""

    swept: Swept

    def __init__(
        self, files: Files, index: Index, resources: ExitStack, inventory: Inventory, swept: Swept
    ) -> None:
        """`resources` are closed with the store."""
        self.inventory = inventory
        self.swept = swept
        self._files = files
        self._index = index
        self._resources = resources

    def hand_over(self) -> Inventory:
        """`inventory`, for who reads it once: each record is let go of as it is read, so that it
        does not lie in memory beside what is made of it. Here nothing is left of it."""
        records = list(self.inventory.records)
        self.inventory = Inventory()
        records.reverse()
        return Inventory(_used_up(records))

    def check_behind(self) -> None:
        """Have the index checked in a thread of its own, until `close`: it takes longer than the
        start has. Records that are written meanwhile wait for it."""
        checking = Thread(target=self._index.check, name=CHECK)
        checking.start()
        self._resources.callback(checking.join)
        # Before that, or the check would be waited for.
        self._resources.callback(self._index.close)

    def create(self, spool: Spool) -> FileSpool:
        """The file for a spool of Medium.FILE."""
        return self._files.create(spool)

    def commit(self, spool: Body, digest: Digest) -> None:
        """Make a FileSpool's or MemorySpool's bytes durable under `digest`. Readers of the
        spool go on undisturbed; it is still to be discarded. On StoreError nothing is
        published, and the spool is as it was."""
        self._files.commit(spool, digest)

    def commit_all(self, wanted: Sequence[tuple[Body, Digest]]) -> list[StoreError | None]:
        """As `commit` does each of them, at less cost; what became of them, in their order."""
        return self._files.commit_all(wanted)

    def delete(self, digest: Digest) -> int:
        """Returns the bytes given back, 0 when it was gone."""
        return self._files.delete(digest)

    def open(self, digest: Digest, size: int) -> int:
        """A descriptor to read from, for the caller to close. StoreError: missing,
        unreadable, or not `size` bytes long."""
        return self._files.open(digest, size)

    def adopt(self, source: Path, digest: Digest) -> bool:
        """Take in a file from elsewhere under `digest`: True by a hard link, False by a copy.
        StoreError: it cannot be read, or holds something else."""
        return self._files.adopt(source, digest)

    def right(self, digest: Digest) -> bool:
        """Read the whole blob again: whether it is there and holds what its name says."""
        return self._files.right(digest)

    def write(self, records: Sequence[Record]) -> None:
        """All of them or none, in their order; again is harmless. What BlobDropped names
        loses its grants and the tags that resolve to it."""
        self._index.write(records)

    def close(self) -> None:
        """Let go of the directory. Open spools and descriptors stay usable."""
        self._resources.close()


def open_store(root: Path) -> Store:
    """Take the directory, creating what is missing, and put in order what an earlier run
    left. StoreLocked: another process has it. StoreTooNew: a later release wrote it.
    StoreError: it cannot be read or written at all."""
    with ExitStack() as stack:
        with translated():
            root.mkdir(parents=True, exist_ok=True)
            lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT, 0o644)
            stack.callback(os.close, lock)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreLocked(root) from None
        files = Files(root)
        with collector_paused(), ThreadPoolExecutor(1) as beside:
            # SQLite checks its pages meanwhile, without holding the interpreter.
            spools, names = beside.submit(files.sweep), beside.submit(files.names)
            index = open_index(root / "index.sqlite")
            stack.callback(index.close)
            inventory, swept = _put_in_order(files, index, spools.result(), names.result())
        return Store(files, index, stack.pop_all(), inventory, swept)


def _put_in_order(
    files: Files, index: Index, spools: int, names: set[str]
) -> tuple[Inventory, Swept]:
    """`names` as the directories have them. Sizes are compared when a file is opened."""
    held = index.load()
    whole, strays = _split(held.blobs, lambda blob: blob.digest in names)
    there = {blob.digest for blob in whole}
    looked = (files.look(name) for name in sorted(names - there))
    adopted = [BlobStored(f.digest, f.size, f.modified) for f in looked if f is not None]
    there.update(blob.digest for blob in adopted)
    lost = {blob.digest for blob in strays}
    # After a clock that was wrong: what the future used last would be the last to go.
    now = time.time()
    blobs = [b if b.used <= now else evolve(b, used=now) for b in (*whole, *adopted)]
    seen, ahead = _split(held.seen, lambda one: one.since <= now)
    ahead = [evolve(one, since=now) for one in ahead]
    tags, stray_tags = _split(held.tags, lambda tag: tag.descriptor.content.digest in there)
    grants, stray_grants = _split(held.grants, lambda grant: grant.content.digest in there)
    fixes: list[Record] = [
        *adopted,
        *ahead,
        *(BlobDropped(digest) for digest in sorted(lost) if _remove(files, digest)),
        *(TagDropped(tag.reference) for tag in stray_tags),
        *(GrantDropped(grant.repository, grant.content) for grant in stray_grants),
    ]
    # What cannot be written now is found again at the next start.
    with suppress(StoreError):
        index.write(fixes)
    orphans = len(stray_tags) + len(stray_grants)
    swept = Swept(spools, len(adopted), len(lost), held.damaged, orphans, index.renewed)
    return Inventory((*blobs, *tags, *grants, *held.pins, *seen, *ahead, *held.fills)), swept


def _used_up(records: list[Record]) -> Iterator[Record]:
    with collector_paused():
        while records:
            yield records.pop()


def _remove(files: Files, digest: Digest) -> bool:
    """Whether no file has this name any more: one that stays would be adopted next time,
    with the wrong size, if its record went."""
    try:
        files.delete(digest)
    except StoreError:
        return False
    return True


def _split(items: Iterable[T], wanted: Callable[[T], bool]) -> tuple[list[T], list[T]]:
    yes: list[T] = []
    no: list[T] = []
    for item in items:
        (yes if wanted(item) else no).append(item)
    return yes, no
