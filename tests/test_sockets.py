"""Clients' sockets: what goes, what is left, and who is gone."""

import socket
from collections.abc import Iterator

import pytest

from distcache.driver.sockets import GoneError, send_parts

HEAD = b"head"
BODY = bytes(range(256)) * 4096


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs


def drain(sock: socket.socket) -> bytes:
    found = b""
    while True:
        try:
            found += sock.recv(1 << 20)
        except BlockingIOError:
            return found


def test_two_parts_leave_in_one_write(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    assert not send_parts(ours, (HEAD, b"body"))
    assert theirs.recv(100) == b"headbody"


def test_what_has_no_room_is_left_in_its_order(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    left = send_parts(ours, (HEAD, BODY))
    assert 0 < len(left) < len(BODY)
    assert drain(theirs) + bytes(left) == HEAD + BODY


def test_where_the_first_part_is_cut_the_second_is_behind_its_rest(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    left = send_parts(ours, (BODY, HEAD))
    assert len(HEAD) < len(left) < len(BODY)
    assert drain(theirs) + bytes(left) == BODY + HEAD


def test_without_any_room_all_is_left(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    while send_parts(ours, (b"x", BODY)) != b"x" + BODY:
        pass
    assert send_parts(ours, (HEAD, b"body")) == b"headbody"


def test_a_client_that_is_gone_is_said_to_be(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.close()
    with pytest.raises(GoneError):
        send_parts(ours, (HEAD, BODY))
