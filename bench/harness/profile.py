"""Where ours spends its time: `python -m bench.harness.profile RUNTIME CASE`, with py-spy.

Samples all threads while a case runs and spreads the processor time that one request (or GB)
cost over the functions: own time, and with what they call. py-spy takes threads that wait for
work for working ones: samples in WAITING are left out, and epoll's own small cost with them.
"""

import argparse
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from attrs import frozen

from .content import KIB, MIB, Shelf
from .load import curl, verify, wrk
from .origin import serving
from .subjects import SUBJECTS, Running, Setup

CASES = ("tag", "tag-checked", "digest", "4k", "64k", "warm", "cold")
RATE = 500
OUTSIDE = (
    "typer/",
    "runpy",
    "click/",
    "cli.py",
    "__main__",
    "threading.py",
    "trio/_core/_run.py",
    "asyncio/",
)
"""Frames of which nobody wants to know what they call."""


WAITING = ("EpollSelector.select", "EpollIOManager.get_events", "WorkerThread._work", "_worker")


@frozen
class Profile:
    """Samples by function as py-spy spells it; `threads`: those of threads beside the main."""

    own: Counter[str]
    whole: Counter[str]
    threads: int


def main() -> None:
    parser = argparse.ArgumentParser(description="where the processor time goes")
    parser.add_argument("runtime", choices=[s.name for s in SUBJECTS if s.ours])
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--lines", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        used, unit, profile = measure(Path(place), options)
    print(f"{options.runtime} {options.case}: {used * 1e6:,.0f} us of CPU per {unit}")
    show(profile, used, options.lines)


def measure(place: Path, options: argparse.Namespace) -> tuple[float, str, Profile]:
    """Processor seconds per unit, the unit, the samples."""
    shelf = Shelf(place / "origin")
    tag, digest = shelf.image("profile", [shelf.layer(f"{n}", KIB) for n in range(7)])
    items = {
        "tag": tag,
        "tag-checked": tag,
        "digest": digest,
        "4k": shelf.blob("profile", 4 * KIB),
        "64k": shelf.blob("profile", 64 * KIB),
        "warm": shelf.blob("profile", 100 * MIB),
        "cold": shelf.blob("profile", 500 * MIB),
    }
    item = items[options.case]
    subject = next(s for s in SUBJECTS if s.name == options.runtime)
    big = options.case in ("warm", "cold")
    with ExitStack() as stack:
        origin = stack.enter_context(serving(shelf, place / "nginx"))
        cores = None if options.case == "cold" else (0,)
        setup = Setup(origin.url, options.case == "tag-checked", cores=cores)
        running = stack.enter_context(subject.running(setup, place / "cache"))
        if options.case != "cold":
            origin.process.pin((1,))
            verify(running, item)
        times: int = {"warm": 20 * options.seconds, "cold": 1}.get(options.case, 0)

        def load() -> float:
            if big:
                curl(running, item, times, (1,))
                return float(times * item.size) / 1e9
            return wrk(running, [item.path], 16, options.seconds, place, (1,)).requests

        used, profile = sampled(running, place / "samples", load)
    return used, "GB" if big else "request", profile


def sampled(running: Running, log: Path, load: Callable[[], float]) -> tuple[float, Profile]:
    """Processor seconds per unit of what `load` returns, and the samples taken meanwhile."""
    command = ["py-spy", "record", "--threads", "--rate", f"{RATE}", "--format", "raw"]
    with subprocess.Popen(
        [*command, "--output", str(log), "--duration", "3600", "--pid", f"{running.process.pid}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as spy:
        try:
            assert spy.stdout is not None
            spy.stdout.readline()  # it says so when it begins
            before = running.process.cpu()
            units = load()
            used = (running.process.cpu() - before) / units
        finally:
            spy.send_signal(signal.SIGINT)
            spy.communicate()
    return used, parse(log.read_text())


def parse(text: str) -> Profile:
    """Of py-spy's raw format: a stack with `;` between frames, and a count, on each line."""
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    threads = 0
    for line in text.splitlines():
        stack, _, digits = line.rpartition(" ")
        thread, *frames = stack.split(";")
        names = [frame.rpartition(":")[0] for frame in frames]
        # A thread that is being born, or ends, has no frames.
        if not names or names[-1].startswith(WAITING):
            continue
        if "MainThread" not in thread:
            threads += int(digits)
        own[names[-1]] += int(digits)
        for name in set(names):
            whole[name] += int(digits)
    return Profile(own, whole, threads)


def show(profile: Profile, used: float, lines: int) -> None:
    total = profile.own.total()
    share = used * 1e6 / max(1, total)
    print(f"{total} samples, {profile.threads} of them in other threads than the main one")
    print("own time:")
    for name, samples in profile.own.most_common(lines):
        print(f"  {samples * share:10.1f} us  {name})")
    print("with what it calls:")
    inner = [(n, c) for n, c in profile.whole.most_common() if not any(o in n for o in OUTSIDE)]
    for name, samples in inner[:lines]:
        print(f"  {samples * share:10.1f} us  {name})")


if __name__ == "__main__":
    main()
