"""`run`, as the command calls it: signals, and the configuration read again."""

import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve

from distcache.asyncio_server import serve as asyncio_serve
from distcache.settings import Problem, Settings, SettingsError
from distcache.trio_server import serve as trio_serve
from tests.adapters import scripted as up
from tests.adapters.blocking import Client, Torn
from tests.adapters.harness import settings

RUNS = pytest.mark.parametrize("run", [trio_serve.run, asyncio_serve.run], ids=["trio", "asyncio"])
Run = Callable[[Callable[[], Settings]], int]


def listening(caplog: pytest.LogCaptureFixture) -> None:
    while "listening" not in list(caplog.messages):
        pass


def signal_self(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@RUNS
def test_signals_reload_and_stop_the_server(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "distcache")
    loads: list[Settings] = []
    reloaded = threading.Event()

    def load() -> Settings:
        if len(loads) == 1:
            loads.append(loads[0])
            raise SettingsError([Problem("a mistake", "$.http")])
        loads.append(settings(tmp_path / "store", 1))
        if len(loads) == 3:
            reloaded.set()
        return loads[-1]

    def operator() -> None:
        listening(caplog)
        signal_self(signal.SIGHUP)
        while "a mistake @ $.http" not in caplog_errors(caplog):
            pass
        signal_self(signal.SIGHUP)
        reloaded.wait()
        signal_self(signal.SIGTERM)

    thread = threading.Thread(target=operator)
    thread.start()
    status = run(load)
    thread.join()
    assert status == 0
    assert len(loads) == 3
    assert "configuration read again" in caplog.messages
    assert caplog.messages[-2:] == ["stopping", "stopped"]


def caplog_errors(caplog: pytest.LogCaptureFixture) -> list[object]:
    return [getattr(r, "fields", {}).get("error") for r in list(caplog.records)]


@RUNS
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_cuts_what_still_runs(
    run: Run, number: signal.Signals, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "distcache")
    body = bytes(100_000)
    torn: list[bool] = []
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def operator(path: str) -> None:
        listening(caplog)
        with Client.to(port) as client:
            client.ask(path)
            client.head()
            signal_self(number)
            while "stopping" not in caplog.messages:
                pass
            signal_self(number)
            try:
                client.take(len(body))
            except Torn:
                torn.append(True)

    with up.scripted() as upstream:
        path = upstream.blob("a/img", body, up.until(body, 1000, up.hang))
        thread = threading.Thread(target=operator, args=(path,))
        thread.start()
        given = evolve(settings(tmp_path / "store", upstream.port), port=port)
        assert run(lambda: given) == 0
        thread.join()
    assert torn == [True]
