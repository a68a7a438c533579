"""What any adapter must do, seen from outside: by clients, by upstreams, by the core's record.

Each directory of a runtime takes these tests over (`from tests.adapters.contract import *`)
and says with a fixture `benches` how its server is run. Leaving a bench checks, for every
test here, that everything begun has ended, exactly once, and that nothing is left behind.
"""

import random
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from distcache.core import effects as fx
from distcache.core import events as ev
from distcache.core.decision import Outcome
from distcache.core.effects import Medium, Spool
from distcache.core.oci import OCI_MANIFEST, Digest
from distcache.store import Body, FileSpool, Store, StoreError
from distcache.testing import image
from tests.adapters import scripted as up
from tests.adapters.blocking import Client, Reset, Torn
from tests.adapters.harness import Bench, Benches
from tests.adapters.scripted import PATIENCE, Gate

SMALL = random.Random(1).randbytes(1000)
LARGE = random.Random(2).randbytes(3 * 1024 * 1024)
HUGE = bytes(24 * 1024 * 1024)
"""More than the kernel buffers between two sockets."""


# Pulls


def test_a_cold_pull_is_streamed_stored_and_then_served_without_upstream(benches: Benches) -> None:
    with benches() as b:
        path = b.upstream.blob("a/img", LARGE)
        cold = b.get(path)
        b.settled()
        warm = b.get(path)
        assert cold.body == warm.body == LARGE
        assert cold.headers["cache-status"].startswith("distcache; fwd=uri-miss")
        assert warm.headers["cache-status"] == "distcache; hit"
        assert b.upstream.count("GET", path) == 1
        assert b.path(path).read_bytes() == LARGE


def test_an_image_comes_by_tag_and_its_second_pull_asks_one_head(benches: Benches) -> None:
    with benches() as b:
        made = image([{"etc/hello": SMALL}, {"etc/large": LARGE}])
        tag = b.upstream.manifest("a/img", "v1", made.body)
        blobs = {b.upstream.blob("a/img", blob.data): blob.data for blob in made.blobs}
        for _ in range(2):
            assert b.get(tag).body == made.body
            assert {path: b.get(path).body for path in blobs} == blobs
            b.settled()
            b.upstream.asked, asked = [], b.upstream.asked
        assert [(a.method, a.target) for a in asked] == [("HEAD", tag)]


def test_a_connection_carries_many_requests_also_pipelined(benches: Benches) -> None:
    with benches() as b, b.connect() as client:
        paths = [b.upstream.blob("a/img", body) for body in (SMALL, LARGE)]
        for path in (*paths, "/v2/", *paths):
            client.ask(path)
        assert [client.answer().body for _ in range(5)] == [SMALL, LARGE, b"{}", SMALL, LARGE]


def test_a_hundred_requests_in_one_packet_are_answered_in_order(benches: Benches) -> None:
    with benches() as b, b.connect() as client:
        body = up.manifest(SMALL)
        tag = b.upstream.manifest("a/img", "v1", body)
        path = b.upstream.blob("a/img", SMALL)
        client.get(tag)
        client.get(path)
        by_digest = f"/v2/a/img/manifests/{up.digest(body)}"
        lines = [f"GET {t} HTTP/1.1\r\nHost: x\r\n\r\n" for t in (path, by_digest, "/v2/")] * 33
        client.say("".join(lines).encode())
        bodies = [client.answer().body for _ in lines]
        assert bodies == [SMALL, body, b"{}"] * 33


def test_requests_that_arrive_while_one_waits_are_kept(benches: Benches) -> None:
    with benches() as b, b.connect() as client:
        go = Gate()
        path = b.upstream.blob("a/img", SMALL, up.after(go, up.whole(SMALL)))
        client.ask(path)
        b.until(lambda: b.upstream.asked)
        client.ask("/v2/")
        go.set()
        assert client.answer().body == SMALL
        assert client.answer().body == b"{}"


@pytest.mark.parametrize("size", [1, 17, 4096])
def test_a_request_may_come_in_any_pieces(benches: Benches, size: int) -> None:
    with benches() as b, b.connect() as client:
        path = b.upstream.blob("a/img", SMALL)
        said = f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Long: {'y' * 200}\r\n\r\n".encode()
        for start in range(0, len(said), size):
            client.say(said[start : start + size])
        assert client.answer().body == SMALL


def test_head_and_range_of_stored_content(benches: Benches) -> None:
    with benches() as b:
        path = b.upstream.blob("a/img", LARGE)
        b.get(path)
        b.settled()
        head = b.get(path, "HEAD")
        assert (head.status, head.headers["content-length"]) == (200, str(len(LARGE)))
        for first, last in ((0, 0), (5, 99), (len(LARGE) - 200_000, len(LARGE) - 1)):
            part = b.get(path, "GET", f"Range: bytes={first}-{last}")
            assert part.status == 206
            assert part.body == LARGE[first : last + 1]
        assert b.upstream.count("GET", path) == 1


def test_many_readers_share_one_fetch(benches: Benches) -> None:
    with benches() as b:
        go = Gate()
        script = up.until(LARGE, 100_000, up.after(go, up.rest(LARGE, 100_000)))
        path = b.upstream.blob("a/img", LARGE, script)
        clients = [b.connect() for _ in range(8)]
        for client in clients:
            client.ask(path)
        b.until(lambda: len(b.ledger.of(ev.PullRequested)) == 8)
        go.set()
        for client in clients:
            assert client.answer().body == LARGE
            client.close()
        assert b.upstream.count("GET", path) == 1


def test_a_range_of_content_on_its_way_is_answered_206(benches: Benches) -> None:
    with benches() as b:
        path = b.upstream.blob("a/img", LARGE)
        part = b.get(path, "GET", "Range: bytes=1000-1999")
        assert (part.status, part.body) == (206, LARGE[1000:2000])


@pytest.mark.parametrize("ended", [True, False])
def test_a_body_without_length_is_chunked_to_the_client(benches: Benches, ended: bool) -> None:
    with benches() as b:
        first = up.chunked(SMALL if ended else SMALL[:400], end=ended)
        path = b.upstream.blob("a/img", SMALL, first, up.whole(SMALL))
        answer = b.get(path)
        assert answer.headers["transfer-encoding"] == "chunked"
        assert answer.body == SMALL


def test_the_embedding_program_is_told_of_each_answered_pull_once(benches: Benches) -> None:
    with benches() as b:
        path = b.upstream.blob("a/img", SMALL)
        for method in ("GET", "GET", "HEAD"):
            b.get(path, method)
            b.settled()
        b.get("/v2/")
        missing = b.get("/v2/a/img/manifests/none")
        b.until(lambda: len(b.decided) >= 4)
        told = [(d.pull.method.value, d.decision.outcome, d.status, d.sent) for d in b.decided]
        assert told == [
            ("GET", Outcome.FWD, 200, len(SMALL)),
            ("GET", Outcome.HIT, 200, len(SMALL)),
            ("HEAD", Outcome.HIT, 200, 0),
            ("GET", Outcome.FWD, 404, len(missing.body)),
        ]
        assert all(d.seconds >= 0 for d in b.decided)


# Clients that leave


def test_the_first_client_may_leave_without_harm_to_the_second(benches: Benches) -> None:
    with benches() as b:
        go = Gate()
        script = up.until(LARGE, 500_000, up.after(go, up.rest(LARGE, 500_000)))
        path = b.upstream.blob("a/img", LARGE, script)
        first, second = b.connect(), b.connect()
        for client in (first, second):
            client.ask(path)
            client.head()
        first.close()
        b.until(lambda: len(b.ledger.of(ev.ClientClosed)) == 1)
        go.set()
        assert second.take(len(LARGE)) == LARGE
        second.close()
        assert b.upstream.count("GET", path) == 1


def test_a_client_that_leaves_before_the_answer_is_noticed(benches: Benches) -> None:
    with benches() as b:
        path = b.upstream.blob("a/img", SMALL, up.hang)
        client = b.connect()
        client.ask(path)
        b.until(lambda: b.upstream.asked)
        assert b.count(ev.ClientClosed) == 0
        client.close()
        b.until(lambda: len(b.ledger.of(ev.ClientClosed)) == 1)


LEAVING = [0, 1, 20, 150, 1000, 500_000, 2_999_000, None]
"""After so many bytes: of the request's first, of the answer's head and body, of all."""


@pytest.mark.parametrize("point", LEAVING)
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("rude", [False, True], ids=["closes", "resets"])
def test_a_client_may_leave_at_any_point(
    benches: Benches, point: int | None, warm: bool, rude: bool
) -> None:
    with benches() as b:
        path = b.upstream.blob("a/img", LARGE)
        if warm:
            b.get(path)
            b.settled()
        client = b.connect()
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        if point is not None and point <= 20:
            client.say(request[:point])
        else:
            client.say(request)
            client.take(point or len(LARGE))
        if rude:
            client.reset()
        client.close()
        b.settled()
        assert b.get(path).body == LARGE


# Upstreams that fail


@pytest.mark.parametrize("stop", [0, 1, 65_536, 1_000_000, len(LARGE) - 1])
def test_an_upstream_cut_at_any_point_is_resumed_without_the_client_noticing(
    benches: Benches, stop: int
) -> None:
    with benches() as b:
        path = b.upstream.blob("a/img", LARGE, up.until(LARGE, stop, up.cut), up.whole(LARGE))
        assert b.get(path).body == LARGE
        ranges = [a.headers.get("range") for a in b.upstream.asked]
        assert ranges == [None, f"bytes={stop}-" if stop else None]


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
def test_what_comes_after_a_body_is_no_answer_to_the_next_request(
    benches: Benches, body: bytes
) -> None:
    with benches() as b:
        forged = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
        there = Gate()
        script = up.until(body, len(body), up.delivered(up.raw(forged), there))
        first = b.upstream.blob("a/img", body, script)
        second = b.upstream.blob("a/img", b"second")
        assert b.get(first).body == body
        b.settled()
        assert there.wait(PATIENCE)
        assert b.get(second).body == b"second"
        assert b.upstream.connections == 2


def test_an_upstream_cut_before_its_answer_is_asked_again(benches: Benches) -> None:
    with benches() as b:
        path = b.upstream.blob("a/img", LARGE, up.cut, up.whole(LARGE))
        assert b.get(path).body == LARGE


@pytest.mark.parametrize("wrong", ["of known length", "chunked"])
def test_wrong_content_never_ends_cleanly_and_is_not_kept(benches: Benches, wrong: str) -> None:
    with benches() as b:
        bad = LARGE[:-1] + bytes([LARGE[-1] ^ 1])
        script = up.whole(bad) if wrong == "of known length" else up.chunked(bad)
        path = b.upstream.blob("a/img", LARGE, script)
        with pytest.raises(Torn):
            b.get(path)
        b.settled()
        assert not b.path(path).exists()


def test_an_http_1_0_client_sees_a_reset_where_the_answer_is_cut(benches: Benches) -> None:
    with benches() as b, b.connect() as client:
        path = b.upstream.blob("a/img", LARGE, up.whole(LARGE[:-1] + bytes([LARGE[-1] ^ 1])))
        client.say(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        with pytest.raises(Reset):
            client.take(2 * len(LARGE))


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (up.status(404), 404),
        (up.status(403), 403),
        (up.status(429, {"Retry-After": "7"}), 429),
        (up.status(503), 502),
        (up.cut, 502),
        (up.raw(b"nonsense\r\n\r\n"), 502),
        (up.raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n"), 502),
    ],
)
def test_what_upstream_refuses_or_breaks_is_said(
    benches: Benches, script: up.Script, status: int
) -> None:
    with benches() as b:
        assert b.get(b.upstream.manifest("a/img", "v1", b"{}")).status == 502
        b.upstream.on("/v2/a/img/manifests/v1", script)
        assert b.get("/v2/a/img/manifests/v1").status == status


def test_a_tag_that_moved_to_what_upstream_will_not_give_is_answered_as_it_was(
    benches: Benches,
) -> None:
    """Docker Hub's limit counts GETs of manifests and not HEADs."""
    with benches() as b:
        old, new = up.manifest(SMALL), up.manifest(LARGE)
        path = b.upstream.manifest("a/img", "v1", old)
        assert b.get(path).body == old
        b.settled()
        b.upstream.manifest("a/img", "v1", new)
        of_new = f"/v2/a/img/manifests/{up.digest(new)}"
        b.upstream.on(of_new, up.status(429, {"Retry-After": "7"}))
        limited = b.get(path)
        assert limited.body == old
        assert "stale-if-error" in limited.headers["cache-status"]
        b.upstream.on(of_new, up.whole(new, {"Content-Type": OCI_MANIFEST}))
        assert b.get(path).body == new


def test_a_token_is_asked_for_once_and_sent_at_first_from_then_on(benches: Benches) -> None:
    with benches() as b:
        realm = f"http://127.0.0.1:{b.upstream.port}/token"
        refused = up.status(401, {"WWW-Authenticate": f'Bearer realm="{realm}"'})
        first = b.upstream.blob("a/img", SMALL, refused, up.whole(SMALL))
        second = b.upstream.blob("a/img", LARGE)
        token = "/token?scope=repository:a/img:pull"
        b.upstream.on(token, up.status(200, body=b'{"token": "t"}'))
        assert b.get(first).body == SMALL
        assert b.get(second).body == LARGE
        assert b.upstream.count("GET", token) == 1
        sent = [a.headers.get("authorization") for a in b.upstream.asked if "/blobs/" in a.target]
        assert sent == [None, "Bearer t", "Bearer t"]


def test_a_token_service_that_fails_is_an_honest_error(benches: Benches) -> None:
    with benches() as b:
        realm = f"http://127.0.0.1:{b.upstream.port}/token"
        refused = up.status(401, {"WWW-Authenticate": f'Bearer realm="{realm}"'})
        path = b.upstream.blob("a/img", SMALL, refused)
        b.upstream.on("/token?scope=repository:a/img:pull", up.cut)
        assert b.get(path).status == 502


def test_a_header_of_sixty_kib_from_upstream_is_taken(benches: Benches) -> None:
    with benches() as b:
        path = b.upstream.blob("a/img", SMALL, up.whole(SMALL, {"X-Long": "x" * 60_000}))
        assert b.get(path).body == SMALL


def test_a_document_beyond_its_limit_is_given_up(benches: Benches) -> None:
    with benches() as b:
        path = b.upstream.manifest("a/img", "v1", b" " * (5 * 1024 * 1024))
        assert b.get(path).status == 502
        failed = b.server.call(lambda: b.ledger.of(ev.FetchFailed))
        causes = {getattr(e, "cause", None) for e in failed} - {ev.Cause.CANCELLED}
        assert causes == {ev.Cause.TOO_LARGE}


# What the store loses, or cannot take


@pytest.mark.parametrize("harm", ["deleted", "shorter"])
def test_content_lost_behind_our_back_is_fetched_again_unseen(benches: Benches, harm: str) -> None:
    with benches() as b:
        path = b.upstream.blob("a/img", LARGE)
        b.get(path)
        b.settled()
        if harm == "deleted":
            b.path(path).unlink()
        else:
            b.path(path).write_bytes(LARGE[:-5])
        assert b.get(path).body == LARGE
        assert b.count(ev.SourceLost) == 1
        assert b.upstream.count("GET", path) == 2


def test_content_that_gets_shorter_while_it_is_open_is_cut_not_ended(benches: Benches) -> None:
    with benches() as b:
        path = b.upstream.blob("a/img", LARGE)
        b.get(path)
        b.settled()
        b.get(path, "GET", "Range: bytes=0-0")  # it is open now, and stays open
        with b.path(path).open("r+b") as file:
            file.truncate(1_500_000)
        with pytest.raises(Torn):
            b.get(path)
        assert b.get(path).body == LARGE


def cannot_create(store: Store) -> None:
    def create(spool: Spool) -> FileSpool:
        raise StoreError("no space", ev.StoreFault.NO_SPACE)

    store.create = create  # type: ignore[method-assign]


def cannot_grow(store: Store) -> None:
    create = store.create

    def limited(spool: Spool) -> FileSpool:
        return _Limited.of(create(spool))

    store.create = limited  # type: ignore[method-assign]


class _Limited(FileSpool):
    @classmethod
    def of(cls, spool: FileSpool) -> FileSpool:
        spool.__class__ = cls
        return spool

    def write(self, start: int, data: bytes | bytearray | memoryview) -> int:
        if start + len(data) > 2_000_000:
            raise StoreError("a fault")
        return super().write(start, data)


def cannot_commit(store: Store) -> None:
    def commit(spool: Body, digest: Digest) -> None:
        raise StoreError("read only", ev.StoreFault.READ_ONLY)

    store.commit = commit  # type: ignore[method-assign]


@pytest.mark.parametrize("fail", [cannot_create, cannot_grow, cannot_commit])
def test_a_pull_works_though_nothing_can_be_kept(
    benches: Benches, fail: Callable[[Store], None]
) -> None:
    body = random.Random(3).randbytes(9 * 1024 * 1024)
    with benches(prepare=fail) as b:
        path = b.upstream.blob("a/img", body)
        tag = b.upstream.manifest("a/img", "v1", up.manifest(body))
        for _ in range(2):
            assert b.get(path).body == body
            assert b.get(tag).status == 200
        assert not b.path(path).exists()


def test_a_failed_commit_is_said_once(benches: Benches) -> None:
    with benches(prepare=cannot_commit) as b:
        path = b.upstream.blob("a/img", LARGE)
        assert b.get(path).body == LARGE
        b.settled()
        assert b.count(ev.StoreFailed) == 1


def test_a_range_is_passed_through_from_a_window(benches: Benches) -> None:
    body = random.Random(3).randbytes(9 * 1024 * 1024)
    with benches(prepare=cannot_create) as b:
        path = b.upstream.blob("a/img", body)
        part = b.get(path, "GET", "Range: bytes=8000000-8999999")
        assert part.body == body[8_000_000:9_000_000]
        given = b.server.call(lambda: list(b.ledger.effects))
        spools = [e.spool for e in given if isinstance(e, fx.Fetch) and e.spool is not None]
        assert Medium.WINDOW in {spool.medium for spool in spools}


# Back-pressure and numbers


def test_a_reader_that_does_not_read_stops_only_itself(benches: Benches) -> None:
    with benches() as b:
        path = b.upstream.blob("a/img", HUGE)
        slow, quick = b.connect(), b.connect()
        slow.ask(path)
        assert quick.get(path).body == HUGE
        assert slow.answer().body == HUGE
        slow.close()
        quick.close()
        assert b.upstream.count("GET", path) == 1


def test_a_window_takes_from_upstream_no_more_than_its_reader_makes_room_for(
    benches: Benches,
) -> None:
    with benches(prepare=cannot_create) as b:
        path = b.upstream.blob("a/img", HUGE)
        client = b.connect()
        client.ask(path)
        client.head()
        b.until(lambda: max(_spooled(b), default=0) >= 4 * 1024 * 1024)
        # What the kernel holds of it is out of our hands.
        assert max(b.server.call(lambda: _spooled(b))) < len(HUGE)
        assert client.take(len(HUGE)) == HUGE
        client.close()


def _spooled(b: Bench) -> list[int]:
    return [e.length for e in b.ledger.events if isinstance(e, ev.BodySpooled)]


def test_memory_does_not_grow_with_the_blob_or_its_readers(benches: Benches) -> None:
    with benches() as b:
        warm_up = b.upstream.blob("a/img", LARGE)
        b.get(warm_up)
        # Upstream is of this process too: it must not copy what it sends.
        path = b.upstream.blob("a/img", HUGE, up.until(HUGE, 0, up.rest(HUGE, 0)))
        before = most = resident()
        clients = [b.connect() for _ in range(8)]
        for client in clients:
            client.ask(path)
        for client in clients:
            head = client.head()
            left = int(head.headers["content-length"])
            while left:
                left -= len(client.take(min(left, 65_536)))
                most = max(most, resident())
            client.close()
        # Of 192 MiB that went out; what is read and not yet written may be 4 MiB, twice.
        assert most - before < len(HUGE)


def resident() -> int:
    """Bytes of memory that this process has now (proc(5))."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_a_thousand_idle_connections_keep_nobody_from_being_served(benches: Benches) -> None:
    with benches(max_connections=1002) as b:
        path = b.upstream.blob("a/img", SMALL)
        idle = [b.connect() for _ in range(1000)]
        assert b.get(path).body == SMALL
        assert idle[0].get(path).body == idle[-1].get(path).body == SMALL
        b.server.stop()
        for client in idle:
            assert client.end() == b""
            client.close()


def test_beyond_the_bound_a_connection_waits_for_a_place(benches: Benches) -> None:
    with benches(max_connections=2) as b:
        first, second = b.connect(), b.connect()
        for client in (first, second):
            assert client.get("/v2/").status == 200
        third = b.connect()
        third.ask("/v2/")
        assert second.get("/v2/").status == 200
        assert third.silent()
        first.close()
        assert third.answer().status == 200
        second.close()
        third.close()


# Bytes that are no pull


def test_a_tls_hello_on_the_plain_port_is_answered_at_once_and_closed(benches: Benches) -> None:
    with benches() as b, b.connect() as client:
        client.say(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert client.end().startswith(b"HTTP/1.1 400 ")


def test_a_body_that_is_not_wanted_does_not_cost_the_client_its_answer(benches: Benches) -> None:
    with benches() as b, b.connect() as client:
        client.ask("/v2/", "POST", "Content-Length: 1000000")
        client.say(b"x" * 1_000_000)
        assert client.answer().status == 405
        assert client.end() == b""


def test_a_client_that_closes_its_side_after_its_request_has_no_answer_but_is_closed(
    benches: Benches,
) -> None:
    with benches() as b, b.connect() as client:
        path = b.upstream.blob("a/img", SMALL, up.hang)
        client.ask(path)
        b.until(lambda: b.upstream.asked)
        client.shut()
        assert client.end() == b""


def test_http_1_0_is_answered_and_closed(benches: Benches) -> None:
    with benches() as b, b.connect() as client:
        path = b.upstream.blob("a/img", SMALL)
        client.say(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        assert client.answer().body == SMALL
        assert client.end() == b""


# The end


def test_idle_connections_end_at_once_and_a_running_answer_is_finished(benches: Benches) -> None:
    with benches() as b:
        go = Gate()
        script = up.until(LARGE, 1000, up.after(go, up.rest(LARGE, 1000)))
        path = b.upstream.blob("a/img", LARGE, script)
        fresh, used, busy = (b.connect() for _ in range(3))
        used.get("/v2/")
        busy.ask(path)
        busy.head()
        b.server.stop()
        assert fresh.end() == used.end() == b""
        go.set()
        assert busy.take(len(LARGE)) == LARGE
        assert busy.end() == b""
        for client in (fresh, used, busy):
            client.close()


def test_stopping_again_cuts_what_still_runs(benches: Benches) -> None:
    with benches() as b, b.connect() as client:
        path = b.upstream.blob("a/img", LARGE, up.until(LARGE, 1000, up.hang))
        client.ask(path)
        client.head()
        b.server.stop()
        b.server.stop(drain=0)
        with pytest.raises(Torn):
            client.take(len(LARGE))


STALLED = {
    "before the head": up.hang,
    "in the first bytes": up.until(LARGE, 1000, up.hang),
    "in the middle": up.until(LARGE, 1_500_000, up.hang),
    "before the last byte": up.until(LARGE, len(LARGE) - 1, up.hang),
}


@pytest.mark.parametrize("where", STALLED)
@pytest.mark.parametrize("readers", [0, 1, 3])
def test_a_server_may_be_stopped_while_content_is_on_its_way(
    benches: Benches, where: str, readers: int
) -> None:
    with benches() as b:
        path = b.upstream.blob("a/img", LARGE, STALLED[where])
        clients = [b.connect() for _ in range(max(readers, 1))]
        for client in clients:
            client.ask(path)
        b.until(lambda: b.upstream.asked)
        if not readers:
            clients[0].close()
        b.server.stop(drain=0)
        for client in clients[:readers]:
            with pytest.raises(Torn):
                client.take(2 * len(LARGE))
            client.close()


def test_a_server_may_be_stopped_while_a_token_is_waited_for(benches: Benches) -> None:
    with benches() as b, b.connect() as client:
        realm = f"http://127.0.0.1:{b.upstream.port}/token"
        refused = up.status(401, {"WWW-Authenticate": f'Bearer realm="{realm}"'})
        path = b.upstream.blob("a/img", SMALL, refused)
        token = "/token?scope=repository:a/img:pull"
        b.upstream.on(token, up.hang)
        client.ask(path)
        b.until(lambda: b.upstream.count("GET", token))
        b.server.stop(drain=0)
        with pytest.raises(Torn):
            client.head()


def test_what_was_stored_is_journalled_before_the_end(benches: Benches) -> None:
    with benches() as b:
        path = b.upstream.blob("a/img", LARGE)
        b.get(path)
    with benches() as b:
        assert b.get(path).headers["cache-status"] == "distcache; hit"
        assert b.upstream.asked == []


def test_a_server_that_is_left_by_an_error_has_ended_everything(benches: Benches) -> None:
    client: Client | None = None
    with pytest.raises(ZeroDivisionError), benches() as b:  # noqa: PT012
        path = b.upstream.blob("a/img", LARGE, up.until(LARGE, 1000, up.hang))
        client = b.connect()
        client.ask(path)
        client.head()
        ledger = b.ledger
        raise ZeroDivisionError
    assert client is not None
    client.close()
    assert ledger.open_business() == []
