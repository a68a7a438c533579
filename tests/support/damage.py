"""An index whose rows are whole and cannot be found: what a start does not look for, and the check
behind it does."""

import sqlite3
import threading
from pathlib import Path

from distcache.store.store import CHECK

PAGE = 4096


def out_of_step(path: Path, digest: str) -> None:
    """The key's own tree names another digest than the blob's row."""
    known = digest.encode()
    content = path.read_bytes()
    assert content.count(known) > 2
    connection = sqlite3.connect(path)
    (page,) = connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_blobs_1'"
    ).fetchone()
    connection.close()
    start = (page - 1) * PAGE
    spoilt = content[start : start + PAGE].replace(known, known[:-1] + b"!")
    path.write_bytes(content[:start] + spoilt + content[start + PAGE :])


def await_check() -> None:
    """Until the check that has begun in this process has ended."""
    for thread in threading.enumerate():
        if thread.name == CHECK:
            thread.join()


def marked(path: Path) -> bool:
    """The next start puts it aside. Nobody may use it meanwhile."""
    connection = sqlite3.connect(path)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return bool(version == -1)
