"""Row 13, memory at rest and with much in store; row 14, start and eviction with much in store.

Row 14 is about ours only: the store is written by its own code, with sparse files for blobs.
"""

import compileall
import http.client
import os
import shutil
import time
from pathlib import Path

from attrs import evolve, frozen

import distcache

from .content import KIB, Item, Shelf
from .lab import Lab, Row
from .load import LoadError, drain
from .processes import ServerError
from .records import LAYERS, PIECE, write_store
from .results import Case, Sample
from .subjects import Running, Subject, Unable

MIB = 1024.0 * 1024.0


@frozen
class Memory:
    number: int = 13
    title: str = "resident memory"

    def stock(self, shelf: Shelf) -> None:
        pass

    def run(self, lab: Lab) -> None:
        objects = 2_000 if lab.quick else 20_000
        idle = Case("13/idle", "resident memory, idle", "MiB", higher=False)
        full = Case("13/objects", f"resident memory after {objects:,} objects", "MiB", False)
        rate = Case(
            "13/rate", f"{objects:,} cold objects of 1 KiB, 16 clients", "req/s", True, "request"
        )
        paths = lab.place()
        paths.write_text("\n".join(item.path for item in _objects(lab, objects)))
        setup = lab.setup()
        for subject in lab.subjects:
            try:
                with lab.fresh(subject, setup) as running:
                    _ping(running)
                    lab.add(idle, subject, Sample(running.process.resident() / MIB))
                    before = running.process.cpu()
                    done = drain(running, ["--share", "--clients=16", f"--list={paths}"])
                    used = (running.process.cpu() - before) / done.answers
                    lab.add(full, subject, Sample(running.process.resident() / MIB))
                    peak = running.process.peak()
                    lab.add(rate, subject, Sample(done.answers / done.seconds, used, peak))
            except (Unable, ServerError, LoadError) as error:
                for case in (idle, full, rate):
                    lab.fail(case, subject, error)


@frozen
class Start:
    """From the command to the first answer, with an index of so many rows: of images of eight
    blobs, each with a grant, and a tag. Then, when what goes on behind the start is over, as many
    pulls as make one image go each."""

    number: int = 14
    title: str = "start and eviction with many rows"

    def stock(self, shelf: Shelf) -> None:
        pass

    def run(self, lab: Lab) -> None:
        # As an installer leaves it: what compiles at each start where nobody may write, or where
        # PYTHONDONTWRITEBYTECODE is set, is a checkout.
        compileall.compile_dir(Path(distcache.__file__).parent, quiet=1)
        for name, rows in (("20k", 20_000), ("1m", 100_000 if lab.quick else 1_000_000)):
            start = Case(f"14/start-{name}", f"start with {rows:,} rows", "s", False)
            memory = Case(
                f"14/rss-{name}", f"peak memory of that start, {rows:,} rows", "MiB", False
            )
            evict = Case(
                f"14/evict-{name}", f"cold pull that evicts, {rows:,} rows: CPU", "ms", False
            )
            cases = (start, memory, evict)
            for subject in lab.subjects:
                if not subject.ours:
                    continue
                try:
                    samples = _start(lab, subject, rows)
                except (Unable, ServerError, LoadError) as error:
                    for case in cases:
                        lab.fail(case, subject, error)
                else:
                    for case, sample in zip(cases, samples, strict=True):
                        lab.add(case, subject, sample)


ROWS: tuple[Row, ...] = (Memory(), Start())

PULLS = 200

CALM = 0.5
"""Seconds with next to no processor time: nothing goes on behind the start any more."""


def _start(lab: Lab, subject: Subject, rows: int) -> list[Sample]:
    store = lab.place()
    authority = lab.setup().upstream.removeprefix("http://")
    held = write_store(store, rows, authority)
    blobs = store / "blobs" / "sha256"
    before = len(os.listdir(blobs))
    pulled = [lab.shelf.blob(f"evicting-{n}", LAYERS * PIECE) for n in range(PULLS)]
    setup = evolve(lab.setup(), store=store, max_size=held)
    started = time.perf_counter()
    with lab.fresh(subject, setup) as running:
        _ping(running)
        seconds = time.perf_counter() - started
        peak = running.process.peak()
        cpu = _calm(running)
        drain(running, [item.path for item in pulled])
        used = running.process.cpu() - cpu
    gone = before + PULLS - len(os.listdir(blobs))
    shutil.rmtree(store)
    if not PULLS * LAYERS // 2 < gone < PULLS * LAYERS * 2:
        raise LoadError(f"{gone} blobs were evicted by {PULLS} pulls")
    return [Sample(seconds), Sample(peak / MIB), Sample(used / PULLS * 1e3)]


def _calm(running: Running) -> float:
    """Wait until it does nothing but watch; the processor time it has taken until then."""
    before = running.process.cpu()
    while True:
        time.sleep(CALM)
        after = running.process.cpu()
        if after - before < CALM / 10:
            return after
        before = after


def _objects(lab: Lab, count: int) -> list[Item]:
    return [lab.shelf.blob(f"object-{number}", KIB) for number in range(count)]


def _ping(running: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
    try:
        connection.request("GET", "/v2/")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise LoadError(f"/v2/: {error!r}") from error
    finally:
        connection.close()
    if status != 200:
        raise LoadError(f"/v2/: {status}")
