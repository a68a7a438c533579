"""Dies at every step of a store's work in turn. Run as a program: crash_child.py DIRECTORY.

For k = 1, 2, ... a forked child does the work below in DIRECTORY/k and exits, as if killed,
just before its k-th call into the operating system or statement to SQLite; a pwrite is cut
short instead. The last child lives to the end and leaves the names of its calls in
DIRECTORY/calls. A separate program, because a process that forks must not have threads.
"""

import os
import sqlite3
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from distcache.core.effects import Medium, Spool
from distcache.core.inventory import BlobDropped
from distcache.store import MemorySpool, open_store
from tests.store.samples import digest_of, grant, put, stored

FIRST = b"first" * 1000
SECOND = b"second" * 1000
THIRD = b"third" * 1000
DOOMED = b"doomed" * 1000

CALLS = ("open", "pwrite", "fsync", "ftruncate", "rename", "unlink", "mkdir", "close")
STATEMENTS = ("execute", "executescript")


def work(root: Path) -> None:
    """Commit files, commit what lies in memory together, delete; each with its record."""
    store = open_store(root)
    for number, data in enumerate((FIRST, DOOMED)):
        put(store, data, number)
        store.write([stored(data), grant(digest_of(data))])
    bodies = [MemorySpool(Spool(number, Medium.MEMORY)) for number in (3, 4)]
    for body, data in zip(bodies, (SECOND, THIRD), strict=True):
        body.write(0, data)
    assert store.commit_all([(body, body.digest()) for body in bodies]) == [None, None]
    store.write([stored(SECOND), stored(THIRD)])
    store.delete(digest_of(DOOMED))
    store.write([BlobDropped(digest_of(DOOMED))])
    store.close()


def count_calls(deadly: int, names: list[str]) -> None:
    """From here on the process dies at its `deadly`-th call; `names` collects the others."""

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **options: Any) -> Any:
            names.append(name)
            if len(names) == deadly:
                if name == "pwrite":
                    call(args[0], args[1][: len(args[1]) // 2], args[2])
                os._exit(9)
            return call(*args, **options)

        return wrapper

    class Connection(sqlite3.Connection):
        execute = counted("execute", sqlite3.Connection.execute)
        executescript = counted("executescript", sqlite3.Connection.executescript)

    for name in CALLS:
        setattr(os, name, counted(name, getattr(os, name)))
    setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Connection))  # noqa: B010


def run(directory: Path, deadly: int) -> bool:
    """Whether the child came to its end."""
    root = directory / str(deadly)
    root.mkdir()
    child = os.fork()
    if child == 0:
        names: list[str] = []
        count_calls(deadly, names)
        work(root)
        (directory / "calls").write_text("\n".join(names))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0


if __name__ == "__main__":
    step = 1
    while not run(Path(sys.argv[1]), step):
        step += 1
