"""What is open for reading and writing: spools by number, stored blobs by digest.

Whoever works with one holds a use of it. A descriptor is closed when its last use ends and
not before: were it closed under a running sendfile, its number could already be another
file's, and a client would be sent that file's bytes.
Everything here belongs to the event loop's thread; the bodies themselves may be written in
another.
"""

import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from attrs import define, field, frozen

from ..core.effects import Medium, Spool
from ..core.oci import Digest
from ..store import Body, FileSpool, MemorySpool, StoreError, WindowSpool

OPEN_BLOBS = 128
"""Descriptors kept open for blobs that may be asked for again; beside them each connection
has one, and 1024 is what a process gets where nobody raised it."""


HELD = 64 * 1024
"""Bytes of an open blob that are kept in memory, those read last, where they are no more: with
all descriptors in use, 8 MiB."""

WHOLE = 8 * 1024
"""Bytes of a blob that stays in memory when its descriptor goes to another: most manifests."""

WHOLE_BLOBS = 1024
"""Of those; with the largest, 8 MiB."""


HELD_SPOOLS = 8 * 1024 * 1024
"""Bytes of small content that may lie in memory until they are committed."""

LEAST_HELD = 16 * 1024
"""What such content counts for at the least: what a slow disk is behind is bounded in
number, too."""


class Source(Protocol):
    """Content that can be sent."""

    @property
    def fd(self) -> int | None:
        """For sendfile; None when the bytes are in memory."""

    def read(self, start: int, stop: int) -> bytes:
        """Exactly these bytes. StoreError: they are not there."""

    def release(self) -> None:
        """The use ends."""


@define(eq=False)
class OpenSpool:
    """A spool and who works with it. `body` is None until the first byte is to be written:
    creating a file may block. `on_room` is called when a WINDOW has room again."""

    spool: Spool
    body: Body | None
    _close: Callable[[Body], None]
    _memory: "Memory"
    on_room: Callable[[], None] | None = None
    _uses: int = 0
    _discarded: bool = False
    _held: int = 0

    @property
    def fd(self) -> int | None:
        return self.body.fd if isinstance(self.body, FileSpool) else None

    def read(self, start: int, stop: int) -> bytes:
        data = self.body.read(start, stop) if self.body is not None else b""
        if len(data) != stop - start:
            raise StoreError(f"spool {self.spool.number} ends before its length")
        return data

    @property
    def holdable(self) -> bool:
        """Whether `hold` is allowed."""
        fresh = self.spool.medium is Medium.FILE and self.body is None
        return fresh and self._memory.left > 0

    def hold(self, length: int) -> None:
        """Of content for a file that is so short: in memory until it is committed."""
        self.body = MemorySpool(self.spool)
        self._held = max(length, LEAST_HELD)
        self._memory.left -= self._held

    def use(self) -> "OpenSpool":
        self._uses += 1
        return self

    def release(self) -> None:
        self._uses -= 1
        self._close_if_done()

    def sent(self, upto: int) -> None:
        """The reader has it: a WINDOW may forget it."""
        if isinstance(self.body, WindowSpool):
            self.body.release(upto)
            if self.on_room is not None:
                self.on_room()

    def discard(self) -> None:
        """Nobody will begin to use it any more."""
        self._discarded = True
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._discarded and not self._uses and self.body is not None:
            body, self.body = self.body, None
            self._memory.left += self._held
            self._held = 0
            self._close(body)


@define
class Memory:
    """Bytes that are left for what is held."""

    left: int = HELD_SPOOLS


class Spools:
    """`close` ends a body for good; for a file it may block."""

    def __init__(self, close: Callable[[Body], None]) -> None:
        self._close = close
        self._open: dict[int, OpenSpool] = {}
        self._memory = Memory()

    def open(self, spool: Spool) -> OpenSpool:
        """The spool of this number, new or as it is; its first mention says what it is."""
        known = self._open.get(spool.number)
        if known is None:
            body: Body | None = None
            if spool.medium is Medium.MEMORY:
                body = MemorySpool(spool)
            elif spool.medium is Medium.WINDOW:
                body = WindowSpool(spool)
            known = self._open[spool.number] = OpenSpool(spool, body, self._close, self._memory)
        return known

    def find(self, spool: Spool) -> OpenSpool | None:
        return self._open.get(spool.number)

    def discard(self, spool: Spool) -> None:
        """One that was never opened is discarded by doing nothing."""
        known = self._open.pop(spool.number, None)
        if known is not None:
            known.discard()

    def close(self) -> None:
        """Discard what is left."""
        for known in list(self._open.values()):
            self.discard(known.spool)


@define(eq=False)
class OpenBlob:
    """A committed blob's file. `kept`: the table has it for the next one to ask."""

    digest: Digest
    fd: int
    kept: bool
    size: int = -1
    """Where it is known."""
    _uses: int = field(default=1, init=False)
    _start: int = field(default=-1, init=False)
    _held: bytes = field(default=b"", init=False)

    def read(self, start: int, stop: int) -> bytes:
        if start == self._start and stop - start == len(self._held):
            return self._held
        try:
            data = os.pread(self.fd, stop - start, start)
        except OSError as error:
            raise StoreError(str(error)) from error
        if len(data) != stop - start:
            raise StoreError(f"{self.digest} ends before its size")
        if len(data) <= HELD:
            self._start, self._held = start, data
        return data

    @property
    def whole(self) -> bytes | None:
        """All of it, if that is in memory anyway."""
        return self._held if self._start == 0 and len(self._held) == self.size else None

    def use(self) -> "OpenBlob":
        self._uses += 1
        return self

    def release(self) -> None:
        self._uses -= 1
        self._close_if_done()

    def forget(self) -> None:
        self.kept = False
        self._close_if_done()

    def _close_if_done(self) -> None:
        if not self.kept and not self._uses and self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


@frozen
class WholeBlob:
    """A committed blob in memory: nothing of its file is used."""

    content: bytes

    @property
    def fd(self) -> None:
        return None

    def read(self, start: int, stop: int) -> bytes:
        return self.content[start:stop]

    def release(self) -> None:
        pass


class Blobs:
    """Open blobs, least recently used first, and small ones that were open before."""

    def __init__(self, capacity: int = OPEN_BLOBS, *, whole: int = WHOLE_BLOBS) -> None:
        self._capacity = capacity
        self._room = whole
        self._open: OrderedDict[Digest, OpenBlob] = OrderedDict()
        self._whole: OrderedDict[Digest, WholeBlob] = OrderedDict()

    def find(self, digest: Digest) -> OpenBlob | WholeBlob | None:
        """A use of it, if it is open or in memory."""
        blob = self._open.get(digest)
        if blob is not None:
            self._open.move_to_end(digest)
            return blob.use()
        whole = self._whole.get(digest)
        if whole is not None:
            self._whole.move_to_end(digest)
        return whole

    def add(self, digest: Digest, fd: int, *, keep: bool, size: int = -1) -> OpenBlob | WholeBlob:
        """A use of what has just been opened, of `size` where that is known. Another may have been
        quicker: then of that."""
        known = self.find(digest)
        if known is not None:
            os.close(fd)
            return known
        blob = OpenBlob(digest, fd, kept=keep, size=size)
        if keep:
            self._open[digest] = blob
            if len(self._open) > self._capacity:
                self._close_oldest()
        return blob

    def _close_oldest(self) -> None:
        digest, oldest = self._open.popitem(last=False)
        content = oldest.whole
        oldest.forget()
        if content is not None and len(content) <= WHOLE:
            self._whole[digest] = WholeBlob(content)
            if len(self._whole) > self._room:
                self._whole.popitem(last=False)

    def drop(self, digest: Digest) -> None:
        """It is to be deleted, or cannot be read: an open file would keep the disk's space."""
        self._whole.pop(digest, None)
        blob = self._open.pop(digest, None)
        if blob is not None:
            blob.forget()

    def close(self) -> None:
        self._whole.clear()
        for digest in list(self._open):
            self.drop(digest)
