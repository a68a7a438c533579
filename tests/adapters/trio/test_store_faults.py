"""A store that fails: the pull still works, nothing is kept, and it is said."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from distcache.core.effects import Medium, Spool
from distcache.core.events import StoreFailed, StoreFault
from distcache.core.oci import Digest
from distcache.store import Body, FileSpool, Store, StoreError, open_store
from distcache.trio_server import serve
from tests.adapters import fake_upstream as fake

from .bench import bench

pytestmark = pytest.mark.trio

LARGE = random.Random(2).randbytes(9 * 1024 * 1024)

Fail = Callable[[Store, pytest.MonkeyPatch], None]


def cannot_create(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def create(spool: Spool) -> FileSpool:
        raise StoreError("no space", StoreFault.NO_SPACE)

    monkeypatch.setattr(store, "create", create)


def cannot_grow(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    write = FileSpool.write

    def fails(self: FileSpool, start: int, data: bytes) -> int:
        if start + len(data) > 2_000_000:
            raise StoreError("a fault")
        return write(self, start, data)

    monkeypatch.setattr(FileSpool, "write", fails)


def cannot_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def commit(spool: Body, digest: Digest) -> None:
        raise StoreError("read only", StoreFault.READ_ONLY)

    monkeypatch.setattr(store, "commit", commit)


@pytest.mark.parametrize("fail", [cannot_create, cannot_grow, cannot_commit])
async def test_a_pull_works_though_nothing_can_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: Fail
) -> None:
    def opened(root: Path) -> Store:
        store = open_store(root)
        fail(store, monkeypatch)
        return store

    monkeypatch.setattr(serve, "open_store", opened)
    async with bench(tmp_path, monkeypatch) as b:
        path = b.upstream.blob("a/img", LARGE)
        tag = b.upstream.manifest("a/img", "v1", fake.manifest(LARGE))
        for _ in range(2):
            assert (await b.get(path)).body == LARGE
            assert (await b.get(tag)).status == 200
        assert not b.path(path).exists()


async def test_a_failed_commit_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(root: Path) -> Store:
        store = open_store(root)
        cannot_commit(store, monkeypatch)
        return store

    monkeypatch.setattr(serve, "open_store", opened)
    async with bench(tmp_path, monkeypatch) as b:
        path = b.upstream.blob("a/img", LARGE)
        assert (await b.get(path)).body == LARGE
        await b.settled()
        assert len(b.ledger.of(StoreFailed)) == 1


async def test_a_range_is_passed_through_from_a_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(root: Path) -> Store:
        store = open_store(root)
        cannot_create(store, monkeypatch)
        return store

    monkeypatch.setattr(serve, "open_store", opened)
    async with bench(tmp_path, monkeypatch) as b:
        path = b.upstream.blob("a/img", LARGE)
        part = await b.get(path, "GET", "Range: bytes=8000000-8999999")
        assert part.body == LARGE[8_000_000:9_000_000]
        assert any(
            getattr(e, "spool", None) and e.spool.medium is Medium.WINDOW  # type: ignore[union-attr]
            for e in b.ledger.effects
        )
