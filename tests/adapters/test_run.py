"""`run`, as the command calls it: signals, and the configuration read again."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from distcache.asyncio_server import serve as asyncio_serve
from distcache.settings import Problem, Settings, SettingsError
from distcache.trio_server import serve as trio_serve
from tests.adapters import scripted as up
from tests.adapters.blocking import Client, Torn
from tests.adapters.harness import settings
from tests.support.footprint import awaited

RUNS = pytest.mark.parametrize("run", [trio_serve.run, asyncio_serve.run], ids=["trio", "asyncio"])
Run = Callable[[Callable[[], Settings]], int]


def signal_self(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def said(caplog: pytest.LogCaptureFixture, message: str, field: str = "") -> list[object]:
    """That field of each record with this message, in order."""
    found = [r for r in list(caplog.records) if r.getMessage() == message]
    return [getattr(r, "fields", {}).get(field) for r in found]


def operated(
    run: Run,
    load: Callable[[], Settings],
    caplog: pytest.LogCaptureFixture,
    operate: Callable[[int], None],
) -> int:
    """The status of `run`, while another thread operates the server once that listens on a
    port, which is given. An operator who fails stops it: nobody else would."""

    def act() -> None:
        (address,) = awaited(lambda: said(caplog, "listening", "address"), bool)
        try:
            operate(int(str(address).rpartition(":")[2]))
        except BaseException:
            for _ in range(2):
                signal_self(signal.SIGTERM)
            raise

    thread = threading.Thread(target=act)
    thread.start()
    status = run(load)
    thread.join()
    return status


@RUNS
def test_signals_reload_and_stop_the_server(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "distcache")
    loads: list[Settings] = []

    def load() -> Settings:
        if len(loads) == 1:
            loads.append(loads[0])
            raise SettingsError([Problem("a mistake", "$.http")])
        loads.append(settings(tmp_path / "store", 1))
        return loads[-1]

    def operate(port: int) -> None:
        signal_self(signal.SIGHUP)
        wrong = "the new configuration is wrong"
        awaited(lambda: said(caplog, wrong, "error"), lambda found: "a mistake @ $.http" in found)
        signal_self(signal.SIGHUP)
        awaited(lambda: said(caplog, "configuration read again"), bool)
        signal_self(signal.SIGTERM)

    assert operated(run, load, caplog, operate) == 0
    assert len(loads) == 3
    assert caplog.messages[-2:] == ["stopping", "stopped"]


@RUNS
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_cuts_what_still_runs(
    run: Run, number: signal.Signals, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "distcache")
    body = bytes(100_000)
    with up.scripted() as upstream:
        path = upstream.blob("a/img", body, up.until(body, 1000, up.hang))

        def operate(port: int) -> None:
            with Client.to(port) as client:
                client.ask(path)
                client.head()
                signal_self(number)
                awaited(lambda: said(caplog, "stopping"), bool)
                signal_self(number)
                with pytest.raises(Torn):
                    client.take(len(body))
            torn.append(True)

        torn: list[bool] = []
        given = settings(tmp_path / "store", upstream.port)
        assert operated(run, lambda: given, caplog, operate) == 0
    assert torn == [True]
