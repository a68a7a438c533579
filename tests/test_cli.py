"""The command as its users see it: exit status, standard output, standard error."""

import http.client
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest

from distcache import __version__
from tests.support.processes import Server, free_port

GOOD = """
version: 0.1
storage: {filesystem: {rootdirectory: /srv/cache}}
http: {addr: ":5000", debug: {addr: ":5001"}}
proxy:
  remoteurl: https://registry-1.docker.io
  username: someone
  password: verysecret
  max_size: 10GB
  upstreams: {docker.io: , ghcr.io: }
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yml"
    path.write_text(GOOD)
    return path


def run(
    *arguments: str | Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "distcache", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env={"HOME": "/nowhere", **(environment or {})},
        check=False,
    )


def test_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"distcache {__version__}\n")


def test_check_says_what_a_configuration_means_and_no_secrets(config: Path) -> None:
    done = run("check", config)
    assert done.returncode == 0
    for fact in ("*:5000", "/srv/cache", "10GB", "168h", "docker.io", "ghcr.io", "(default)"):
        assert fact in done.stdout
    (exposed,) = done.stderr.splitlines()
    assert exposed.endswith(" @ $.http.addr"), "the password opens more to whoever can connect"
    assert "verysecret" not in done.stdout + done.stderr
    assert "someone" not in done.stdout + done.stderr


def test_check_says_every_error_with_its_path(config: Path) -> None:
    config.write_text(GOOD + "auth: {silly: {realm: r}}\nhtpt: 1\n")
    done = run("check", config)
    assert (done.returncode, done.stdout) == (2, "")
    auth, unknown = done.stderr.splitlines()
    assert auth.endswith(" @ $.auth.silly")
    assert unknown == "unknown key; did you mean http? @ $.htpt"


def test_the_configuration_is_found_by_option_and_by_variable(config: Path) -> None:
    assert "ghcr.io" in run("check", "--config", config).stdout
    assert "ghcr.io" in run("check", environment={"DISTCACHE_CONFIG": str(config)}).stdout
    assert "/nowhere/.cache/distcache" in run("check").stdout


def test_a_configuration_given_twice_is_wrong_usage(config: Path) -> None:
    assert run("check", config, "--config", "/other").returncode == 2


def test_variables_count_for_check(config: Path) -> None:
    done = run("check", config, environment={"REGISTRY_HTTP_ADDR": "127.0.0.1:7777"})
    assert "127.0.0.1:7777" in done.stdout


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for command in ("check", "serve"):
        done = run(command, tmp_path / "none.yml")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"cannot be read: No such file or directory @ {tmp_path}/none.yml\n"


def test_check_loads_no_event_loop(config: Path) -> None:
    code = (
        "import sys; from distcache.cli import app\n"
        f"app(['check', {str(config)!r}], standalone_mode=False)\n"
        "assert 'trio' not in sys.modules and 'asyncio' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


RUNTIMES = pytest.mark.parametrize("runtime", ["trio", "asyncio"])


@RUNTIMES
def test_start_up_errors_are_one_line(tmp_path: Path, runtime: str) -> None:
    root = tmp_path / "root"
    root.write_text("a file where a directory is wanted")
    config = tmp_path / "config.yml"
    config.write_text(
        f"storage: {{filesystem: {{rootdirectory: {root}/store}}}}\n"
        "http: {addr: '127.0.0.1:0'}\nproxy: {remoteurl: 'http://127.0.0.1:9'}\n"
    )
    done = run("serve", config, "--runtime", runtime)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("distcache: ")


@RUNTIMES
def test_a_port_in_use_is_one_line(tmp_path: Path, runtime: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = tmp_path / "config.yml"
        config.write_text(
            f"storage: {{filesystem: {{rootdirectory: {tmp_path}/store}}}}\n"
            f"http: {{addr: '127.0.0.1:{taken.getsockname()[1]}'}}\n"
            "proxy: {remoteurl: 'http://127.0.0.1:9'}\n"
        )
        done = run("serve", config, "--runtime", runtime)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "ddress already in use" in done.stderr


@RUNTIMES
def test_serve_serves_until_it_is_told_to_stop(tmp_path: Path, runtime: str) -> None:
    port = free_port()
    config = tmp_path / "config.yml"
    config.write_text(
        f"storage: {{filesystem: {{rootdirectory: {tmp_path}/store}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
        "proxy: {remoteurl: 'http://127.0.0.1:9'}\n"
    )
    command = [sys.executable, "-m", "distcache", "serve", str(config), "--runtime", runtime]
    server = Server(command, port, tmp_path / "output.log")
    server.start()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=30) as answer:
            assert answer.read() == b"{}"
    finally:
        assert server.stop() == 0
    lines = server.text().splitlines()
    assert [line.split("msg=")[1].split()[0].strip('"') for line in lines] == [
        "listening",
        "response",
        "stopping",
        "stopped",
    ]


@RUNTIMES
def test_the_access_log_counts_every_body_that_is_sent(tmp_path: Path, runtime: str) -> None:
    port = free_port()
    config = tmp_path / "config.yml"
    config.write_text(
        f"storage: {{filesystem: {{rootdirectory: {tmp_path}/store}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
        "proxy: {remoteurl: 'http://127.0.0.1:9'}\n"
    )
    command = [sys.executable, "-m", "distcache", "serve", str(config), "--runtime", runtime]
    server = Server(command, port, tmp_path / "output.log")
    manifest, elsewhere = "/v2/library/app/manifests/1", "/v2/a/tags/list?ns=nowhere.example"
    sizes = []
    server.start()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for target in ("/v2/", manifest, elsewhere, manifest):
            for method in ("GET", "HEAD"):
                connection.request(method, target)
                sizes.append(len(connection.getresponse().read()))
        connection.close()
    finally:
        assert server.stop() == 0
    assert all(sizes[0::2])
    assert not any(sizes[1::2])
    written = re.findall(r"http\.response\.written=(\d+)", server.text())
    assert list(map(int, written)) == sizes
