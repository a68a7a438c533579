"""Whom commands talk to: a store that a server has is never opened, whatever goes wrong."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from distcache.admin import key
from distcache.store import open_store
from tests.commands.shop import Shop, run

LOOKS = [("ls",), ("why", "old:1"), ("du",)]
ORDERS = [("pin", "old:1"), ("unpin", "old:1"), ("forget", "old:1"), ("prune", "--max-size", "0")]
EACH = pytest.mark.parametrize("words", [*LOOKS, *ORDERS], ids=lambda words: str(words[0]))


def contents(store: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in store.rglob("*") if path.is_file()}


@contextmanager
def locked(shop: Shop) -> Iterator[None]:
    """As while a server runs that does nothing."""
    store = open_store(shop.store)
    try:
        yield
    finally:
        store.close()


@EACH
def test_a_server_without_a_debug_listener_is_left_alone(
    shop: Shop, words: tuple[str, ...]
) -> None:
    shop.configure(debug=False)
    with locked(shop):
        before = contents(shop.store)
        done = shop.run(*words)
        assert (done.exit_code, done.stdout) == (1, "")
        assert "give it http.debug.addr" in done.stderr
        assert contents(shop.store) == before


@EACH
def test_a_server_that_has_gone_or_has_another_port(shop: Shop, words: tuple[str, ...]) -> None:
    with locked(shop):
        before = contents(shop.store)
        done = shop.run(*words)
        assert (done.exit_code, done.stdout) == (1, "")
        assert f"http://{shop.debug}/api/v1/: the debug listener cannot be asked: " in done.stderr
        assert contents(shop.store) == before


@contextmanager
def stranger(port: int, answer: bytes) -> Iterator[None]:
    """Something else that listens on the debug listener's port and says `answer` to everything."""
    with socket.create_server(("127.0.0.1", port)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    client.settimeout(60)
                    client.recv(65536)
                    client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@EACH
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nNot Found",
        b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_a_listener_that_is_no_distcache(shop: Shop, words: tuple[str, ...], answer: bytes) -> None:
    with locked(shop), stranger(shop.debug_port, answer):
        done = shop.run(*words)
    assert (done.exit_code, done.stdout) == (1, "")
    assert shop.debug in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", ORDERS, ids=lambda words: str(words[0]))
def test_orders_need_the_key_and_looking_does_not(shop: Shop, words: tuple[str, ...]) -> None:
    with shop.running():
        (shop.store / key.NAME).unlink()
        before = shop.ask("ls")
        done = shop.run(*words)
        assert (done.exit_code, done.stdout) == (1, "")
        assert str(shop.store / key.NAME) in done.stderr
        assert shop.ask("ls") == before


def test_a_key_of_a_server_before_opens_nothing(shop: Shop) -> None:
    with shop.running():
        (shop.store / key.NAME).write_text("another")
        assert shop.run("forget", "old:1").exit_code == 1
        assert len(shop.ask("ls")["images"]) == 2


def test_a_server_that_stopped_leaves_the_store_to_the_commands(shop: Shop) -> None:
    with shop.running():
        assert shop.run("pin", "old:1").exit_code == 0
    assert not (shop.store / key.NAME).exists()
    assert shop.run("prune", "--max-size", "0").exit_code == 0
    with shop.running("trio"):
        (image,) = shop.ask("ls")["images"]
        assert (image["repository"], image["pinned"]) == ("docker.io/library/old", True)


@pytest.mark.parametrize("words", [*LOOKS, *ORDERS, ("verify",)], ids=lambda words: str(words[0]))
def test_without_a_store_none_is_made(tmp_path: Path, words: tuple[str, ...]) -> None:
    environment = {"REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(tmp_path / "none")}
    done = run(*words, **environment)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("words", [*LOOKS, *ORDERS, ("verify",)], ids=lambda words: str(words[0]))
def test_a_wrong_configuration_is_told_and_nothing_is_done(
    shop: Shop, words: tuple[str, ...]
) -> None:
    shop.config.write_text("version: 0.1\nproxi: {}\n")
    before = contents(shop.store)
    done = shop.run(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "did you mean proxy? @ $.proxi" in done.stderr
    assert contents(shop.store) == before


class _Unwell(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(503 if self.path == "/v2/" else 404)
        self.end_headers()
        self.wfile.write(b"no room\n")

    def log_message(self, *_: object) -> None:
        pass


class TestHealthcheck:
    @pytest.mark.parametrize("debug", [True, False])
    def test_a_server_that_is_well(self, shop: Shop, debug: bool) -> None:
        shop.configure(debug=debug)
        with shop.running():
            done = shop.run("healthcheck")
            assert (done.exit_code, done.output) == (0, "")
            assert shop.run("healthcheck", "--url", f"127.0.0.1:{shop.port}/").exit_code == 0

    def test_no_server(self, shop: Shop) -> None:
        done = shop.run("healthcheck")
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr == (
            f"distcache: http://{shop.debug}/readyz: [Errno 111] Connection refused\n"
        )

    def test_a_store_that_cannot_be_written(self, shop: Shop) -> None:
        with shop.running():
            (shop.store / ".ready").mkdir()
            assert shop.run("healthcheck").exit_code == 1

    def test_a_server_that_is_not_well(self, shop: Shop) -> None:
        with HTTPServer(("127.0.0.1", 0), _Unwell) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            done = shop.run("healthcheck", "--url", f"http://127.0.0.1:{server.server_port}")
            server.shutdown()
            thread.join()
        assert done.exit_code == 1
        assert done.stderr.endswith("/v2/: 503 no room\n")

    @pytest.mark.parametrize("url", ["ftp://a", "http://", "http://a:b", "http://a:0"])
    def test_wrong_usage(self, shop: Shop, url: str) -> None:
        assert shop.run("healthcheck", "--url", url).exit_code == 2
