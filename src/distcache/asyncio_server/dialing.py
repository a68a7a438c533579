"""A connected socket for a name: its addresses found, and raced (RFC 8305)."""

import asyncio
import errno
import os
import socket
from collections import deque
from functools import partial
from typing import Any

from .poller import WRITE, Poller

HEAD_START = 0.25
"""Seconds that one address is tried alone before the next one joins (RFC 8305 §5)."""

Address = tuple[socket.AddressFamily, Any]


async def find(host: str, port: int) -> list[Address]:
    """In the order of preference, families alternating (RFC 8305 §4). OSError: no such name."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        # The loop's own way is another on uvloop, and knows other names.
        ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(None, ask)
    addresses = [(family, address) for family, _, _, _, address in found]
    first = [one for one in addresses if one[0] == addresses[0][0]]
    others = [one for one in addresses if one[0] != addresses[0][0]]
    mixed: list[Address] = []
    while first or others:
        mixed += [first.pop(0)] if first else []
        mixed += [others.pop(0)] if others else []
    return mixed


async def connect(poller: Poller, addresses: list[Address]) -> socket.socket:
    """The first that answers. OSError: none does."""
    left = deque(addresses)
    running: set[asyncio.Task[socket.socket]] = set()
    errors: list[BaseException] = []
    try:
        while left or running:
            if left:
                running.add(asyncio.create_task(_connect_one(poller, *left.popleft())))
            done, running = await asyncio.wait(
                running,
                timeout=HEAD_START if left else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            connected = [task for task in done if task.exception() is None]
            if connected:
                running |= set(connected[1:])
                return connected[0].result()
            errors += [error for task in done if (error := task.exception()) is not None]
        raise errors[0] if errors else OSError("no address")
    finally:
        for task in running:
            task.cancel()
            task.add_done_callback(_discard)


async def _connect_one(poller: Poller, family: socket.AddressFamily, address: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        error = sock.connect_ex(address)
        if error == errno.EINPROGRESS:
            await poller.wait(sock, WRITE)
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
    except BaseException:
        sock.close()
        raise
    return sock


def _discard(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()
