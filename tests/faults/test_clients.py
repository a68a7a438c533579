"""Clients that are slow, silent, or many."""

import contextlib
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.bench import EXACT, KIB, MIB, Bench, running_bench
from tests.support.footprint import awaited, footprint, settled
from tests.support.raw import TIMEOUT, connect_with_buffer

MANY = 1000
SOME = 50
SIZE = 8 * MIB
"""More than the kernel takes into the buffers of one connection (tcp_wmem)."""

HTTP = {"timeouts": {"headers": "2s", "idle": "2s"}}
CROWDED = {"max_connections": MANY + 10, "timeouts": {"write": "3s"}}
"""To take in so many and to begin to answer them may take longer than HTTP lets a client."""


@pytest.fixture(scope="module")
def shared(runtime: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with running_bench(tmp_path_factory.mktemp("cache"), runtime, http=HTTP) as running:
        yield running


@pytest.fixture
def crowd() -> Iterator[list[socket.socket]]:
    """Connections to be closed at the end, more than 1024 if need be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * MANY)), hard))
    with contextlib.ExitStack() as stack:
        members: list[socket.socket] = []
        yield members
        for one in members:
            stack.enter_context(one)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: cache\r\n\r\n".encode()


def read_to_end(one: socket.socket) -> bytes:
    """What comes until the server closes or resets the connection."""
    one.settimeout(TIMEOUT)
    data = bytearray()
    with contextlib.suppress(ConnectionError):
        while piece := one.recv(256 * KIB):
            data += piece
    return bytes(data)


def test_a_thousand_clients_that_do_not_read_stall_nobody_and_are_cut(
    runtime: str, tmp_path: Path, crowd: list[socket.socket]
) -> None:
    with running_bench(tmp_path, runtime, http=CROWDED) as bench:
        image = bench.image("crowd", SIZE)
        for _ in range(MANY):
            one = connect_with_buffer(bench.cache.port, 4 * KIB)
            crowd.append(one)
            one.sendall(request(image.layer))
        for one in crowd:
            assert one.recv(1) == b"H", "everyone is being answered"
        assert bench.pull(image) == [EXACT] * 4
        assert len(bench.wiretap.seen("GET", image.layer)) == 1
        assert footprint(bench.cache).memory - bench.first.memory < 64 * MIB
        settled(bench.cache)
        assert all(len(read_to_end(one)) < SIZE for one in crowd[::100])
        bench.assert_well(image)


def test_headers_that_never_end_are_given_up(bench: Bench, crowd: list[socket.socket]) -> None:
    image = bench.image("slowloris")
    for number in range(SOME):
        one = socket.create_connection(("127.0.0.1", bench.cache.port))
        crowd.append(one)
        one.sendall(request(image.tag)[: 10 + number % 30])
    assert bench.pull(image) == [EXACT] * 4
    assert {read_to_end(one) for one in crowd} == {b""}
    bench.assert_well(image)


def test_a_byte_now_and_then_buys_no_time(bench: Bench) -> None:
    with socket.create_connection(("127.0.0.1", bench.cache.port)) as one:
        one.sendall(b"GET /v2/ HTTP/1.1\r\nX: ")
        one.settimeout(0.05)
        sent = 0
        # The timeout is the pace; the server must end this, or there is no end.
        while sent < TIMEOUT / 0.05:
            try:
                one.sendall(b"x")
                if one.recv(1) == b"":
                    break
            except TimeoutError:
                sent += 1
            except ConnectionError:
                break
        assert sent < TIMEOUT / 0.05, "the server waited for ever"
    bench.assert_tidy()


def test_connections_that_say_nothing_are_closed(bench: Bench, crowd: list[socket.socket]) -> None:
    crowd += [socket.create_connection(("127.0.0.1", bench.cache.port)) for _ in range(SOME)]
    assert {read_to_end(one) for one in crowd} == {b""}
    bench.assert_tidy()


def test_a_connection_kept_alive_and_then_silent_is_closed(bench: Bench) -> None:
    with socket.create_connection(("127.0.0.1", bench.cache.port)) as one:
        one.sendall(request("/v2/"))
        assert read_to_end(one).startswith(b"HTTP/1.1 200")
    bench.assert_tidy()


def test_clients_beyond_the_limit_wait_for_their_turn(
    runtime: str, tmp_path: Path, crowd: list[socket.socket]
) -> None:
    with running_bench(tmp_path, runtime, http={**HTTP, "max_connections": 4}) as bench:
        image = bench.image("limit")
        crowd += [socket.create_connection(("127.0.0.1", bench.cache.port)) for _ in range(8)]
        for one in crowd:
            one.sendall(b"GET")
        # Served as soon as the silent ones before it are given up.
        assert bench.get(image.layer) == EXACT
        awaited(lambda: footprint(bench.cache), lambda found: found.clients == 0)
        bench.assert_well(image)


def test_clients_that_leave_in_the_middle_leave_nothing(
    bench: Bench, crowd: list[socket.socket]
) -> None:
    image = bench.image("leavers", SIZE)
    assert bench.get(image.layer) == EXACT
    for _ in range(SOME):
        one = connect_with_buffer(bench.cache.port, 4 * KIB)
        crowd.append(one)
        one.sendall(request(image.layer))
    for one in crowd:
        assert one.recv(1) == b"H"
        one.close()
    bench.assert_well(image)
