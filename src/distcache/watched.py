"""Files that somebody else writes and that count as they are now: read again when they change."""

import os
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

from attrs import frozen

T = TypeVar("T")

LOOK_AGAIN = 1.0
"""Seconds. A file is looked at at most so often, however many ask."""

LARGEST = 4 * 1024 * 1024
"""Bytes; no list of users, keys or passwords is longer."""

Report = Callable[[str, dict[str, str]], None]
"""Takes a sentence for the log and its fields, from any thread. Never a secret."""


class FileProblem(Exception):
    """A file cannot be used: its path and why, in a sentence that quotes nothing of it."""


@frozen
class _Mark:
    """What changes with a file's content, or with the file that a name stands for."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


class WatchedFile(Generic[T]):
    """What `parse` makes of a file's bytes. `parse` raises ValueError with a sentence that holds
    nothing of the bytes. Times are in seconds, from any clock that does not step back."""

    def __init__(self, path: Path, parse: Callable[[bytes], T]) -> None:
        self.path = path
        self._parse = parse
        self._lock = Lock()
        self._read: tuple[_Mark, T] | None = None
        self._looked = -LOOK_AGAIN

    def current(self, now: float) -> T | None:
        """What it says, without reading it: the file is only looked at, and that at most once a
        second. None: `read` must find out, in a thread."""
        read = self._read
        if read is None:
            return None
        if now - self._looked >= LOOK_AGAIN:
            try:
                mark = _mark(os.stat(self.path))
            except OSError:
                return None
            if mark != read[0]:
                return None
            self._looked = now
        return read[1]

    def read(self, now: float) -> T:
        """Blocking. Reads it if it has changed; what was read before is given up when this
        raises FileProblem."""
        with self._lock:
            known, self._read = self._read, None
            mark, data = _contents(self.path, None if known is None else known[0])
            if data is None:
                assert known is not None, "only what was read is passed over"
                value = known[1]
            else:
                try:
                    value = self._parse(data)
                except ValueError as error:
                    raise FileProblem(f"{self.path}: {error}") from None
            self._read = mark, value
            self._looked = now
            return value


def contents(path: Path) -> bytes:
    """All bytes of a file that is not too large. Raises FileProblem."""
    data = _contents(path, None)[1]
    assert data is not None, "nothing was known of it"
    return data


def _contents(path: Path, known: _Mark | None) -> tuple[_Mark, bytes | None]:
    """The bytes are None when the file is still as `known` says."""
    try:
        with path.open("rb") as file:
            # Before reading: what is written meanwhile will show as another mark.
            mark = _mark(os.fstat(file.fileno()))
            data = None if mark == known else file.read(LARGEST + 1)
    except OSError as error:
        raise FileProblem(f"{path}: cannot be read: {error.strerror}") from None
    if data is not None and len(data) > LARGEST:
        raise FileProblem(f"{path}: larger than such a file can be")
    return mark, data


def _mark(status: os.stat_result) -> _Mark:
    return _Mark(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )
