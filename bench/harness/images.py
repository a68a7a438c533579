"""Row 9, a whole image by a real client; row 11, warm answers while images are being filled."""

import shutil
import subprocess
import threading
import time
from pathlib import Path

from attrs import evolve, field, frozen

from .content import MIB, REPOSITORY, Item, Shelf
from .lab import Lab, Row
from .load import Drained, LoadError, drain, verify, wrk
from .origin import limited
from .results import Case, Sample
from .subjects import Running
from .transfers import LIMIT

LAYERS = 30
FILLS = 8


@frozen
class Image:
    """30 layers of 4 MiB by skopeo, six at once, which checks every digest itself."""

    number: int = 9
    title: str = "image of 30 layers, skopeo"

    def stock(self, shelf: Shelf) -> None:
        shelf.image("image", [shelf.layer(f"layer-{n}", 4 * MIB) for n in range(LAYERS)])

    def run(self, lab: Lab) -> None:
        cold = Case("9/cold", "image of 30 layers, skopeo, cold", "s", False, "image")
        warm = Case("9/warm", "image of 30 layers, skopeo, warm", "s", False, "image")

        def measure(running: Running) -> list[Sample]:
            return [_copy(lab, running), _copy(lab, running)]

        lab.cold((cold, warm), lab.setup(), measure, lambda running: None)


@frozen
class Calm:
    """Four connections that ask for a warm tag, back to back, while 8 blobs of 100 MiB come
    in from an upstream of 200 MB/s, each to a client of its own."""

    number: int = 11
    title: str = "warm tag GETs while 8 cold fills run"
    items: list[Item] = field(factory=list)

    def stock(self, shelf: Shelf) -> None:
        self.items.append(shelf.image("calm", [shelf.layer("calm", MIB)])[0])

    def run(self, lab: Lab) -> None:
        (tag,) = self.items
        size = (40 if lab.quick else 100) * MIB
        blobs = [lab.shelf.blob(f"fill-{number}", size) for number in range(FILLS)]
        p99 = Case("11/p99", f"{self.title}: p99", "ms", higher=False)
        rate = Case("11/rate", f"{self.title}: rate", "req/s", higher=True)
        seconds = max(1, int(size * FILLS / LIMIT) - 1)

        def measure(running: Running) -> list[Sample]:
            verify(running, tag)
            fills = _Fills(running, blobs)
            done = wrk(running, [tag.path], 4, seconds, lab.directory, None)
            if not fills.under_way:
                raise LoadError("the fills ended before the measurement did")
            fills.join()
            return [Sample(done.p99 * 1e3), Sample(done.rate, rss=running.process.peak())]

        with limited(lab.shelf, lab.place(), LIMIT) as origin:
            setup = evolve(lab.setup(), upstream=origin.url)
            lab.cold((p99, rate), setup, measure, lambda running: verify(running, tag))


ROWS: tuple[Row, ...] = (Image(), Calm())


class _Fills:
    """Cold pulls in the background."""

    def __init__(self, running: Running, blobs: list[Item]) -> None:
        self._running = running
        self._blobs = blobs
        self._errors: list[LoadError] = []
        self._done: list[Drained] = []
        self._thread = threading.Thread(target=self._pull)
        self._thread.start()

    @property
    def under_way(self) -> bool:
        return self._thread.is_alive()

    def join(self) -> None:
        """LoadError: one got wrong bytes."""
        self._thread.join()
        if self._errors:
            raise self._errors[0]
        if self._done[0].received != sum(blob.size for blob in self._blobs):
            raise LoadError(f"{self._done[0].received} bytes of all blobs")

    def _pull(self) -> None:
        paths = [blob.path for blob in self._blobs]
        try:
            arguments = ["--share", f"--clients={FILLS}", *paths]
            self._done.append(drain(self._running, arguments))
        except LoadError as error:
            self._errors.append(error)


def _copy(lab: Lab, running: Running) -> Sample:
    target = lab.place()
    source = f"docker://127.0.0.1:{running.port}/{REPOSITORY}:image"
    options = ["--insecure-policy", "copy", "--quiet", "--src-tls-verify=false"]
    before = running.process.cpu()
    started = time.perf_counter()
    done = subprocess.run(
        ["skopeo", *options, source, f"oci:{target}:image"],
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    used = running.process.cpu() - before
    try:
        if done.returncode or (held := _files(target)) != LAYERS + 2:
            raise LoadError(f"skopeo: {done.stderr[-300:] or held}")
    finally:
        shutil.rmtree(target, ignore_errors=True)
    return Sample(seconds, used, running.process.peak())


def _files(layout: Path) -> int:
    return sum(1 for file in layout.glob("blobs/sha256/*"))
