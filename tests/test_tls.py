"""TLS to an upstream: what is written on one side is read on the other, however it is cut."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distcache.driver.tls import Tls
from tests.adapters.certificates import certificate as certificate
from tests.support.tls import Peer, context, trusting

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
NAME = "registry.example"
Files = tuple[Path, Path]


class Wire:
    """A client and its peer, with all between them in pieces of `size` bytes."""

    def __init__(self, own: Files, newest: ssl.TLSVersion, *, nested: bool, size: int) -> None:
        self.size = size
        server, client = context(own), trusting(own, newest)
        self.peer, self.tls = Peer(server), Tls(client, NAME)
        self.shake()
        if nested:
            self.peer, self.tls = Peer(server, self.peer), Tls(client, NAME, self.tls)
            self.shake()

    def shake(self) -> None:
        while not self.tls.shake():
            self.to_peer()
            self.from_peer()
        self.to_peer()

    def to_peer(self) -> None:
        for piece in self._pieces(self.tls.give()):
            self.peer.take(piece)

    def from_peer(self) -> None:
        for piece in self._pieces(self.peer.give()):
            self.tls.take(piece)

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        return (data[at : at + self.size] for at in range(0, len(data), self.size))


wires = pytest.mark.parametrize(
    ("newest", "nested"), [(v, n) for v in VERSIONS for n in (False, True)]
)


@wires
@settings(deadline=None, max_examples=30)
@given(
    messages=st.lists(st.tuples(st.booleans(), st.integers(1, 50_000)), max_size=6),
    size=st.integers(200, 40_000),
    room=st.integers(1, 60_000) | st.none(),
)
def test_what_one_side_writes_the_other_reads_however_it_is_cut(
    certificate: Files,
    newest: ssl.TLSVersion,
    nested: bool,
    messages: list[tuple[bool, int]],
    size: int,
    room: int | None,
) -> None:
    wire = Wire(certificate, newest, nested=nested, size=size)
    for number, (ours, length) in enumerate(messages):
        data = bytes([number]) * length
        if ours:
            assert wire.tls.write(data) == length
            wire.to_peer()
            assert wire.peer.got == data
            wire.peer.got = b""
            continue
        wire.peer.write(data)
        wire.from_peer()
        if room is None:
            assert wire.tls.read() == data
        else:
            place, got = memoryview(bytearray(room)), b""
            while count := wire.tls.read_into(place):
                got += place[:count]
            assert got == data
        assert not wire.tls.left
        assert not wire.tls.over


@wires
def test_what_tls_says_to_itself_is_nothing_that_has_come(
    certificate: Files, newest: ssl.TLSVersion, nested: bool
) -> None:
    wire = Wire(certificate, newest, nested=nested, size=9999)
    wire.from_peer()
    # Session tickets; TLS 1.2 has them in the handshake.
    assert wire.tls.left == (newest is ssl.TLSVersion.TLSv1_3)
    assert wire.tls.read() == b""
    assert not wire.tls.left
    assert not wire.tls.over


@wires
@pytest.mark.parametrize("how", ["close_notify", "cut"])
def test_an_end_is_told_after_what_came_before_it(
    certificate: Files, newest: ssl.TLSVersion, nested: bool, how: str
) -> None:
    wire = Wire(certificate, newest, nested=nested, size=9999)
    wire.peer.write(b"the last")
    if how == "close_notify":
        wire.peer.close()
    wire.from_peer()
    if how == "cut":
        wire.tls.take(b"")
    assert wire.tls.read() == b"the last"
    assert wire.tls.over
    assert wire.tls.read_into(memoryview(bytearray(9))) == 0


@pytest.mark.parametrize("newest", VERSIONS)
def test_bytes_that_were_changed_on_the_way_are_an_error_and_then_the_end(
    certificate: Files, newest: ssl.TLSVersion
) -> None:
    wire = Wire(certificate, newest, nested=False, size=9999)
    wire.from_peer()
    assert wire.tls.read() == b""
    wire.peer.write(b"hello")
    changed = bytearray(wire.peer.give())
    changed[-1] ^= 1
    wire.tls.take(bytes(changed))
    with pytest.raises(ssl.SSLError):
        wire.tls.read()
    wire.tls.take(b"")
    assert wire.tls.read() == b""
    assert wire.tls.over


def test_a_certificate_for_another_name_is_not_believed(certificate: Files) -> None:
    peer = Peer(context(certificate))
    tls = Tls(trusting(certificate, VERSIONS[1]), "another.example")
    assert not tls.shake()
    peer.take(tls.give())
    tls.take(peer.give())
    with pytest.raises(ssl.SSLCertVerificationError):
        tls.shake()


def test_what_speaks_no_tls_is_an_error(certificate: Files) -> None:
    tls = Tls(trusting(certificate, VERSIONS[1]), NAME)
    assert not tls.shake()
    tls.take(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ssl.SSLError):
        tls.shake()
