"""The index: what outlives the process beside the files, in one SQLite database.

Rules: one connection behind one lock; every batch of records is one transaction. WAL with
synchronous=NORMAL: after a power cut the newest transactions may be gone, never half there,
and start-up compares with the files anyway. Only what the content of the database proves to
be damage moves it aside; a full or read-only disk does not.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import TypeVar, assert_never

from attrs import Factory, frozen

from distcache.core.inventory import (
    BlobDropped,
    BlobStored,
    BlobUsed,
    FillDropped,
    FillStored,
    GrantDropped,
    GrantStored,
    PinDropped,
    PinStored,
    Record,
    SeenDropped,
    SeenStored,
    TagDropped,
    TagStored,
)

from . import damage
from .codec import ANSWER, CLIENT, DESCRIPTOR, DOCUMENT, LISTED, PINNED, REFERENCE, TEXT
from .errors import StoreTooNew, translated
from .reading import Reading

VERSION = 5
"""Of the schema, in the database's user_version."""

SCHEMA = (
    "CREATE TABLE blobs (digest TEXT PRIMARY KEY, size INTEGER NOT NULL, used REAL NOT NULL, "
    "document TEXT)",
    "CREATE TABLE tags (reference TEXT PRIMARY KEY, digest TEXT NOT NULL, "
    "descriptor TEXT NOT NULL, checked REAL NOT NULL, etag TEXT, listed TEXT, "
    "answer TEXT)",
    "CREATE INDEX tags_by_digest ON tags (digest)",
    "CREATE TABLE grants (digest TEXT NOT NULL, kind TEXT NOT NULL, upstream TEXT NOT NULL, "
    "name TEXT NOT NULL, PRIMARY KEY (digest, kind, upstream, name))",
    "CREATE TABLE pins (what TEXT PRIMARY KEY)",
    "CREATE TABLE seen (upstream TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, "
    "since REAL NOT NULL, PRIMARY KEY (upstream, name, digest))",
    "CREATE TABLE fills (digest TEXT PRIMARY KEY, at REAL NOT NULL, upstream TEXT NOT NULL, "
    "name TEXT NOT NULL, client TEXT, mirror INTEGER, status INTEGER)",
)

_TAGS_OF_4 = SCHEMA[1].replace(", answer TEXT", "")
_TAGS_OF_2 = _TAGS_OF_4.replace(", listed TEXT", "")
_OLDER: dict[int, tuple[tuple[str, ...], tuple[str, ...]]] = {
    1: ((SCHEMA[0], _TAGS_OF_2, *SCHEMA[2:4]), (SCHEMA[4],)),
    2: (
        (SCHEMA[0], _TAGS_OF_2, *SCHEMA[2:5]),
        (
            "ALTER TABLE tags ADD COLUMN listed TEXT",
            # What lists were kept then lacks what is said of them now; they are asked for anew.
            'DELETE FROM tags WHERE reference NOT GLOB \'{"_type":"TagRef",*\'',
        ),
    ),
    3: ((SCHEMA[0], _TAGS_OF_4, *SCHEMA[2:5]), (SCHEMA[5],)),
    4: (
        (SCHEMA[0], _TAGS_OF_4, *SCHEMA[2:6]),
        ("ALTER TABLE tags ADD COLUMN answer TEXT", SCHEMA[6]),
    ),
}
"""The schema of each earlier version, and what makes it the next one's."""

Row = tuple[object, ...]
T = TypeVar("T")


@frozen
class Held:
    """What the index holds. `damaged` counts the rows that could not be read."""

    blobs: list[BlobStored]
    tags: list[TagStored]
    grants: list[GrantStored]
    damaged: int
    pins: list[PinStored] = Factory(list)
    seen: list[SeenStored] = Factory(list)
    fills: list[FillStored] = Factory(list)


class Index:
    """Made by `open_index`. `renewed`: the file was damaged and has been put aside."""

    def __init__(self, connection: sqlite3.Connection, renewed: bool) -> None:
        self.renewed = renewed
        self._connection = connection
        self._lock = Lock()
        self._closing = False

    def load(self) -> Held:
        """Everything; rows that cannot be read are deleted and counted."""
        with self._lock, translated():
            read = Reading()
            # First: the others share its digests.
            blobs, bad_blobs = self._rows("blobs", "digest, size, used, document", read.blob)
            columns = "reference, digest, descriptor, checked, etag, listed, answer"
            tags, bad_tags = self._rows("tags", columns, read.tag)
            grants, bad_grants = self._rows("grants", "digest, kind, upstream, name", read.grant)
            pins, bad_pins = self._rows("pins", "what", read.pin)
            seen, bad_seen = self._rows("seen", "upstream, name, digest, since", read.seen)
            bad = {"blobs": bad_blobs, "tags": bad_tags, "grants": bad_grants, "pins": bad_pins}
            columns = "digest, at, upstream, name, client, mirror, status"
            fills, bad_fills = self._rows("fills", columns, read.fill)
            bad |= {"seen": bad_seen, "fills": bad_fills}
            # A disk that is full or read-only must not stop the start.
            with suppress(sqlite3.Error), self._transaction():
                for table, rows in bad.items():
                    statement = f"DELETE FROM {table} WHERE rowid = ?"
                    self._connection.executemany(statement, rows)
        return Held(blobs, tags, grants, sum(map(len, bad.values())), pins, seen, fills)

    def write(self, records: Iterable[Record]) -> None:
        """All or, on StoreError, none of them; writing them again changes nothing."""
        with self._lock, translated(), self._transaction():
            for record in records:
                for statement, values in _statements(record):
                    self._connection.execute(statement, values)

    def check(self) -> None:
        """What the start did not wait for: that a row's key leads to the row. Where it does not,
        what `load` has read is right all the same, but what is written from now on may be missed
        by the next run: that one begins a new index. `close` cuts it short."""
        with self._lock, suppress(sqlite3.Error):
            if self._closing:
                return
            try:
                damage.check_trees(self._connection)
            except damage.DamageError:
                damage.mark(self._connection)

    def close(self) -> None:
        self._closing = True
        with suppress(sqlite3.ProgrammingError):  # closed already
            self._connection.interrupt()
            with self._lock:
                # The next statement ends that, else it would meet the writing back in `close`.
                self._connection.execute("PRAGMA user_version")
        with self._lock, translated():
            self._connection.close()

    def _rows(
        self, table: str, columns: str, decode: Callable[[Row], T]
    ) -> tuple[list[T], list[tuple[int]]]:
        """What the rows say, and the numbers of those that say nothing."""
        values: list[T] = []
        damaged: list[tuple[int]] = []
        for row in self._connection.execute(f"SELECT rowid, {columns} FROM {table}"):
            try:
                values.append(decode(row))
            except ValueError:
                damaged.append((row[0],))
        return values, damaged

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself after some errors.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


def open_index(path: Path) -> Index:
    """Open or create. A damaged file is put aside and a new one begun. StoreTooNew: a later
    release wrote it. StoreError: neither can be done."""
    with translated(path):
        try:
            return Index(_connect(path), renewed=False)
        except (sqlite3.Error, damage.DamageError) as error:
            if not damage.proven(error, path):
                raise
        damage.put_aside(path)
        return Index(_connect(path), renewed=True)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        # Before WAL: then its index is kept in memory, and a full disk is no reason not to start.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        # Text is decoded row by row, so that bytes that are no UTF-8 cost one row only.
        connection.text_factory = bytes
        _check(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Sound, writable, and of our schema; an empty database is given it."""
    damage.check_pages(connection)
    # Writes nothing, yet fails where nothing can be written; BEGIN IMMEDIATE does not.
    connection.executescript("BEGIN; PRAGMA user_version = 0; ROLLBACK")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    found = {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master")}
    if VERSION < version <= damage.PLAUSIBLE_VERSION:
        raise StoreTooNew(path, version, VERSION)
    if not found and version == 0:
        script = ";".join(("BEGIN", *SCHEMA, f"PRAGMA user_version = {VERSION}", "COMMIT;"))
        connection.executescript(script)
    elif version in _OLDER and found.issuperset(sql.encode() for sql in _OLDER[version][0]):
        steps = [sql for before in range(version, VERSION) for sql in _OLDER[before][1]]
        statements = ("BEGIN", *steps, f"PRAGMA user_version = {VERSION}", "COMMIT;")
        connection.executescript(";".join(statements))
    elif version != VERSION or not found.issuperset(sql.encode() for sql in SCHEMA):
        raise damage.DamageError(f"not our schema, or version {version}")


def _statements(record: Record) -> Sequence[tuple[str, Row]]:
    match record:
        case BlobStored(digest, size, used, document):
            text = None if document is None else DOCUMENT.dump(document)
            values: Row = (digest, size, used, text)
            return [("INSERT OR REPLACE INTO blobs VALUES (?, ?, ?, ?)", values)]
        case BlobUsed(digest, used):
            return [("UPDATE blobs SET used = ? WHERE digest = ?", (used, digest))]
        case BlobDropped(digest):
            return [
                (f"DELETE FROM {table} WHERE digest = ?", (digest,))
                for table in ("blobs", "tags", "grants", "fills")
            ]
        case TagStored(reference, descriptor, checked, etag, listed, answer):
            values = (
                REFERENCE.dump(reference),
                descriptor.content.digest,
                DESCRIPTOR.dump(descriptor),
                checked,
                None if etag is None else TEXT.dump(etag),
                None if listed is None else LISTED.dump(listed),
                None if answer is None else ANSWER.dump(answer),
            )
            return [("INSERT OR REPLACE INTO tags VALUES (?, ?, ?, ?, ?, ?, ?)", values)]
        case TagDropped(reference):
            return [("DELETE FROM tags WHERE reference = ?", (REFERENCE.dump(reference),))]
        case GrantStored(repository, content):
            values = (content.digest, content.kind.value, repository.upstream, repository.name)
            return [("INSERT OR IGNORE INTO grants VALUES (?, ?, ?, ?)", values)]
        case GrantDropped(repository, content):
            values = (content.digest, content.kind.value, repository.upstream, repository.name)
            where = "digest = ? AND kind = ? AND upstream = ? AND name = ?"
            return [(f"DELETE FROM grants WHERE {where}", values)]
        case PinStored(what):
            return [("INSERT OR IGNORE INTO pins VALUES (?)", (PINNED.dump(what),))]
        case PinDropped(what):
            return [("DELETE FROM pins WHERE what = ?", (PINNED.dump(what),))]
        case SeenStored(repository, digest, since):
            values = (repository.upstream, repository.name, digest, since)
            return [("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?)", values)]
        case SeenDropped(repository, digest):
            where = "upstream = ? AND name = ? AND digest = ?"
            values = (repository.upstream, repository.name, digest)
            return [(f"DELETE FROM seen WHERE {where}", values)]
        case FillStored(digest, filled):
            values = (
                digest,
                filled.at,
                filled.repository.upstream,
                filled.repository.name,
                None if filled.client is None else CLIENT.dump(filled.client),
                filled.mirror,
                filled.status,
            )
            return [("INSERT OR REPLACE INTO fills VALUES (?, ?, ?, ?, ?, ?, ?)", values)]
        case FillDropped(digest):
            return [("DELETE FROM fills WHERE digest = ?", (digest,))]
        case _:
            assert_never(record)
