"""Server processes: started on given cores, measured as a whole tree, ended by process id."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import define

READY = 120.0
"""Seconds a server gets to listen; a store of a million records is read before."""

TICKS = os.sysconf("SC_CLK_TCK")

DIE_WITH_US = ("setpriv", "--pdeathsig", "TERM") if shutil.which("setpriv") else ()
"""Keeps the process id; see prctl(2), PR_SET_PDEATHSIG."""


class ServerError(Exception):
    """It did not start, or ended. The message says why in its own words."""


@define(eq=False)
class Process:
    """One server with all its children."""

    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    def cpu(self) -> float:
        """Seconds of processor time, user and system, of the tree so far, children that have
        ended included (proc(5), /proc/pid/stat: fields 14 to 17)."""
        return sum(_cpu_of(pid) for pid in self.tree())

    def resident(self) -> int:
        """Bytes, summed over the tree; pages that processes share count in each."""
        return sum(_status(pid, "VmRSS") for pid in self.tree())

    def peak(self) -> int:
        """The sum of the peaks since `reset_peak`, bytes."""
        return sum(_status(pid, "VmHWM") for pid in self.tree())

    def reset_peak(self) -> None:
        for pid in self.tree():
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def pin(self, cores: Sequence[int] | None) -> None:
        """Keep it, and what it starts, on these cores; None: on any."""
        wanted = range(os.cpu_count() or 1) if cores is None else cores
        for pid in self.tree():
            os.sched_setaffinity(pid, wanted)

    def tree(self) -> list[int]:
        found = [self.pid]
        for pid in found:
            for listing in Path(f"/proc/{pid}/task").glob("*/children"):
                try:
                    found += map(int, listing.read_text().split())
                except OSError:
                    continue
        return found

    def await_port(self, port: int) -> None:
        """Blocks until it listens. ServerError: it ended, or takes too long."""
        deadline = time.monotonic() + READY
        while time.monotonic() < deadline:
            if self.popen.poll() is not None:
                raise ServerError(f"ended with status {self.popen.returncode}: {self.last_words()}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
            except OSError:
                time.sleep(0.005)
            else:
                return
        raise ServerError(f"did not listen within {READY:.0f} s: {self.last_words()}")

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no output"

    def stop(self) -> None:
        """Orderly; whatever of the tree is left after 15 s is killed, by its id."""
        members = self.tree()
        self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(15)
        except subprocess.TimeoutExpired:
            for pid in reversed(members):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            self.popen.wait()


def start(
    command: Sequence[str | Path],
    log: Path,
    cores: Sequence[int] | None = None,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Process:
    """`log` takes its output; `cores` None: wherever the scheduler wants."""
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [*DIE_WITH_US, *pinned(cores), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=directory,
            env={**os.environ, **(environment or {})},
        )
    return Process(popen, log)


def pinned(cores: Sequence[int] | None) -> tuple[str, ...]:
    """A prefix that keeps a command on these cores; it keeps the process id too."""
    return () if cores is None else ("taskset", "-c", ",".join(map(str, cores)))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _cpu_of(pid: int) -> float:
    try:
        # After the name, which may hold anything, fields are numbers: utime is the twelfth.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS


def _status(pid: int, name: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0
