"""A clock that jumps to the next deadline as soon as there is nothing else to wait for.

trio's own (`autojump_clock`) looks at tasks alone: while a thread works, or the kernel is late
with what one socket of this process has sent to another, time-outs come that no real clock would
bring. On a busy machine that is often.
"""

import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from math import isfinite
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.adapters.scripted import PATIENCE
from tests.support.footprint import open_names

UNDER_WAY = {0x02, 0x03, 0x04, 0x09, 0x0B}
"""States of a socket whose last word has not been taken yet: SYN-SENT, SYN-RECEIVED, FIN-WAIT-1,
LAST-ACK, CLOSING (proc_net_tcp)."""


@asynccontextmanager
async def jumping(clock: trio.testing.MockClock, patch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """While the block runs. For a process all of whose sockets are read by somebody."""
    working, run_sync = 0, trio.to_thread.run_sync

    async def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal working
        working += 1
        try:
            return await run_sync(*arguments, **options)
        finally:
            working -= 1

    async def jump() -> None:
        quiet = time.monotonic()
        while True:
            await trio.testing.wait_all_tasks_blocked(0.002)
            if working or _on_its_way():
                assert time.monotonic() < quiet + PATIENCE, "nobody reads what was sent"
                continue
            quiet = time.monotonic()
            left = trio.lowlevel.current_statistics().seconds_to_next_deadline
            if isfinite(left):
                clock.jump(max(left, 0.0))

    patch.setattr(trio.to_thread, "run_sync", counted)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(jump)
        yield
        nursery.cancel_scope.cancel()


def _on_its_way() -> bool:
    """Whether anything between this process's TCP sockets has been sent and has not arrived."""
    process = Path("/proc") / str(os.getpid())
    own = {name.removeprefix("socket:[").removesuffix("]") for name in open_names(process)}
    sockets = list(_sockets(process))
    # What has been closed has an end on its way too, and belongs to nobody: its ports tell.
    ports = {local for local, _, _, _, inode in sockets if inode in own}
    return any(
        (state in UNDER_WAY or unsent) and not ports.isdisjoint((local, remote))
        for local, remote, state, unsent, _ in sockets
    )


def _sockets(process: Path) -> Iterator[tuple[int, int, int, int, str]]:
    """Local and remote port, state, bytes that were not taken yet, inode."""
    for line in (process / "net" / "tcp").read_text().splitlines()[1:]:
        columns = line.split()
        local, remote = (int(columns[n].rpartition(":")[2], 16) for n in (1, 2))
        yield local, remote, int(columns[3], 16), int(columns[4].partition(":")[0], 16), columns[9]
