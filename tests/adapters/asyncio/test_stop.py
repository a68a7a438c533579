"""A server that is cancelled, in asyncio's own way; the rest is in the contract."""

import asyncio
from pathlib import Path

import pytest

from distcache.asyncio_server import serve
from distcache.asyncio_server.serve import open_server
from distcache.settings import Settings
from distcache.store import open_store
from tests.adapters import scripted as up
from tests.adapters.blocking import Client, Torn
from tests.adapters.harness import nothing_left, settings
from tests.adapters.recording import RecordingCache

BODY = bytes(range(256)) * 8000


@pytest.fixture
def caches(monkeypatch: pytest.MonkeyPatch) -> list[RecordingCache]:
    made: list[RecordingCache] = []

    def record(*arguments: object) -> RecordingCache:
        made.append(RecordingCache(*arguments))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(serve, "Cache", record)
    return made


async def serve_until_cancelled(given: Settings, port: "asyncio.Future[int]") -> None:
    async with open_server(given) as server:
        port.set_result(server.port)
        await asyncio.Event().wait()


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("where", ["hung", "in the middle"])
def test_a_cancelled_server_ends_everything_it_began(
    tmp_path: Path, caches: list[RecordingCache], times: int, where: str
) -> None:
    script = up.hang if where == "hung" else up.until(BODY, 1000, up.hang)

    async def main(upstream: up.Upstream) -> None:
        path = upstream.blob("a/img", BODY, script)
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        given = settings(tmp_path / "store", upstream.port)
        task = asyncio.create_task(serve_until_cancelled(given, port))
        with Client.to(await port) as client:
            client.ask(path)
            while not upstream.asked:
                await asyncio.sleep(0.001)
            for _ in range(times):
                # However often: the end of what was begun is not to be hurried so.
                task.cancel()
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(Torn):
                client.take(2 * len(BODY))

    with nothing_left(), up.scripted() as upstream:
        asyncio.run(main(upstream))
    assert caches[0].ledger.open_business() == []
    open_store(tmp_path / "store").close()


def test_a_loop_that_is_shut_down_under_a_server_loses_nothing_that_was_begun(
    tmp_path: Path, caches: list[RecordingCache]
) -> None:
    """`asyncio.run` cancels every task when its main one has failed."""

    async def main(upstream: up.Upstream) -> None:
        path = upstream.blob("a/img", BODY, up.until(BODY, 1000, up.hang))
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        given = settings(tmp_path / "store", upstream.port)
        keep.append(asyncio.create_task(serve_until_cancelled(given, port)))
        client = Client.to(await port)
        clients.append(client)
        client.ask(path)
        while not upstream.asked:
            await asyncio.sleep(0.001)
        raise ZeroDivisionError

    keep: list[asyncio.Task[None]] = []
    clients: list[Client] = []
    with up.scripted() as upstream:
        with pytest.raises(ZeroDivisionError):
            asyncio.run(main(upstream))
        clients[0].close()
    assert caches[0].ledger.open_business() == []
    open_store(tmp_path / "store").close()


def test_a_server_can_be_closed_within_its_block(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_server(settings(tmp_path / "store", 1)) as server:
            with Client.to(server.port) as client:
                await server.aclose()
                await server.aclose()
                assert client.end() == b""
                server.stop()
        assert len(asyncio.all_tasks()) == 1

    with nothing_left():
        asyncio.run(main())


def test_an_error_within_the_block_comes_out_as_it_is(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_server(settings(tmp_path / "store", 1)):
            raise ZeroDivisionError

    with nothing_left(), pytest.raises(ZeroDivisionError):
        asyncio.run(main())
