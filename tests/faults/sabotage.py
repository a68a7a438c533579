"""A bench whose server runs under the shim, and the line on which that takes commands."""

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TextIO

from attrs import define, field

import tests
from tests.faults.bench import Bench, configured, surroundings
from tests.faults.shim import DIED
from tests.support.footprint import Footprint, settled
from tests.support.raw import TIMEOUT, ask

DEADLY = 0
"""Instead of an errno: the process ends."""


@define(eq=False)
class Sabotaged(Bench):
    """`listener`: where the shim comes to take its orders."""

    listener: socket.socket = field(kw_only=True)
    pid: int = field(default=0, init=False)
    _channel: TextIO = field(init=False)
    _open: ExitStack = field(factory=ExitStack, init=False)

    def start(self) -> None:
        self.cache.start()
        line = self._open.enter_context(self.listener.accept()[0])
        line.settimeout(TIMEOUT)
        self._channel = self._open.enter_context(line.makefile("rw"))
        self.pid = int(str(self._read()))
        # Its port takes connections before all that it holds is open; an answer comes after that.
        ask(self.cache.port, "/v2/")
        self.first = self.settled()

    def close(self) -> None:
        self._open.close()

    def arm(self, first: int, fault: int) -> None:
        """The `first`-th operation from now on (0 is the next one) and all that follow fail with
        an errno, or the process ends there (DEADLY)."""
        assert self._order("arm", first, fault) is None

    def heal(self) -> list[str] | None:
        """Nothing fails any more; the operations since `arm`, in order. None: it died."""
        names = self._order("heal")
        if isinstance(names, list):
            return names
        assert names == {"ended": DIED}
        return None

    def halt(self) -> None:
        """End it in order, to `revive` it: far cheaper than another process."""
        os.kill(self.pid, signal.SIGTERM)
        assert self._read() == {"ended": 0}

    def revive(self, clock: float = 0.0) -> None:
        """After it ended or died; its clock is wrong by so many seconds."""
        self.pid = int(str(self._order("run", clock)))
        self.cache.server.await_port()

    def set_clock(self, offset: float) -> None:
        """Seconds by which the server's wall clock is wrong from now on."""
        assert self._order("clock", offset) is None

    def settled(self) -> Footprint:
        return settled(self.cache, self.pid)

    def settled_or_died(self) -> None:
        # proc(5): reading about a process that has just ended.
        with suppress(FileNotFoundError, ProcessLookupError):
            self.settled()

    def _order(self, *command: object) -> object:
        print(json.dumps(command), file=self._channel, flush=True)
        return self._read()

    def _read(self) -> object:
        said: object = json.loads(self._channel.readline())
        return said


@contextmanager
def sabotaged(
    directory: Path,
    runtime: str,
    proxy: Mapping[str, object] | None = None,
    storage: Mapping[str, object] | None = None,
) -> Iterator[Sabotaged]:
    with surroundings() as (origin, wiretap), socket.socket(socket.AF_UNIX) as listener:
        control = directory / "control"
        listener.bind(str(control))
        listener.listen()
        listener.settimeout(TIMEOUT)
        cache = configured(directory / "cache", wiretap, runtime, proxy or {}, {}, None)
        cache.storage = storage or {}
        cache.server.command = [
            *(sys.executable, "-m", "tests.faults.shim", str(control)),
            *("serve", str(cache.config), "--runtime", runtime),
        ]
        (package,) = tests.__path__
        path = os.pathsep.join((str(Path(package).parent), os.environ.get("PYTHONPATH", "")))
        cache.server.environment = {**os.environ, "PYTHONPATH": path}
        bench = Sabotaged(origin, wiretap, cache, listener=listener)
        try:
            bench.start()
            yield bench
            bench.stop()
        finally:
            bench.close()
            cache.kill()
