"""The scripted upstream through its sockets: it fails as told, forgets nothing, and says what
was wrong with what it was asked."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import IncompleteRead, RemoteDisconnected

import pytest

from distcache.testing import Blob, Upstream, WrongRequests, image
from tests.testing.http import Got, ask
from tests.testing.leftovers import nothing_left

IMAGE = image([{"etc/hello": b"hi"}])
LAYER = IMAGE.blobs[1]
TAG = "/v2/library/app/manifests/1"
BLOB = f"/v2/library/app/blobs/{LAYER.digest}"
IMAGES = {"library/app": {"1": IMAGE}}


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(IMAGES) as one:
        yield one


def test_it_serves_and_remembers(upstream: Upstream) -> None:
    head = ask(upstream.host, TAG, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(IMAGE.body))
    assert ask(upstream.host, TAG).body == IMAGE.body
    part = ask(upstream.host, BLOB, headers={"Range": "bytes=5-"})
    assert (part.status, part.body) == (206, LAYER.data[5:])
    assert [str(one) for one in upstream.requests] == [f"HEAD {TAG}", f"GET {TAG}", f"GET {BLOB}"]
    assert upstream.requests[2].headers["range"] == "bytes=5-"
    upstream.forget()
    assert upstream.requests == ()


def test_equal_headers_are_joined(upstream: Upstream) -> None:
    lines = [f"GET {TAG} HTTP/1.1", f"Host: {upstream.host}", "Accept: text/a", "Accept: */*"]
    with socket.create_connection(("127.0.0.1", int(upstream.host.rpartition(":")[2]))) as client:
        client.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode())
        assert client.makefile("rb").readline() == b"HTTP/1.1 200 \r\n"
    assert upstream.requests[0].headers["accept"] == "text/a, */*"


def test_an_unchanged_manifest_has_no_body(upstream: Upstream) -> None:
    etag = ask(upstream.host, TAG).headers["etag"]
    assert ask(upstream.host, TAG, headers={"If-None-Match": etag}).status == 304


def test_content_comes_and_tags_move(upstream: Upstream) -> None:
    other = image([{"etc/hello": b"ho"}])
    upstream.move_tag("library/app", "1", other)
    assert ask(upstream.host, TAG).body == other.body
    upstream.push("library/app", IMAGE, "2")
    assert ask(upstream.host, TAG.replace("/1", "/2")).body == IMAGE.body
    upstream.remove_tag("library/app", "2")
    assert ask(upstream.host, TAG.replace("/1", "/2")).status == 404
    blob = Blob(b"alone", "text/plain")
    upstream.push("library/app", blob)
    assert ask(upstream.host, f"/v2/library/app/blobs/{blob.digest}").body == b"alone"


def test_a_tag_that_is_not_there_does_not_move(upstream: Upstream) -> None:
    for repository, tag in (("library/app", "2"), ("library/other", "1")):
        with pytest.raises(KeyError):
            upstream.move_tag(repository, tag, IMAGE)
        with pytest.raises(KeyError):
            upstream.remove_tag(repository, tag)


def test_a_failure_lasts_as_long_as_its_block(upstream: Upstream) -> None:
    with upstream.fail(status=429, retry_after=7) as failing:
        got = ask(upstream.host, TAG)
        assert (got.status, got.headers["retry-after"]) == (429, "7")
        assert b"TOOMANYREQUESTS" in got.body
    assert ask(upstream.host, TAG).status == 200
    assert failing.applied == 1


def test_a_failure_is_for_some_paths_and_some_times(upstream: Upstream) -> None:
    upstream.fail("*/blobs/*", times=2)
    assert ask(upstream.host, TAG).status == 200
    assert [ask(upstream.host, BLOB).status for _ in range(3)] == [503, 503, 200]


def test_the_youngest_rule_applies(upstream: Upstream) -> None:
    upstream.fail(status=500)
    with upstream.fail(TAG, status=403), upstream.cut("*/tags/list"):
        assert ask(upstream.host, TAG).status == 403
        with pytest.raises(RemoteDisconnected):
            ask(upstream.host, "/v2/library/app/tags/list")
    assert ask(upstream.host, TAG).status == 500


@pytest.mark.parametrize("after", [0, 100, len(LAYER.data) - 1, len(LAYER.data) + 5])
def test_a_cut_body_lacks_at_least_its_last_byte(after: int, upstream: Upstream) -> None:
    upstream.cut("*/blobs/*", after=after, times=1)
    with pytest.raises(IncompleteRead) as caught:
        ask(upstream.host, BLOB)
    sent = min(after, len(LAYER.data) - 1)
    assert caught.value.partial == LAYER.data[:sent]
    assert ask(upstream.host, BLOB).body == LAYER.data


def test_a_cut_without_a_head(upstream: Upstream) -> None:
    with upstream.cut(), pytest.raises(RemoteDisconnected):
        ask(upstream.host, TAG)


def test_a_cut_of_an_answer_without_body_is_one_before_its_end(upstream: Upstream) -> None:
    """HEAD has no byte to stop at: the head comes, and then nothing can be cut any more."""
    with upstream.cut(after=10):
        assert ask(upstream.host, TAG, "HEAD").status == 200


def test_a_hold_lets_requests_wait_before_the_head(upstream: Upstream) -> None:
    with ThreadPoolExecutor(3) as pool:
        with upstream.hold("*/blobs/*") as held:
            waiting = [pool.submit(ask, upstream.host, BLOB) for _ in range(3)]
            held.wait(3)
            assert ask(upstream.host, TAG).status == 200
            assert not any(one.done() for one in waiting)
        assert [one.result().body for one in waiting] == [LAYER.data] * 3


def test_holds_within_a_body_let_through_what_comes_before(upstream: Upstream) -> None:
    late, early = upstream.hold("*/blobs/*", after=200), upstream.hold("*/blobs/*", after=50)
    line = f"GET {BLOB} HTTP/1.1\r\nHost: {upstream.host}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(upstream.host.rpartition(":")[2]))) as client:
        client.sendall(line.encode())
        answer = client.makefile("rb")
        while answer.readline() != b"\r\n":
            pass
        assert answer.read(50) == LAYER.data[:50]
        assert (early.applied, late.applied) == (1, 1)
        early.end()
        assert answer.read(150) == LAYER.data[50:200]
        late.end()
        assert answer.read() == LAYER.data[200:]


def test_waiting_for_a_request_that_does_not_come_ends(upstream: Upstream) -> None:
    held = upstream.hold()
    with pytest.raises(TimeoutError, match="0 of 1 requests for \\* came"):
        held.wait(patience=0)


def test_stopping_breaks_what_is_held_and_refuses_the_rest(upstream: Upstream) -> None:
    def failing() -> Exception | Got:
        try:
            return ask(upstream.host, TAG)
        except Exception as error:
            return error

    held = upstream.hold()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(failing)
        held.wait()
        upstream.stop()
        assert isinstance(waiting.result(), OSError)
    with pytest.raises(ConnectionRefusedError):
        ask(upstream.host, TAG)


def test_it_comes_back_where_it_was() -> None:
    with Upstream(IMAGES) as upstream:
        before = upstream.url
        for _ in range(2):
            upstream.stop()
        for _ in range(2):
            upstream.start()
        assert upstream.url == before == f"http://{upstream.host}"
        assert ask(upstream.host, TAG).status == 200


def test_a_port_that_someone_else_has_taken_is_an_error() -> None:
    with Upstream(IMAGES) as upstream:
        upstream.stop()
        port = int(upstream.host.rpartition(":")[2])
        with socket.create_server(("127.0.0.1", port)), pytest.raises(OSError, match="in use"):
            upstream.start()


def test_faults_are_raised_at_the_end() -> None:
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream(IMAGES))
        ask(upstream.host, TAG)
        assert ask(upstream.host, TAG, "PUT", body=b"abc").status == 405
        ask(upstream.host, "/favicon.ico")
        with pytest.raises(WrongRequests, match="a body of 3 bytes") as caught:
            stack.close()
    assert [line.partition(": ")[0] for line in caught.value.faults] == [
        f"PUT {TAG}",
        f"PUT {TAG}",
        "GET /favicon.ico",
    ]


def test_what_is_no_request_is_a_fault_too() -> None:
    upstream = Upstream()
    upstream.start()
    with socket.create_connection(("127.0.0.1", int(upstream.host.rpartition(":")[2]))) as client:
        client.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert client.recv(100) == b""
    upstream.stop()
    with pytest.raises(WrongRequests, match="something that is no HTTP request"):
        upstream.check()


def test_a_client_that_goes_away_in_a_request_is_none() -> None:
    with Upstream() as upstream:
        address = ("127.0.0.1", int(upstream.host.rpartition(":")[2]))
        for beginning in (b"", b"GET /v2/ HT"):
            with socket.create_connection(address) as client:
                client.sendall(beginning)


def test_faults_do_not_hide_the_error_of_the_test() -> None:
    upstream = Upstream()

    def failing() -> None:
        with upstream:
            ask(upstream.host, "/favicon.ico")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        failing()
    assert "GET /favicon.ico" in caught.value.__notes__[0]


def test_nothing_of_it_is_left() -> None:
    with nothing_left(), Upstream(IMAGES) as upstream:
        address = ("127.0.0.1", int(upstream.host.rpartition(":")[2]))
        with socket.create_connection(address):
            ask(upstream.host, TAG)
