"""Every wait is bounded. The clock is trio's virtual one and moves only when told."""

import random
import socket
from pathlib import Path

import pytest
import trio

from distcache.core.events import ClientClosed
from tests.adapters import fake_upstream as fake
from tests.adapters.client import Client, Torn

from .bench import Bench, bench

pytestmark = pytest.mark.trio

LARGE = random.Random(2).randbytes(3 * 1024 * 1024)
HUGE = bytes(24 * 1024 * 1024)
"""More than the kernel buffers between two sockets."""


async def quiet() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def closed(client: Client) -> bool:
    """Whether the server has closed by now, having nothing else to say."""
    await quiet()
    return client.stream.socket.is_readable() and await client.end() == b""


async def test_an_idle_connection_is_closed_after_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        client = await b.connect()
        async with client.stream:
            for _ in range(2):
                assert (await client.get("/v2/")).status == 200
                await quiet()
                mock_clock.jump(74)
                assert not await closed(client)
            mock_clock.jump(2)
            assert await closed(client)


async def test_a_header_that_does_not_end_is_given_up_however_often_a_byte_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        client = await b.connect()
        async with client.stream:
            await client.say(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n")
            for _ in range(2):
                await quiet()
                mock_clock.jump(14)
                await client.say(b"X: y\r\n")
            assert not await closed(client)
            mock_clock.jump(3)
            assert await closed(client)


async def test_a_client_that_does_not_read_is_closed_after_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        path = b.upstream.blob("a/img", HUGE)
        await b.get(path)
        await b.settled()
        client = await b.connect()
        async with client.stream:
            await client.ask(path)
            await client.head()
            await quiet()
            before = len(b.ledger.of(ClientClosed))
            mock_clock.jump(59)
            await quiet()
            assert len(b.ledger.of(ClientClosed)) == before
            mock_clock.jump(2)
            await quiet()
            assert len(b.ledger.of(ClientClosed)) == before + 1


async def test_a_client_that_reads_slowly_but_reads_is_served_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        path = b.upstream.blob("a/img", HUGE)
        await b.get(path)
        await b.settled()
        client = await b.connect()
        async with client.stream:
            await client.ask(path)
            await client.head()
            for _ in range(6):
                await client.take(len(HUGE) // 6)
                await quiet()
                mock_clock.jump(50)
            await quiet()
            assert len(b.ledger.of(ClientClosed)) == 0


async def test_headers_or_an_error_come_within_thirty_seconds_whatever_upstream_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        b.upstream.on("/v2/a/img/manifests/v1", fake.hang)
        client = await b.connect()
        async with client.stream:
            await client.ask("/v2/a/img/manifests/v1")
            await waited(b, 0)
            mock_clock.jump(21)
            assert (await client.answer()).status == 504


async def test_an_upstream_body_that_stalls_is_cut_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        path = b.upstream.blob(
            "a/img", LARGE, fake.until(LARGE, 1_000_000, fake.hang), fake.whole(LARGE)
        )
        client = await b.connect()
        async with client.stream:
            await client.ask(path)
            await client.head()
            got = await client.take(1_000_000)
            await quiet()
            mock_clock.jump(61)
            await quiet()
            # The core tries again after a moment.
            mock_clock.jump(5)
            assert got + await client.take(len(LARGE) - len(got)) == LARGE
        assert [a.headers.get("range") for a in b.upstream.asked] == [None, "bytes=1000000-"]


async def test_an_answer_to_a_client_that_never_closes_is_not_waited_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock
) -> None:
    async with bench(tmp_path, monkeypatch, max_connections=1) as b:
        client = await b.connect()
        async with client.stream:
            answer = await client.get("/v2/", "GET", "Connection: close")
            assert answer.status == 200
            second = await b.connect()
            await second.ask("/v2/")
            await quiet()
            mock_clock.jump(3)
            assert (await second.answer()).status == 200
            await second.stream.aclose()


async def test_a_half_read_answer_is_torn_when_the_server_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        path = b.upstream.blob("a/img", LARGE, fake.until(LARGE, 1_000_000, fake.hang))
        client = await b.connect()
        async with client.stream:
            await client.ask(path)
            await client.head()
            await client.take(1_000_000)
            b.server.stop()
            await quiet()
            mock_clock.jump(19)
            await quiet()
            with pytest.raises(OSError, match="refused"):
                socket.create_connection(("127.0.0.1", b.server.port)).close()
            assert b.ledger.exchanges
            mock_clock.jump(2)
            with pytest.raises(Torn):
                await client.take(1)


async def test_idle_connections_do_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        fresh, used = await b.connect(), await b.connect()
        assert (await used.get("/v2/")).status == 200
    # The clock stands still: nothing can have waited.
    for client in (fresh, used):
        await client.stream.aclose()


async def waited(b: Bench, so_many: int) -> None:
    """Until upstream has been asked more often than that."""
    while len(b.upstream.asked) <= so_many:
        await quiet()
