"""Clients' sockets: what goes, what is left, and who is gone."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from distcache.driver import SendFile
from distcache.driver.sockets import GoneError, SourceError, begin_file, send_parts

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


@pytest.fixture
def body(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "body"
    path.write_bytes(BODY)
    fd = os.open(path, os.O_RDONLY)
    yield fd
    os.close(fd)


def test_a_file_begins_behind_its_head(
    pair: tuple[socket.socket, socket.socket], body: int
) -> None:
    ours, theirs = pair
    assert begin_file(ours, SendFile(HEAD, body, 3, 9))
    assert theirs.recv(100) == HEAD + BODY[3:9]


def test_of_a_file_is_left_what_has_no_room(
    pair: tuple[socket.socket, socket.socket], body: int
) -> None:
    ours, theirs = pair
    file = SendFile(HEAD, body, 0, len(BODY))
    got = b""
    while not begin_file(ours, file):
        assert not file.before
        got += drain(theirs)
    assert got + drain(theirs) == HEAD + BODY


def test_of_its_head_too(pair: tuple[socket.socket, socket.socket], body: int) -> None:
    ours, theirs = pair
    file = SendFile(BODY, body, 0, 5)
    assert not begin_file(ours, file)
    assert 0 < len(file.before) < len(BODY)
    assert drain(theirs) + file.before == BODY
    assert file.start == 0


def test_a_file_that_is_too_short_is_found_out(
    pair: tuple[socket.socket, socket.socket], body: int
) -> None:
    with pytest.raises(SourceError):
        begin_file(pair[0], SendFile(HEAD, body, len(BODY), len(BODY) + 1))
