"""Pulls through real sockets and a real store: what clients get, what upstream is asked."""

import random
from pathlib import Path

import pytest
import trio

from distcache.core.events import Cause, ClientClosed, FetchFailed, SourceLost
from distcache.core.oci import OCI_MANIFEST
from tests.adapters import fake_upstream as fake
from tests.adapters.client import Torn

from .bench import bench

SMALL = random.Random(1).randbytes(1000)
LARGE = random.Random(2).randbytes(3 * 1024 * 1024)

pytestmark = pytest.mark.trio


async def test_a_cold_pull_is_streamed_stored_and_then_served_without_upstream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        path = b.upstream.blob("a/img", LARGE)
        cold = await b.get(path)
        await b.settled()
        warm = await b.get(path)
        assert cold.body == warm.body == LARGE
        assert cold.headers["cache-status"].startswith("distcache; fwd=uri-miss")
        assert warm.headers["cache-status"] == "distcache; hit"
        assert b.upstream.count("GET", path) == 1
        assert b.path(path).read_bytes() == LARGE


async def test_an_image_comes_by_tag_and_its_second_pull_asks_one_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        body = fake.manifest(SMALL)
        tag = b.upstream.manifest("a/img", "v1", body)
        path = b.upstream.blob("a/img", SMALL)
        for _ in range(2):
            assert (await b.get(tag)).body == body
            assert (await b.get(path)).body == SMALL
            await b.settled()
            b.upstream.asked, asked = [], b.upstream.asked
        assert [(a.method, a.target) for a in asked] == [("HEAD", tag)]


async def test_a_connection_carries_many_requests_also_pipelined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        paths = [b.upstream.blob("a/img", body) for body in (SMALL, LARGE)]
        client = await b.connect()
        async with client.stream:
            for path in (*paths, "/v2/", *paths):
                await client.ask(path)
            bodies = [(await client.answer()).body for _ in range(5)]
            assert bodies == [SMALL, LARGE, b"{}", SMALL, LARGE]


async def test_requests_that_arrive_while_one_waits_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        go = trio.Event()
        path = b.upstream.blob("a/img", SMALL, fake.after(go, fake.whole(SMALL)))
        client = await b.connect()
        async with client.stream:
            await client.ask(path)
            await trio.testing.wait_all_tasks_blocked()
            await client.ask("/v2/")
            await trio.testing.wait_all_tasks_blocked()
            go.set()
            assert (await client.answer()).body == SMALL
            assert (await client.answer()).body == b"{}"


async def test_head_and_range_of_stored_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        path = b.upstream.blob("a/img", LARGE)
        await b.get(path)
        await b.settled()
        head = await b.get(path, "HEAD")
        assert (head.status, head.headers["content-length"]) == (200, str(len(LARGE)))
        for first, last in ((0, 0), (5, 99), (len(LARGE) - 200_000, len(LARGE) - 1)):
            part = await b.get(path, "GET", f"Range: bytes={first}-{last}")
            assert part.status == 206
            assert part.body == LARGE[first : last + 1]
        assert b.upstream.count("GET", path) == 1


async def test_many_readers_share_one_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        go = trio.Event()
        script = fake.until(LARGE, 100_000, fake.after(go, fake.rest(LARGE, 100_000)))
        path = b.upstream.blob("a/img", LARGE, script)
        bodies: list[bytes] = []

        async def pull() -> None:
            bodies.append((await b.get(path)).body)

        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(pull)
            await trio.testing.wait_all_tasks_blocked()
            go.set()
        assert bodies == [LARGE] * 8
        assert b.upstream.count("GET", path) == 1


async def test_a_range_of_content_on_its_way_is_answered_206(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        path = b.upstream.blob("a/img", LARGE)
        part = await b.get(path, "GET", "Range: bytes=1000-1999")
        assert (part.status, part.body) == (206, LARGE[1000:2000])


async def test_the_first_client_may_leave_without_harm_to_the_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        go = trio.Event()
        script = fake.until(LARGE, 500_000, fake.after(go, fake.rest(LARGE, 500_000)))
        path = b.upstream.blob("a/img", LARGE, script)
        first, second = await b.connect(), await b.connect()
        await first.ask(path)
        await first.head()
        await second.ask(path)
        await second.head()
        await first.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert len(b.ledger.of(ClientClosed)) == 1
        go.set()
        assert await second.take(len(LARGE)) == LARGE
        await second.stream.aclose()
        assert b.upstream.count("GET", path) == 1


async def test_a_client_that_leaves_before_the_answer_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        path = b.upstream.blob("a/img", SMALL, fake.hang)
        client = await b.connect()
        await client.ask(path)
        await trio.testing.wait_all_tasks_blocked()
        assert b.ledger.of(ClientClosed) == []
        await client.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert len(b.ledger.of(ClientClosed)) == 1


async def test_a_reader_that_does_not_read_does_not_stall_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = random.Random(3).randbytes(24 * 1024 * 1024)
    async with bench(tmp_path, monkeypatch) as b:
        path = b.upstream.blob("a/img", body)
        slow, quick = await b.connect(), await b.connect()
        await slow.ask(path)
        assert (await quick.get(path)).body == body
        assert await slow.answer() is not None
        await slow.stream.aclose()
        await quick.stream.aclose()


async def test_a_cut_upstream_is_resumed_without_the_client_noticing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        path = b.upstream.blob(
            "a/img", LARGE, fake.until(LARGE, 1_000_000, fake.cut), fake.whole(LARGE)
        )
        assert (await b.get(path)).body == LARGE
        ranges = [a.headers.get("range") for a in b.upstream.asked]
        assert ranges == [None, "bytes=1000000-"]


@pytest.mark.parametrize("ended", [True, False])
async def test_a_body_without_length_is_chunked_to_the_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: bool
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        first = fake.chunked(SMALL if ended else SMALL[:400], end=ended)
        path = b.upstream.blob("a/img", SMALL, first, fake.whole(SMALL))
        answer = await b.get(path)
        assert answer.headers["transfer-encoding"] == "chunked"
        assert answer.body == SMALL


async def test_wrong_content_never_ends_cleanly_and_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        path = b.upstream.blob("a/img", LARGE, fake.whole(LARGE[:-1] + b"!"))
        with pytest.raises(Torn):
            await b.get(path)
        assert not b.path(path).exists()


async def test_wrong_content_never_ends_cleanly_in_chunked_coding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        path = b.upstream.blob("a/img", SMALL, fake.chunked(SMALL[:-1] + b"!"))
        with pytest.raises(Torn):
            await b.get(path)


@pytest.mark.parametrize("harm", ["deleted", "shorter"])
async def test_content_lost_behind_our_back_is_fetched_again_unseen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        path = b.upstream.blob("a/img", LARGE)
        await b.get(path)
        await b.settled()
        file = b.path(path)
        if harm == "deleted":
            file.unlink()
        else:
            file.write_bytes(LARGE[:-5])
        assert (await b.get(path)).body == LARGE
        assert len(b.ledger.of(SourceLost)) == 1
        assert b.upstream.count("GET", path) == 2


async def test_content_that_gets_shorter_while_it_is_open_is_cut_not_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        path = b.upstream.blob("a/img", LARGE)
        await b.get(path)
        await b.settled()
        await b.get(path, "GET", "Range: bytes=0-0")  # it is open now, and stays open
        with b.path(path).open("r+b") as file:
            file.truncate(1_500_000)
        with pytest.raises(Torn):
            await b.get(path)
        assert (await b.get(path)).body == LARGE


async def test_a_token_is_asked_for_once_and_sent_at_first_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        realm = f"http://127.0.0.1:{b.upstream.port}/token"
        refused = fake.status(401, {"WWW-Authenticate": f'Bearer realm="{realm}"'})
        first = b.upstream.blob("a/img", SMALL, refused, fake.whole(SMALL))
        second = b.upstream.blob("a/img", LARGE)
        token = "/token?scope=repository:a/img:pull"
        b.upstream.on(token, fake.status(200, body=b'{"token": "t"}'))
        assert (await b.get(first)).body == SMALL
        assert (await b.get(second)).body == LARGE
        assert b.upstream.count("GET", token) == 1
        sent = [a.headers.get("authorization") for a in b.upstream.asked if "/blobs/" in a.target]
        assert sent == [None, "Bearer t", "Bearer t"]


async def test_a_token_service_that_fails_is_an_honest_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        realm = f"http://127.0.0.1:{b.upstream.port}/token"
        refused = fake.status(401, {"WWW-Authenticate": f'Bearer realm="{realm}"'})
        path = b.upstream.blob("a/img", SMALL, refused)
        b.upstream.on("/token?scope=repository:a/img:pull", fake.cut)
        assert (await b.get(path)).status == 502


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (fake.status(404), 404),
        (fake.status(403), 403),
        (fake.status(429, {"Retry-After": "7"}), 429),
        (fake.status(503), 502),
        (fake.cut, 502),
        (fake.raw(b"nonsense\r\n\r\n"), 502),
        (fake.raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n"), 502),
    ],
)
async def test_what_upstream_refuses_or_breaks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: fake.Script, status: int
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        assert (await b.get(b.upstream.manifest("a/img", "v1", b"{}"))).status == 502
        b.upstream.on("/v2/a/img/manifests/v1", script)
        assert (await b.get("/v2/a/img/manifests/v1")).status == status


async def test_a_tag_that_moved_to_what_upstream_will_not_give_is_answered_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker Hub's limit counts GETs of manifests and not HEADs."""
    async with bench(tmp_path, monkeypatch) as b:
        old, new = fake.manifest(SMALL), fake.manifest(LARGE)
        path = b.upstream.manifest("a/img", "v1", old)
        assert (await b.get(path)).body == old
        await b.settled()
        b.upstream.manifest("a/img", "v1", new)
        of_new = f"/v2/a/img/manifests/{fake.digest(new)}"
        b.upstream.on(of_new, fake.status(429, {"Retry-After": "7"}))
        limited = await b.get(path)
        assert limited.body == old
        assert "stale-if-error" in limited.headers["cache-status"]
        b.upstream.on(of_new, fake.whole(new, {"Content-Type": OCI_MANIFEST}))
        assert (await b.get(path)).body == new


async def test_a_header_of_sixty_kib_from_upstream_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        path = b.upstream.blob("a/img", SMALL, fake.whole(SMALL, {"X-Long": "x" * 60_000}))
        assert (await b.get(path)).body == SMALL


async def test_a_document_beyond_its_limit_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        path = b.upstream.manifest("a/img", "v1", b" " * (5 * 1024 * 1024))
        assert (await b.get(path)).status == 502
        failed = [e for e in b.ledger.of(FetchFailed) if isinstance(e, FetchFailed)]
        assert [e.cause for e in failed if e.cause is not Cause.CANCELLED] == [Cause.TOO_LARGE]


async def test_a_tls_hello_on_the_plain_port_is_answered_at_once_and_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        client = await b.connect()
        async with client.stream:
            await client.say(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            assert (await client.end()).startswith(b"HTTP/1.1 400 ")


async def test_a_body_that_is_not_wanted_does_not_cost_the_client_its_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        client = await b.connect()
        async with client.stream:
            await client.ask("/v2/", "POST", "Content-Length: 1000000")
            await client.say(b"x" * 1_000_000)
            assert (await client.answer()).status == 405
            assert await client.end() == b""


async def test_an_http_1_0_client_sees_a_reset_where_the_answer_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, monkeypatch) as b:
        path = b.upstream.blob("a/img", LARGE, fake.whole(LARGE[:-1] + b"!"))
        client = await b.connect()
        async with client.stream:
            await client.say(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            with pytest.raises(trio.BrokenResourceError):
                await drain(client.stream)


async def drain(stream: trio.SocketStream) -> None:
    while await stream.receive_some():
        pass
