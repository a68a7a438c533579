"""The long middle of a large body, from its socket into its file, past the event loop.

One thread takes from the socket, decrypts where there is TLS, and writes while the bytes are still
in the processor's cache; a second one hashes what is written; the loop only hears how far they are.
Both leave the interpreter to others while bytes are copied, decrypted or hashed. How long upstream
may be silent is the loop's to say: where nothing comes, the threads give the body back to it.
"""

import os
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread

import httpcore

from .intake import ring
from .tls import Tls
from .transfers import Transfer

PUMPS = 4
"""Bodies that go this way at once, with two threads and 4 MiB each. Others are the loop's to read:
nobody waits for a pump."""

LEAST = 1024 * 1024
"""Bytes for which it is worth it."""

PIECE = 1024 * 1024
"""Bytes that the hash hears of at once, and of one write at the most. Smaller ones cost more calls,
larger ones leave the cache."""

ENCRYPTED = 256 * 1024
"""Bytes that are taken at once where they are still to be decrypted."""

PIECES = 4
"""What the hash may be behind."""

TELL = 4 * PIECE
"""Bytes after which the loop is told, or once the socket is empty: each time costs it a turn, the
core's event and writes to clients."""

SILENCE = 50
"""Milliseconds without a byte, after which the loop is to wait for the next one."""

GATHER = 0.001
"""Seconds to let more come, once the socket was empty: upstream is the slower one then, and single
packets would cost a write, a hash and a turn of the loop each."""


class Pumps:
    """Belongs to the loop's thread."""

    def __init__(self, post: Callable[[Callable[[], None]], object]) -> None:
        """`post` makes the loop call something soon, in order, from any thread."""
        self._post = post
        self._free = PUMPS

    def begin(
        self, transfer: Transfer, straight: tuple[int, Tls | None, int] | None
    ) -> "Pump | None":
        """For what may be read so, see `BodyReader.straight`; to be given to `end`. None: there is
        no pump, or too little to do."""
        if straight is None or straight[2] < LEAST or not self._free:
            return None
        try:
            pump = Pump(transfer, *straight, self._post)
        except OSError:  # no descriptor to be had
            return None
        self._free -= 1
        return pump

    def end(self, pump: "Pump") -> None:
        """It has run, or will not."""
        pump.close()
        self._free += 1


class Pump:
    """Of a non-blocking socket the next bytes, `count` at the most. With TLS they are those within
    it, and nobody else uses that meanwhile. What has been written is told to the core as it comes.
    OSError: it cannot be had."""

    def __init__(
        self,
        transfer: Transfer,
        fd: int,
        tls: Tls | None,
        count: int,
        post: Callable[[Callable[[], None]], object],
    ) -> None:
        self.taken = 0
        """Bytes taken from the socket and written."""
        self._transfer = transfer
        # The connection may be closed meanwhile, and the number be another file's.
        self._socket = socket.socket(fileno=os.dup(fd))
        self._tls = tls
        self._count = count
        self._post = post
        self._posted = False
        self._told = 0
        self._stopped = self._over = False
        self._ending = Lock()
        self._ready: SimpleQueue[memoryview] = SimpleQueue()
        self._written: SimpleQueue[memoryview | None] = SimpleQueue()

    def run(self) -> None:
        """Blocks until all is written and hashed, nothing more comes, or `stop`. Raises httpcore's
        errors and those of `Transfer.take`; what came before is written and hashed all the same."""
        pieces = ring(min(PIECES * PIECE, self._count))
        for start in range(0, len(pieces), PIECE):
            self._ready.put(pieces[start : start + PIECE])
        hasher = Thread(target=self._hash, name="distcache-hash")
        hasher.start()
        try:
            self._move()
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error
        finally:
            self._written.put(None)
            hasher.join()
            with self._ending:
                self._over = True

    def stop(self) -> None:
        """From any thread: the connection is lost, and `run` ends soon. Harmless when it has."""
        with self._ending:
            self._stopped = True
            if not self._over:
                with suppress(OSError):  # upstream was first
                    self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Nobody calls `stop` any more."""
        self._socket.close()

    def _move(self) -> None:
        """OSError, httpcore's errors and those of `Transfer.take`."""
        self._socket.setblocking(False)
        self._widen()
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        try:
            while self.taken < self._count and not self._stopped:
                room, before = self._ready.get(), self.taken
                try:
                    dry = self._fill(room[: self._count - before])
                finally:
                    (self._written if self.taken > before else self._ready).put(room)
                if dry or self.taken - self._told >= TELL:
                    self._tell()
                if dry:
                    if not waiting.poll(SILENCE):
                        return
                    time.sleep(GATHER)
        finally:
            self._tell()

    def _widen(self) -> None:
        """Room for a piece in the socket, so that upstream goes on while we write or wait. Between
        near machines it stays at some 64 KiB by itself; `SO_RCVBUF` would end the kernel's own
        growing for far ones, and has lower limits. Linux makes room for a mark, and leaves it when
        the mark is taken back, which it is at once: whoever waits must hear of each byte."""
        for mark in (PIECE, 1):
            with suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, mark)

    def _fill(self, room: memoryview) -> bool:
        """As much as can be had without waiting. True: that was all that had come. Raises what
        `_move` does."""
        while room and not self._stopped:
            try:
                count = self._receive(room)
            except BlockingIOError:
                return True
            if count:
                self._transfer.append(room[:count])
                self.taken += count
                room = room[count:]
            elif not self._stopped:
                raise httpcore.RemoteProtocolError("the body ends before its length")
        return False

    def _receive(self, room: memoryview) -> int:
        """Bytes put there, 0 at the end. OSError.

        What TLS may have to answer is the loop's to send, before it asks for anything else: a new
        key has no need of being told sooner (RFC 8446 §4.6.3), and other questions, which upstream
        would wait for, bring silence."""
        tls = self._tls
        if tls is None:
            return self._socket.recv_into(room)
        while not (count := tls.read_into(room)) and not tls.over:
            tls.take(self._socket.recv(ENCRYPTED))
        return count

    def _tell(self) -> None:
        """Have the loop tell the core what is new, unless it is going to anyway."""
        new, self._told = self.taken - self._told, self.taken
        if new and not self._posted:
            self._posted = True
            self._post(self._say)

    def _say(self) -> None:
        self._posted = False
        # From now on what comes is posted again; what came before is in the length.
        self._transfer.spooled(self._transfer.reach)

    def _hash(self) -> None:
        while (piece := self._written.get()) is not None:
            self._transfer.settle()
            self._ready.put(piece)
