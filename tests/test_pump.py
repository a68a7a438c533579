"""The two threads that take a large body from its socket into its file; plain, over TLS, and over
TLS within TLS."""

import hashlib
import random
import socket
import ssl
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import httpcore
import pytest

from distcache.core import events as ev
from distcache.core.effects import Medium, Spool, UpstreamRequest
from distcache.core.oci import Content, Digest, Kind, Repository
from distcache.core.pull import Method
from distcache.driver import Transfer
from distcache.driver import pump as pumping
from distcache.driver.pump import LEAST, PIECE, PUMPS, SILENCE, TELL, Pump, Pumps
from distcache.driver.sources import OpenSpool, Spools
from distcache.driver.tls import Tls
from distcache.settings import UpstreamTimeouts
from distcache.store import Body, FileSpool, Store, StoreError, open_store
from distcache.wire.outgoing import HttpRequest
from distcache.wire.sites import UpstreamSite
from distcache.wire.urls import Url
from tests.adapters.certificates import certificate as certificate
from tests.store.samples import digest_of, file_size_limit, no_more_descriptors
from tests.support.tls import Peer, context, trusting

KINDS = {"plain": 0, "TLS": 1, "TLS in TLS": 2}
BODY = random.Random(7).randbytes(9 * LEAST + 12_345)
NAME = Digest(f"sha256:{hashlib.sha256(BODY).hexdigest()}")
PATIENCE = 60
"""Seconds after which a test fails instead of hanging."""

URL = Url("http", "127.0.0.1", 1)
REQUEST = UpstreamRequest(Method.GET, Repository("up", "a/img"), Content(Kind.BLOB, NAME))


class Rig:
    """One connection, with upstream's end in `theirs`, and one spool."""

    def __init__(self, store: Store, kind: str, own: tuple[Path, Path]) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.events: list[ev.Event] = []
        self.posted: deque[Callable[[], None]] = deque()
        self.pumps = Pumps(self.posted.append)
        self._store = store
        self._spools = Spools(_discard)
        self.spool = self._spools.open(Spool(1, Medium.FILE, NAME))
        self._threads: list[threading.Thread] = []
        self._made: list[Pump] = []
        self.tls: Tls | None = None
        self._peer: Peer | None = None
        for _ in range(KINDS[kind]):
            self._peer = Peer(context(own), self._peer)
            self.tls = Tls(trusting(own, ssl.TLSVersion.TLSv1_3), "registry.example", self.tls)
            while not self.tls.shake():
                self._peer.take(self.tls.give())
                self.tls.take(self._peer.give())
            self._peer.take(self.tls.give())

    @property
    def file(self) -> FileSpool:
        assert isinstance(self.spool.body, FileSpool)
        return self.spool.body

    def transfer(self) -> Transfer:
        used: OpenSpool = self.spool.use()
        request = HttpRequest("GET", URL, ())
        patience = UpstreamTimeouts()
        ended: list[Transfer] = []
        site = UpstreamSite("up", URL)
        feed = self.events.append
        return Transfer(
            1, site, request, patience, used, REQUEST, self._store, feed, lambda: 0.0, ended.append
        )

    def pump(self, count: int = len(BODY), transfer: Transfer | None = None) -> Pump:
        made = self.pumps.begin(transfer or self.transfer(), self.straight(count))
        assert made is not None
        self._made.append(made)
        return made

    def straight(self, count: int) -> tuple[int, Tls | None, int]:
        return self.ours.fileno(), self.tls, count

    def send(self, data: bytes, *, end: bool = False) -> None:
        """In a thread: the kernel does not take it all at once."""
        if self._peer is not None:
            self._peer.write(data)
            data = self._peer.give()

        def run() -> None:
            try:
                self.theirs.sendall(data)
                if end:
                    self.theirs.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it was torn

        thread = threading.Thread(target=run)
        thread.start()
        self._threads.append(thread)

    def next(self, count: int) -> bytes:
        """What a loop reads after the pump."""
        self.ours.setblocking(True)
        if self.tls is None:
            return self.ours.recv(count)
        while not (data := self.tls.read()):
            self.tls.take(self.ours.recv(65536))
        return data

    def told(self) -> list[int]:
        """What the core hears, when the loop gets its turn."""
        while self.posted:
            self.posted.popleft()()
        return [event.length for event in self.events if isinstance(event, ev.BodySpooled)]

    def holds(self, length: int) -> None:
        """The spool has so much of the body, and its digest."""
        assert self.file.length == length
        assert self.file.read(0, length) == BODY[:length]
        assert self.file.digest() == digest_of(BODY[:length])

    def close(self) -> None:
        for pump in self._made:
            pump.close()
        self.ours.close()
        self.theirs.close()
        for thread in self._threads:
            thread.join()
        self._spools.close()


def _discard(body: Body) -> None:
    body.discard()


@pytest.fixture(params=KINDS)
def rig(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    certificate: tuple[Path, Path],
) -> Iterator[Rig]:
    """The thread that sends may be late, and is waited for."""
    monkeypatch.setattr(pumping, "SILENCE", 1000 * PATIENCE)
    store = open_store(tmp_path / "store")
    made = Rig(store, request.param, certificate)
    yield made
    made.close()
    store.close()


def test_a_body_arrives_whole_and_the_core_hears_of_it(rig: Rig) -> None:
    rig.send(BODY)
    pump = rig.pump()
    pump.run()
    rig.pumps.end(pump)
    assert pump.taken == len(BODY)
    told = rig.told()
    assert told == sorted(told)
    assert told[-1] == len(BODY)
    rig.holds(len(BODY))


def test_readers_hear_in_time_when_the_loop_is_quick(rig: Rig) -> None:
    rig.pumps = Pumps(lambda act: act())
    rig.send(BODY)
    rig.pump().run()
    told = [0, *rig.told()]
    assert all(0 < new - old < TELL + PIECE for old, new in pairwise(told))
    assert told[-1] == len(BODY)


def test_readers_hear_of_all_that_came_before_a_silence(rig: Rig) -> None:
    heard = threading.Event()

    def post(act: Callable[[], None]) -> None:
        act()
        if rig.file.length == LEAST + 7:
            heard.set()

    rig.pumps = Pumps(post)
    rig.send(BODY[: LEAST + 7])
    pump = rig.pump()
    thread = threading.Thread(target=pump.run)
    thread.start()
    assert heard.wait(PATIENCE), "it waits for upstream, and has not told what it has"
    pump.stop()
    thread.join()
    assert rig.told()[-1] == LEAST + 7


def test_no_byte_beyond_the_count_is_taken(rig: Rig) -> None:
    rig.send(BODY[: 2 * LEAST] + b"next")
    pump = rig.pump(2 * LEAST)
    pump.run()
    rig.pumps.end(pump)
    rig.holds(2 * LEAST)
    assert rig.next(100) == b"next"


def test_where_nothing_comes_it_ends_and_another_goes_on(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pumping, "SILENCE", SILENCE)
    transfer, at = rig.transfer(), 0
    transfer.take(())
    for stop in (0, 10, 2 * LEAST + 1):
        rig.send(BODY[at:stop])
        pump = rig.pump(len(BODY) - at, transfer)
        while pump.taken < stop - at:
            # What was sent may have been slow to come.
            at += pump.taken
            rig.pumps.end(pump)
            pump = rig.pump(len(BODY) - at, transfer)
            pump.run()
        at += pump.taken
        rig.pumps.end(pump)
        rig.holds(stop)


@pytest.mark.parametrize("stop", [0, 1, LEAST, 5 * LEAST + 7, len(BODY) - 1])
def test_what_came_before_a_cut_is_kept(rig: Rig, stop: int) -> None:
    transfer = rig.transfer()
    transfer.take(())
    rig.send(BODY[:stop], end=True)
    with pytest.raises(httpcore.RemoteProtocolError):
        rig.pump(transfer=transfer).run()
    rig.holds(stop)


def test_a_reset_is_a_broken_connection(rig: Rig) -> None:
    # Closed with something unread: a reset, on a socket pair as well.
    rig.ours.send(b"unread")
    rig.theirs.close()
    with pytest.raises(httpcore.ReadError):
        rig.pump().run()


@pytest.mark.parametrize("turn", range(1, 8))
def test_stopped_at_any_piece_it_ends_and_loses_the_connection(
    rig: Rig, turn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pumping, "TELL", 0)
    left = turn

    def post(act: Callable[[], None]) -> None:
        nonlocal left
        act()
        left -= 1
        if not left:
            pump.stop()

    rig.pumps = Pumps(post)
    rig.send(BODY)
    pump = rig.pump()
    pump.run()
    assert 0 < pump.taken < len(BODY)
    rig.holds(pump.taken)
    rig.theirs.settimeout(PATIENCE)
    assert rig.theirs.recv(1) == b""


def test_stopped_while_it_waits_for_upstream_it_ends(rig: Rig) -> None:
    pump = rig.pump()
    thread = threading.Thread(target=pump.run)
    thread.start()
    pump.stop()
    thread.join()
    assert rig.spool.body is None
    assert rig.theirs.recv(1) == b""


def test_stopped_before_it_begins_it_takes_nothing(rig: Rig) -> None:
    rig.send(BODY)
    pump = rig.pump()
    pump.stop()
    pump.run()
    assert not pump.taken


def test_stopped_after_its_end_the_connection_stays(rig: Rig) -> None:
    rig.send(BODY[:LEAST])
    pump = rig.pump(LEAST)
    pump.run()
    pump.stop()
    rig.theirs.send(b"next")
    assert rig.ours.recv(100) == b"next"


def test_what_is_cancelled_is_not_told_any_more(rig: Rig) -> None:
    rig.send(BODY)
    transfer = rig.transfer()
    rig.pump(transfer=transfer).run()
    transfer.cancel()
    assert rig.told() == []


@pytest.mark.parametrize("limit", [0, 1, LEAST, 4 * LEAST + 1])
def test_a_full_disk_ends_it_with_what_had_room(rig: Rig, limit: int) -> None:
    transfer = rig.transfer()
    transfer.take(())
    rig.send(BODY)
    with file_size_limit(limit), pytest.raises(StoreError):
        rig.pump(transfer=transfer).run()
    assert rig.file.length <= limit
    rig.holds(rig.file.length)


def test_upstream_may_be_further_ahead_and_whoever_waits_next_hears_of_each_byte(rig: Rig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    with ours, theirs:
        ours.setblocking(False)
        before = ours.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        pump = rig.pumps.begin(rig.transfer(), (ours.fileno(), None, LEAST))
        assert pump is not None
        thread = threading.Thread(target=pump.run)
        thread.start()
        theirs.sendall(BODY[:LEAST])
        thread.join()
        rig.pumps.end(pump)
        rig.holds(LEAST)
        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1
        if sys.platform == "linux":
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) > max(before, PIECE)


def test_bytes_that_come_again_are_passed_over(rig: Rig) -> None:
    held = LEAST + 100
    rig.transfer().take([BODY[:held]])
    rig.send(bytes(held) + BODY[held:])
    rig.pump().run()
    rig.holds(len(BODY))


def test_there_are_only_so_many_and_only_for_what_is_large(rig: Rig) -> None:
    transfer = rig.transfer()
    assert rig.pumps.begin(transfer, None) is None
    assert rig.pumps.begin(transfer, rig.straight(LEAST - 1)) is None
    pumps = [rig.pumps.begin(transfer, rig.straight(LEAST)) for _ in range(PUMPS)]
    assert None not in pumps
    assert rig.pumps.begin(transfer, rig.straight(LEAST)) is None
    for pump in pumps:
        assert pump is not None
        rig.pumps.end(pump)
    again = rig.pumps.begin(transfer, rig.straight(LEAST))
    assert again is not None
    rig.pumps.end(again)


def test_without_a_descriptor_the_loop_reads_it(rig: Rig) -> None:
    transfer = rig.transfer()
    with no_more_descriptors():
        assert rig.pumps.begin(transfer, rig.straight(LEAST)) is None
    pump = rig.pumps.begin(transfer, rig.straight(LEAST))
    assert pump is not None
    rig.pumps.end(pump)
