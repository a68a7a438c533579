"""kill -9 at seeded moments, again and again over one store.

Whatever the moment, the next start must find nothing partial: every file under `blobs/` is
what its name says, nothing is left of unfinished work, every answer is byte-exact, and what
was interrupted can be pulled again.
"""

import hashlib
import random
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from enum import Enum
from pathlib import Path

import pytest
from attrs import define, field

from tests.support.cache import CacheServer
from tests.support.faults import Fault, Gate
from tests.support.origin import Item, Origin, running_origin
from tests.support.raw import TornError, ask, download
from tests.support.wiretap import Wiretap

LANES = 2
"""Stores tortured side by side: one core each where the tests usually run."""

KILLS = 52
"""Per lane."""

REPOSITORY = "library/crash"
KIB = 1024
SIZES = (1, 4 * KIB, 100 * KIB, 700 * KIB, 3000 * KIB)


class Moment(Enum):
    HELD = "upstream has sent some of the blob and waits"
    FLOWING = "the client has read some of the blob, upstream goes on"
    DONE = "the client has all of it; what follows is the cache's own business"


@define(eq=False)
class Lane:
    """One store, its server, and everything that was ever asked of it."""

    seed: int
    origin: Origin
    wiretap: Wiretap
    cache: CacheServer
    known: list[str] = field(factory=list)
    chance: random.Random = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def item(self, path: str) -> Item:
        return self.origin.items[path]

    def torture(self) -> None:
        self.cache.start()
        tidy = unfinished(self.cache.store)
        for number in range(KILLS):
            fresh = self.add_content(number)
            self.kill_during(fresh)
            self.known += fresh
            self.cache.start()
            assert unfinished(self.cache.store) == tidy
            assert_every_blob_whole(self.cache.store)
            for path in [*fresh, *self.sample(3)]:
                self.assert_exact(path)
        self.check_without_upstream()

    def add_content(self, number: int) -> list[str]:
        """Paths of a new image's tag and of its three layers."""
        layers = [self.chance.randbytes(self.chance.choice(SIZES) + number) for _ in range(3)]
        tag = self.origin.add_image(REPOSITORY, f"v{number}", layers)
        return [tag, *(self.origin.add_blob(REPOSITORY, data) for data in layers)]

    def sample(self, count: int) -> list[str]:
        return self.chance.sample(self.known, min(count, len(self.known)))

    def kill_during(self, fresh: list[str]) -> None:
        """Pull everything at once; kill at a moment of the last layer's transfer."""
        *others, watched = fresh
        size = len(self.item(watched).body)
        moment = self.chance.choice(list(Moment))
        offset = self.chance.randrange(size)
        gate = Gate(offset)
        if moment is Moment.HELD:
            self.wiretap.spoil(Fault(watched, gate=gate))
        with ThreadPoolExecutor(len(others)) as pool:
            pulls = [pool.submit(self.pull_while_it_lasts, path) for path in others]
            with download(self.cache.port, watched, self.item(watched).body) as main:
                self.reach(moment, offset, gate, main.read)
                self.cache.kill()
            gate.open()
            settle(pulls)

    def reach(self, moment: Moment, offset: int, gate: Gate, read: "Reader") -> None:
        match moment:
            case Moment.HELD:
                gate.await_reached()
            case Moment.FLOWING:
                read(offset)
            case Moment.DONE:
                read(len(self.item(self.watched_path).body))
