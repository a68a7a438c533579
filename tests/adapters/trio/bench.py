"""A server, its upstream and its record, on a bench for one test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, evolve

from distcache.core.config import Config, Limits
from distcache.core.config import Upstream as Treatment
from distcache.settings import HttpTimeouts, Settings, UpstreamTimeouts
from distcache.trio_server import serve
from distcache.trio_server.serve import open_server
from distcache.trio_server.server import Server
from distcache.wire.outgoing import Credentials
from distcache.wire.sites import UpstreamSite
from distcache.wire.urls import Url
from tests.adapters.client import Answer, Client, connect
from tests.adapters.fake_upstream import Upstream, upstream
from tests.adapters.recording import Ledger, RecordingCache


@define(eq=False)
class Bench:
    server: Server
    upstream: Upstream
    ledger: Ledger
    root: Path

    async def connect(self) -> Client:
        return await connect(self.server.port)

    async def get(self, target: str, method: str = "GET", *fields: str) -> Answer:
        """On a connection of its own."""
        client = await self.connect()
        async with client.stream:
            return await client.get(target, method, *fields)

    async def settled(self) -> None:
        """Until nothing that the core began is under way: all stored, all journalled."""
        while self.ledger.open_business():
            await trio.testing.wait_all_tasks_blocked()
            # Threads are not tasks: give them the processor.
            await trio.to_thread.run_sync(lambda: None)

    def path(self, name: str) -> Path:
        """Where a blob's file is, given its digest or its path."""
        return self.root / "blobs" / "sha256" / name.rpartition(":")[2]


def settings(root: Path, port: int, **changes: Any) -> Settings:
    """One upstream at `port`, durations as they are by default."""
    site = UpstreamSite("up", Url("http", "127.0.0.1", port), aliases=("docker.io",))
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


PASSWORD = {"up": Credentials("user", "secret")}


@asynccontextmanager
async def bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any
) -> AsyncIterator[Bench]:
    """Leaving the block stops the server and checks that everything it began has ended."""
    caches: list[RecordingCache] = []

    def record(*args: Any) -> RecordingCache:
        caches.append(RecordingCache(*args))
        return caches[-1]

    monkeypatch.setattr(serve, "Cache", record)
    root = tmp_path / "store"
    async with upstream() as up:
        async with open_server(settings(root, up.port, **changes)) as server:
            yield Bench(server, up, caches[0].ledger, root)
        assert caches[0].ledger.open_business() == []
        assert list((root / "spool").iterdir()) == []
