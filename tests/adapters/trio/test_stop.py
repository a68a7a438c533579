"""A server that is cancelled, in trio's own way; the rest is in the contract."""

from pathlib import Path

import pytest
import trio

from distcache.store import open_store
from distcache.trio_server.serve import open_server
from tests.adapters import fake_upstream as fake
from tests.adapters.client import connect

from .bench import bench, settings

BODY = bytes(range(256)) * 8000

pytestmark = pytest.mark.trio


async def test_a_cancelled_server_ends_everything_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trio.CancelScope() as scope:
        async with bench(tmp_path, monkeypatch) as b:
            ledger = b.ledger
            path = b.upstream.blob("a/img", BODY, fake.until(BODY, 1000, fake.hang))
            client = await b.connect()
            async with client.stream:
                await client.ask(path)
                await client.head()
                scope.cancel()
                await trio.sleep_forever()
    assert ledger.open_business() == []
    open_store(tmp_path / "store").close()


async def test_a_server_can_be_closed_within_its_block(tmp_path: Path) -> None:
    async with open_server(settings(tmp_path / "store", 1)) as server:
        client = await connect(server.port)
        await server.aclose()
        assert await client.end() == b""
        await client.stream.aclose()


async def test_an_error_within_the_block_comes_out_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with open_server(settings(tmp_path / "store", 1)):
            raise ZeroDivisionError
