"""What any adapter must do for the program around it: start, change, stop, and leave nothing.

Taken over like `contract`.
"""

import socket
import stat
from pathlib import Path
from urllib.parse import quote

import pytest
from attrs import evolve

from distcache.core.config import Config, Limits
from distcache.core.config import Upstream as Treatment
from distcache.store import StoreError, StoreLocked, open_store
from tests.adapters import scripted as up
from tests.adapters.blocking import Client
from tests.adapters.harness import Benches, nothing_left, settings
from tests.support.damage import await_check, marked, out_of_step

BODY = bytes(range(256)) * 8000


def test_new_policies_are_taken_up_while_running(benches: Benches) -> None:
    with benches() as b:
        tag = b.upstream.manifest("a/img", "v1", up.manifest(BODY))
        b.get(tag)
        b.settled()
        offline = Config({"up": Treatment()}, offline=True, limits=Limits())
        assert b.reload(evolve(settings(b.root, b.upstream.port), core=offline))
        asked = len(b.upstream.asked)
        assert b.get(tag).status == 200
        assert b.get("/v2/a/other/manifests/v1").status == 503
        assert len(b.upstream.asked) == asked


def test_what_cannot_change_while_running_is_said_and_left(
    benches: Benches, caplog: pytest.LogCaptureFixture
) -> None:
    with benches() as b:
        old = settings(b.root, b.upstream.port)
        b.reload(evolve(old, port=1, root=b.root / "other", unix=Path("/nowhere")))
        assert caplog.text.count("this needs a restart") == 3
        assert not b.reload(evolve(old, sites={}, core=Config({})))
        assert "to remove an upstream needs a restart" in caplog.text
        assert b.get("/v2/a/img/manifests/v1").status == 404


def test_a_port_in_use_leaves_the_store_free(benches: Benches) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with nothing_left(), pytest.raises(OSError, match="in use"), benches(port=port):
            pass
    open_store(benches.root).close()


def test_a_store_in_use_is_refused(benches: Benches) -> None:
    store = open_store(benches.root)
    with nothing_left(), pytest.raises(StoreLocked), benches():
        pass
    store.close()


def test_a_store_that_cannot_be_is_refused(benches: Benches) -> None:
    with pytest.raises(StoreError), Benches(benches.runtime, Path("/dev/null/store"))():
        pass


def test_upstream_need_not_be_there_at_the_start(benches: Benches) -> None:
    with benches() as b:
        b.upstream.deaf()
        assert b.get("/v2/").status == 200
        assert b.get("/v2/a/img/manifests/v1").status == 502


def test_several_servers_in_one_process_do_not_meet(benches: Benches) -> None:
    other = Benches(benches.runtime, benches.root.with_name("other"), alone=False)
    with benches() as one:
        path = one.upstream.blob("a/img", BODY)
        with other() as two:
            two.reload(settings(two.root, one.server.port))
            assert two.get(path).body == BODY
            assert two.upstream.asked == []
        assert one.get(path).headers["cache-status"] == "distcache; hit"


def test_a_server_can_be_closed_within_its_block_and_again(benches: Benches) -> None:
    with benches() as b, b.connect() as client:
        b.server.stop()
        assert client.end() == b""
        b.server.stop()
        b.server.stop(drain=0)


def test_a_server_may_listen_on_a_path(benches: Benches, tmp_path: Path) -> None:
    path = tmp_path / "cache.sock"
    with benches(unix=path) as b:
        assert b.server.url == f"http+unix://{quote(str(path), safe='')}"
        blob = b.upstream.blob("a/img", BODY)
        for _ in range(2):
            with Client.at(path) as client:
                assert client.get(blob).body == BODY
        with Client.at(path) as client:
            cut = b.upstream.blob("a/img", BODY[1:], up.whole(BODY[:-1] + b"!"))
            client.say(f"GET {cut} HTTP/1.0\r\n\r\n".encode())
            assert BODY[1:] not in client.end()
    assert not path.exists()


def test_the_path_of_a_server_that_has_gone_is_taken_over(benches: Benches, tmp_path: Path) -> None:
    path = tmp_path / "cache.sock"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    with benches(unix=path), Client.at(path) as client:
        assert client.get("/v2/").status == 200
    path.write_text("not a socket")
    with pytest.raises(OSError, match="in use"), benches(unix=path):
        pass
    assert stat.S_ISREG(path.stat().st_mode)


def test_the_path_of_a_server_that_runs_is_left_alone(benches: Benches, tmp_path: Path) -> None:
    path = tmp_path / "cache.sock"
    other = Benches(benches.runtime, benches.root.with_name("other"), alone=False)
    with benches(unix=path):
        with pytest.raises(OSError, match="in use"), other(unix=path):
            pass
        with Client.at(path) as client:
            assert client.get("/v2/").status == 200


def test_every_interface_is_listened_on_without_a_host(benches: Benches) -> None:
    with benches(host=None) as b:
        for host in ("127.0.0.1", "::1") if socket.has_ipv6 else ("127.0.0.1",):
            with Client(socket.create_connection((host, b.server.port), 30)) as client:
                assert client.get("/v2/").status == 200


def test_an_index_that_cannot_be_searched_is_noticed_while_it_serves_and_then_put_aside(
    benches: Benches,
) -> None:
    with benches() as b:
        blob = b.upstream.blob("a/img", BODY)
        assert b.get(blob).body == BODY
        b.settled()
        root = b.root
    index = root / "index.sqlite"
    out_of_step(index, up.digest(BODY))
    with benches():
        await_check()
    assert marked(index)
    assert not list(root.glob("index.sqlite.damaged-*"))
    with benches() as b:
        assert b.get(b.upstream.blob("a/img", BODY)).body == BODY
    assert list(root.glob("index.sqlite.damaged-*"))
