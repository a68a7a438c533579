"""What was found out about secrets, kept for a while without the secrets.

A secret is known by a keyed hash under a key of this process's own: the table cannot be
searched for passwords offline, and a look-up takes the same time whatever is in it.
"""

import os
from collections import OrderedDict
from hashlib import blake2b
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")

ENTRIES = 4096
"""The least recently used goes first. A few hundred bytes each: what many clients at once use."""


class Memory(Generic[T]):
    """May be used from any thread. Times are in seconds."""

    def __init__(self, entries: int = ENTRIES) -> None:
        self._entries = entries
        self._key = os.urandom(32)
        self._lock = Lock()
        self._kept: OrderedDict[bytes, tuple[T, float]] = OrderedDict()

    def find(self, *secret: bytes, now: float) -> T | None:
        """What is kept of a secret (given in parts), unless its time has come."""
        name = self.fingerprint(*secret)
        with self._lock:
            value, until = self._kept.get(name, (None, now))
            if value is None:
                return None
            if until <= now:
                del self._kept[name]
                return None
            self._kept.move_to_end(name)
            return value

    def keep(self, *secret: bytes, value: T, until: float) -> None:
        name = self.fingerprint(*secret)
        with self._lock:
            self._kept[name] = value, until
            self._kept.move_to_end(name)
            if len(self._kept) > self._entries:
                self._kept.popitem(last=False)

    def fingerprint(self, *secret: bytes) -> bytes:
        """The keyed hash. Parts do not run into each other."""
        digest = blake2b(key=self._key, digest_size=32)
        for part in secret:
            digest.update(len(part).to_bytes(8))
            digest.update(part)
        return digest.digest()
