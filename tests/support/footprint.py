"""What a server process holds open, as the kernel sees it (proc(5)): Linux only.

Tests read it to tell that nothing was left behind. What a server may keep has names of its
own here: idle connections to upstream, files of stored blobs.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from attrs import evolve, field, frozen

from tests.support.cache import CacheServer
from tests.support.processes import READY

T = TypeVar("T")

LISTEN = 0x0A
"""State of a socket in /proc/net/tcp."""


@frozen
class Footprint:
    """Descriptors by what they are, threads, and files below `spool/`.

    `clients`: connections to the server's own port; `upstreams`: other connections; `blobs`:
    files below `blobs/`; `spools`: open files below `spool/`; `deleted`: open files without a
    name; `others`: the rest, by name."""

    clients: int
    upstreams: int
    blobs: int
    spools: int
    deleted: int
    others: Counter[str] = field(hash=False)
    spool_files: tuple[str, ...]
    threads: int
    memory: int
    """Resident bytes that are not shared with a file (VmRSS: RssAnon)."""

    @property
    def quiet(self) -> bool:
        """Nobody is being served and nothing is on its way."""
        return not (self.clients or self.spools or self.deleted or self.spool_files)

    @property
    def fixed(self) -> "Footprint":
        """What must be the same whenever it is quiet."""
        return evolve(self, upstreams=0, blobs=0, threads=0, memory=0)


def footprint(cache: CacheServer, pid: int | None = None) -> Footprint:
    """`pid`: where the server is not the process that was started. FileNotFoundError,
    ProcessLookupError: it has ended."""
    process = Path("/proc") / str(cache.server.pid if pid is None else pid)
    names = list(open_names(process))
    sockets = dict(tcp_sockets(process))
    # A connection that was closed between the two listings is in the first one only.
    closed = set(names).difference(open_names(process))
    kinds: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for name in names:
        if name in closed:
            continue
        inode = name.removeprefix("socket:[").removesuffix("]")
        if name.startswith("socket:[") and inode in sockets:
            port, state = sockets[inode]
            own = "clients" if port == cache.port else "upstreams"
            kinds["listeners" if state == LISTEN else own] += 1
        elif name.endswith(" (deleted)"):
            kinds["deleted"] += 1
        elif name.startswith(f"{cache.store}/blobs/"):
            kinds["blobs"] += 1
        elif name.startswith(f"{cache.store}/spool/"):
            kinds["spools"] += 1
        else:
            others[name.partition(":[")[0]] += 1
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    if "RssAnon" not in status:
        raise ProcessLookupError(f"{process} has ended and was not waited for")
    return Footprint(
        kinds["clients"],
        kinds["upstreams"],
        kinds["blobs"],
        kinds["spools"],
        kinds["deleted"],
        others + Counter(listeners=kinds["listeners"]),
        tuple(sorted(path.name for path in (cache.store / "spool").iterdir())),
        int(status["Threads"]),
        int(status["RssAnon"].split()[0]) * 1024,
    )


def settled(cache: CacheServer, pid: int | None = None) -> Footprint:
    """The footprint once the server is quiet. AssertionError: it does not become so."""
    return awaited(lambda: footprint(cache, pid), lambda found: found.quiet)


def awaited(read: Callable[[], T], enough: Callable[[T], bool]) -> T:
    """What `read` finds as soon as that is `enough`. AssertionError: it never is."""
    deadline = time.monotonic() + READY
    while not enough(found := read()):
        assert time.monotonic() < deadline, f"never came to it: {found}"
        time.sleep(0.01)
    return found


def open_names(process: Path) -> Iterator[str]:
    for entry in (process / "fd").iterdir():
        try:
            yield os.readlink(entry)
        except FileNotFoundError:
            continue  # closed meanwhile


def tcp_sockets(process: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Local port and state of every TCP socket of the machine, by inode."""
    for table in ("tcp", "tcp6"):
        for line in (process / "net" / table).read_text().splitlines()[1:]:
            columns = line.split()
            port, state = int(columns[1].rpartition(":")[2], 16), int(columns[3], 16)
            yield columns[9], (port, state)
