"""Spools: where the body of a fetch is kept while it comes in, one class per Medium.

Rules for all three:
- Bytes only ever join at the end. What a resumed or restarted transfer brings again is passed
  over, so that readers and the digest see one and the same content.
- `length` grows after the bytes are readable. One writer at a time; readers may be elsewhere.
- A write that fails leaves length and digest as they were, and may be tried again.
- `discard` ends a spool, committed or not, and is harmless when repeated.
"""

import os
from collections import deque
from pathlib import Path
from threading import Lock
from typing import Protocol

from distcache.core.effects import Spool
from distcache.core.oci import Digest

from .digests import Data, digest_of, new_hash
from .errors import StoreError, translated

WINDOW = 4 * 1024 * 1024
"""Bytes that a WindowSpool holds for its reader: what a fast network brings in the time of a
few round trips, and small beside a layer."""

WRITE = 256 * 1024
"""Bytes given to the kernel at once. Linux takes memory in as large blocks as is written, and on a
virtual machine the largest are those that the host has to find anew: four times the price."""


class TooLarge(Exception):
    """A document beyond its spool's limit."""


class Body(Protocol):
    """What the three media have in common. Offsets count from the start of the content."""

    @property
    def spool(self) -> Spool: ...

    @property
    def length(self) -> int:
        """Bytes accepted so far, the watermark for readers."""

    def write(self, start: int, data: Data) -> int:
        """Take in `data`, which lies at offset `start`; bytes below `length` are passed over.
        Returns the new length. ValueError: a gap. StoreError, TooLarge: nothing was taken."""

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` up to `stop`, or up to `length` if that comes first."""

    def digest(self) -> Digest:
        """Over everything accepted so far."""

    def discard(self) -> None:
        """Give back memory and descriptors, and the file unless it has been committed."""


class FileSpool:
    """Medium.FILE: a file of its own that readers follow, through `read` or through `fd`.

    The descriptor stays open until `discard`; a commit in between changes nothing for
    readers. `discard` waits for a running write, and a later write fails."""

    def __init__(self, spool: Spool, path: Path) -> None:
        """Creates the file. StoreError: it cannot be, or exists."""
        self.spool = spool
        self.length = 0
        self._hash = new_hash(spool.digest)
        self._owed: deque[memoryview] = deque()
        self._hashing = Lock()
        self._lock = Lock()
        self._path: Path | None = path
        with translated():
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)

    @property
    def fd(self) -> int:
        """For sendfile and pread, up to `length`. StoreError: discarded."""
        if self._fd < 0:
            raise StoreError(f"spool {self.spool.number} is closed")
        return self._fd

    def write(self, start: int, data: Data) -> int:
        length = self.append(start, data)
        self.settle()
        return length

    def append(self, start: int, data: Data) -> int:
        """As `write`, but the hash is still owed: `data` must stay as it is until a `settle` that
        began afterwards, in any thread, has returned."""
        with self._lock, translated():
            view = _unseen(start, data, self.length)
            _write_at(self.fd, self.length, view)
            self._owed.append(view)
            self.length += len(view)
            return self.length

    def settle(self) -> None:
        """Hash what has been appended, in its order, whoever appended it."""
        with self._hashing:
            while self._owed:
                self._hash.update(self._owed.popleft())

    def read(self, start: int, stop: int) -> bytes:
        stop = min(stop, self.length)
        pieces = []
        with translated():
            while start < stop:
                piece = os.pread(self.fd, stop - start, start)
                if not piece:
                    raise StoreError(f"spool {self.spool.number} ends before its length")
                pieces.append(piece)
                start += len(piece)
        return b"".join(pieces)

    def digest(self) -> Digest:
        self.settle()
        return digest_of(self._hash)

    def move(self, target: Path) -> None:
        """Make the bytes durable and the file's name `target`. The name is not yet durable:
        the caller synchronizes the directory."""
        with self._lock, translated():
            if self._path is None:
                raise StoreError(f"spool {self.spool.number} has no file any more")
            # A write that failed half-way may have left bytes beyond the length.
            os.ftruncate(self.fd, self.length)
            os.fsync(self.fd)
            os.rename(self._path, target)
            self._path = None

    def discard(self) -> None:
        with self._lock, translated():
            path, self._path = self._path, None
            fd, self._fd = self._fd, -1
            try:
                if fd >= 0:
                    os.close(fd)
            finally:
                if path is not None:
                    path.unlink(missing_ok=True)


class MemorySpool:
    """Medium.MEMORY: a whole document, at most `spool.limit` bytes."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self._hash = new_hash(spool.digest)
        self._bytes = bytearray()

    @property
    def length(self) -> int:
        return len(self._bytes)

    def write(self, start: int, data: Data) -> int:
        view = _unseen(start, data, self.length)
        limit = self.spool.limit
        if limit is not None and self.length + len(view) > limit:
            raise TooLarge(f"a document of more than {limit} bytes")
        self._hash.update(view)
        self._bytes += view
        return self.length

    def read(self, start: int, stop: int) -> bytes:
        return bytes(self._bytes[start:stop])

    def digest(self) -> Digest:
        return digest_of(self._hash)

    def discard(self) -> None:
        self._bytes = bytearray()


class WindowSpool:
    """Medium.WINDOW: a bounded window of the content for one reader, nothing is kept.

    Bytes before `spool.first` are hashed and dropped. If its content does not begin as
    `spool.after` says, its digest is one that nothing has. The writer asks `room` first, the
    reader says `release` for what it has sent; `write` beyond the room is a ValueError, as
    is reading what was released."""

    def __init__(self, spool: Spool, window: int = WINDOW) -> None:
        self.spool = spool
        self.length = 0
        self._window = window
        self._hash = new_hash(spool.digest)
        self._lock = Lock()
        self._base = spool.first
        self._bytes = bytearray()

    def room(self) -> int:
        """Bytes beyond `length` that may be written now."""
        with self._lock:
            return self._base + self._window - self.length

    def write(self, start: int, data: Data) -> int:
        view = _unseen(start, data, self.length)
        if len(view) > self.room():
            raise ValueError(f"{len(view)} bytes for a room of {self.room()}")
        # Outside the lock: the reader must not wait while megabytes are hashed.
        self._update(view)
        with self._lock:
            self._bytes += view[max(0, self.spool.first - self.length) :]
            self.length += len(view)
            return self.length

    def read(self, start: int, stop: int) -> bytes:
        with self._lock:
            if start < self._base:
                raise ValueError(f"byte {start} is gone, the window begins at {self._base}")
            return bytes(self._bytes[start - self._base : max(0, stop - self._base)])

    def release(self, upto: int) -> None:
        """The reader needs no byte before `upto` any more."""
        with self._lock:
            if upto > max(self.length, self._base):
                raise ValueError(f"{upto} was never written")
            if upto > self._base:
                del self._bytes[: upto - self._base]
                self._base = upto

    def digest(self) -> Digest:
        return digest_of(self._hash)

    def discard(self) -> None:
        with self._lock:
            self._bytes = bytearray()

    def _update(self, view: memoryview) -> None:
        after = self.spool.after
        if after is not None and self.length < after.length <= self.length + len(view):
            rest = after.length - self.length
            self._hash.update(view[:rest])
            if digest_of(self._hash) != after.digest:
                self._hash.update(b"not what came before")
            view = view[rest:]
        self._hash.update(view)


def _unseen(start: int, data: Data, length: int) -> memoryview:
    """The part of `data` at offset `length` and later."""
    if start > length:
        raise ValueError(f"bytes from {start} on, but only {length} came before")
    return memoryview(data)[length - start :]


def _write_at(fd: int, offset: int, view: memoryview) -> None:
    while view:
        written = os.pwrite(fd, view[:WRITE], offset)
        view = view[written:]
        offset += written
