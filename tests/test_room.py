"""The room where connections wait: what is answered there, what is not, and that nobody is kept
waiting by others."""

import os
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distcache.driver import Dialogue, Pause, SendFile, Step
from distcache.driver.room import TURN, Room
from distcache.driver.sockets import GoneError
from distcache.store import Store
from tests.test_shortcut import (
    FILE,
    HEADS,
    LARGE,
    MANIFEST,
    MIDDLE,
    PARTS,
    TAG,
    Side,
    head,
    name,
    readers,
    store,
)

__all__ = ["store"]
APART = head("GET", f"blobs/{name(MIDDLE)}")
DIGEST = head("GET", f"manifests/{name(MANIFEST)}")


class Guest:
    """A connection in the room, and its client at the other end."""

    def __init__(self, room: Room, dialogue: Dialogue) -> None:
        self.sock, self.client = socket.socketpair()
        self.sock.setblocking(False)
        self.client.setblocking(False)
        self.dialogue = dialogue
        self.room = room
        self.steps: list[Step] = []
        self.errors: list[Exception] = []
        room.epoll.register(self.sock, select.EPOLLIN)
        self.enter()

    def enter(self) -> None:
        self.room.enter(self.sock.fileno(), self)

    def leaves(self, step: Step) -> None:
        self.steps.append(step)

    def fails(self, error: Exception) -> None:
        self.errors.append(error)

    def hears(self, data: bytes) -> bytes:
        """What comes back within one turn."""
        self.client.send(data)
        self.room.turn()
        return self.heard()

    def heard(self) -> bytes:
        try:
            return self.client.recv(1_000_000)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        self.sock.close()
        self.client.close()


class Hotel:
    """One server without a loop, and guests of it."""

    def __init__(self, stack: ExitStack, store: Store) -> None:
        self.side = Side(store, quick=False)
        stack.callback(self.side.close)
        self.side.hears(TAG)
        self.side.hears(APART)
        self.side.hears(DIGEST)
        self.told: list[int] = []
        self.room = Room(lambda fd, _: self.told.append(fd))
        stack.callback(self.room.close)
        self.stack = stack

    def guest(self) -> Guest:
        dialogue = Dialogue("192.0.2.9", self.side.service, lambda: None)
        assert dialogue.step() is Pause.BYTES
        one = Guest(self.room, dialogue)
        self.stack.callback(one.close)
        self.stack.callback(dialogue.close)
        return one


@pytest.fixture
def hotel(store: Store) -> Iterator[Hotel]:
    with ExitStack() as stack:
        yield Hotel(stack, store)


@pytest.mark.parametrize("asked", [DIGEST, APART], ids=["one piece", "two"])
def test_a_complete_hit_is_answered_without_its_connection(hotel: Hotel, asked: bytes) -> None:
    one = hotel.guest()
    for _ in range(3):
        hotel.side.now += 10.0
        assert one.hears(asked).startswith(b"HTTP/1.1 200 ")
        assert one.dialogue.idle
        assert one.dialogue.deadline == hotel.side.now + 75.0
    assert (one.steps, one.errors) == ([], [])


def test_all_else_is_the_connection_s_with_its_next_step(hotel: Hotel) -> None:
    one = hotel.guest()
    assert one.hears(b"GET /v2/ HTT") == b""
    assert one.steps == [Pause.BYTES]
    assert one.dialogue.deadline == hotel.side.now + 30.0
    one.enter()
    one.hears(b"P/1.1\r\nHost: h\r\n\r\n")
    answer = one.steps[1]
    assert isinstance(answer, bytes)
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_what_came_of_the_next_request_with_the_one_before_is_to_end_in_time(
    hotel: Hotel,
) -> None:
    one = hotel.guest()
    assert one.hears(TAG + b"GET /v2/ HTT") == b""
    said, place = follow(hotel, one, one.steps.pop())
    assert (said.endswith(MANIFEST), place) == (True, Pause.BYTES)
    assert not one.dialogue.idle
    due = hotel.side.now + 30.0
    assert one.dialogue.deadline == due
    hotel.side.now += 20.0
    one.enter()
    assert one.hears(b"P/1.1\r\n") == b""
    assert (one.steps.pop(), one.dialogue.deadline) == (Pause.BYTES, due)
    one.enter()
    assert one.hears(b"Host: h\r\n\r\n") == b""
    said, place = follow(hotel, one, one.steps.pop())
    assert said.startswith(b"HTTP/1.1 200 ")
    assert one.dialogue.idle
    assert one.dialogue.deadline == hotel.side.now + 75.0


def test_one_that_says_no_more_is_to_be_closed(hotel: Hotel) -> None:
    one = hotel.guest()
    one.client.shutdown(socket.SHUT_WR)
    hotel.room.turn()
    assert one.steps == [Pause.END]


def test_what_a_client_does_not_take_is_left_to_its_connection(hotel: Hotel) -> None:
    one = hotel.guest()
    one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    whole = one.hears(APART)
    assert whole
    assert len(whole) < len(MIDDLE)
    (rest,) = one.steps
    assert isinstance(rest, bytes)
    assert (whole + rest).endswith(MIDDLE)
    assert not one.dialogue.idle
    hotel.side.now += 59.0
    assert one.dialogue.step() is Pause.BYTES
    assert one.dialogue.deadline == hotel.side.now + 75.0


@pytest.mark.parametrize("asked", [FILE, head("GET", f"blobs/{name(LARGE)}")], ids=["part", "all"])
def test_a_file_that_leaves_at_once_has_no_reader(hotel: Hotel, asked: bytes) -> None:
    hotel.side.hears(asked)
    one = hotel.guest()
    one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_000_000)
    said = one.hears(asked)
    assert said.endswith(LARGE[-99_000:])
    assert one.dialogue.idle
    assert (one.steps, readers(hotel.side)) == ([], 0)


@pytest.mark.parametrize("asked", [FILE, head("GET", f"blobs/{name(LARGE)}")], ids=["part", "all"])
def test_a_file_that_a_client_does_not_take_at_once_has_one(hotel: Hotel, asked: bytes) -> None:
    hotel.side.hears(asked)
    one = hotel.guest()
    one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    said = one.hears(asked)
    assert readers(hotel.side) == 1
    rest, place = follow(hotel, one, one.steps.pop())
    assert (said + rest).endswith(LARGE[-99_000:])
    assert (place, readers(hotel.side)) == (Pause.BYTES, 0)


def test_a_file_that_has_been_cut_short_ends_its_connection(
    hotel: Hotel, monkeypatch: pytest.MonkeyPatch
) -> None:
    hotel.side.hears(FILE)
    one = hotel.guest()
    monkeypatch.setattr(os, "sendfile", lambda *_: 0)
    assert one.hears(FILE).startswith(b"HTTP/1.1 206 ")
    assert (one.steps, readers(hotel.side)) == ([Pause.END], 0)


def test_one_that_is_gone_fails_alone(hotel: Hotel) -> None:
    gone, other = hotel.guest(), hotel.guest()
    other.client.send(TAG)
    gone.client.send(TAG)
    gone.client.close()
    hotel.room.turn()
    assert isinstance(gone.errors[0], GoneError)
    assert other.heard().startswith(b"HTTP/1.1 200 ")


def test_a_bug_in_one_is_not_the_others_end(hotel: Hotel, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = hotel.guest(), hotel.guest()

    def fail(data: bytes) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(one.dialogue, "at_once", fail)
    one.client.send(TAG)
    assert other.hears(TAG).startswith(b"HTTP/1.1 200 ")
    assert isinstance(one.errors[0], RuntimeError)


def test_a_program_that_stops_the_server_when_told_ends_the_connection(hotel: Hotel) -> None:
    one = hotel.guest()

    def stop(_: object) -> None:
        hotel.side.service.draining = True
        # Who is in the middle of an answer is not to be closed as idle.
        assert not one.dialogue.idle

    hotel.side.service.on_decision = stop
    assert one.hears(TAG).endswith(MANIFEST)
    assert one.steps == [Pause.LINGER]


def test_what_is_no_guest_s_is_told_elsewhere(hotel: Hotel) -> None:
    one = hotel.guest()
    fd = one.sock.fileno()
    hotel.room.leave(fd)
    assert one.hears(TAG) == b""
    # Once a turn: it stays ready for as long as nobody reads.
    assert hotel.told == [fd]
    one.enter()
    hotel.room.turn()
    assert one.heard().startswith(b"HTTP/1.1 200 ")


class Eager(socket.socket):
    """Whose client has always asked again."""

    answers = 0

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        return TAG

    def send(self, data: object, flags: int = 0) -> int:
        assert isinstance(data, bytes)
        self.answers += 1
        return len(data)


def test_whoever_has_always_asked_again_keeps_nobody_waiting(hotel: Hotel) -> None:
    eager = hotel.guest()
    eager.sock = Eager(fileno=eager.sock.detach())
    eager.client.send(b"never read")
    others = [hotel.guest() for _ in range(3)]
    for other in others:
        other.client.send(TAG)
    hotel.room.turn()
    # The loop has its turn, and so had everybody else here.
    assert 0 < eager.sock.answers <= TURN - len(others)
    assert all(other.heard().startswith(b"HTTP/1.1 200 ") for other in others)


def follow(hotel: Hotel, one: Guest, step: Step) -> tuple[bytes, Pause]:
    """As an adapter does: what is written, and what is waited for then."""
    out = b""
    while not isinstance(step, Pause) or (step is Pause.WORD and hotel.side.shell.work()):
        if isinstance(step, bytes):
            out += step
        elif isinstance(step, SendFile):
            out += step.before + os.pread(step.fd, step.stop - step.start, step.start)
        step = one.dialogue.step()
    return out, step


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([each for each in HEADS + PARTS if each]),
            st.integers(0, 40),
            st.sampled_from((0.0, 1.0)),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_in_the_room_and_step_by_step_the_same_is_said(
    store: Store, story: list[tuple[bytes, int, float]]
) -> None:
    """In one piece, or in two of which the first is so long."""
    with ExitStack() as stack:
        hotel, slow = Hotel(stack, store), Side(store, quick=False)
        stack.callback(slow.close)
        slow.hears(TAG)
        slow.hears(APART)
        slow.hears(DIGEST)
        one = hotel.guest()
        for asked, cut, later in story:
            for data in filter(None, (asked[:cut], asked[cut:])):
                said, place = one.hears(data), Pause.BYTES
                if one.steps:
                    more, place = follow(hotel, one, one.steps.pop())
                    said += more
                assert (said, place) == slow.hears(data)
                if place is not Pause.BYTES:
                    return
                one.enter()
                assert one.dialogue.deadline == slow.dialogue.deadline
                assert hotel.side.decided == slow.decided
                assert hotel.side.cache.stats() == slow.cache.stats()
            hotel.side.now += later
            slow.now += later
