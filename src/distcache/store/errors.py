"""What can go wrong in the store, told apart as the core's StoreFault tells it."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distcache.core.events import StoreFault


class StoreError(Exception):
    """The store could not do what it was asked; `fault` is what the core is told."""

    def __init__(self, message: str, fault: StoreFault = StoreFault.FAULT) -> None:
        super().__init__(message)
        self.fault = fault


class StoreLocked(StoreError):
    """Another process serves from this directory."""

    def __init__(self, root: Path) -> None:
        super().__init__(f"{root} is in use by another process")


class StoreTooNew(StoreError):
    """The index was written by a later release, which may know what this one would lose."""

    def __init__(self, path: Path, version: int, known: int) -> None:
        super().__init__(
            f"{path} has schema version {version}, this release knows {known}: "
            "use the newer release, or another directory"
        )


@contextmanager
def translated(index: Path | str = "index") -> Iterator[None]:
    """Turn the errors of files and of SQLite into StoreError. `index`: what SQLite's errors,
    which name no file, are about."""
    try:
        yield
    except OSError as error:
        raise StoreError(str(error), _OF_ERRNO.get(error.errno, StoreFault.FAULT)) from error
    except sqlite3.Error as error:
        fault = _OF_SQLITE.get(primary_code(error), StoreFault.FAULT)
        raise StoreError(f"{index}: {error}", fault) from error


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 for errors that the binding itself raises."""
    return extended_code(error) & 0xFF


def extended_code(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code


_OF_ERRNO: dict[int | None, StoreFault] = {
    errno.ENOSPC: StoreFault.NO_SPACE,
    errno.EDQUOT: StoreFault.NO_SPACE,
    errno.EROFS: StoreFault.READ_ONLY,
}

_OF_SQLITE = {
    sqlite3.SQLITE_FULL: StoreFault.NO_SPACE,
    sqlite3.SQLITE_READONLY: StoreFault.READ_ONLY,
}
