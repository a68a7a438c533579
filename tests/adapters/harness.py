"""A server of any runtime in a thread of its own, with its upstream and its record, for tests
that stand outside: they see what clients, upstreams and operators see.

What a test waits for is a condition that comes true, never a time.
"""

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import pytest
from attrs import define, evolve

from distcache.core.config import Config, Limits
from distcache.core.config import Upstream as Treatment
from distcache.driver import Decided
from distcache.driver.tracing import Tracing
from distcache.settings import HttpTimeouts, Settings, UpstreamTimeouts
from distcache.store import Store
from distcache.wire.outgoing import Credentials
from distcache.wire.sites import UpstreamSite
from distcache.wire.urls import Url
from tests.adapters.blocking import Answer, Client
from tests.adapters.recording import Ledger
from tests.adapters.scripted import PATIENCE, Upstream, scripted

T = TypeVar("T")
PASSWORD = {"up": Credentials("user", "secret")}
Prepare = Callable[[Store], None]


class Running(Protocol):
    """A server that runs, as the test's own thread reaches it."""

    @property
    def url(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def ledger(self) -> Ledger: ...

    def call(self, act: Callable[[], T]) -> T:
        """Do it on the loop's thread, between two of its steps."""

    def stop(self, drain: float | None = None) -> None: ...


@runtime_checkable
class Operated(Running, Protocol):
    """What is one of `open_server`'s can do more, which the simplest adapter need not."""

    @property
    def debug_port(self) -> int: ...

    def reload(self, settings: Settings) -> bool: ...

    def jump(self, seconds: float) -> None:
        """Move the loop's clock. Only with `clock`."""

    def jump_here(self, seconds: float) -> None:
        """The same from the loop's thread."""


@define(eq=False)
class Run:
    """What a runtime is given to run."""

    settings: Settings
    prepare: Prepare
    on_decision: Callable[[Decided], None]
    clock: bool
    tracing: Tracing | None = None


class Runtime(Protocol):
    """Runs a server while the block does; leaving it stops the server, gracefully unless by an
    exception, and waits until it has ended."""

    def __call__(self, run: Run) -> Any: ...


@define(eq=False)
class Bench:
    server: Running
    upstream: Upstream
    root: Path
    decided: list[Decided]

    @property
    def ledger(self) -> Ledger:
        return self.server.ledger

    @property
    def debug_port(self) -> int:
        """0 without a debug listener."""
        return self._operated.debug_port

    def reload(self, settings: Settings) -> bool:
        return self._operated.reload(settings)

    def jump(self, seconds: float) -> None:
        self._operated.jump(seconds)

    def jump_here(self, seconds: float) -> None:
        self._operated.jump_here(seconds)

    @property
    def _operated(self) -> Operated:
        assert isinstance(self.server, Operated)
        return self.server

    def connect(self) -> Client:
        return Client.to(self.server.port)

    def get(self, target: str, method: str = "GET", *fields: str) -> Answer:
        """On a connection of its own."""
        with self.connect() as client:
            return client.get(target, method, *fields)

    def until(self, condition: Callable[[], object]) -> None:
        """Until it is true, as the loop's thread sees it."""
        deadline = time.monotonic() + PATIENCE
        while not self.server.call(condition):
            assert time.monotonic() < deadline, "it never came true"
            time.sleep(0.001)

    def settled(self) -> None:
        """Until nothing that the core began is under way: all stored, all journalled."""
        self.until(lambda: not self.ledger.open_business())

    def count(self, kind: type) -> int:
        return self.server.call(lambda: len(self.ledger.of(kind)))

    def path(self, name: str) -> Path:
        """Where a blob's file is, given its digest or its path."""
        return self.root / "blobs" / "sha256" / name.rpartition(":")[2]


def settings(root: Path, upstream: int, **changes: Any) -> Settings:
    """One upstream at that port, durations as they are by default."""
    site = UpstreamSite("up", Url("http", "127.0.0.1", upstream), aliases=("docker.io",))
    base = Settings(
        host="127.0.0.1",
        port=0,
        root=root,
        core=Config({"up": Treatment(basic="credentials" in changes)}, limits=Limits()),
        default="up",
        sites={"up": site},
        credentials={},
        client=HttpTimeouts(),
        upstream=UpstreamTimeouts(),
    )
    return evolve(base, **changes)


@define(eq=False)
class Benches:
    """Makes benches for one test. `alone`: what is left behind can be told from others'."""

    runtime: Callable[[Run], Any]
    root: Path
    alone: bool = True

    @contextmanager
    def __call__(
        self,
        prepare: Prepare = lambda store: None,
        clock: bool = False,
        tracing: Tracing | None = None,
        **changes: Any,
    ) -> Iterator[Bench]:
        """Leaving the block checks that everything that was begun has ended, and that no thread,
        descriptor or spool of the server's is left."""
        decided: list[Decided] = []
        with nothing_left() if self.alone else nullcontext(), scripted() as upstream:
            given = settings(self.root, upstream.port, **changes)
            run = Run(given, prepare, decided.append, clock, tracing)
            with self.runtime(run) as server:
                yield Bench(server, upstream, self.root, decided)
            assert server.ledger.open_business() == []
            assert list((self.root / "spool").iterdir()) == []


@contextmanager
def nothing_left() -> Iterator[None]:
    """No thread and no descriptor that was not there before, unless an error ends the block. Those
    of the test's own upstreams and proxies may take a while to see the end."""
    before = _left()
    yield
    deadline = time.monotonic() + PATIENCE
    while left := _left() - before:
        assert time.monotonic() < deadline, left
        time.sleep(0.001)


def _left() -> Counter[str]:
    """Threads of ours by name, and descriptors by what they lead to."""
    found = Counter(t.name for t in threading.enumerate() if t.name.startswith("distcache"))
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # that of the listing itself, or closed meanwhile
            found[os.readlink(f"/proc/self/fd/{fd}")] += 1
    return found


@contextmanager
def no_unforeseen_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The server survives its own bugs; the tests must not."""
    logging.getLogger("distcache").propagate = True
    yield
    found = [r for phase in ("setup", "call") for r in caplog.get_records(phase) if r.exc_info]
    assert not found, caplog.text
