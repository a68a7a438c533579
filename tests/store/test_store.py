import gc
import os
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from distcache.core.effects import Medium, Spool
from distcache.core.inventory import (
    BlobDropped,
    BlobStored,
    GrantStored,
    Inventory,
    Record,
    SeenStored,
    TagStored,
)
from distcache.core.oci import Content, Descriptor, Digest, Document, Kind
from distcache.store import (
    MemorySpool,
    Store,
    StoreError,
    StoreLocked,
    StoreTooNew,
    Swept,
    open_store,
)
from tests.store.samples import (
    LAYER,
    digest_of,
    file_size_limit,
    files_below,
    grant,
    path_of,
    put,
    stored,
    tag,
)

CLEAN = Swept(spools=0, adopted=0, lost=0, damaged=0, orphans=0, renewed=False)
DIGEST = digest_of(LAYER)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path)
    yield opened
    opened.close()


def reopened(root: Path, store: Store) -> tuple[Inventory, Swept]:
    """What a later process finds, and that the one after it finds all in order."""
    store.close()
    store = open_store(root)
    inventory, swept = store.inventory, store.swept
    store.close()
    store = open_store(root)
    assert (store.inventory, store.swept) == (inventory, CLEAN)
    store.close()
    return inventory, swept


def test_a_new_directory_is_an_empty_store(tmp_path: Path) -> None:
    store = open_store(tmp_path / "not" / "yet" / "there")
    assert store.inventory == Inventory(())
    assert store.swept == CLEAN
    store.close()


def test_what_was_stored_is_served_by_the_next_run(tmp_path: Path, store: Store) -> None:
    layer = Descriptor(Content(Kind.BLOB, put(store, LAYER)), len(LAYER), "layer")
    text = b'{"layers":[...]}'
    body = MemorySpool(Spool(2, Medium.MEMORY))
    body.write(0, text)
    store.commit(body, body.digest())
    manifest = stored(text, Document("m", (layer,)))
    records: list[Record] = [manifest, stored(LAYER), tag("3", manifest.digest), grant(DIGEST)]
    store.write(records)
    inventory, swept = reopened(tmp_path, store)
    assert set(inventory.records) == set(records)
    assert swept == CLEAN
    store = open_store(tmp_path)
    fd = store.open(DIGEST, len(LAYER))
    assert os.pread(fd, 10_000, 0) == LAYER
    os.close(fd)
    assert store.delete(DIGEST) == len(LAYER)
    store.write([BlobDropped(DIGEST)])
    inventory, swept = reopened(tmp_path, store)
    assert inventory.records == (manifest, tag("3", manifest.digest))


def test_blobs_come_before_what_refers_to_them(tmp_path: Path, store: Store) -> None:
    put(store, LAYER)
    store.write([tag("1", DIGEST), grant(DIGEST), stored(LAYER)])
    inventory, _ = reopened(tmp_path, store)
    assert [type(record) for record in inventory.records] == [BlobStored, TagStored, GrantStored]


def test_a_second_server_on_the_same_directory_is_told_so(tmp_path: Path, store: Store) -> None:
    with pytest.raises(StoreLocked, match="is in use by another process"):
        open_store(tmp_path)
    store.close()
    open_store(tmp_path).close()


def test_closing_twice_is_harmless(store: Store) -> None:
    store.close()
    store.close()


def test_a_start_that_fails_lets_go_of_the_directory(tmp_path: Path, store: Store) -> None:
    store.close()
    for version, expected in ((7, StoreTooNew), (1, None)):
        connection = sqlite3.connect(tmp_path / "index.sqlite")
        connection.execute(f"PRAGMA user_version = {version}")
        connection.close()
        if expected is not None:
            with pytest.raises(expected):
                open_store(tmp_path)
    open_store(tmp_path).close()


def test_unfinished_transfers_are_swept(tmp_path: Path, store: Store) -> None:
    body = store.create(Spool(1, Medium.FILE, DIGEST))
    body.write(0, LAYER[:100])
    inventory, swept = reopened(tmp_path, store)
    assert swept.spools == 1
    assert inventory == Inventory(())
    assert files_below(tmp_path) == {"index.sqlite", "lock"}
    body.discard()


def test_a_blob_without_its_record_is_adopted(tmp_path: Path, store: Store) -> None:
    put(store, LAYER)
    os.utime(path_of(tmp_path, DIGEST), (5.5, 5.5))
    store.write([grant(DIGEST)])
    inventory, swept = reopened(tmp_path, store)
    assert swept.adopted == 1
    assert inventory.records == (BlobStored(DIGEST, len(LAYER), 5.5), grant(DIGEST))


def test_a_record_without_its_file_goes_with_all_that_refers_to_it(
    tmp_path: Path, store: Store
) -> None:
    store.write([stored(LAYER), tag("1", DIGEST), grant(DIGEST)])
    inventory, swept = reopened(tmp_path, store)
    assert inventory == Inventory(())
    assert swept == Swept(spools=0, adopted=0, lost=1, damaged=0, orphans=2, renewed=False)


@pytest.mark.parametrize("content", [b"", LAYER[:-1], LAYER + b"!"])
def test_a_file_of_another_size_is_never_read_and_never_adopted(
    tmp_path: Path, store: Store, content: bytes
) -> None:
    put(store, LAYER)
    store.write([stored(LAYER)])
    store.close()
    path_of(tmp_path, DIGEST).write_bytes(content)
    store = open_store(tmp_path)
    # The start goes by names.
    assert store.inventory == Inventory((stored(LAYER),))
    with pytest.raises(StoreError, match=f"{len(content)} bytes instead of"):
        store.open(DIGEST, len(LAYER))
    store.write([BlobDropped(DIGEST)])
    inventory, swept = reopened(tmp_path, store)
    assert inventory == Inventory(())
    assert (swept.lost, swept.adopted) == (0, 0)


def test_a_tag_of_content_that_was_never_stored_is_dropped(tmp_path: Path, store: Store) -> None:
    store.write([tag("1", DIGEST), grant(DIGEST)])
    inventory, swept = reopened(tmp_path, store)
    assert inventory == Inventory(())
    assert swept.orphans == 2


def test_what_stands_in_a_blobs_place_and_cannot_be_deleted_is_not_served(
    tmp_path: Path, store: Store
) -> None:
    store.write([stored(LAYER)])
    store.close()
    path_of(tmp_path, DIGEST).mkdir()
    store = open_store(tmp_path)
    assert store.inventory == Inventory(())
    assert store.swept.lost == 1
    store.close()
    path_of(tmp_path, DIGEST).rmdir()


def test_a_manifest_whose_record_is_damaged_is_adopted_without_its_document(
    tmp_path: Path, store: Store
) -> None:
    put(store, LAYER)
    store.write([stored(LAYER, Document("m")), tag("1", DIGEST), grant(DIGEST)])
    store.close()
    connection = sqlite3.connect(tmp_path / "index.sqlite")
    connection.execute("UPDATE blobs SET document = '{'")
    connection.commit()
    connection.close()
    os.utime(path_of(tmp_path, DIGEST), (5.0, 5.0))
    inventory, swept = reopened(tmp_path, store)
    assert (swept.damaged, swept.adopted) == (1, 1)
    adopted = BlobStored(DIGEST, len(LAYER), 5.0)
    assert inventory.records == (adopted, tag("1", DIGEST), grant(DIGEST))


def test_foreign_files_are_left_alone(tmp_path: Path, store: Store) -> None:
    for name in ("notes.txt", "blobs/README", "blobs/sha256/README", "blobs/sha384/" + "a" * 96):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"mine")
    inventory, swept = reopened(tmp_path, store)
    assert inventory == Inventory(())
    assert swept == CLEAN
    assert len(files_below(tmp_path)) == 6


def test_a_start_that_cannot_write_the_index_goes_by_the_files(
    tmp_path: Path, store: Store
) -> None:
    store.close()
    names = {digest_of(str(n).encode()) for n in range(400)}
    for name in names:
        path_of(tmp_path, name).touch()
    with file_size_limit(40_000):
        store = open_store(tmp_path)
        assert {r.digest for r in store.inventory.records if isinstance(r, BlobStored)} == names
        store.close()
    assert open_again(tmp_path).adopted == 400
    assert open_again(tmp_path).adopted == 0


def test_a_disk_that_takes_nothing_does_not_stop_the_start(tmp_path: Path, store: Store) -> None:
    put(store, LAYER)
    store.write([stored(LAYER), tag("1", DIGEST)])
    store.close()
    with file_size_limit(0):
        store = open_store(tmp_path)
        assert store.inventory.records == (stored(LAYER), tag("1", DIGEST))
        with pytest.raises(StoreError):
            store.write([grant(DIGEST)])
        assert store.delete(DIGEST) == len(LAYER)
        store.close()
    assert open_again(tmp_path).lost == 1


def test_a_new_index_that_cannot_be_written_is_an_error_not_damage(tmp_path: Path) -> None:
    with file_size_limit(0), pytest.raises(StoreError, match="index"):
        open_store(tmp_path)
    assert open_again(tmp_path) == CLEAN


def open_again(root: Path) -> Swept:
    store = open_store(root)
    store.close()
    return store.swept


def test_threads_may_store_different_digests_at_once(tmp_path: Path, store: Store) -> None:
    def keep(number: int) -> Digest:
        data = bytes([number]) * 100_000
        digest = put(store, data, number)
        store.write([stored(data), grant(digest)])
        fd = store.open(digest, len(data))
        assert os.pread(fd, 200_000, 0) == data
        os.close(fd)
        if number % 3 == 0:
            assert store.delete(digest) == len(data)
            store.write([BlobDropped(digest)])
        return digest

    with ThreadPoolExecutor(4) as pool:
        digests = list(pool.map(keep, range(24)))
    inventory, swept = reopened(tmp_path, store)
    assert swept == CLEAN
    left = [digest for number, digest in enumerate(digests) if number % 3]
    assert {r.digest for r in inventory.records if isinstance(r, BlobStored)} == set(left)
    assert {r for r in inventory.records if isinstance(r, GrantStored)} == set(map(grant, left))


@pytest.mark.parametrize("running", [True, False])
def test_the_garbage_collector_is_left_as_it_was(tmp_path: Path, running: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if running else gc.disable)()
        open_store(tmp_path / "store").close()
        assert gc.isenabled() == running
    finally:
        (gc.enable if before else gc.disable)()


def test_after_a_clock_that_was_wrong_nothing_is_known_since_the_future(
    tmp_path: Path, store: Store
) -> None:
    repository = grant(DIGEST).repository
    store.write(
        [SeenStored(repository, DIGEST, 5.0), SeenStored(repository, digest_of(b"x"), 1e11)]
    )
    before = time.time()
    inventory, _ = reopened(tmp_path, store)
    past, future = inventory.records
    assert past == SeenStored(repository, DIGEST, 5.0)
    assert isinstance(future, SeenStored)
    assert before <= future.since <= time.time()
