"""Taking in connections: their bound, and running out of files."""

import socket
from collections.abc import Awaitable, Callable, Iterator

import trio

from .. import log
from ..driver.listening import BATCH, OUT, PAUSE, client_name
from ..settings import Level

Serve = Callable[[socket.socket, str], Awaitable[None]]


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
            nursery.start_soon(_serve, one, client_name(address), places, serve)
            # Whoever waits already: with one of them a round, busy connections starve a crowd.
            for one, address in _waiting(listener, places):
                nursery.start_soon(_serve, one, client_name(address), places, serve)


def _waiting(
    listener: socket.socket, places: trio.Semaphore
) -> Iterator[tuple[socket.socket, object]]:
    """At most `BATCH`, each of which has taken a place."""
    for _ in range(BATCH):
        try:
            places.acquire_nowait()
        except trio.WouldBlock:
            return
        try:
            yield listener.accept()
        except OSError:  # nobody, or what `_accept` will tell of
            places.release()
            return


async def _accept(listener: socket.socket) -> tuple[socket.socket, object]:
    while True:
        try:
            return listener.accept()
        except BlockingIOError:
            await trio.lowlevel.wait_readable(listener)
        except OSError as error:
            if error.errno in OUT:
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
