"""Whatever happened to the index file, the store starts and works."""

import sqlite3
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from distcache.core.inventory import BlobStored
from distcache.core.oci import Content, Descriptor, Document, Kind
from distcache.store import StoreTooNew, open_store
from distcache.store.index import open_index
from tests.store.samples import LAYER, digest_of, grant, put, stored, tag
from tests.support.damage import await_check, marked, out_of_step

LAYERS = tuple(Descriptor(Content(Kind.BLOB, digest_of(bytes([n]))), n, "layer") for n in range(40))
RECORD = stored(LAYER, Document("m", LAYERS))
DIGEST = RECORD.digest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store that was used and closed; its index is several pages long."""
    store = open_store(tmp_path)
    put(store, LAYER)
    store.write([RECORD, *(tag(str(n), DIGEST) for n in range(60)), grant(DIGEST)])
    store.close()
    return tmp_path


def start(root: Path) -> bool:
    """Start three times: the index is checked behind the first, a journal is written in the
    second. Returns whether one of them began the index anew. The blob is there in any case, since
    its file is."""
    renewed = False
    for wait in (True, False):
        store = open_store(root)
        renewed |= store.swept.renewed
        assert {r.digest for r in store.inventory.records if isinstance(r, BlobStored)} == {DIGEST}
        if wait:
            store.check_behind()
            await_check()
            store.close()
    store.write([RECORD, tag("new", DIGEST), grant(DIGEST)])
    store.close()
    store = open_store(root)
    assert not store.swept.renewed
    assert {RECORD, tag("new", DIGEST), grant(DIGEST)} <= set(store.inventory.records)
    store.close()
    return renewed


def aside(root: Path) -> list[str]:
    return sorted(entry.name for entry in root.glob("index.sqlite.damaged-*"))


def zero_first_page(path: Path) -> None:
    path.write_bytes(bytes(4096) + path.read_bytes()[4096:])


def zero_a_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:8192] = bytes(4096)
    path.write_bytes(content)


def cut_in_half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def cut_within_the_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


def other_magic(path: Path) -> None:
    path.write_bytes(b"PNG format 3\0\0\0\0" + path.read_bytes()[16:])


def random_bytes(path: Path) -> None:
    path.write_bytes(bytes((n * 7919 >> 3) & 0xFF for n in range(20_000)))


def text_file(path: Path) -> None:
    path.write_text("this was an index once\n")


def full_directory(path: Path) -> None:
    path.unlink()
    (path / "inside").mkdir(parents=True)


def directory_as_wal(path: Path) -> None:
    path.with_name(path.name + "-wal").mkdir()


def foreign_database(path: Path) -> None:
    path.unlink()
    execute(path, "CREATE TABLE blobs (digest TEXT, size INTEGER)")


def missing_table(path: Path) -> None:
    execute(path, "DROP TABLE grants")


def altered_table(path: Path) -> None:
    execute(path, "ALTER TABLE blobs RENAME COLUMN used TO useful")


def impossible_version(path: Path) -> None:
    execute(path, "PRAGMA user_version = 1996488704")


def negative_version(path: Path) -> None:
    execute(path, "PRAGMA user_version = -1")


def version_zeroed(path: Path) -> None:
    execute(path, "PRAGMA user_version = 0")


def index_out_of_step(path: Path) -> None:
    out_of_step(path, DIGEST)


def header_says_read_only(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[18] = 9
    path.write_bytes(content)


def execute(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    "spoil",
    [
        zero_first_page,
        zero_a_page,
        cut_in_half,
        cut_within_the_header,
        other_magic,
        random_bytes,
        text_file,
        full_directory,
        directory_as_wal,
        foreign_database,
        missing_table,
        altered_table,
        impossible_version,
        negative_version,
        version_zeroed,
        index_out_of_step,
        header_says_read_only,
    ],
)
def test_a_damaged_index_is_put_aside_and_begun_anew(
    root: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(root / "index.sqlite")
    assert start(root)
    assert "index.sqlite.damaged-1" in aside(root)


@pytest.mark.parametrize("spoilt", [False, True])
def test_an_index_out_of_step_serves_one_run_and_is_put_aside_by_the_next(
    root: Path, spoilt: bool
) -> None:
    path = root / "index.sqlite"
    if spoilt:
        index_out_of_step(path)
    index = open_index(path)
    held = index.load()
    assert held.blobs == [RECORD]
    index.check()
    # What is written meanwhile is neither refused nor believed.
    index.write([tag("new", DIGEST)])
    index.close()
    assert marked(path) == spoilt
    store = open_store(root)
    assert store.swept.renewed == spoilt
    assert DIGEST in {one.digest for one in store.inventory.records if isinstance(one, BlobStored)}
    store.close()
    assert bool(aside(root)) == spoilt


def test_a_check_after_the_end_is_none(root: Path) -> None:
    index_out_of_step(root / "index.sqlite")
    index = open_index(root / "index.sqlite")
    index.close()
    index.check()
    assert not marked(root / "index.sqlite")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def missing(path: Path) -> None:
    path.unlink()


def garbage_as_wal(path: Path) -> None:
    path.with_name(path.name + "-wal").write_bytes(b"\x37\x7f\x06\x82" + b"garbage" * 1000)


def garbage_as_shared_memory(path: Path) -> None:
    path.with_name(path.name + "-shm").write_bytes(b"garbage" * 5000)


def garbage_as_rollback_journal(path: Path) -> None:
    path.with_name(path.name + "-journal").write_bytes(b"garbage" * 1000)


def stray_wal_of_a_lost_index(path: Path) -> None:
    garbage_as_wal(path)
    path.unlink()


@pytest.mark.parametrize(
    "spoil",
    [
        empty,
        missing,
        garbage_as_wal,
        garbage_as_shared_memory,
        garbage_as_rollback_journal,
        stray_wal_of_a_lost_index,
    ],
)
def test_what_sqlite_can_mend_is_not_put_aside(root: Path, spoil: Callable[[Path], None]) -> None:
    spoil(root / "index.sqlite")
    assert not start(root)
    assert aside(root) == []


def test_the_newest_two_damaged_files_stay_with_what_belongs_to_them(root: Path) -> None:
    for _ in range(4):
        directory_as_wal(root / "index.sqlite")
        assert start(root)
    assert aside(root) == [
        "index.sqlite.damaged-3",
        "index.sqlite.damaged-3-wal",
        "index.sqlite.damaged-4",
        "index.sqlite.damaged-4-wal",
    ]


def test_a_directory_put_aside_is_removed_in_its_turn(root: Path) -> None:
    full_directory(root / "index.sqlite")
    assert start(root)
    for _ in range(2):
        text_file(root / "index.sqlite")
        assert start(root)
    assert aside(root) == ["index.sqlite.damaged-2", "index.sqlite.damaged-3"]


def test_files_with_similar_names_are_nobodys_business(root: Path) -> None:
    for name in ("index.sqlite.damaged-x", "index.sqlite.damaged-", "index.sqlite.damaged-7.gz"):
        (root / name).write_bytes(b"mine")
    text_file(root / "index.sqlite")
    assert start(root)
    assert "index.sqlite.damaged-1" in aside(root)
    assert len(aside(root)) == 4


@cache
def sound_index() -> bytes:
    """The bytes of a database in use."""
    with TemporaryDirectory() as root:
        store = open_store(Path(root))
        store.write([RECORD, *(tag(str(n), DIGEST) for n in range(60)), grant(DIGEST)])
        store.close()
        return Path(root, "index.sqlite").read_bytes()


VERSION_FIELD = range(60, 64)
"""Of the header; every value from 2 to 1000 is a later release's."""

patches = st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=40)), max_size=4)


@settings(max_examples=30, deadline=None)
@given(patches=patches, header=st.booleans(), length=st.none() | st.floats(0, 1))
@example(patches=[(0.18, b"\x09")], header=True, length=None)
@example(patches=[(0.56, b"\0\0\0\x03")], header=True, length=None)
def test_random_damage_never_stops_the_start(
    tmp_path_factory: pytest.TempPathFactory,
    patches: list[tuple[float, bytes]],
    header: bool,
    length: float | None,
) -> None:
    root = tmp_path_factory.mktemp("root")
    content = bytearray(sound_index())
    version_hit = False
    for place, patch in patches:
        offset = int(place * (100 if header else len(content) - len(patch)))
        content[offset : offset + len(patch)] = patch
        version_hit |= bool(set(range(offset, offset + len(patch))) & set(VERSION_FIELD))
    if length is not None:
        del content[int(length * len(content)) :]
    store = open_store(root)
    put(store, LAYER)
    store.close()
    (root / "index.sqlite").write_bytes(content)
    try:
        start(root)
    except StoreTooNew:
        assert version_hit
