"""A long run: mixed clients, evictions, moving tags and upstream faults, all at once.

    python -m tests.faults.soak MINUTES [--runtime trio] [--seed 1]

Every byte that a client is given is compared with what it must be. From time to time everybody
pauses; what the server then holds must be what it held at the start, and its memory must not
have grown since it was warm. Prints the figures of each pause; exit status 1 on a wrong byte,
on growth, or when the server does not end in order.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attrs import define, field, frozen

from tests.faults.bench import EXACT, HASTY, HONEST, KIB, MIB, TORN, Bench, Image, running_bench
from tests.support.cache import RUNTIMES
from tests.support.faults import Fault, Gate
from tests.support.footprint import Footprint
from tests.support.raw import TornError, ask, download

PART = "part"
LEFT = "left"

CLIENTS = 8
IMAGES = 40
SIZES = (1, 1000, 64 * KIB, 300 * KIB, MIB, 3 * MIB)
MAX_SIZE = 16 * MIB
"""About a third of everything there is."""

GROWTH = 16 * MIB
"""Bytes of memory that a warm server may gain: what an allocator keeps, far from any leak."""

FAULTY = 5
"""Bytes of one blob that upstream may have spoilt in the tries of one transfer."""

WARM = 2
"""Pauses after which it is warm."""


@frozen
class Sample:
    seconds: float
    found: Footprint
    exact: int
    stored: int


@define(eq=False)
class Soak:
    bench: Bench
    seed: int
    seen: Counter[str] = field(factory=Counter, init=False)
    verified: int = field(default=0, init=False)
    images: list[Image] = field(factory=list, init=False)
    versions: dict[str, set[bytes]] = field(factory=dict, init=False)
    samples: list[Sample] = field(factory=list, init=False)

    def run(self, seconds: float, rounds: int) -> None:
        """AssertionError: a wrong byte, or something left over."""
        for number in range(IMAGES):
            image = self.bench.image(f"soak-{number}", SIZES[number % len(SIZES)])
            self.images.append(image)
            self.versions[image.tag] = {self.bench.item(image.tag).body}
        begun = time.monotonic()
        for number in range(rounds):
            until = begun + seconds * (number + 1) / rounds
            with ThreadPoolExecutor(CLIENTS) as pool:
                lanes = [pool.submit(self.client, number, lane, until) for lane in range(CLIENTS)]
                for lane in lanes:
                    lane.result()
            self.pause(time.monotonic() - begun)
        well = self.seen[EXACT] + self.seen[LEFT] + self.seen[PART]
        assert well > self.seen.total() * 3 / 4, self.seen
        assert self.samples[-1].stored <= MAX_SIZE

    def client(self, number: int, lane: int, until: float) -> None:
        chance = random.Random(f"{self.seed} {number} {lane}")
        actions: list[Callable[[random.Random], str]] = [self.whole, self.part, self.tag]
        actions += [self.whole, self.head, self.leave, self.slow, self.pinned]
        while time.monotonic() < until:
            if chance.random() < 0.15:
                self.bench.wiretap.spoil(some_fault(chance))
            if chance.random() < 0.02:
                self.move_tag(chance)
            try:
                self.seen[chance.choice(actions)(chance)] += 1
            except (TornError, ConnectionError):
                self.seen[TORN] += 1

    def pause(self, seconds: float) -> None:
        """Nobody asks for anything; what was left half-way is fetched, so that it ends."""
        self.bench.wiretap.plan.clear()
        for image in self.images:
            assert self.bench.get(image.layer) == EXACT
        found = self.bench.assert_tidy()
        stored = sum(path.stat().st_size for path in (self.bench.cache.store / "blobs").glob("*/*"))
        sample = Sample(seconds, found, self.seen[EXACT], stored)
        self.samples.append(sample)
        print(described(sample), flush=True)
        warm = self.samples[:WARM][-1].found.memory
        assert found.memory <= warm + GROWTH, f"memory grew from {warm} to {found.memory}"
        assert found.upstreams <= CLIENTS * 2, found

    # What clients do

    def whole(self, chance: random.Random) -> str:
        return self.count(self.bench.get(path := self.layer(chance)), path)

    def pinned(self, chance: random.Random) -> str:
        return self.count(self.bench.get(path := chance.choice(self.images).pinned), path)

    def tag(self, chance: random.Random) -> str:
        path = chance.choice(self.images).tag
        answer = ask(self.bench.cache.port, path)
        if answer.status == 200:
            assert answer.body in self.versions[path], "a manifest that never was"
            return EXACT
        assert answer.status in HONEST, answer
        return str(answer.status)

    def head(self, chance: random.Random) -> str:
        path = self.layer(chance)
        answer = ask(self.bench.cache.port, path, "HEAD")
        if answer.status == 200:
            assert answer.headers["content-length"] == str(len(self.bench.item(path).body))
            return EXACT
        assert answer.status in HONEST, answer
        return str(answer.status)

    def part(self, chance: random.Random) -> str:
        path = self.layer(chance)
        body = self.bench.item(path).body
        # Few different ones: the server remembers requests that it has seen, within a bound
        # that random ranges would take minutes to reach.
        first = chance.randrange(4) * len(body) // 4
        stop = max(first + 1, chance.randrange(1, 5) * len(body) // 4)
        headers = {"Range": f"bytes={first}-{stop - 1}"}
        answer = ask(self.bench.cache.port, path, headers=headers)
        if answer.status == 206:
            # A damaged transfer is only seen at its end, by the digest of the whole. So a part
            # may hold what upstream spoilt, and nothing else that is wrong.
            wrong = sum(a != b for a, b in zip(answer.body, body[first:stop], strict=True))
            assert wrong <= FAULTY, f"{wrong} wrong bytes of {path}"
            return "spoilt part" if wrong else PART
        assert answer.status in HONEST, answer
        return str(answer.status)

    def leave(self, chance: random.Random) -> str:
        """After some bytes, or none."""
        return self.read_some(chance, None, chance.random() * 0.9)

    def slow(self, chance: random.Random) -> str:
        """Little by little, through a small window."""
        return self.read_some(chance, 8 * KIB, 1)

    def read_some(self, chance: random.Random, window: int | None, share: float) -> str:
        path = self.layer(chance)
        body = self.bench.item(path).body
        try:
            with download(self.bench.cache.port, path, body, receive_buffer=window) as one:
                if one.status != 200:
                    return str(one.status)
                one.read(int(len(body) * share))
        except AssertionError:
            # As in `part`: what is not read to its end may hold upstream's wrong byte.
            return "spoilt start"
        return LEFT

    def layer(self, chance: random.Random) -> str:
        return chance.choice(self.images).layer

    def count(self, seen: str, path: str) -> str:
        if seen == EXACT:
            self.verified += len(self.bench.item(path).body)
        return seen

    def move_tag(self, chance: random.Random) -> None:
        """To what another tag names."""
        one, other = chance.sample(self.images, 2)
        item = self.bench.item(other.pinned)
        self.versions[one.tag].add(item.body)
        repository = one.tag.rpartition("/")[0]
        self.bench.origin.items[f"{repository}/{item.digest}"] = item
        self.bench.origin.items[one.tag] = item


def some_fault(chance: random.Random) -> Fault:
    at = chance.choice((0, 1, 1000, 60_000))
    path = chance.choice(("/blobs/", "/manifests/"))
    return chance.choice(
        (
            Fault(path, cut=at),
            Fault(path, corrupt=at),
            Fault(path, gate=Gate(at)),
            Fault(path, gate=Gate(0), mute=True),
            Fault(path, drop=True),
            Fault(path, piece=10_000),
            Fault(path, status=429, headers=(("Retry-After", "1"),)),
            Fault(path, status=chance.choice((500, 502, 503, 504)), times=3),
            Fault(path, "HEAD", status=chance.choice((403, 405, 429, 503))),
            Fault(path, "HEAD", drop=True),
        )
    )


def described(sample: Sample) -> str:
    found = sample.found
    return (
        f"{sample.seconds:7.1f} s  {sample.exact:7d} exact  memory {found.memory / MIB:6.1f} MiB"
        f"  upstream connections {found.upstreams:2d}  open blobs {found.blobs:3d}"
        f"  threads {found.threads:2d}  stored {sample.stored / MIB:5.1f} MiB"
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="tests.faults.soak")
    parser.add_argument("minutes", type=float)
    parser.add_argument("--runtime", choices=("trio", "asyncio"), default=RUNTIMES[0])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    seconds = options.minutes * 60
    with tempfile.TemporaryDirectory() as directory:
        try:
            proxy = {"max_size": str(MAX_SIZE), "timeouts": HASTY}
            with running_bench(Path(directory), options.runtime, proxy) as bench:
                soak = Soak(bench, options.seed)
                soak.run(seconds, rounds=max(3, int(seconds / 20)))
        except AssertionError as error:
            print(f"FAILED: {error}", file=sys.stderr)
            return 1
    print(f"{soak.verified / MIB:.0f} MiB compared;", dict(soak.seen.most_common()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
