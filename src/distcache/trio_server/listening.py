"""Taking in connections: listening sockets, the bound on connections, running out of files."""

import errno
import socket
from collections.abc import Awaitable, Callable

import trio

from .. import log
from ..settings import Level

BACKLOG = 1024
"""Connections that the kernel keeps waiting; it lowers this to its own bound."""

PAUSE = 0.1
"""Seconds without accepting when the system is out of descriptors or memory."""

_OUT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

Serve = Callable[[socket.socket, str], Awaitable[None]]


def listen(host: str | None, port: int) -> list[socket.socket]:
    """One socket for each address of the host, every interface without one. OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                one = socket.socket(family, kind, protocol)
            except OSError as error:
                if error.errno == errno.EAFNOSUPPORT and len(found) > 1:
                    continue  # a kernel without IPv6
                raise
            sockets.append(one)
            one.setblocking(False)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Inherited by what is accepted: small answers leave at once.
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(address)
            one.listen(BACKLOG)
    except BaseException:
        for one in sockets:
            one.close()
        raise
    return sockets


async def accept(
    listener: socket.socket, places: trio.Semaphore, nursery: trio.Nursery, serve: Serve
) -> None:
    """Start `serve` for each connection, with the client's address; while no place is free, new
    ones wait in the kernel. Runs until cancelled and closes the listener."""
    with listener:
        while True:
            await places.acquire()
            try:
                one, address = await _accept(listener)
            except BaseException:
                places.release()
                raise
            nursery.start_soon(_serve, one, f"{address[0]}:{address[1]}", places, serve)


async def _accept(listener: socket.socket) -> tuple[socket.socket, tuple[str, int]]:
    while True:
        try:
            return listener.accept()
        except BlockingIOError:
            await trio.lowlevel.wait_readable(listener)
        except OSError as error:
            if error.errno in _OUT:
                log.note(Level.ERROR, "cannot accept a connection", {"error": str(error)})
                await trio.sleep(PAUSE)
            else:
                await trio.lowlevel.checkpoint()  # it was gone before we came to it


async def _serve(one: socket.socket, client: str, places: trio.Semaphore, serve: Serve) -> None:
    try:
        await serve(one, client)
    except Exception as error:
        # One connection's bug is not the others' end.
        log.failure("a connection failed", error)
    finally:
        places.release()
