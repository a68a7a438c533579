"""What any adapter must do in time: every wait is bounded. The loop's clock moves only when told.

Taken over like `contract`.
"""

import random
import socket
from contextlib import suppress

import pytest

from distcache.core import events as ev
from tests.adapters import scripted as up
from tests.adapters.blocking import Client, Torn
from tests.adapters.harness import Bench, Benches

LARGE = random.Random(2).randbytes(3 * 1024 * 1024)
HUGE = bytes(24 * 1024 * 1024)
"""More than the kernel buffers between two sockets."""


def still_open(b: Bench, client: Client) -> bool:
    """After the server has had a turn."""
    assert b.get("/v2/").status == 200
    return client.silent()


def refused(port: int) -> bool:
    """Whether nobody listens any more."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


def test_an_idle_connection_is_closed_after_its_time(benches: Benches) -> None:
    with benches(clock=True) as b, b.connect() as client:
        for _ in range(2):
            assert client.get("/v2/").status == 200
            b.jump(74)
            assert still_open(b, client)
        b.jump(76)
        assert client.end() == b""


def test_a_header_that_does_not_end_is_given_up_however_often_a_byte_comes(
    benches: Benches,
) -> None:
    with benches(clock=True) as b, b.connect() as client:
        client.say(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n")
        for _ in range(2):
            assert still_open(b, client)
            b.jump(14)
            client.say(b"X: y\r\n")
        assert still_open(b, client)
        b.jump(3)
        assert client.end() == b""


def test_a_client_that_does_not_read_is_closed_after_its_time(benches: Benches) -> None:
    with benches(clock=True) as b, b.connect() as client:
        path = b.upstream.blob("a/img", HUGE)
        b.get(path)
        b.settled()
        before = b.count(ev.ClientClosed)
        client.ask(path)
        client.head()
        b.jump(59)
        assert still_open(b, client) or b.count(ev.ClientClosed) == before

        def closed() -> bool:
            # Its time begins when the kernel takes no more, which cannot be seen from here.
            b.jump_here(61)
            return len(b.ledger.of(ev.ClientClosed)) == before + 1

        b.until(closed)


def test_a_client_that_reads_slowly_but_reads_is_served_to_the_end(benches: Benches) -> None:
    with benches(clock=True) as b, b.connect() as client:
        path = b.upstream.blob("a/img", HUGE)
        b.get(path)
        b.settled()
        client.ask(path)
        client.head()
        for _ in range(6):
            assert len(client.take(len(HUGE) // 6)) == len(HUGE) // 6
            b.jump(25)
        assert b.count(ev.ClientClosed) == 0


def test_headers_or_an_error_come_within_thirty_seconds_whatever_upstream_does(
    benches: Benches,
) -> None:
    with benches(clock=True) as b, b.connect() as client:
        b.upstream.on("/v2/a/img/manifests/v1", up.hang)
        client.ask("/v2/a/img/manifests/v1")
        b.until(lambda: b.upstream.asked)
        b.jump(21)
        assert client.answer().status == 504


def test_an_upstream_body_that_stalls_is_cut_and_resumed(benches: Benches) -> None:
    with benches(clock=True) as b, b.connect() as client:
        script = up.until(LARGE, 1_000_000, up.hang)
        path = b.upstream.blob("a/img", LARGE, script, up.whole(LARGE))
        client.ask(path)
        client.head()
        got = client.take(1_000_000)

        def failed() -> bool:
            # Its time begins when the loop waits for upstream, which cannot be seen from here.
            if b.ledger.of(ev.FetchFailed):
                return True
            b.jump_here(61)
            return False

        b.until(failed)
        # The core tries again after a moment.
        b.jump(5)
        assert got + client.take(len(LARGE) - len(got)) == LARGE
        assert [a.headers.get("range") for a in b.upstream.asked] == [None, "bytes=1000000-"]


def test_an_answer_to_a_client_that_never_closes_is_not_waited_for_long(benches: Benches) -> None:
    with benches(clock=True, max_connections=1) as b, b.connect() as client:
        assert client.get("/v2/", "GET", "Connection: close").status == 200
        with b.connect() as second:
            second.ask("/v2/")
            assert client.end() == b""
            b.jump(3)
            assert second.answer().status == 200


def test_a_half_read_answer_is_torn_when_the_server_stops(benches: Benches) -> None:
    with benches(clock=True) as b, b.connect() as client:
        path = b.upstream.blob("a/img", LARGE, up.until(LARGE, 1_000_000, up.hang))
        client.ask(path)
        client.head()
        client.take(1_000_000)
        b.server.stop()
        b.jump(19)
        b.until(lambda: refused(b.server.port))
        assert b.server.call(lambda: set(b.ledger.exchanges))
        b.jump(2)
        with pytest.raises(Torn):
            client.take(1)


def test_idle_connections_do_not_hold_up_the_end(benches: Benches) -> None:
    with benches(clock=True) as b, b.connect() as fresh, b.connect() as used:
        assert used.get("/v2/").status == 200
        b.server.stop()
        # The clock stands still: nothing can have waited.
        assert fresh.end() == used.end() == b""


def warm(b: Bench, client: Client) -> str:
    """Content whose next pulls are complete hits: no event comes of them any more."""
    path = b.upstream.blob("a/img", b"small")
    b.get(path)
    b.settled()
    for _ in range(2):
        assert client.get(path).body == b"small"
    pulls = b.count(ev.PullRequested)
    assert client.get(path).body == b"small"
    assert b.count(ev.PullRequested) == pulls
    return path


def test_complete_hits_keep_a_connection_open_and_their_absence_does_not(benches: Benches) -> None:
    with benches(clock=True) as b, b.connect() as client:
        path = warm(b, client)
        for _ in range(3):
            b.jump(74)
            assert still_open(b, client)
            assert client.get(path).body == b"small"
        b.jump(76)
        assert client.end() == b""


def test_a_header_that_does_not_end_is_given_up_after_a_complete_hit_too(benches: Benches) -> None:
    with benches(clock=True) as b, b.connect() as client:
        path = warm(b, client)
        client.say(f"GET {path} HTTP/1.1\r\n".encode())
        assert still_open(b, client)
        b.jump(29)
        assert still_open(b, client)
        b.jump(2)
        assert client.end() == b""


def test_a_header_in_many_pieces_is_taken_between_complete_hits(benches: Benches) -> None:
    with benches(clock=True) as b, b.connect() as client:
        path = warm(b, client)
        for byte in f"GET {path} HTTP/1.1\r\nX: {'y' * 2000}\r\nHost: cache\r\n\r\n".encode():
            client.say(bytes((byte,)))
        assert client.answer().body == b"small"
        assert client.get(path).body == b"small"


def test_a_stop_between_complete_hits_ends_the_connection_at_once(benches: Benches) -> None:
    with benches(clock=True) as b, b.connect() as client:
        warm(b, client)
        b.server.stop()
        assert client.end() == b""


def test_clients_that_ask_without_end_keep_no_other_waiting(benches: Benches) -> None:
    with benches(clock=True) as b, b.connect() as client, b.connect() as greedy:
        path = warm(b, client)
        asked = f"GET {path} HTTP/1.1\r\nHost: cache\r\n\r\n".encode()
        greedy.socket.settimeout(0.0)
        said = 0
        for _ in range(50):
            # As much as the kernel takes; of what comes back nothing is read.
            with suppress(BlockingIOError):
                said += greedy.socket.send(asked * 500)
            assert client.get(path).body == b"small"
            assert b.get("/v2/").status == 200
        assert said > 0
