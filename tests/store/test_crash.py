"""A process that is killed at any step leaves whole blobs or none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tests
from distcache.core.inventory import BlobStored
from distcache.store import Swept, open_store
from tests.store.crash_child import CALLS, DOOMED, FIRST, SECOND, STATEMENTS, THIRD
from tests.store.samples import digest_of, files_below, grant, path_of, put, tag

CLEAN = Swept(spools=0, adopted=0, lost=0, damaged=0, orphans=0, renewed=False)

WAL_HEADER, FRAME = 32, 24 + 4096
"""Bytes: SQLite's file format, section 4.1."""


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with one store for every step at which its process died."""
    directory = tmp_path_factory.mktemp("crashed")
    (package,) = tests.__path__
    command = [sys.executable, "-m", "tests.store.crash_child", str(directory)]
    subprocess.run(command, cwd=Path(package).parent, check=True)
    return directory


def roots(directory: Path) -> list[Path]:
    """In the order of the steps; the last one came to its end."""
    return sorted((p for p in directory.iterdir() if p.is_dir()), key=lambda p: int(p.name))


def test_every_step_was_a_crash_once(crashed: Path) -> None:
    calls = (crashed / "calls").read_text().split("\n")
    assert len(roots(crashed)) == len(calls) + 1
    assert set(calls) == {*CALLS, *STATEMENTS}


def test_after_a_crash_a_blob_is_there_whole_or_not_at_all(crashed: Path) -> None:
    contents = {digest_of(data): data for data in (FIRST, SECOND, THIRD, DOOMED)}
    seen = set()
    for root in roots(crashed):
        store = open_store(root)
        blobs = [r for r in store.inventory.records if isinstance(r, BlobStored)]
        for blob in blobs:
            fd = store.open(blob.digest, blob.size)
            assert os.pread(fd, 100_000, 0) == contents[blob.digest]
            os.close(fd)
        store.close()
        store = open_store(root)
        assert store.swept == CLEAN
        store.close()
        names = {str(path_of(root, blob.digest).relative_to(root)) for blob in blobs}
        assert files_below(root) == {*names, "index.sqlite", "lock"}
        seen.add(frozenset(blob.digest for blob in blobs))
    first, doomed, second, third = map(digest_of, (FIRST, DOOMED, SECOND, THIRD))
    assert seen == {
        frozenset[str](),
        frozenset({first}),
        frozenset({first, doomed}),
        frozenset({first, doomed, second}),
        frozenset({first, doomed, second, third}),
        frozenset({first, second, third}),
    }


def test_bytes_are_durable_before_their_name_and_the_name_before_the_end(crashed: Path) -> None:
    """After a power cut the file system may have kept the name and lost the bytes."""
    calls = (crashed / "calls").read_text().split("\n")
    renames = [place for place, name in enumerate(calls) if name == "rename"]
    assert len(renames) == 4
    for place in renames:
        before = calls[:place][::-1]
        assert before.index("fsync") < before.index("pwrite")
        # That is the directory's, before the record is begun.
        after = calls[place + 1 : calls.index("execute", place)]
        assert [name for name in after if name != "close"][-2:] == ["open", "fsync"]


def test_a_log_that_ends_anywhere_holds_whole_batches_only(tmp_path: Path) -> None:
    """Killed within one of SQLite's own writes, or after a power cut that lost some of them."""
    live = tmp_path / "live"
    store = open_store(live)
    digests = [put(store, bytes([number]) * 100, number) for number in range(5)]
    for digest in digests:
        store.write([grant(digest), tag(digest[-8:], digest)])
    log = (live / "index.sqlite-wal").read_bytes()
    starts = range(WAL_HEADER, len(log), FRAME)
    assert len(starts) > len(digests), "every batch is in the log"
    found = set()
    for size in sorted({0, 1, *(start + more for start in starts for more in (0, 23, 24, 2000))}):
        copy = tmp_path / "copy"
        shutil.copytree(live, copy)
        os.truncate(copy / "index.sqlite-wal", min(size, len(log)))
        cut = open_store(copy)
        records = cut.inventory.records
        granted = [digest for digest in digests if grant(digest) in records]
        assert granted == digests[: len(granted)]
        tagged = [digest for digest in digests if tag(digest[-8:], digest) in records]
        assert tagged == granted
        found.add(len(granted))
        cut.close()
        shutil.rmtree(copy)
    store.close()
    assert found == set(range(len(digests))), "the last batch was never cut off"
