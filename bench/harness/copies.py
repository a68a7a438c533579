"""Row 15: how often a byte passes through the server's memory on its way, counted by strace.

What read- and write-like system calls return is added up over all threads and divided by the
bytes that the client got; sendfile and splice, which stay in the kernel, count nothing.
"""

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from .content import MIB, Shelf
from .lab import Lab, Row
from .load import LoadError, curl, verify
from .processes import ServerError
from .results import Case, Sample
from .subjects import Running, Unable

COPYING = (
    "read", "pread64", "readv", "preadv", "preadv2", "recvfrom", "recvmsg",
    "write", "pwrite64", "writev", "pwritev", "pwritev2", "sendto", "sendmsg",
)  # fmt: skip
RESULT = re.compile(rb"\b(?P<call>[a-z0-9]+)(?:\(| resumed>).* = (?P<count>\d+)$")
ATTACHED = 10.0
"""Seconds that strace gets to take hold of every thread."""


@frozen
class Copies:
    number: int = 15
    title: str = "bytes copied per byte served"

    def stock(self, shelf: Shelf) -> None:
        pass

    def run(self, lab: Lab) -> None:
        item = lab.shelf.blob("copies", (20 if lab.quick else 100) * MIB)
        cold = Case("15/cold", "bytes copied per byte served, cold", "x", higher=False)
        warm = Case("15/warm", "bytes copied per byte served, warm", "x", higher=False)
        setup = lab.setup()
        for subject in lab.subjects:
            try:
                with lab.fresh(subject, setup) as running:
                    for case in (cold, warm):
                        log = lab.place()
                        with traced(running, log):
                            curl(running, item)
                        lab.add(case, subject, Sample(copied(log) / item.size))
                    verify(running, item)
            except (Unable, ServerError, LoadError) as error:
                for case in (cold, warm):
                    lab.fail(case, subject, error)


ROWS: tuple[Row, ...] = (Copies(),)


def copied(log: Path) -> int:
    """Bytes that passed through memory, by strace's own log."""
    total = 0
    with log.open("rb") as lines:
        for line in lines:
            found = RESULT.search(line.rstrip())
            if found and found["call"].decode() in COPYING:
                total += int(found["count"])
    return total


@contextmanager
def traced(running: Running, log: Path) -> Iterator[None]:
    """strace on every thread, those that begin meanwhile too. LoadError: it cannot."""
    # A child that begins from here on is strace's own to follow, but not seen in time here.
    there = _tasks(running)
    processes = [word for pid in running.process.tree() for word in ("-p", f"{pid}")]
    command = ["strace", "-f", "-qq", "-s", "0", "-e", f"trace={','.join(COPYING)}"]
    try:
        tracer = subprocess.Popen(
            [*command, "-o", str(log), *processes],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise LoadError(f"strace: {error}") from error
    with tracer:
        try:
            _await_attached(there, tracer)
            yield
        finally:
            tracer.terminate()


def _await_attached(tasks: list[Path], tracer: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + ATTACHED
    while not all(_tracer_of(task) in (tracer.pid, None) for task in tasks):
        if tracer.poll() is not None or time.monotonic() > deadline:
            tracer.terminate()
            assert tracer.stderr is not None
            raise LoadError(f"strace: {tracer.stderr.read().decode()[:300]}")
        time.sleep(0.01)


def _tasks(running: Running) -> list[Path]:
    return [task for pid in running.process.tree() for task in Path(f"/proc/{pid}/task").glob("*")]


def _tracer_of(task: Path) -> int | None:
    """0: nobody. None: the thread has ended, as those do that only help a server to start."""
    try:
        lines = (task / "status").read_text().splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) for line in lines if line.startswith("TracerPid:"))
