"""systemd as process 1, with the units of `contrib/systemd`: what an operator's machine does."""

import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

import distcache
from tests.support.processes import DIE_WITH_TESTS

PATIENCE = 120.0
"""Seconds that anything may take; all of it is done in far less."""
SCRIPT = Path(__file__).parent / "machine.sh"
CONTRIB = Path(__file__).parent.parent.parent / "contrib" / "systemd"

PROGRAM = f"""#!/bin/sh
export LD_LIBRARY_PATH=/opt/distcache/python/lib
export PYTHONPATH=/opt/distcache/source:/opt/distcache/packages
exec /opt/distcache/python/bin/python{sys.version_info[0]}.{sys.version_info[1]} -m distcache "$@"
"""
BINDS = {
    "/opt/distcache/python": Path(sys.base_prefix),
    "/opt/distcache/packages": Path(sysconfig.get_path("purelib")),
    "/opt/distcache/source": Path(distcache.__file__).parent.parent,
}
"""The tests' own Python and this program, where units may look: not below /home, /root or /tmp."""
TARGET = "[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n"


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another process does. Raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {PATIENCE} s")
        time.sleep(0.05)


def only_child(pid: int) -> int | None:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(found[0]) if found else None


class MachineError(Exception):
    """A command failed; the message has the end of the journal, and what it said."""


@frozen
class Machine:
    """Runs while `booted` does. Paths are of its own files; the network is this machine's."""

    pid: int

    def run(self, *command: str) -> str:
        """Standard output of a command of root's. Raises MachineError."""
        enter = ["nsenter", f"--target={self.pid}", "--root", "--wd=/"]
        enter += ["--mount", "--pid", "--cgroup", "--ipc", "--uts", "--"]
        done = subprocess.run(
            [*enter, *command], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        if done.returncode:
            told = f"{self.log()[-4000:]}{done.stdout}{done.stderr}"
            raise MachineError(f"{told}\n{' '.join(command)}: {done.returncode}")
        return done.stdout

    def log(self) -> str:
        """What the journal has."""
        enter = ["nsenter", f"--target={self.pid}", "--root", "--wd=/", "--mount", "--"]
        done = subprocess.run([*enter, "journalctl", "-q"], capture_output=True, text=True)
        return done.stdout

    def systemctl(self, *words: str) -> None:
        """Raises MachineError."""
        self.run("systemctl", *words)

    def shown(self, unit: str, name: str) -> str:
        """A property of a unit, as `systemctl show` tells it."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def write(self, path: str, text: str) -> None:
        Path(f"/proc/{self.pid}/root{path}").write_text(text)


PROBE = """mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root /mnt/groups
mount -t overlay overlay /mnt/root -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work
mount -t cgroup2 cgroup2 /mnt/groups
rmdir "$(mktemp -d /mnt/groups/distcache-XXXXXX)"
"""


def forbidden() -> str | None:
    """Why nothing can be booted here, though root wants it: some sandboxes allow no mounts."""
    command = ["unshare", "--mount", "--pid", "--cgroup", "--fork", "sh", "-ec", PROBE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    return done.stderr.strip() or "no reason given" if done.returncode else None


@contextmanager
def booted(directory: Path, files: Mapping[str, str]) -> Iterator[Machine]:
    """A machine that has `files`, by their paths, beside this one's, and nothing running but its
    journal."""
    given = {
        "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
        "/etc/systemd/system/machine.target": TARGET,
        "/opt/distcache/bin/distcache": PROGRAM,
    }
    for path, text in (given | dict(files)).items():
        place = directory / "files" / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    (directory / "files/opt/distcache/bin/distcache").chmod(0o755)
    (directory / "binds").write_text("".join(f"{a} {b}\n" for b, a in BINDS.items()))
    with (directory / "output.log").open("wb") as output:
        script = subprocess.Popen(
            ["unshare", "--mount", *DIE_WITH_TESTS, "sh", str(SCRIPT), str(directory)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield started(script, directory / "output.log")
    finally:
        script.terminate()
        script.wait(PATIENCE)


def started(script: "subprocess.Popen[bytes]", output: Path) -> Machine:
    """Once it is up. Raises AssertionError."""
    found: list[Machine] = []

    def up() -> bool:
        assert script.poll() is None, output.read_text()
        outer = only_child(script.pid)
        inner = outer and only_child(outer)
        if not inner or Path(f"/proc/{inner}/comm").read_text() != "systemd\n":
            return False
        machine = Machine(inner)
        try:
            machine.systemctl("is-active", "machine.target")
        except MachineError:
            return False
        found.append(machine)
        return True

    until(up)
    return found[0]
