"""SIGHUP, SIGTERM and SIGINT to a real server that is busy."""

import http.client
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import yaml

from tests.faults.bench import EXACT, MIB, Bench, Image, running_bench
from tests.support.faults import Fault, Gate
from tests.support.footprint import awaited, footprint
from tests.support.processes import listening
from tests.support.raw import TIMEOUT, Download, TornError, download

SIZE = 4 * MIB
TOLD = "configuration read again"
REFUSED = "the new configuration is wrong"


def hang_up(bench: Bench, message: str) -> None:
    """SIGHUP, and wait until the server says so once more."""
    before = bench.cache.server.text().count(message)
    bench.cache.hang_up()
    await_more(bench, message, before)


def await_more(bench: Bench, message: str, before: int) -> None:
    awaited(lambda: bench.cache.server.text().count(message), lambda count: count > before)


@contextmanager
def held_transfer(bench: Bench, image: Image) -> Iterator[tuple[Gate, Download]]:
    """A client in the middle of a blob that upstream is still sending."""
    gate = Gate(2 * MIB)
    bench.wiretap.spoil(Fault(image.layer, gate=gate))
    with download(bench.cache.port, image.layer, bench.item(image.layer).body) as one:
        one.read(MIB)
        gate.await_reached()
        yield gate, one


def test_a_held_transfer_is_seen(bench: Bench) -> None:
    """Else the tests that nothing is left behind would prove nothing."""
    image = bench.image("seen", SIZE)
    with held_transfer(bench, image) as (gate, one):
        found = footprint(bench.cache)
        assert (found.clients, found.spools, found.spool_files != ()) == (1, 1, True)
        gate.open()
        one.read_rest()
    bench.assert_well(image)


def test_a_new_configuration_counts_and_breaks_no_connection(runtime: str, tmp_path: Path) -> None:
    with running_bench(tmp_path, runtime) as bench:
        image = bench.image("reload", SIZE)
        idle = http.client.HTTPConnection("127.0.0.1", bench.cache.port, timeout=TIMEOUT)
        with closing(idle), held_transfer(bench, image) as (gate, one):
            idle.request("GET", "/v2/")
            idle.getresponse().read()
            socket = idle.sock
            bench.cache.proxy = {**bench.cache.proxy, "tag_ttl": "1h"}
            bench.cache.configure()
            hang_up(bench, TOLD)
            idle.request("GET", "/v2/")
            assert idle.getresponse().read() == b"{}"
            assert idle.sock is socket, "the same connection"
            gate.open()
            one.read_rest()
        bench.wiretap.forget()
        assert [bench.get(image.tag) for _ in range(3)] == [EXACT] * 3
        assert len(bench.wiretap.seen(part=image.tag)) == 1, "tag_ttl is 1h now"
        bench.assert_well(image)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "$"),
        ("version: 0.1\nproxi: {}\n", "$.proxi"),
        ("version: 0.1\nproxy: {remoteurl: nonsense}\n", "$.proxy.remoteurl"),
        ("version: 0.1\nproxy: {tag_ttl: soon}\n", "$.proxy.tag_ttl"),
        ("", "$"),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_reason(
    bench: Bench, text: str, said: str
) -> None:
    image = bench.image(f"refused-{next(bench.numbers)}", SIZE)
    with held_transfer(bench, image) as (gate, one):
        bench.cache.config.write_text(text)
        hang_up(bench, REFUSED)
        assert f"@ {said}" in bench.cache.server.text().rpartition(REFUSED)[2]
        gate.open()
        one.read_rest()
    bench.assert_well(image)
    bench.cache.configure()
    hang_up(bench, TOLD)
    bench.assert_well(image)


def test_what_needs_a_restart_is_said_and_left(runtime: str, tmp_path: Path) -> None:
    with running_bench(tmp_path, runtime) as bench:
        config = yaml.safe_load(bench.cache.config.read_text())
        config["http"]["addr"] = "127.0.0.1:1"
        config["storage"]["filesystem"]["rootdirectory"] = str(tmp_path / "elsewhere")
        bench.cache.config.write_text(yaml.safe_dump(config))
        hang_up(bench, TOLD)
        for name in ("port", "root"):
            assert f'"not changed: this needs a restart", "setting": "{name}"' in (
                bench.cache.server.text()
            )
        assert not (tmp_path / "elsewhere").exists()
        bench.assert_well(bench.image("left"))


def test_many_reloads_leave_nothing_behind(bench: Bench) -> None:
    for _ in range(20):
        hang_up(bench, TOLD)
        bench.assert_well(bench.image("reloaded"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_running_transfer_may_end_and_nothing_new_begins(
    runtime: str, tmp_path: Path, number: signal.Signals
) -> None:
    with running_bench(tmp_path, runtime) as bench:
        image = bench.image("drain", SIZE)
        idle = http.client.HTTPConnection("127.0.0.1", bench.cache.port, timeout=TIMEOUT)
        with closing(idle), held_transfer(bench, image) as (gate, one):
            idle.request("GET", "/v2/")
            idle.getresponse().read()
            bench.cache.signal(number)
            awaited(lambda: listening(bench.cache.port), lambda open_: not open_)
            assert idle.sock.recv(1) == b"", "what was idle is closed at once"
            gate.open()
            one.read_rest()
        bench.stop()
        bench.start()
        bench.wiretap.stop()
        assert bench.held(image.layer), "it was worth keeping"
        assert bench.get(image.layer) == EXACT
        bench.wiretap.start()
        bench.assert_well(image)


def test_a_transfer_that_takes_too_long_is_cut(runtime: str, tmp_path: Path) -> None:
    with running_bench(tmp_path, runtime, http={"draintimeout": "1s"}) as bench:
        ends_cut(bench, signals=1)


def test_a_second_signal_ends_it_now(runtime: str, tmp_path: Path) -> None:
    with running_bench(tmp_path, runtime, http={"draintimeout": "1h"}) as bench:
        ends_cut(bench, signals=2)


def ends_cut(bench: Bench, signals: int) -> None:
    # The upstream's own stall must not be what ends it.
    bench.cache.proxy = {**bench.cache.proxy, "timeouts": {"idle": "1h"}}
    bench.cache.configure()
    hang_up(bench, TOLD)
    image = bench.image("cut", SIZE)
    with held_transfer(bench, image) as (gate, one):
        for _ in range(signals):
            before = bench.cache.server.text().count('"stopping"')
            bench.cache.signal(signal.SIGTERM)
            await_more(bench, '"stopping"', before)
        with pytest.raises((TornError, ConnectionError)):
            one.read_rest()
        process = bench.cache.server.process
        assert process is not None
        assert process.wait(TIMEOUT) == 0
        gate.open()
    assert list((bench.cache.store / "spool").iterdir()) == []
    bench.stop()
    bench.start()
    bench.assert_well(image)
