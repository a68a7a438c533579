"""A service manager: what it hears, and the sockets that it hands over."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import yaml
from attrs import evolve

from distcache.driver.listening import open_listening
from distcache.driver.supervision import Supervisor
from distcache.settings import load_text
from tests.adapters.blocking import Client
from tests.support.cache import RUNTIMES
from tests.support.processes import DIE_WITH_TESTS

PATIENCE = 30.0
SETTINGS = load_text(
    "storage: {filesystem: {rootdirectory: /nowhere}}\nproxy: {upstreams: {docker.io: {}}}"
)
HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(sys.argv[2], sys.argv[2:])
"""
"""A descriptor as a service manager gives it to the command that follows."""


@contextmanager
def manager() -> Iterator[tuple[socket.socket, str]]:
    """A socket that is notified, of a name that the kernel chose, and that name."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.settimeout(PATIENCE)
        one.bind("")
        yield one, f"@{one.getsockname()[1:].decode()}"


@contextmanager
def started(
    given: socket.socket, tmp_path: Path, runtime: str, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """`serve`, with `given` handed over."""
    config = tmp_path / "config.yml"
    sections = {
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "store")}},
        # Nobody can listen there.
        "http": {"addr": "192.0.2.1:5000"},
        "proxy": {"upstreams": {"docker.io": {}}},
    }
    config.write_text(yaml.safe_dump(sections))
    serve = [sys.executable, "-m", "distcache", "serve", str(config), "--runtime", runtime]
    fd = given.fileno()
    process = subprocess.Popen(
        [*DIE_WITH_TESTS, sys.executable, "-S", "-c", HAND_OVER, str(fd), *serve],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
        pass_fds=(fd,),
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def heard(one: socket.socket, wanted: str) -> str:
    """The next word that is not a sign of life."""
    while (word := one.recv(4096).decode()) == "WATCHDOG=1" != wanted:
        pass
    return word


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_server_listens_on_what_it_is_given_and_says_what_it_does(
    runtime: str, tmp_path: Path
) -> None:
    with manager() as (told, name), socket.create_server(("127.0.0.1", 0)) as given:
        # Before the server is there: the socket keeps it.
        client = Client.to(given.getsockname()[1])
        client.ask("/v2/")
        # A kernel that keeps ten words keeps five seconds' worth of them.
        environment = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000000"}
        with client, started(given, tmp_path, runtime, environment) as process:
            assert heard(told, "READY=1") == "READY=1"
            assert client.answer().status == 200
            for _ in range(3):
                assert heard(told, "WATCHDOG=1") == "WATCHDOG=1"
            process.send_signal(signal.SIGHUP)
            assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", heard(told, ""))
            assert heard(told, "") == "READY=1"
            process.send_signal(signal.SIGTERM)
            assert heard(told, "") == "STOPPING=1"
            assert process.wait(PATIENCE) == 0


def test_what_does_not_listen_cannot_be_taken_over(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as given,
        started(given, tmp_path, "trio", {}) as process,
    ):
        assert process.stderr is not None
        assert b"no stream socket that listens" in process.stderr.read()
        assert process.wait(PATIENCE) == 1


def test_words_and_sockets_for_another_process_are_not_ours() -> None:
    with manager() as (told, name):
        environ = {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1", "LISTEN_PID": "1"}
        environ |= {"LISTEN_FDS": "1", "NOTIFY_SOCKET": name, "HOME": "/"}
        supervisor = Supervisor(environ)
        assert supervisor.watch is None
        assert supervisor.sockets == []
        supervisor.ready()
        assert told.recv(100) == b"READY=1"
        assert environ == {"HOME": "/"}, "children are told nothing"


@pytest.mark.parametrize("micros", ["", "0", "soon", "-5"])
def test_without_a_time_nobody_watches(micros: str) -> None:
    assert Supervisor({"WATCHDOG_USEC": micros}).watch is None
    assert Supervisor({"WATCHDOG_USEC": "3000000"}).watch == 1.5


def test_a_manager_on_a_path_hears_and_one_that_is_gone_stops_nothing() -> None:
    # Not below tmp_path: such a name may have 107 bytes.
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/notify"
        supervisor = Supervisor({"NOTIFY_SOCKET": path})
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.bind(path)
            one.settimeout(PATIENCE)
            supervisor.stopping()
            assert one.recv(100) == b"STOPPING=1"
        supervisor.alive()
    supervisor.alive()
    Supervisor({"NOTIFY_SOCKET": "vsock:2:1"}).ready()
    Supervisor({}).ready()


def test_a_path_that_is_lent_stays() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "socket"
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as one:
            one.bind(str(path))
            one.listen()
            listening = open_listening(evolve(SETTINGS, host="192.0.2.1"), [one])
            assert listening.sockets == [one]
            assert listening.path == path
            listening.remove_path()
        assert path.exists()
