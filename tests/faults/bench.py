"""A cache between an origin that is well and a wiretap that is not, and what a test asks of
the three: one pull and what came of it, and that nothing of it is left."""

import hashlib
import json
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from attrs import define, field, frozen

from tests.support.cache import CacheServer
from tests.support.footprint import Footprint, awaited, settled
from tests.support.origin import Item, Origin, running_origin
from tests.support.raw import TornError, ask
from tests.support.wiretap import Wiretap

KIB = 1024
MIB = 1024 * KIB
REPOSITORY = "library/faulty"

PATIENT = {"connect": "30s", "headers": "30s", "idle": "60s"}
"""Upstream's timeouts where no test waits for them: it may be as slow as the machine is busy."""
HASTY = {"connect": "5s", "headers": "5s", "idle": "5s"}
"""Where tests do."""

EXACT = "exact"
TORN = "torn"
"""What a client can see beside these two is an error's status."""

HONEST = {401, 403, 404, 416, 429, 502, 503, 504}


@frozen
class Image:
    """An image of one layer, by the paths under which the origin serves it."""

    tag: str
    pinned: str
    layer: str
    config: str

    @property
    def paths(self) -> tuple[str, ...]:
        return (self.tag, self.pinned, self.layer, self.config)


@define(eq=False)
class Bench:
    """`first`: what the server held when it had just started. `numbers` makes names new."""

    origin: Origin
    wiretap: Wiretap
    cache: CacheServer
    first: Footprint = field(init=False)
    numbers: Iterator[int] = field(factory=count, init=False)

    def start(self) -> None:
        self.cache.start()
        # Its port takes connections before all that it holds is open; an answer comes after that.
        ask(self.cache.port, "/v2/")
        self.first = self.settled()

    def item(self, path: str) -> Item:
        return self.origin.items[path]

    def image(self, name: str, size: int = 300 * KIB) -> Image:
        """A new one at the origin; the same name gives the same bytes."""
        layer = random.Random(name).randbytes(size)
        tag = self.origin.add_image(REPOSITORY, name, [layer])
        manifest = self.item(tag)
        config = json.loads(manifest.body)["config"]["digest"]
        return Image(
            tag,
            f"/v2/{REPOSITORY}/manifests/{manifest.digest}",
            f"/v2/{REPOSITORY}/blobs/{Item(layer, '').digest}",
            f"/v2/{REPOSITORY}/blobs/{config}",
        )

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> str:
        """What a client sees: EXACT, TORN, or the status of an honest error. AssertionError: an
        answer that looks whole and is wrong."""
        try:
            answer = ask(self.cache.port, path, headers=headers)
        except (TornError, ConnectionError):
            return TORN
        item = self.item(path)
        if answer.status == 200:
            assert answer.body == item.body, f"wrong bytes for {path}"
            assert answer.headers["docker-content-digest"] == item.digest
            return EXACT
        assert answer.status in HONEST, answer
        assert json.loads(answer.body)["errors"][0]["code"], "an OCI error names its code"
        return str(answer.status)

    def pull(self, image: Image) -> list[str]:
        return [self.get(path) for path in image.paths]

    def assert_well(self, image: Image) -> None:
        """It serves `image`, holds nothing that it should not, and only whole blobs."""
        assert self.pull(image) == [EXACT] * 4
        self.assert_tidy()

    def settled(self) -> Footprint:
        return settled(self.cache)

    def assert_tidy(self) -> Footprint:
        # A quiet server may still be writing its journal.
        found = awaited(self.settled, lambda found: found.fixed == self.first.fixed)
        self.assert_blobs_whole()
        return found

    def assert_blobs_whole(self) -> None:
        for path in (self.cache.store / "blobs").glob("*/*"):
            with path.open("rb") as file:
                assert hashlib.file_digest(file, path.parent.name).hexdigest() == path.name

    def held(self, path: str) -> bool:
        """Whether its bytes are stored."""
        algorithm, _, name = self.item(path).digest.partition(":")
        return (self.cache.store / "blobs" / algorithm / name).exists()

    def await_gone(self, path: str) -> None:
        awaited(lambda: self.held(path), lambda held: not held)

    def stop(self) -> None:
        """In order, though there were faults."""
        text = self.cache.server.text
        assert self.cache.stop() == 0, text()[-4000:]
        assert '"stopped"' in text(), text()[-4000:]
        assert "Traceback" not in text(), text()[-4000:]


@contextmanager
def running_bench(
    directory: Path,
    runtime: str,
    proxy: Mapping[str, object] | None = None,
    http: Mapping[str, object] | None = None,
    store: Path | None = None,
) -> Iterator[Bench]:
    """`proxy` and `http` are added to what is configured here. A server that does not end in
    order fails the test."""
    with surroundings() as (origin, wiretap):
        cache = configured(directory, wiretap, runtime, proxy or {}, http or {}, store)
        bench = Bench(origin, wiretap, cache)
        try:
            bench.start()
            yield bench
            bench.stop()
        finally:
            cache.kill()


@contextmanager
def surroundings() -> Iterator[tuple[Origin, Wiretap]]:
    with running_origin() as origin:
        wiretap = Wiretap(origin.port)
        wiretap.start()
        try:
            yield origin, wiretap
        finally:
            wiretap.stop()


def configured(
    directory: Path,
    wiretap: Wiretap,
    runtime: str,
    proxy: Mapping[str, object],
    http: Mapping[str, object],
    store: Path | None,
) -> CacheServer:
    settings = {"remoteurl": wiretap.url, "timeouts": PATIENT, "negative_ttl": "0s", **proxy}
    place = directory / "store" if store is None else store
    return CacheServer(directory, settings, runtime=runtime, http=http, store=place)
