"""The long middle of a large body, from its socket into its file, past the event loop.

One thread takes from the socket and writes while the bytes are still in the processor's cache, a
second one hashes what is written; the loop only hears how far they are. Both leave the
interpreter to others for as long as a mebibyte takes to be copied or hashed. How long upstream may
be silent is the loop's to say: where nothing comes, the threads give the body back to it.
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
from .transfers import Transfer

PUMPS = 4
"""Bodies that go this way at once, with two threads and 4 MiB each. Others are the loop's to read:
nobody waits for a pump."""

LEAST = 1024 * 1024
"""Bytes for which it is worth it."""

PIECE = 1024 * 1024
"""Bytes of one write at the most. Smaller ones cost more calls, larger ones leave the cache."""

PIECES = 4
"""What the hash may be behind."""

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

    def begin(self, transfer: Transfer, straight: tuple[int, int] | None) -> "Pump | None":
        """For what may be read so, see `BodyReader.straight`; to be given to `end`. None: there is
        no pump, or too little to do."""
        if straight is None or straight[1] < LEAST or not self._free:
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
    """Of a non-blocking socket the next bytes, `count` at the most. What has been written is told
    to the core as it comes. OSError: it cannot be had."""

    def __init__(
        self,
        transfer: Transfer,
        fd: int,
        count: int,
        post: Callable[[Callable[[], None]], object],
    ) -> None:
        self.taken = 0
        """Bytes taken from the socket and written."""
        self._transfer = transfer
        # The connection may be closed meanwhile, and the number be another file's.
        self._socket = socket.socket(fileno=os.dup(fd))
        self._count = count
        self._post = post
        self._posted = False
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
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        while self.taken < self._count:
            room = self._ready.get()
            piece = room[: self._receive(room[: self._count - self.taken], waiting)]
            if not piece:
                return
            self._transfer.append(piece)
            self._written.put(room)
            self.taken += len(piece)
            if not self._posted:
                self._posted = True
                self._post(self._tell)

    def _tell(self) -> None:
        self._posted = False
        # From now on what comes is posted again; what came before is in the length.
        self._transfer.spooled(self._transfer.reach)

    def _receive(self, room: memoryview, waiting: select.poll) -> int:
        """Bytes put there. 0: nothing more is to be taken."""
        while not self._stopped:
            try:
                count = self._socket.recv_into(room)
            except BlockingIOError:
                if not waiting.poll(SILENCE):
                    return 0
                time.sleep(GATHER)
                continue
            if not count and not self._stopped:
                raise httpcore.RemoteProtocolError("the body ends before its length")
            return count
        return 0

    def _hash(self) -> None:
        while (piece := self._written.get()) is not None:
            self._transfer.settle()
            self._ready.put(piece)
