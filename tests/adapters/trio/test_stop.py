"""Start, stop and reload, in one process; nothing that was begun stays open (`bench` checks)."""

import os
import signal
import socket
import threading
from pathlib import Path

import pytest
import trio
from attrs import evolve

from distcache.core.config import Config, Limits
from distcache.core.config import Upstream as Treatment
from distcache.settings import Settings
from distcache.store import StoreError, StoreLocked, open_store
from distcache.trio_server.serve import open_server, run
from tests.adapters import fake_upstream as fake
from tests.adapters.client import Torn, connect
from tests.adapters.fake_upstream import upstream

from .bench import bench, settings

BODY = bytes(range(256)) * 8000


@pytest.mark.trio
async def test_idle_connections_end_at_once_and_a_running_answer_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        go = trio.Event()
        script = fake.until(BODY, 1000, fake.after(go, fake.rest(BODY, 1000)))
        path = b.upstream.blob("a/img", BODY, script)
        fresh, used, busy = [await b.connect() for _ in range(3)]
        await used.get("/v2/")
        await busy.ask(path)
        await busy.head()
        b.server.stop()
        assert await fresh.end() == await used.end() == b""
        go.set()
        assert await busy.take(len(BODY)) == BODY
        assert await busy.end() == b""
        for client in (fresh, used, busy):
            await client.stream.aclose()


@pytest.mark.trio
async def test_stopping_again_cuts_what_still_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        path = b.upstream.blob("a/img", BODY, fake.until(BODY, 1000, fake.hang))
        client = await b.connect()
        async with client.stream:
            await client.ask(path)
            await client.head()
            b.server.stop()
            await trio.testing.wait_all_tasks_blocked()
            b.server.stop(drain=0)
            with pytest.raises(Torn):
                await client.take(len(BODY))


@pytest.mark.trio
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


@pytest.mark.trio
async def test_what_was_stored_is_journalled_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        path = b.upstream.blob("a/img", BODY)
        await b.get(path)
    async with bench(tmp_path, monkeypatch) as b:
        assert (await b.get(path)).headers["cache-status"] == "distcache; hit"
        assert b.upstream.asked == []


@pytest.mark.trio
async def test_new_policies_are_taken_up_while_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        tag = b.upstream.manifest("a/img", "v1", fake.manifest(BODY))
        await b.get(tag)
        await b.settled()
        old = settings(b.root, b.upstream.port)
        offline = Config({"up": Treatment()}, offline=True, limits=Limits())
        b.server.reload(evolve(old, core=offline))
        asked = len(b.upstream.asked)
        assert (await b.get(tag)).status == 200
        assert (await b.get("/v2/a/other/manifests/v1")).status == 503
        assert len(b.upstream.asked) == asked


@pytest.mark.trio
async def test_what_cannot_change_while_running_is_said_and_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        old = settings(b.root, b.upstream.port)
        b.server.reload(evolve(old, port=1, root=tmp_path / "other"))
        assert caplog.text.count("this needs a restart") == 2
        b.server.reload(evolve(old, sites={}, core=Config({})))
        assert "to remove an upstream needs a restart" in caplog.text
        assert (await b.get("/v2/a/img/manifests/v1")).status == 404


@pytest.mark.trio
async def test_a_port_in_use_leaves_the_store_free(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        used = evolve(settings(tmp_path / "store", 1), port=taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            async with open_server(used):
                pass
    open_store(tmp_path / "store").close()


@pytest.mark.trio
async def test_a_store_in_use_is_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    with pytest.raises(StoreLocked):
        async with open_server(settings(tmp_path / "store", 1)):
            pass
    store.close()
    with pytest.raises(StoreError):
        async with open_server(settings(Path("/dev/null/store"), 1)):
            pass


def test_signals_reload_and_stop_the_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "distcache")
    loads: list[Settings] = []
    reloaded = threading.Event()

    def load() -> Settings:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        loads.append(evolve(settings(tmp_path / "store", 1), port=port))
        if len(loads) > 1:
            reloaded.set()
        return loads[-1]

    def operator() -> None:
        while "listening" not in caplog.text:
            pass
        os.kill(os.getpid(), signal.SIGHUP)
        reloaded.wait()
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=operator)
    thread.start()
    status = run(load)
    thread.join()
    assert status == 0
    assert len(loads) == 2
    assert "stopping" in caplog.text
    assert "stopped" in caplog.text


@pytest.mark.trio
async def test_upstream_need_not_be_there_at_the_start(tmp_path: Path) -> None:
    async with open_server(settings(tmp_path / "store", 1)) as server:
        client = await connect(server.port)
        async with client.stream:
            assert (await client.get("/v2/")).status == 200
            assert (await client.get("/v2/a/img/manifests/v1")).status == 502


@pytest.mark.trio
async def test_a_server_can_be_closed_within_its_block(tmp_path: Path) -> None:
    async with open_server(settings(tmp_path / "store", 1)) as server:
        client = await connect(server.port)
        await server.aclose()
        assert await client.end() == b""
        await client.stream.aclose()


@pytest.mark.trio
async def test_two_servers_in_one_process_do_not_meet(tmp_path: Path) -> None:
    async with (
        upstream() as up,
        open_server(settings(tmp_path / "one", up.port)) as one,
        open_server(settings(tmp_path / "two", one.port)) as two,
    ):
        path = up.blob("a/img", BODY)
        client = await connect(two.port)
        async with client.stream:
            assert (await client.get(path)).body == BODY
