"""Taking in connections: the bound, and what the system may answer to accept."""

import errno
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import trio

from distcache.driver.listening import listen
from distcache.trio_server.listening import accept

from .bench import bench

pytestmark = pytest.mark.trio


async def test_beyond_the_bound_a_connection_waits_for_a_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, monkeypatch, max_connections=2) as b:
        first, second, third = [await b.connect() for _ in range(3)]
        for client in (first, second):
            assert (await client.get("/v2/")).status == 200
        await third.ask("/v2/")
        await trio.testing.wait_all_tasks_blocked()
        assert not third.stream.socket.is_readable()
        await first.stream.aclose()
        assert (await third.answer()).status == 200
        for client in (second, third):
            await client.stream.aclose()


class Listener:
    """A listening socket that has trouble first."""

    def __init__(self, *troubles: int) -> None:
        self._troubles: Iterator[int] = iter(troubles)

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def accept(self) -> tuple[Any, tuple[str, int]]:
        for number in self._troubles:
            raise OSError(number, "trouble")
        return "socket", ("192.0.2.1", 5)


async def test_running_out_of_descriptors_does_not_end_the_server(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    listener = Listener(errno.EMFILE, errno.ECONNABORTED, errno.ENFILE)
    served: list[tuple[object, str]] = []

    async with trio.open_nursery() as nursery:

        async def serve(one: socket.socket, client: str) -> None:
            served.append((one, client))
            nursery.cancel_scope.cancel()

        places = trio.Semaphore(5)
        await accept(cast("socket.socket", listener), places, nursery, serve)
    assert ("socket", "192.0.2.1:5") in served
    assert trio.current_time() >= 0.2
    assert caplog.text.count("cannot accept a connection") == 2


async def test_a_bug_in_one_connection_is_logged_and_gives_its_place_back(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    (listener,) = listen("127.0.0.1", 0)
    places = trio.Semaphore(1)

    async def serve(one: socket.socket, client: str) -> None:
        one.close()
        raise ZeroDivisionError

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept, listener, places, nursery, serve)
        for _ in range(3):
            stream = await trio.open_tcp_stream(*listener.getsockname())
            async with stream:
                assert await stream.receive_some() == b""
        nursery.cancel_scope.cancel()
    assert caplog.text.count("a connection failed") == 3
    caplog.clear()


@pytest.mark.parametrize("room", [100, 30])
async def test_a_crowd_is_taken_in_at_once_however_busy_the_others(room: int) -> None:
    """A round of the scheduler may be long: one connection a round would keep a crowd waiting."""
    # With a path, connect has put it in the queue; with a port, the kernel may do so later.
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("")  # a name that the kernel chooses
    listener.listen(100)
    listener.setblocking(False)
    served: list[socket.socket] = []

    async def serve(one: socket.socket, client: str) -> None:
        served.append(one)
        await trio.sleep_forever()

    crowd = [socket.socket(socket.AF_UNIX) for _ in range(60)]
    for one in crowd:
        one.connect(listener.getsockname())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept, listener, trio.Semaphore(room), nursery, serve)
        for _ in range(8):
            await trio.lowlevel.checkpoint()
        assert len(served) == min(room, len(crowd))
        nursery.cancel_scope.cancel()
    for one in [*crowd, *served]:
        one.close()


async def test_every_interface_is_listened_on_without_a_host() -> None:
    sockets = listen(None, 0)
    for one in sockets:
        port = one.getsockname()[1]
        family = "127.0.0.1" if one.family == socket.AF_INET else "::1"
        stream = await trio.open_tcp_stream(family, port)
        await stream.aclose()
        one.close()
