"""Server processes for black-box tests: free ports, bounded waits, orderly ends."""

import atexit
import contextlib
import itertools
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import define, field

READY = 30.0
"""Seconds a server gets to listen; a loaded two-core machine stays far below."""

PORTS = range(10_000, 32_000)
"""Below Linux's ip_local_port_range."""

SHARE = 250
"""How many of them a process of tests has for itself, and goes round: more than are in use at
once, so that one which was given and is not listened on yet is not given again."""

DIE_WITH_TESTS = ("setpriv", "--pdeathsig", "TERM") if shutil.which("setpriv") else ()
"""A prefix that does not change the process id: a server outlives no test run, not even one
that is killed (prctl(2), PR_SET_PDEATHSIG)."""


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on, and that no other process of
    tests is given. Not one that the kernel gives away by itself: between now and its use another
    test could be given it."""
    while True:
        port = next(_ports)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def claimed() -> tuple[socket.socket, range]:
    """Ports that are this process's as long as the socket is open: whoever wants the same ones
    binds the first of them, of UDP, which no test uses."""
    shares = [PORTS[start : start + SHARE] for start in range(0, len(PORTS), SHARE)]
    random.SystemRandom().shuffle(shares)  # a seed would have all of them begin at the same one
    for share in shares:
        claim = socket.socket(type=socket.SOCK_DGRAM)
        try:
            claim.bind(("127.0.0.1", share[0]))
        except OSError:
            claim.close()
        else:
            return claim, share
    raise OSError("all ports for tests are claimed")


_claim, _share = claimed()
atexit.register(_claim.close)
_ports = itertools.cycle(_share)


def listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


class ServerError(Exception):
    """The process ended, or did not listen in time; the message holds its output's end."""


@define
class Server:
    """One server process that listens on `port`; its output goes to the file `output`."""

    command: Sequence[str]
    port: int
    output: Path
    environment: Mapping[str, str] | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Start and wait until the port takes connections. Raises ServerError."""
        with self.output.open("ab") as sink:
            self.process = subprocess.Popen(
                [*DIE_WITH_TESTS, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=self.environment,
                start_new_session=True,
            )
        try:
            self.await_port()
        except ServerError:
            self.kill()
            raise

    def await_port(self) -> None:
        """Wait until the port takes connections. Raises ServerError."""
        assert self.process is not None
        deadline = time.monotonic() + READY
        while not listening(self.port):
            if self.process.poll() is not None:
                raise ServerError(f"exit status {self.process.returncode}\n{self.text()[-4000:]}")
            if time.monotonic() > deadline:
                raise ServerError(f"not listening after {READY} s\n{self.text()[-4000:]}")
            time.sleep(0.02)

    def stop(self, grace: float = 20.0) -> int:
        """SIGTERM, SIGKILL after `grace` seconds; the exit status. Harmless when not running."""
        return self._end(signal.SIGTERM, grace)

    def kill(self) -> int:
        """SIGKILL: nothing in the process gets a chance to tidy up."""
        return self._end(signal.SIGKILL, 20.0)

    def text(self) -> str:
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def _end(self, number: signal.Signals, grace: float) -> int:
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(number)
        try:
            return process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
