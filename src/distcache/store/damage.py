"""A damaged index file: how it is told from other trouble, and where it goes.

It is kept for whoever wants to look, under names that `sqlite3` can still open.
"""

import os
import re
import shutil
import sqlite3
from pathlib import Path

from .errors import extended_code, primary_code

KEPT = 2
"""Damaged files that stay."""

PLAUSIBLE_VERSION = 1000
"""A schema version beyond this is a damaged header, not a later release."""


class DamageError(Exception):
    """The database is sound for SQLite, but is not what we wrote."""


def check_pages(connection: sqlite3.Connection) -> None:
    """That pages hang together and rows are rows, all of them. DamageError, or sqlite3.Error."""
    _verify(connection, "quick_check")


def check_trees(connection: sqlite3.Connection) -> None:
    """That the trees which rows are found by name what the rows say: ten times as much work.
    DamageError, or sqlite3.Error."""
    _verify(connection, "integrity_check")


def mark(connection: sqlite3.Connection) -> None:
    """Have it put aside at the next start. sqlite3.Error."""
    connection.execute("PRAGMA user_version = -1")


def _verify(connection: sqlite3.Connection, check: str) -> None:
    (verdict,) = connection.execute(f"PRAGMA {check}(1)").fetchone()
    if verdict != b"ok":
        raise DamageError(verdict.decode(errors="replace"))


def proven(error: Exception, path: Path) -> bool:
    """Whether the error comes from the file itself: a new file would not have it."""
    if not isinstance(error, sqlite3.Error):
        return isinstance(error, DamageError)
    if primary_code(error) == sqlite3.SQLITE_READONLY:
        # The header of a database can forbid writing, for formats that are not known yet.
        return os.access(path, os.W_OK)
    return primary_code(error) in _OF_CONTENT or extended_code(error) in _OF_READING


def put_aside(path: Path) -> None:
    """Rename `path` to `path.damaged-N`, with what belongs to it; the newest KEPT stay."""
    earlier = _numbers(path)
    newest = max(earlier, default=0) + 1
    for companion in _COMPANIONS:
        for number in earlier:
            if number <= newest - KEPT:
                _remove(_aside(path, number, companion))
        source = path.with_name(path.name + companion)
        if os.path.lexists(source):
            source.rename(_aside(path, newest, companion))


def _aside(path: Path, number: int, companion: str) -> Path:
    return path.with_name(f"{path.name}.damaged-{number}{companion}")


def _numbers(path: Path) -> set[int]:
    """Of the files put aside before."""
    pattern = re.compile(re.escape(path.name) + r"\.damaged-([0-9]{1,9})(-[a-z]+)?")
    matches = (pattern.fullmatch(entry.name) for entry in path.parent.iterdir())
    return {int(match[1]) for match in matches if match}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


_COMPANIONS = ("", "-wal", "-shm", "-journal")

_OF_CONTENT = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_FORMAT,
    sqlite3.SQLITE_NOTADB,
}

_OF_READING = {
    sqlite3.SQLITE_IOERR_CORRUPTFS,
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
}
