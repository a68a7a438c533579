"""Complete hits answered at once: the same bytes, words and state as step by step."""

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from distcache import log
from distcache.access import Gate, HtpasswdRule, Patterns, Rules
from distcache.core.cache import Cache
from distcache.core.config import Config, Upstream
from distcache.core.effects import Medium, Spool
from distcache.core.events import Forgotten, Pruned
from distcache.core.inventory import BlobStored, GrantStored, Inventory, Record, TagStored
from distcache.core.oci import (
    OCI_MANIFEST,
    Content,
    Descriptor,
    Digest,
    Document,
    Kind,
    Repository,
    TagRef,
)
from distcache.driver import (
    Clock,
    Decided,
    Dialogue,
    Driver,
    Parts,
    Pause,
    SendFile,
    Service,
    Upstreams,
)
from distcache.settings import HttpTimeouts, Log
from distcache.store import Store, open_store
from distcache.wire.routes import Router
from distcache.wire.sites import UpstreamSite
from distcache.wire.urls import Url
from tests.adapters.fake_core import FakeShell
from tests.adapters.fake_upstream import digest

START = 1_000_000.0
SITE = UpstreamSite("up", Url("http", "127.0.0.1", 1))
APP = Repository("up", "a/img")
LATEST = TagRef(APP, "latest")
MANIFEST, LAYER, LARGE = b'{"a":1}', b"layer" * 999, b"large" * 20_000
MIDDLE = b"middle" * 5000
"""Too large to be copied behind its head."""
BODIES = (MANIFEST, LAYER, MIDDLE, LARGE)
TIMEOUTS = HttpTimeouts()


def name(body: bytes) -> Digest:
    return Digest(digest(body))


def content(body: bytes) -> Content:
    return Content(Kind.MANIFEST if body is MANIFEST else Kind.BLOB, name(body))


def records() -> Iterator[Record]:
    for body in BODIES:
        document = Document(OCI_MANIFEST) if body is MANIFEST else None
        yield BlobStored(name(body), len(body), START, document)
        yield GrantStored(APP, content(body))
    yield TagStored(LATEST, Descriptor(content(MANIFEST), len(MANIFEST), OCI_MANIFEST), START)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    root = tmp_path_factory.mktemp("shortcut") / "store"
    one = open_store(root)
    for number, body in enumerate(BODIES):
        file = one.create(Spool(number, Medium.FILE, name(body)))
        file.write(0, body)
        one.commit(file, name(body))
        file.discard()
    one.write(list(records()))
    one.close()
    one = open_store(root)
    yield one
    one.close()


def sent(what: bytes | Parts | SendFile) -> bytes:
    if isinstance(what, SendFile):
        return what.before + os.pread(what.fd, what.stop - what.start, what.start)
    return what if isinstance(what, bytes) else b"".join(what)


class Side:
    """A server without sockets, and one client of it. `quick`: asks for the whole answer; `slow`:
    takes not all of a file at once."""

    def __init__(self, store: Store, *, quick: bool) -> None:
        # Freshness in whole seconds turns at once at the very moment of the check.
        self.now = 0.25
        self.quick = quick
        self.slow = False
        self.at_once = 0
        self.shell = FakeShell()
        self.cache = Cache(Config({"up": Upstream(tag_ttl=100.0)}), Inventory(records()))
        clock = Clock(lambda: self.now, lambda: START + self.now)
        self.driver = Driver(self.cache, store, Upstreams({"up": SITE}, {}), clock, self.shell)
        self.decided: list[Decided] = []
        self.service = Service(
            self.driver,
            Router({"up": SITE}, "up"),
            TIMEOUTS,
            lambda: self.now,
            lambda decided: self.decided.append(evolve(decided, seconds=0.0)),
        )
        self.dialogue = Dialogue("192.0.2.1", self.service, lambda: None)
        self.place = self.go_on()[1]

    def hears(self, data: bytes) -> tuple[bytes, Pause]:
        """What comes back, and what is waited for then."""
        answer = self.begins(data)
        said, self.place = self.go_on()
        return answer + said, self.place

    def begins(self, data: bytes) -> bytes:
        if self.place in (Pause.LINGER, Pause.END):
            return b""
        answer = None
        if self.quick and self.place is Pause.BYTES:
            answer = self.dialogue.at_once(data)
        if answer is None:
            self.dialogue.receive(data)
            return b""
        self.at_once += 1
        if self.slow and isinstance(answer, SendFile):
            self.dialogue.lasts()
        return sent(answer)

    def go_on(self) -> tuple[bytes, Pause]:
        out = b""
        while True:
            step = self.dialogue.step()
            if isinstance(step, bytes):
                out += step
            elif isinstance(step, SendFile):
                out += sent(step)
            elif step is not Pause.WORD or not self.shell.work():
                return out, step

    def close(self) -> None:
        self.dialogue.close()
        self.driver.close()


def head(method: str, path: str, *fields: str) -> bytes:
    lines = (f"{method} /v2/a/img/{path} HTTP/1.1", "Host: h", *fields, "", "")
    return "\r\n".join(lines).encode()


TAG = head("GET", "manifests/latest")
BLOB = head("GET", f"blobs/{name(LAYER)}")


def part(body: bytes, spec: str, *fields: str, method: str = "GET") -> bytes:
    """Of a body: `spec` as Range has it."""
    return head(method, f"blobs/{name(body)}", f"Range: bytes={spec}", *fields)


HEADS = (
    TAG,
    head("HEAD", "manifests/latest", "X-Request-Id: abc"),
    head("GET", f"manifests/{name(MANIFEST)}"),
    head("GET", f"manifests/{name(MANIFEST)}", "Via: 1.1 other"),
    BLOB,
    head("GET", f"blobs/{name(LARGE)}"),
    part(LAYER, "1-9"),
    head("GET", f"blobs/{name(LAYER)}", f'If-None-Match: "{name(LAYER)}"'),
    head("GET", "manifests/latest", "Connection: close"),
    head("GET", f"blobs/{name(MIDDLE)}"),
    b"GET /v2/ HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET\r\n\r\n",
    b"\r\n",
    b"",
)
PARTS = (
    part(LAYER, "7-"),
    part(LARGE, "0-0"),
    part(LARGE, "10-99999"),
    part(LARGE, "50000-9999999"),
    part(LARGE, "-9"),
    part(LARGE, "9999999-"),
    part(LARGE, "5-2"),
    part(LARGE, "0-1,5-9"),
    part(LARGE, "2-9", "Range: bytes=4-5"),
    part(LARGE, "2-9", f'If-Range: "{name(LARGE)}"'),
    part(LARGE, "2-9", 'If-Range: "other"'),
    part(LARGE, "2-9", f'If-None-Match: "{name(LARGE)}"'),
    part(LARGE, "2-9", "X-Request-Id: abc"),
    part(LARGE, "2-9", method="HEAD"),
    head("GET", "manifests/latest", "Range: bytes=0-3"),
    head("GET", f"manifests/{name(MANIFEST)}", "Range: bytes=0-3"),
)
PATTERNS = Patterns(("b/*",))
CHANGES = ("nothing", "drain", "gate", "router", "forgotten", "resets")

asked = st.sampled_from(HEADS + PARTS)
pieces = st.one_of(
    asked.map(lambda head: (head,)),
    st.lists(asked, min_size=2, max_size=3).map(lambda heads: (b"".join(heads),)),
    st.tuples(asked, st.integers(1, 60)).map(lambda cut: (cut[0][: cut[1]], cut[0][cut[1] :])),
)
turns = st.tuples(
    st.lists(pieces, min_size=1, max_size=5),
    st.sampled_from((0.0, 0.25, 1.0, 61.0, 99.9995)),
    st.sampled_from((*("nothing",) * 6, *CHANGES)),
    st.booleans(),
)


def change(side: Side, what: str) -> None:
    match what:
        case "drain":
            side.service.draining = True
        case "gate":
            side.service.gate = Gate(Rules("up", repositories={"up": PATTERNS}), lambda *_: None)
        case "router":
            side.service.router = Router({"up": SITE}, "up")
        case "forgotten":
            side.driver.feed(Forgotten(LATEST))
        case "resets":
            side.service.gate = Gate(Rules("up"), lambda *_: None)


@settings(deadline=None, max_examples=60)
@given(st.lists(turns, min_size=1, max_size=6))
def test_whatever_comes_both_ways_do_the_same(
    store: Store, story: list[tuple[list[tuple[bytes, ...]], float, str, bool]]
) -> None:
    quick, slow = Side(store, quick=True), Side(store, quick=False)
    for said, later, what, lasts in story:
        quick.slow = lasts
        for data in (data for parts in said for data in parts if data or len(parts) == 1):
            assert quick.hears(data) == slow.hears(data)
            assert quick.decided == slow.decided
            assert (quick.dialogue.idle, quick.dialogue.deadline) == (
                slow.dialogue.idle,
                slow.dialogue.deadline,
            )
            assert quick.cache.stats() == slow.cache.stats()
            if quick.place not in (Pause.WORD, Pause.END):
                # Who waits is known by a number, which is another where pulls went by; and who
                # has left meanwhile waits until the connection is closed.
                now = quick.driver.clock.now()
                assert quick.cache.fingerprint(now) == slow.cache.fingerprint(now)
            assert quick.cache.next_deadline() == slow.cache.next_deadline()
        for side in (quick, slow):
            side.now += later
            change(side, what)
    assert slow.at_once == 0
    for side in (quick, slow):
        side.close()
    assert quick.decided == slow.decided


@pytest.fixture
def side(store: Store) -> Iterator[Side]:
    one = Side(store, quick=True)
    yield one
    one.close()


@pytest.mark.parametrize(
    ("head", "at_once"),
    [(HEADS[i], i not in (3, 8)) for i in range(10)],
    ids=["tag", "HEAD", "digest", "via", "blob", "large", "range", "unchanged", "last", "apart"],
)
def test_what_is_known_whole_is_given_at_once(side: Side, head: bytes, *, at_once: bool) -> None:
    first = side.hears(head)[0]
    assert side.at_once == 0
    assert side.hears(head)[0] == (b"" if b"close" in head else first)
    assert side.at_once == at_once


def test_an_answer_is_given_again_only_while_its_second_lasts(side: Side) -> None:
    side.hears(TAG)
    dates = set()
    for _ in range(3):
        said = side.hears(TAG)[0]
        (date,) = re.findall(rb"\r\nDate: (.*?)\r\n.*\r\nAge: (\d+)\r\n", said, re.DOTALL)
        dates.add(date)
        side.now += 1.0
    assert [age for _, age in sorted(dates)] == [b"0", b"1", b"2"]


def test_who_must_log_in_is_judged_each_time(side: Side, tmp_path: Path) -> None:
    side.hears(TAG)
    assert b" 200 " in side.hears(TAG)[0]
    rule = HtpasswdRule("realm", tmp_path / "users")
    side.service.gate = Gate(Rules("up", rule), lambda *_: None)
    assert side.hears(TAG)[0].startswith(b"HTTP/1.1 401 ")
    assert side.at_once == 1


def test_one_that_leaves_before_it_has_all_has_been_sent_nothing(side: Side) -> None:
    side.hears(TAG)
    assert side.begins(TAG)
    side.dialogue.close()
    assert [(d.status, d.sent) for d in side.decided] == [(200, len(MANIFEST)), (200, 0)]


@pytest.mark.parametrize("embedded", [True, False])
def test_its_line_in_the_log_is_that_of_any_other(side: Side, *, embedded: bool) -> None:
    lines = io.StringIO()
    log.configure(Log(), lines)
    if not embedded:
        side.service.on_decision = None
    try:
        for _ in range(3):
            side.hears(head("GET", "manifests/latest", "X-Request-Id: mine", "User-Agent: x"))
        log.flush()
    finally:
        log.configure(Log())
    said = [re.sub(r"(time|duration)=\S+", "", line) for line in lines.getvalue().splitlines()]
    assert side.at_once == 2
    assert said == [said[0]] * 3
    assert "http.request.id=mine" in said[0]
    assert f"http.response.written={len(MANIFEST)}" in said[0]


def is_open(side: Side, body: bytes) -> bool:
    """Its file: the first thing that goes when a blob is deleted."""
    use = side.driver.find(name(body))
    if use is not None:
        use.release()
    return use is not None


MEMORY = part(LARGE, "2-9")
FILE = part(LARGE, "10-99999")


@pytest.mark.parametrize("at", range(16))
def test_one_part_without_conditions_is_given_at_once(side: Side, at: int) -> None:
    side.hears(part(LARGE, "3-4"))
    side.hears(part(LAYER, "3-4"))
    first = side.hears(PARTS[at])[0]
    before = side.at_once
    assert side.hears(PARTS[at])[0] == first
    assert side.at_once == before + (at in (0, 1, 2, 3, 4, 12))


def test_each_part_is_the_one_that_was_asked_for(side: Side) -> None:
    for first, last in ((0, 0), (7, 70_000), (99_990, 99_999), (1, 65_537)):
        said = side.hears(part(LARGE, f"{first}-{last}"))[0]
        start, _, body = said.partition(b"\r\n\r\n")
        assert body == LARGE[first : last + 1]
        assert f"\r\nContent-Length: {len(body)}\r\n".encode() in start
        assert f"\r\nContent-Range: bytes {first}-{last}/{len(LARGE)}\r\n".encode() in start
    assert side.at_once == 3


def readers(side: Side) -> int:
    return sum(side.cache._state.readers.values())


@pytest.mark.parametrize(
    ("head", "slow"), [(MEMORY, False), (FILE, False), (FILE, True)], ids=["memory", "file", "slow"]
)
def test_one_that_leaves_half_way_through_a_part_is_no_reader_any_more(
    side: Side, head: bytes, *, slow: bool
) -> None:
    side.hears(head)
    side.slow = slow
    assert side.begins(head)
    assert readers(side) == slow
    side.dialogue.close()
    side.dialogue.close()
    assert readers(side) == 0
    assert [(d.status, d.sent) for d in side.decided][1:] == [(206, 0)]


@pytest.mark.parametrize("ask", [FILE, head("GET", f"blobs/{name(LARGE)}")], ids=["part", "all"])
def test_what_lasts_is_kept_as_long_as_it_takes(side: Side, ask: bytes) -> None:
    side.hears(ask)
    side.slow = True
    assert side.begins(ask)
    assert readers(side) == 1
    side.driver.feed(Pruned(0, None))
    assert is_open(side, LARGE)
    assert side.go_on() == (b"", Pause.BYTES)
    assert readers(side) == 0
    side.driver.feed(Pruned(0, None))
    assert not is_open(side, LARGE)


@pytest.mark.parametrize("slow", [False, True])
def test_a_file_that_ends_half_way_ends_the_connection(side: Side, *, slow: bool) -> None:
    side.hears(FILE)
    side.slow = slow
    assert side.begins(FILE)
    side.dialogue.lost(OSError("gone"))
    assert side.go_on() == (b"", Pause.END)
    assert readers(side) == 0
    side.dialogue.close()
    assert [(d.status, d.sent) for d in side.decided][1:] == [(206, 0)]
    assert not side.cache.stats().stored_bytes - sum(map(len, BODIES)) + len(LARGE)


def test_what_cannot_be_read_before_it_is_promised_is_left_to_the_long_way(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    side.hears(MEMORY)
    monkeypatch.setattr(os, "pread", lambda *_: b"")
    other = part(LARGE, "3-9")
    assert side.dialogue.at_once(other) is None
    assert readers(side) == 0


def test_the_last_part_on_a_connection_is_whole(side: Side) -> None:
    side.hears(FILE)
    assert side.begins(FILE)
    side.service.draining = True
    assert side.go_on() == (b"", Pause.LINGER)
    assert readers(side) == 0
