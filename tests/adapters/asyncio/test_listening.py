"""Taking in connections: what the system may answer to accept, and bugs in one connection."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from distcache.asyncio_server.listening import Listener
from distcache.driver.listening import listen
from tests.adapters.runtimes import ClockedLoop


class Troubled:
    """A listening socket that is always ready, and has trouble first."""

    def __init__(self, *troubles: int) -> None:
        self._troubles: Iterator[int] = iter(troubles)
        self._ready, self._other = os.pipe()
        os.write(self._other, b"!")

    def fileno(self) -> int:
        return self._ready

    def close(self) -> None:
        os.close(self._ready)
        os.close(self._other)

    def accept(self) -> tuple[Any, tuple[str, int]]:
        for number in self._troubles:
            raise OSError(number, "trouble")
        return "socket", ("192.0.2.1", 5)


def test_running_out_of_descriptors_does_not_end_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    listener = Troubled(errno.EMFILE, errno.ECONNABORTED, errno.ENFILE)
    served: list[tuple[object, str]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ClockedLoop)
        begun = loop.time()

        def serve(one: socket.socket, client: str) -> None:
            served.append((one, client))

        taking = Listener([cast("socket.socket", listener)], 1, serve)
        taking.start()
        while not served:
            await asyncio.sleep(0)
            loop.jump(0.05)
        assert loop.time() - begun >= 0.2
        taking.close()
        taking.close()

    with asyncio.Runner(loop_factory=ClockedLoop) as runner:
        runner.run(main())
    assert served == [("socket", "192.0.2.1:5")]
    assert caplog.text.count("cannot accept a connection") == 2


def test_closing_while_it_waits_for_descriptors_leaves_nothing() -> None:
    async def main() -> None:
        taking = Listener([cast("socket.socket", Troubled(errno.EMFILE))], 1, _never)
        taking.start()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        taking.close()

    asyncio.run(main())


@pytest.mark.parametrize("count", [1, 3])
def test_no_more_are_taken_in_than_there_are_places(count: int) -> None:
    taken: list[socket.socket] = []

    async def main() -> None:
        (one,) = listen("127.0.0.1", 0)
        taking = Listener([one], count, lambda sock, _: taken.append(sock))
        taking.start()
        clients = [socket.create_connection(one.getsockname()) for _ in range(5)]
        await _until(lambda: len(taken) == count)
        for n in range(count, 5):
            taking.ended()
            await _until(lambda n=n: len(taken) == n + 1)  # type: ignore[misc]
        taking.close()
        for sock in (*clients, *taken):
            sock.close()

    asyncio.run(main())


def _never(one: socket.socket, client: str) -> None:
    raise AssertionError


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)
