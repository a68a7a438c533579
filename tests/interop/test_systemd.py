"""The hardened unit of `contrib/systemd`, run by systemd: nothing that it forbids is needed."""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import bcrypt
import pytest

from distcache.testing import Upstream, image
from tests.interop.machine import CONTRIB, Machine, booted, forbidden, until
from tests.interop.tools import need
from tests.support.processes import free_port

UNIT = "distcache.service"
SOCKET = "distcache.socket"
USER, PASSWORD = "alice", "s3cret"
GROUP = "distcache-secrets"
DROP_IN = f"""[Unit]
# These tests start it more often than an operator would.
StartLimitIntervalSec=0

[Service]
SupplementaryGroups={GROUP}
"""
LARGE = 40_000_000
"""More than the sockets between server and client hold."""

IMAGE = image([{"etc/hello": b"hi"}, {"large": bytes(LARGE)}])
LAYER = IMAGE.blobs[-1]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream({"library/app": {"1": IMAGE}}) as registry:
        yield registry


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def machine(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, port: int
) -> Iterator[Machine]:
    """Set up as docs/operations.md says; the unit is not yet started."""
    need("systemctl", "unshare", "nsenter", root=True)
    if (why := forbidden()) is not None:
        pytest.skip(f"this machine lets nobody boot another: {why}")
    socket = (CONTRIB / SOCKET).read_text().replace("0.0.0.0:5000", f"127.0.0.1:{port}")
    password = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    files = {
        f"/etc/systemd/system/{UNIT}": (CONTRIB / UNIT).read_text(),
        f"/etc/systemd/system/{UNIT}.d/secrets.conf": DROP_IN,
        f"/etc/systemd/system/{SOCKET}": socket,
        "/etc/distcache/config.yml": configuration(port, upstream, "docker.io"),
        "/etc/distcache/htpasswd": f"{USER}:{password}\n",
    }
    with booted(tmp_path_factory.mktemp("machine"), files) as started:
        started.run("groupadd", "--system", GROUP)
        started.run("chgrp", GROUP, "/etc/distcache/htpasswd")
        started.run("chmod", "640", "/etc/distcache/htpasswd")
        yield started


@pytest.fixture
def running(machine: Machine) -> Machine:
    machine.systemctl("start", UNIT)
    return machine


def configuration(port: int, upstream: Upstream, *hosts: str) -> str:
    return json.dumps(
        {
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": "/var/lib/distcache"}},
            "auth": {"htpasswd": {"realm": "r", "path": "/etc/distcache/htpasswd"}},
            "http": {"addr": f"127.0.0.1:{port}"},
            "proxy": {"upstreams": {host: {"remoteurl": upstream.url} for host in hosts}},
        }
    )


def request(port: int, path: str) -> urllib.request.Request:
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    headers = {"Authorization": f"Basic {login}"}
    return urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)


def get(port: int, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(request(port, path)) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def pull(port: int) -> None:
    assert get(port, "/v2/library/app/manifests/1") == (200, IMAGE.body)
    for blob in IMAGE.blobs:
        assert get(port, f"/v2/library/app/blobs/{blob.digest}") == (200, blob.data)


def test_it_serves_when_systemd_says_so_and_writes_as_a_user_of_its_own(
    running: Machine, port: int
) -> None:
    pull(port)
    (user,) = set(running.run("stat", "-c", "%U", "/var/lib/distcache/index.sqlite").split())
    assert user == "distcache"
    assert running.run("find", "/var/lib/private/distcache", "-user", "root") == ""
    assert running.shown(UNIT, "ActiveState") == "active"


def test_a_reload_reads_the_configuration_again(
    running: Machine, upstream: Upstream, port: int
) -> None:
    path = "/v2/quay.io/library/app/manifests/1"
    assert get(port, path)[0] == 404
    text = configuration(port, upstream, "docker.io", "quay.io")
    running.write("/etc/distcache/config.yml", text)
    running.systemctl("reload", UNIT)
    until(lambda: get(port, path) == (200, IMAGE.body))


def test_a_killed_server_is_there_again_with_what_it_held(
    running: Machine, upstream: Upstream, port: int
) -> None:
    pull(port)
    before = running.shown(UNIT, "MainPID")
    running.run("kill", "-KILL", before)
    until(lambda: running.shown(UNIT, "MainPID") not in (before, "0"))
    until(lambda: running.shown(UNIT, "ActiveState") == "active")
    assert running.shown(UNIT, "NRestarts") == "1"
    upstream.forget()
    pull(port)
    assert not [one for one in upstream.requests if "/blobs/" in one.path]


def test_a_stop_lets_a_running_transfer_end(running: Machine, port: int) -> None:
    pull(port)
    path = f"/v2/library/app/blobs/{LAYER.digest}"
    with urllib.request.urlopen(request(port, path)) as answer:
        first = answer.read(1)
        running.systemctl("stop", "--no-block", UNIT)
        until(lambda: running.shown(UNIT, "ActiveState") == "deactivating")
        assert first + answer.read() == LAYER.data
    until(lambda: running.shown(UNIT, "ActiveState") == "inactive")
    assert running.shown(UNIT, "Result") == "success"


def test_root_s_commands_leave_nothing_that_the_server_cannot_open(
    running: Machine, port: int
) -> None:
    pull(port)
    running.systemctl("stop", UNIT)
    program = "/opt/distcache/bin/distcache"
    told = running.run(program, "ls", "--config", "/etc/distcache/config.yml")
    assert "docker.io/library/app:1" in told
    prune = [program, "prune", "--max-size", "1GB"]
    running.run(*prune, "--config", "/etc/distcache/config.yml")
    running.systemctl("start", UNIT)
    pull(port)


def test_by_its_socket_it_starts_for_the_first_client_and_refuses_none_while_it_restarts(
    machine: Machine, port: int
) -> None:
    machine.systemctl("stop", UNIT)
    machine.systemctl("start", SOCKET)
    assert machine.shown(UNIT, "ActiveState") == "inactive"
    pull(port)
    before = machine.shown(UNIT, "MainPID")
    assert before != "0"
    machine.systemctl("restart", "--no-block", UNIT)
    until(lambda: machine.shown(UNIT, "MainPID") != before)
    pull(port)
    machine.systemctl("stop", SOCKET, UNIT)
