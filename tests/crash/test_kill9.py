"""kill -9 at seeded moments, again and again over one store.

Whatever the moment, the next start must find nothing partial: every file under `blobs/` is
what its name says, nothing is left of unfinished work, every answer is byte-exact, and what
was interrupted can be pulled again.
"""

import contextlib
import hashlib
import random
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from pathlib import Path

import pytest
from attrs import define, field

from tests.support.cache import RUNTIMES, CacheServer
from tests.support.faults import Fault, Gate
from tests.support.origin import Item, Origin, running_origin
from tests.support.raw import Answer, Download, TornError, ask, download
from tests.support.wiretap import Wiretap

LANES = 2
"""Stores tortured side by side, one core for each where the tests usually run."""

KILLS = 52
"""Per lane: more than a hundred together."""

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
    known: list[str] = field(factory=list, init=False)
    chance: random.Random = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def torture(self) -> None:
        self.cache.start()
        tidy = beside_blobs(self.cache.store)
        for number in range(KILLS):
            fresh = self.add_content(number)
            self.kill_during(fresh)
            self.known += fresh
            self.cache.start()
            assert beside_blobs(self.cache.store) == tidy
            assert_every_blob_whole(self.cache.store)
            older = self.chance.sample(self.known, min(3, len(self.known)))
            for path in (*fresh, *older):
                self.assert_exact(self.ask(path), path)
        self.assert_nothing_partial_without_upstream()

    def add_content(self, number: int) -> list[str]:
        """Paths of a new image's tag and of its three layers."""
        layers = [self.chance.randbytes(self.chance.choice(SIZES)) for _ in range(3)]
        tag = self.origin.add_image(REPOSITORY, f"v{number}", layers)
        return [tag, *(self.origin.add_blob(REPOSITORY, data) for data in layers)]

    def kill_during(self, fresh: list[str]) -> None:
        """Pull everything at once, and kill at some moment of the last one's transfer."""
        *others, path = fresh
        body = self.item(path).body
        moment = self.chance.choice(list(Moment))
        offset = self.chance.randrange(len(body))
        gate = Gate(offset)
        if moment is Moment.HELD:
            self.wiretap.spoil(Fault(path, gate=gate))
        with ThreadPoolExecutor(len(others)) as pool:
            pulls = [pool.submit(self.pull_while_it_lasts, other) for other in others]
            with download(self.cache.port, path, body) as watched:
                self.await_moment(moment, gate, watched, len(body))
                self.cache.kill()
            gate.open()
            for pull in pulls:
                pull.result()

    def await_moment(self, moment: Moment, gate: Gate, watched: Download, size: int) -> None:
        match moment:
            case Moment.HELD:
                gate.await_reached()
            case Moment.FLOWING:
                watched.read(gate.at)
            case Moment.DONE:
                watched.read(size)
                # Requests are the clock: each lets the server take a few more steps.
                for _ in range(self.chance.randrange(6)):
                    self.ask("/v2/")

    def pull_while_it_lasts(self, path: str) -> None:
        """Any bytes that come are right; the end may come at any time."""
        body = self.item(path).body
        with (
            contextlib.suppress(TornError, OSError),
            download(self.cache.port, path, body) as one,
        ):
            one.read_rest()

    def assert_nothing_partial_without_upstream(self) -> None:
        """What the store holds by itself is exact; the rest is refused, not invented."""
        self.cache.stop()
        self.cache.proxy = {**self.cache.proxy, "offline": True}
        self.cache.start()
        for path in self.known:
            answer = self.ask(path)
            assert answer.status in (200, 503)
            if answer.status == 200:
                self.assert_exact(answer, path)
        assert self.ask(self.known[-1]).status == 200, "pulled in full and in peace"

    def ask(self, path: str) -> Answer:
        return ask(self.cache.port, path)

    def item(self, path: str) -> Item:
        return self.origin.items[path]

    def assert_exact(self, answer: Answer, path: str) -> None:
        item = self.item(path)
        assert answer.status == 200, path
        assert answer.headers["docker-content-digest"] == item.digest
        assert answer.body == item.body


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_hundred_kills_leave_nothing_partial_behind(runtime: str, tmp_path: Path) -> None:
    with ThreadPoolExecutor(LANES) as pool:
        lanes = [pool.submit(torture_one_store, seed, tmp_path, runtime) for seed in range(LANES)]
        for lane in lanes:
            lane.result()


def torture_one_store(seed: int, directory: Path, runtime: str) -> None:
    with running_origin() as origin, contextlib.ExitStack() as stack:
        wiretap = Wiretap(origin.port)
        wiretap.start()
        stack.callback(wiretap.stop)
        proxy = {"remoteurl": wiretap.url}
        cache = CacheServer(directory / f"lane{seed}", proxy, runtime=runtime)
        stack.callback(cache.kill)
        Lane(seed, origin, wiretap, cache).torture()


def beside_blobs(store: Path) -> frozenset[str]:
    """Files that are not content. SQLite's log and shared memory come and go as it likes."""
    files = (path.relative_to(store) for path in store.rglob("*") if path.is_file())
    return frozenset(
        str(path)
        for path in files
        if path.parts[0] != "blobs" and not path.name.endswith(("-wal", "-shm"))
    )


def assert_every_blob_whole(store: Path) -> None:
    for path in (store / "blobs" / "sha256").iterdir():
        with path.open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == path.name
