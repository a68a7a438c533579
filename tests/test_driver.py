"""The shared half of the adapters, driven by a scripted core and a shell that waits."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st

from distcache.core import effects as fx
from distcache.core import events as ev
from distcache.core.decision import HIT
from distcache.core.effects import Effect, Medium, Spool, UpstreamRequest
from distcache.core.events import Cause, Event, StoreFault, StoreOperation
from distcache.core.inventory import BlobDropped, BlobStored, BlobUsed
from distcache.core.oci import Content, Digest, Kind, Repository
from distcache.core.pull import ByDigest, Method, Pull, Span
from distcache.credentials import Ask, Failed
from distcache.credentials.logins import Known
from distcache.driver import Clock, Driver, Exchange, Send, Source, Upstreams
from distcache.driver.sources import HELD_SPOOLS, LEAST_HELD, WHOLE, Blobs, OpenBlob
from distcache.driver.storekeeper import DELETIONS
from distcache.store import Body, FileSpool, Store, StoreError, open_store
from distcache.wire import whole
from distcache.wire.outgoing import Credentials
from distcache.wire.sites import UpstreamSite
from distcache.wire.urls import Url
from tests.adapters.fake_core import FakeCore, FakeShell
from tests.adapters.fake_upstream import digest

BODY = b"0123456789"
NAME = Digest(digest(BODY))
OTHER = Digest(digest(b"other"))
REPOSITORY = Repository("up", "a/img")
PULL = Pull(Method.GET, ByDigest(REPOSITORY, Content(Kind.BLOB, NAME)))
REQUEST = UpstreamRequest(Method.GET, REPOSITORY, Content(Kind.BLOB, NAME))
FILE = Spool(1, Medium.FILE, NAME)
HEAD = fx.AnswerHead(200, HIT, 10)


@frozen
class Asking:
    """A login that has to be looked for."""

    job: Callable[[], Known | Failed]

    def current(self, now: float) -> Ask:
        return Ask(self.job)


class Rig:
    """A driver with everything around it."""

    def __init__(self, store: Store) -> None:
        self.core, self.shell, self.store = FakeCore(), FakeShell(), store
        site = UpstreamSite("up", Url("http", "127.0.0.1", 1))
        upstreams = Upstreams({"up": site}, {"up": Credentials("u", "p")})
        clock = Clock(lambda: 0.0, lambda: 1000.0)
        self.driver = Driver(self.core, store, upstreams, clock, self.shell)

    def effects(self, *effects: Effect) -> None:
        """Let the core want this now."""
        self.core.script = lambda event: list(effects) if isinstance(event, ev.Woke) else []
        self.driver.feed(ev.Woke())
        self.core.script = lambda event: []

    def pull(self) -> Exchange:
        return self.driver.open(PULL, lambda: None)

    def heard(self, *kinds: type[Event]) -> list[Event]:
        return [event for event in self.core.events if isinstance(event, kinds)]

    def opened(self) -> Source:
        """A use of the stored blob's file."""
        found: list[Source | StoreError] = []
        self.driver.open_blob(NAME, found.append)
        self.shell.work()
        (source,) = found
        assert not isinstance(source, StoreError)
        return source

    def spooled(self, body: bytes = BODY) -> None:
        """A fetch whose body has come into the spool."""
        self.effects(fx.Fetch(7, REQUEST, FILE))
        transfer = self.shell.fetches[-1]
        transfer.head(200, [(b"Content-Length", b"10")])
        transfer.spooled(transfer.take([body]))
        transfer.end(transfer.conclude())

    def whole(self, spool: Spool, body: bytes = BODY) -> bool:
        """A fetch whose answer came in one piece, if it may."""
        self.effects(fx.Fetch(7, REQUEST, spool))
        transfer = self.shell.fetches[-1]
        if transfer.light:
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
            answer = whole.answer("GET", head + body)
            assert answer is not None
            transfer.whole(answer)
        return transfer.light or transfer.result == "200"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    one = open_store(tmp_path / "store")
    yield one
    one.close()


@pytest.fixture
def rig(store: Store) -> Iterator[Rig]:
    one = Rig(store)
    yield one
    one.driver.close()
    one.shell.work()


def test_an_event_that_comes_up_within_another_waits_for_its_turn(rig: Rig) -> None:
    first = rig.pull()
    second = rig.driver.open(PULL, lambda: rig.driver.left(first))
    rig.effects(fx.Respond(second.number, HEAD), fx.Note(fx.Level.DEBUG, "after"))
    assert rig.core.events[-1] == ev.ClientClosed(first.number)


def test_the_timer_is_armed_when_it_woke_and_the_deadline_has_moved(rig: Rig) -> None:
    for deadline in (None, 5.0, 5.0, 6.0, 4.0, None):
        rig.core.deadline = deadline
        rig.driver.feed(ev.Woke())
    assert rig.shell.armed == [5.0, 6.0, 4.0, None]


def test_between_wakings_the_timer_follows_a_deadline_forward_only(rig: Rig) -> None:
    rig.core.deadline = 5.0
    exchange = rig.pull()
    for deadline in (7.0, None, 5.0, 4.0, 6.0):
        rig.core.deadline = deadline
        rig.driver.feed(ev.BodySent(exchange.number, 0))
    assert rig.shell.armed == [5.0, 4.0]
    rig.driver.feed(ev.Woke())
    assert rig.shell.armed == [5.0, 4.0, 6.0]


def test_effects_for_a_client_reach_its_exchange_in_order(rig: Rig) -> None:
    exchange = rig.pull()
    rig.effects(fx.Respond(exchange.number, HEAD), fx.Finish(exchange.number))
    assert list(exchange.effects) == [fx.Respond(exchange.number, HEAD), fx.Finish(exchange.number)]
    assert exchange.done


def test_a_client_is_said_to_be_closed_unless_the_core_is_done_with_it(rig: Rig) -> None:
    leaving, served = rig.pull(), rig.pull()
    rig.effects(fx.Finish(served.number))
    for exchange in (leaving, served, leaving):
        rig.driver.left(exchange)
    assert rig.heard(ev.ClientClosed) == [ev.ClientClosed(leaving.number)]


def test_a_request_that_is_made_again_bears_the_login_it_is_made_with(rig: Rig) -> None:
    for token in ("one", "two", "one"):
        rig.effects(fx.Fetch(7, evolve(REQUEST, authorization=ev.Secret(token)), None))
        transfer = rig.shell.fetches.pop()
        assert dict(transfer.sent.headers)[b"Authorization"] == f"Bearer {token}".encode()
        transfer.fail(Cause.CUT)


def test_a_fetch_that_waits_for_its_login_can_be_cancelled(rig: Rig) -> None:
    source = Asking(lambda: Known(None))
    rig.driver.fetches.upstreams = evolve(rig.driver.fetches.upstreams, sources={"up": source})
    rig.effects(fx.Fetch(7, evolve(REQUEST, authorization=True), FILE))
    assert rig.shell.fetches == []
    rig.effects(fx.CancelFetch(7))
    assert rig.heard(ev.FetchFailed) == [ev.FetchFailed(7, Cause.CANCELLED)]
    assert rig.shell.work() == 1
    assert rig.shell.fetches == []
    assert len(rig.heard(ev.FetchFailed)) == 1


def test_a_token_is_not_asked_for_without_the_login_that_it_takes(rig: Rig) -> None:
    source = Asking(lambda: Failed("the helper is not there"))
    rig.driver.fetches.upstreams = evolve(rig.driver.fetches.upstreams, sources={"up": source})
    challenge = ev.Challenge(True, "https://auth.example/token")
    rig.effects(fx.AcquireToken(9, "up", challenge), fx.AcquireToken(10, "up", challenge, 3))
    rig.shell.work()
    assert rig.shell.tokens == []
    assert set(rig.heard(ev.TokenRefused)) == {
        ev.TokenRefused(9, None, Cause.REFUSED),
        ev.TokenRefused(10, None, Cause.REFUSED),
    }


def test_a_bug_in_the_core_aborts_the_one_exchange_it_met(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    fine = rig.pull()

    def script(event: Event) -> list[Effect]:
        if isinstance(event, ev.PullRequested):
            raise AssertionError("a missing cell")
        return []

    rig.core.script = script
    struck = rig.pull()
    assert list(struck.effects) == [
        fx.Abort(struck.number, "an error of the cache itself", fx.Blame.CACHE)
    ]
    assert not fine.effects
    assert "a missing cell" in caplog.text


def test_a_discarded_spool_stays_open_for_who_is_still_to_send_from_it(rig: Rig) -> None:
    rig.spooled()
    exchange = rig.pull()
    rig.effects(fx.SendBody(exchange.number, FILE, Span(0, 9)), fx.DiscardSpool(FILE))
    rig.shell.work()
    (send,) = exchange.effects
    assert isinstance(send, Send)
    assert send.opened is not None
    assert send.opened.fd is not None
    assert os.pread(send.opened.fd, 9, 0) == send.opened.read(0, 9) == BODY[:9]
    fd = send.opened.fd
    send.release()
    rig.shell.work()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


@pytest.mark.parametrize("how", ["abort", "left"])
def test_what_will_not_be_sent_is_let_go_of(rig: Rig, how: str, tmp_path: Path) -> None:
    rig.spooled()
    exchange = rig.pull()
    rig.effects(fx.SendBody(exchange.number, FILE, Span(0, 9)), fx.DiscardSpool(FILE))
    if how == "abort":
        abort = fx.Abort(exchange.number, "it broke off", fx.Blame.UPSTREAM)
        rig.effects(abort)
        assert list(exchange.effects) == [abort]
    else:
        rig.driver.left(exchange)
    rig.shell.work()
    assert list((tmp_path / "store" / "spool").iterdir()) == []


def test_jobs_on_one_digest_run_one_by_one_in_the_order_of_the_effects(rig: Rig) -> None:
    rig.spooled()
    rig.effects(fx.CommitBlob(FILE, NAME), fx.DeleteBlob(NAME), fx.DeleteBlob(OTHER))
    assert len(rig.shell.jobs) == 2
    rig.shell.work()
    assert rig.heard(ev.BlobCommitted, ev.BlobDeleted) == [
        ev.BlobCommitted(NAME),
        ev.BlobDeleted(OTHER, 0),
        ev.BlobDeleted(NAME, len(BODY)),
    ]


def test_many_deletions_do_not_stand_before_other_work(rig: Rig) -> None:
    names = [Digest(digest(b"%d" % n)) for n in range(50)]
    rig.effects(*map(fx.DeleteBlob, names))
    assert len(rig.shell.jobs) == DELETIONS
    rig.spooled()
    rig.effects(fx.CommitBlob(FILE, NAME))
    rig.shell.work(limit=DELETIONS + 1)
    assert rig.heard(ev.BlobCommitted)
    rig.shell.work()
    assert rig.heard(ev.BlobDeleted) == [ev.BlobDeleted(name, 0) for name in names]


def test_a_deletion_that_waits_its_turn_keeps_it(rig: Rig) -> None:
    rig.effects(*(fx.DeleteBlob(Digest(digest(b"%d" % n))) for n in range(DELETIONS)))
    rig.effects(fx.DeleteBlob(NAME))
    rig.spooled()
    rig.effects(fx.CommitBlob(FILE, NAME))
    rig.shell.work()
    assert rig.heard(ev.BlobCommitted) == [ev.BlobCommitted(NAME)]
    assert rig.heard(ev.BlobDeleted)[-1] == ev.BlobDeleted(NAME, 0)


def test_a_commit_that_fails_says_so_once(rig: Rig) -> None:
    rig.spooled(b"wrong bytes")
    rig.effects(fx.CommitBlob(FILE, NAME), fx.CommitBlob(Spool(9, Medium.FILE, OTHER), OTHER))
    rig.shell.work()
    failed = [
        ev.StoreFailed(StoreOperation.COMMIT, name, StoreFault.FAULT) for name in (NAME, OTHER)
    ]
    assert rig.heard(ev.StoreFailed) == failed


def test_small_content_lies_in_memory_until_it_is_committed(rig: Rig, tmp_path: Path) -> None:
    rig.whole(FILE)
    exchange = rig.pull()
    rig.effects(fx.SendBody(exchange.number, FILE, Span(0, 10)))
    (sending,) = exchange.effects
    assert isinstance(sending, Send)
    assert sending.opened is not None
    assert sending.opened.fd is None
    assert list((tmp_path / "store" / "spool").iterdir()) == []
    rig.effects(fx.CommitBlob(FILE, NAME), fx.DiscardSpool(FILE))
    rig.shell.work()
    assert rig.heard(ev.FetchEnded, ev.BlobCommitted) == [
        ev.FetchEnded(7, NAME),
        ev.BlobCommitted(NAME),
    ]
    assert sending.opened.read(0, 10) == BODY
    sending.release()
    rig.effects(fx.Journal(BlobStored(NAME, len(BODY), 1.0)))
    assert rig.opened().read(0, 10) == BODY


def test_small_contents_are_committed_together(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    spools = [evolve(FILE, number=number) for number in range(1, 5)]
    digests = [Digest(digest(b"%d" % n)) for n in range(4)]
    for n, spool in enumerate(spools):
        rig.whole(evolve(spool, digest=digests[n]), b"%d" % n)
    batches: list[list[Digest]] = []
    real = rig.store.commit_all

    def commit_all(wanted: Sequence[tuple[Body, Digest]]) -> list[StoreError | None]:
        batches.append([digest for _, digest in wanted])
        return real(wanted)

    monkeypatch.setattr(rig.store, "commit_all", commit_all)
    named = [digests[0], digests[1], NAME, digests[3]]
    rig.effects(*map(fx.CommitBlob, spools, named))
    rig.core.script = lambda event: (
        [fx.Journal(BlobStored(event.digest, 1, 1.0))]
        if isinstance(event, ev.BlobCommitted)
        else []
    )
    # The first, the others, and a batch of records for each of the two.
    assert rig.shell.work() == 4
    assert batches == [named[:1], named[1:]]
    assert rig.heard(ev.BlobCommitted, ev.StoreFailed) == [
        ev.BlobCommitted(named[0]),
        ev.BlobCommitted(named[1]),
        ev.StoreFailed(StoreOperation.COMMIT, NAME, StoreFault.FAULT),
        ev.BlobCommitted(named[3]),
    ]


def test_a_batch_that_meets_a_bug_fails_as_a_whole(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig.whole(FILE)

    def fails(wanted: object) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr(rig.store, "commit_all", fails)
    rig.effects(fx.CommitBlob(FILE, NAME))
    rig.shell.work()
    failed = ev.StoreFailed(StoreOperation.COMMIT, NAME, StoreFault.FAULT)
    assert rig.heard(ev.StoreFailed) == [failed]
    assert "a bug" in caplog.text


def test_memory_for_small_content_is_bounded_and_given_back(rig: Rig) -> None:
    spools = [evolve(FILE, number=n) for n in range(HELD_SPOOLS // LEAST_HELD)]
    for spool in spools:
        assert rig.whole(spool)
    more = evolve(FILE, number=len(spools))
    rig.effects(fx.Fetch(9, REQUEST, more))
    assert not rig.shell.fetches[-1].light
    rig.effects(fx.DiscardSpool(spools[0]))
    assert rig.shell.fetches[-1].light


def test_content_that_has_begun_in_a_file_goes_on_there(rig: Rig) -> None:
    rig.spooled(BODY[:4])
    rig.effects(fx.Fetch(8, evolve(REQUEST, offset=4), FILE))
    assert not rig.shell.fetches[-1].light


def test_records_that_come_up_while_the_journal_is_written_make_one_batch(
    rig: Rig, tmp_path: Path
) -> None:
    rig.spooled()
    rig.effects(fx.CommitBlob(FILE, NAME))
    rig.shell.work()
    rig.effects(fx.Journal(BlobStored(NAME, len(BODY), 1.0)))
    for used in (2.0, 3.0, 4.0):
        rig.effects(fx.Journal(BlobUsed(NAME, used)))
    assert rig.shell.work() == 2
    rig.store.close()
    reopened = open_store(tmp_path / "store")
    assert list(reopened.inventory.records) == [BlobStored(NAME, len(BODY), 4.0)]
    reopened.close()


def test_a_journal_that_cannot_be_written_is_counted_and_the_next_is_tried(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    written: list[object] = []
    rig.spooled()

    def fails(records: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(rig.store, "write", fails)
    rig.effects(fx.Journal(BlobUsed(NAME, 1.0)))
    rig.shell.work()
    monkeypatch.setattr(rig.store, "write", written.extend)
    rig.effects(fx.Journal(BlobUsed(NAME, 2.0)))
    rig.shell.work()
    assert rig.driver.journal_failures == 1
    assert written == [BlobUsed(NAME, 2.0)]
    assert "the index could not be written" in caplog.text


def test_a_transfer_ends_once_whatever_is_said_afterwards(rig: Rig) -> None:
    rig.effects(fx.Fetch(7, REQUEST, None))
    (transfer,) = rig.shell.fetches
    transfer.fail(Cause.TIMEOUT)
    transfer.fail(Cause.CUT)
    transfer.end(transfer.conclude())
    assert rig.heard(ev.FetchEnded, ev.FetchFailed) == [ev.FetchFailed(7, Cause.TIMEOUT)]


def test_a_cancelled_transfer_is_stopped_and_ends_as_cancelled(rig: Rig) -> None:
    rig.effects(fx.Fetch(7, REQUEST, FILE))
    (transfer,) = rig.shell.fetches
    stopped: list[bool] = []
    transfer.stop = lambda: stopped.append(True)
    rig.effects(fx.CancelFetch(7))
    transfer.spooled(3)
    transfer.fail(Cause.CUT)
    rig.effects(fx.CancelFetch(7))
    assert stopped == [True]
    assert rig.core.events[-2] == ev.FetchFailed(7, Cause.CANCELLED)
    assert rig.heard(ev.BodySpooled) == []


def test_a_head_that_is_not_wanted_after_all_asks_for_no_body(rig: Rig) -> None:
    rig.effects(fx.Fetch(7, REQUEST, FILE))
    (transfer,) = rig.shell.fetches
    rig.core.script = lambda event: [fx.CancelFetch(7)]
    assert not transfer.head(404, [])


@pytest.mark.parametrize("offset", [0, 4])
def test_a_resumed_transfer_passes_over_what_the_spool_holds(rig: Rig, offset: int) -> None:
    rig.effects(fx.Fetch(7, REQUEST, FILE))
    first = rig.shell.fetches[-1]
    first.head(200, [])
    assert first.take([BODY[:5]]) == 5
    first.fail(Cause.CUT)
    rig.effects(fx.Fetch(8, REQUEST, FILE))
    second = rig.shell.fetches[-1]
    part = [(b"Content-Range", b"bytes %d-9/10" % offset)] if offset else []
    second.head(206 if offset else 200, part)
    # As the connection lets go and takes up again, never the other way.
    assert second.take([b"x" * (5 - offset), BODY[5:]]) == 10
    assert second.conclude().digest == NAME


def test_a_request_that_must_not_be_made_is_refused_without_stopping_anything(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    abroad = ev.Location("http://elsewhere/", same_origin=False)
    request = UpstreamRequest(
        Method.GET, REPOSITORY, Content(Kind.BLOB, NAME), abroad, authorization=True
    )
    rig.effects(fx.Fetch(7, request, FILE))
    assert rig.shell.fetches == []
    assert rig.core.events[-1] == ev.FetchFailed(7, Cause.REFUSED)
    assert "could not be made" in caplog.text


def test_a_token_call_answers_once(rig: Rig) -> None:
    challenge = ev.Challenge(True, "http://127.0.0.1:1/token")
    rig.effects(fx.AcquireToken(3, "up", challenge), fx.AcquireToken(4, "up", challenge))
    granted, refused = rig.shell.tokens
    granted.answer(200, [], b'{"token": "t", "expires_in": 90}')
    granted.fail(Cause.CANCELLED)
    refused.fail(Cause.TIMEOUT)
    assert rig.heard(ev.TokenGranted, ev.TokenRefused) == [
        ev.TokenGranted(3, ev.Secret("t"), 90.0),
        ev.TokenRefused(4, None, Cause.TIMEOUT),
    ]


def test_a_deleted_blob_is_closed_so_that_the_disk_gets_its_space_back(rig: Rig) -> None:
    rig.spooled()
    rig.effects(fx.CommitBlob(FILE, NAME), fx.Journal(BlobStored(NAME, len(BODY), 1.0)))
    rig.shell.work()
    opened = rig.opened()
    opened.release()
    fd = opened.fd
    assert fd is not None
    os.fstat(fd)
    rig.effects(fx.DeleteBlob(NAME))
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_blob_deleted_while_it_is_being_opened_is_not_kept_open(rig: Rig) -> None:
    rig.spooled()
    rig.effects(fx.CommitBlob(FILE, NAME), fx.Journal(BlobStored(NAME, len(BODY), 1.0)))
    rig.shell.work()
    found: list[Source | StoreError] = []
    rig.driver.open_blob(NAME, found.append)
    (opening,) = rig.shell.jobs
    rig.shell.jobs.clear()
    fd = opening[0]()
    rig.effects(fx.Journal(BlobDropped(NAME)))
    opening[1](fd)
    (source,) = found
    assert not isinstance(source, StoreError)
    assert source.read(0, len(BODY)) == BODY
    source.release()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_file_spool_is_made_by_the_thread_that_first_writes_it(rig: Rig, tmp_path: Path) -> None:
    rig.effects(fx.Fetch(7, REQUEST, FILE))
    (transfer,) = rig.shell.fetches
    assert list((tmp_path / "store" / "spool").iterdir()) == []
    transfer.take([b"x"])
    assert transfer.spool is not None
    assert isinstance(transfer.spool.body, FileSpool)
    transfer.fail(Cause.CUT)


@given(st.lists(st.tuples(st.sampled_from(["find", "add", "drop", "release"]), st.integers(0, 5))))
def test_a_descriptor_is_closed_exactly_when_it_is_neither_used_nor_kept(
    steps: list[tuple[str, int]],
) -> None:
    blobs = Blobs(capacity=2)
    used = []
    seen = set()
    for what, number in steps:
        name = Digest(f"sha256:{number}")
        if what == "find" and (found := blobs.find(name)) is not None:
            assert isinstance(found, OpenBlob)
            used.append(found)
        elif what == "add":
            added = blobs.add(name, os.open(os.devnull, os.O_RDONLY), keep=bool(number % 3))
            assert isinstance(added, OpenBlob)
            used.append(added)
            seen.add(added)
        elif what == "drop":
            blobs.drop(name)
        elif what == "release" and used:
            used.pop(number % len(used)).release()
        for blob in seen:
            assert (blob.fd >= 0) == (blob.kept or blob in used)
            if blob.fd >= 0:
                os.fstat(blob.fd)
        assert sum(blob.kept for blob in seen) <= 2
    for blob in used:
        blob.release()
    blobs.close()
    assert all(blob.fd < 0 for blob in seen)


def test_a_small_blob_is_still_in_memory_when_its_descriptor_is_closed(tmp_path: Path) -> None:
    blobs = Blobs(capacity=1, whole=2)

    def read(name: str, size: int, *, stop: int) -> None:
        path = tmp_path / name
        path.write_bytes(b"x" * size)
        fd = os.open(path, os.O_RDONLY)
        blob = blobs.add(Digest(name), fd, keep=True, size=size)
        assert blob.read(0, stop) == b"x" * stop
        blob.release()

    for name in "abc":
        read(name, 10, stop=10)
    read("part", 10, stop=9)
    read("large", WHOLE + 1, stop=WHOLE + 1)
    read("last", 1, stop=1)
    found = {name: blobs.find(Digest(name)) for name in ("a", "b", "c", "part", "large", "last")}
    fds = {name: blob.fd for name, blob in found.items() if blob is not None}
    assert fds.keys() == {"b", "c", "last"}
    assert fds["b"] is fds["c"] is None
    held = found["c"]
    assert held is not None
    assert held.read(2, 5) == b"xxx"
    blobs.drop(Digest("c"))
    assert blobs.find(Digest("c")) is None, "it is to be deleted"
    blobs.close()
    assert blobs.find(Digest("b")) is None


def test_the_clock_follows_the_loop_whatever_the_systems_clock_does() -> None:
    loop, wall = [10.0], [5000.0]
    clock = Clock(lambda: loop[0], lambda: wall[0])
    assert clock.now() == 5000.0
    loop[0], wall[0] = 12.0, 1.0
    assert clock.now() == 5002.0


def test_the_clock_never_steps_back() -> None:
    loop = [10.0]
    clock = Clock(lambda: loop[0], lambda: 5000.0)
    loop[0] = 11.0
    before = clock.now()
    loop[0] = 10.5
    assert clock.now() == before


@given(st.floats(0, 1e9), st.floats(1.6e9, 4e9), st.floats(0, 1e7))
def test_a_loop_that_sleeps_until_a_deadline_has_then_reached_it(
    loop: float, wall: float, wait: float
) -> None:
    at = [loop]
    clock = Clock(lambda: at[0], lambda: wall)
    deadline = clock.now() + wait
    at[0] = max(loop, clock.on_loop(deadline))
    assert clock.now() >= deadline
