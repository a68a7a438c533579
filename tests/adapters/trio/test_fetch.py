"""Cancelling an upstream request at every step it takes, and pools that outlive it."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from attrs import evolve

from distcache.core import effects as fx
from distcache.core import events as ev
from distcache.core.effects import Medium, Spool, UpstreamRequest
from distcache.core.oci import Content, Digest, Kind, Repository
from distcache.core.pull import ByDigest, Method, Pull, Span
from distcache.driver import Clock, Driver, TokenCall, Transfer, Upstreams, errands
from distcache.settings import Seconds, UpstreamTimeouts
from distcache.store import open_store
from distcache.trio_server import pools
from distcache.trio_server.fetch import Fetcher, open_fetcher
from distcache.wire.sites import UpstreamSite
from distcache.wire.urls import Url
from tests.adapters import fake_upstream as fake
from tests.adapters.answers import NAMES, answers, told
from tests.adapters.certificates import certificate as certificate
from tests.adapters.fake_core import FakeCore, FakeShell
from tests.adapters.fake_upstream import Upstream, upstream
from tests.adapters.pieces import CancelAt
from tests.adapters.scripted import PATIENCE
from tests.support.tls import context

pytestmark = pytest.mark.trio

BODY = bytes(range(256)) * 2000
NAME = Digest(fake.digest(BODY))
CONTENT = Content(Kind.BLOB, NAME)
REQUEST = UpstreamRequest(Method.GET, Repository("up", "a/img"), CONTENT)
LARGE = random.Random(3).randbytes(6 * 1024 * 1024)
"""Most of it passes the loop by."""

PULL = Pull(Method.GET, ByDigest(REQUEST.repository, CONTENT))
PATH = f"/v2/a/img/blobs/{NAME}"
STEPS = 40
"""More than a request takes (the last ones are cancelled after their end)."""


class Shell(FakeShell):
    """Requests go out; jobs wait."""

    fetcher: Fetcher

    def start_fetch(self, transfer: Transfer) -> None:
        self.fetches.append(transfer)
        self.fetcher.start_fetch(transfer)

    def start_token(self, call: TokenCall) -> None:
        self.tokens.append(call)
        self.fetcher.start_token(call)


class Stepper(trio.abc.Instrument):
    """Calls `act` when requests have made so many steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.act: Callable[[], None] = lambda: None

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if "Fetcher._run" in task.name:
            self.left -= 1
            if self.left == 0:
                self.act()


class Tasks(trio.abc.Instrument):
    """Counts the requests that have got one."""

    count = 0

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        self.count += "_run_fetch" in task.name


secured = pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])


class Rig:
    def __init__(self, up: Upstream, core: FakeCore, driver: Driver) -> None:
        self.up, self.core, self.driver = up, core, driver
        self._number = 0

    def want(self, effect: fx.Effect) -> None:
        self.core.script = lambda e: [effect] if isinstance(e, ev.Woke) else []
        self.driver.feed(ev.Woke())

    def fetch(self, medium: Medium = Medium.FILE) -> int:
        self._number += 1
        spool = Spool(self._number, medium, NAME, limit=len(BODY))
        self.want(fx.Fetch(self._number, REQUEST, spool))
        return self._number

    def fetch_large(self) -> tuple[int, Digest]:
        self._number += 1
        name = Digest(fake.digest(LARGE))
        request = evolve(REQUEST, resource=Content(Kind.BLOB, name))
        self.up.on(f"/v2/a/img/blobs/{name}", fake.whole(LARGE))
        self.want(fx.Fetch(self._number, request, Spool(self._number, Medium.FILE, name)))
        return self._number, name

    def ends(self, number: int) -> list[ev.Event]:
        return [
            e
            for e in self.core.events
            if isinstance(e, ev.FetchEnded | ev.FetchFailed) and e.fetch == number
        ]

    async def until(self, condition: Callable[[], object]) -> None:
        with trio.fail_after(PATIENCE):
            while not condition():
                # A little longer than at once: threads and the kernel are no tasks.
                await trio.testing.wait_all_tasks_blocked(0.001)

    async def ended(self, number: int) -> ev.Event:
        await self.until(lambda: self.ends(number))
        (end,) = self.ends(number)
        return end


@asynccontextmanager
async def rig(
    tmp_path: Path,
    timeouts: UpstreamTimeouts = UpstreamTimeouts(),  # noqa: B008 - frozen
    own: tuple[Path, Path] | None = None,
) -> AsyncIterator[Rig]:
    """`own`: upstream speaks TLS, by this certificate and key."""
    store = open_store(tmp_path / "store")
    core, shell = FakeCore(), Shell()
    async with upstream(own and context(own)) as up:
        url = Url("https" if own else "http", "127.0.0.1", up.port)
        site = UpstreamSite("up", url, ca=str(own[0]) if own else None)
        clock = Clock(trio.current_time)
        driver = Driver(core, store, Upstreams({"up": site}, {}, common=timeouts), clock, shell)
        async with open_fetcher() as shell.fetcher:
            yield Rig(up, core, driver)
    driver.close()
    shell.work()
    store.close()


@pytest.mark.parametrize("warm", [False, True], ids=["new connection", "used connection"])
@pytest.mark.parametrize("medium", [Medium.FILE, Medium.MEMORY])
async def test_a_fetch_cancelled_at_any_step_ends_once_and_harms_no_other(
    tmp_path: Path, warm: bool, medium: Medium
) -> None:
    async with rig(tmp_path) as r:
        for steps in range(1, STEPS):
            r.up.on(PATH, fake.whole(BODY))
            if warm:
                assert isinstance(await r.ended(r.fetch(medium)), ev.FetchEnded)
            stepper = Stepper(steps)
            trio.lowlevel.add_instrument(stepper)
            number = r.fetch(medium)
            stepper.act = lambda n=number: r.want(fx.CancelFetch(n))  # type: ignore[misc]
            end = await r.ended(number)
            trio.lowlevel.remove_instrument(stepper)
            assert end in (
                ev.FetchFailed(number, ev.Cause.CANCELLED),
                ev.FetchEnded(number, NAME),
            )
            assert await r.ended(r.fetch(medium)) == ev.FetchEnded(r._number, NAME)
            await trio.testing.wait_all_tasks_blocked()
            assert len(r.ends(number)) == 1
            # The request before may not have given back its connection when this one began; of a
            # connection that was torn off upstream hears a little later.
            await r.until(lambda: r.up.live <= 2)


async def test_a_large_body_leaves_its_connection_for_the_next(tmp_path: Path) -> None:
    async with rig(tmp_path) as r:
        for _ in range(3):
            number, name = r.fetch_large()
            assert await r.ended(number) == ev.FetchEnded(number, name)
            await trio.testing.wait_all_tasks_blocked()
        assert r.up.connections == 1
        spooled = [e.length for e in r.core.events if isinstance(e, ev.BodySpooled)]
        assert spooled.count(len(LARGE)) >= 3


@pytest.mark.parametrize("place", [*range(1, 20), 30, 40])
async def test_a_large_body_cancelled_at_any_step_ends_once(tmp_path: Path, place: int) -> None:
    async with rig(tmp_path) as r:
        stepper = Stepper(place)
        trio.lowlevel.add_instrument(stepper)
        number, name = r.fetch_large()
        stepper.act = lambda: r.want(fx.CancelFetch(number))
        assert await r.ended(number) in (
            ev.FetchFailed(number, ev.Cause.CANCELLED),
            ev.FetchEnded(number, name),
        )
        trio.lowlevel.remove_instrument(stepper)
        number, name = r.fetch_large()
        assert await r.ended(number) == ev.FetchEnded(number, name)


@pytest.mark.parametrize("piece", [1, 2, 3, 4])
async def test_a_large_body_cancelled_when_a_piece_has_come_ends_soon(
    tmp_path: Path, piece: int
) -> None:
    async with rig(tmp_path) as r:
        number, _ = r.fetch_large()
        r.core.script = script = CancelAt(number, piece, len(LARGE))
        script.check(await r.ended(number))


@pytest.mark.parametrize("step", range(1, 12))
async def test_a_server_that_ends_while_a_large_body_comes_ends_it_once(
    tmp_path: Path, step: int
) -> None:
    async with rig(tmp_path) as r:
        stepper, left = Stepper(step), trio.Event()
        stepper.act = left.set
        trio.lowlevel.add_instrument(stepper)
        number, _ = r.fetch_large()
        while not (left.is_set() or r.ends(number)):
            await trio.sleep(0)
        trio.lowlevel.remove_instrument(stepper)
    assert len(r.ends(number)) == 1


@secured
@pytest.mark.parametrize("medium", [None, Medium.MEMORY, Medium.FILE])
@pytest.mark.parametrize("name", NAMES)
async def test_a_question_on_a_kept_connection_is_answered_as_on_a_new_one(
    tmp_path: Path, certificate: tuple[Path, Path], name: str, medium: Medium | None, secure: bool
) -> None:
    async def asked(path: Path, *, kept: bool) -> list[ev.Event]:
        async with rig(path, own=certificate if secure else None) as r:
            method = Method.GET if medium else Method.HEAD
            data = answers(method.value)[name]
            r.up.on(PATH, *[fake.status(200)] * kept, fake.raw(data) if data else fake.cut)
            for number in range(1 - kept, 2):
                spool = medium and Spool(number, medium, limit=9999)
                r.want(fx.Fetch(number, evolve(REQUEST, method=method), spool))
                await r.ended(number)
                await trio.testing.wait_all_tasks_blocked()
            assert r.up.connections == (1 if data or not kept else 2)
            return told(r.core.events, fetch=1)

    kept = await asked(tmp_path / "kept", kept=True)
    assert kept == await asked(tmp_path / "new", kept=False)


@pytest.mark.parametrize(
    ("by", "secure"),
    [("cancel", False), ("timeout", False), ("end", False), ("cancel", True), ("end", True)],
)
async def test_a_question_on_a_kept_connection_ends_once_without_an_answer(
    tmp_path: Path, certificate: tuple[Path, Path], by: str, secure: bool
) -> None:
    tasks = Tasks()
    trio.lowlevel.add_instrument(tasks)
    patience = UpstreamTimeouts(headers=Seconds(0.3 if by == "timeout" else 20))
    async with rig(tmp_path, patience, certificate if secure else None) as r:
        r.up.on(PATH, fake.status(200), fake.hang)
        ask = evolve(REQUEST, method=Method.HEAD)
        r.want(fx.Fetch(1, ask, None))
        await r.ended(1)
        await trio.testing.wait_all_tasks_blocked()
        r.want(fx.Fetch(2, ask, None))
        if by == "cancel":
            r.want(fx.CancelFetch(2))
        if by != "end":
            await r.ended(2)
    cause = ev.Cause.TIMEOUT if by == "timeout" else ev.Cause.CANCELLED
    assert r.ends(2) == [ev.FetchFailed(2, cause)]
    assert tasks.count == 1, "the second is a question, which needs none"


@secured
@pytest.mark.parametrize("length", [1000, 40_000])
async def test_small_content_that_comes_in_pieces_takes_no_task(
    tmp_path: Path,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    length: int,
    secure: bool,
) -> None:
    # However slow this machine is.
    monkeypatch.setattr(errands, "GATHER", PATIENCE)
    body = BODY[:length]
    tasks = Tasks()
    trio.lowlevel.add_instrument(tasks)
    async with rig(tmp_path, own=certificate if secure else None) as r:
        r.up.on(PATH, fake.status(200), fake.until(body, 500, fake.rest(body, 500)))
        for number in (1, 2):
            r.want(fx.Fetch(number, REQUEST, Spool(number, Medium.FILE, NAME)))
            await r.ended(number)
            await trio.testing.wait_all_tasks_blocked()
        assert r.ends(2) == [ev.FetchEnded(2, Digest(fake.digest(body)))]
        assert r.up.connections == tasks.count == 1


async def test_small_content_that_stops_half_way_is_told_as_far_as_it_has_come(
    tmp_path: Path,
) -> None:
    async with rig(tmp_path) as r:
        r.up.on(PATH, fake.status(200), fake.until(BODY[:1000], 500, fake.hang))
        for number in (1, 2):
            r.want(fx.Fetch(number, REQUEST, Spool(number, Medium.FILE, NAME)))
            await r.until(lambda: r.ends(1))
            await trio.testing.wait_all_tasks_blocked()
        await r.until(lambda: ev.BodySpooled(2, 500) in r.core.events)
        r.want(fx.CancelFetch(2))
        assert await r.ended(2) == ev.FetchFailed(2, ev.Cause.CANCELLED)


async def test_requests_one_after_the_other_use_one_connection(tmp_path: Path) -> None:
    async with rig(tmp_path) as r:
        r.up.on(PATH, fake.whole(BODY))
        for _ in range(3):
            await r.ended(r.fetch())
            await trio.testing.wait_all_tasks_blocked()
        assert r.up.connections == 1


@pytest.mark.parametrize(("length", "connections"), [(1000, 1), (1_000_000, 2)])
async def test_an_unwanted_rest_is_read_when_it_is_short_and_torn_off_when_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int, connections: int
) -> None:
    # However slow this machine is.
    monkeypatch.setattr(pools, "REST_TIME", PATIENCE)
    async with rig(tmp_path) as r:
        r.up.on(PATH, fake.status(404, body=b"x" * length), fake.whole(BODY))
        number = r.fetch()
        r.core.script = lambda e: [fx.CancelFetch(number)] if _is_head(e, number) else []
        assert await r.ended(number) == ev.FetchFailed(number, ev.Cause.CANCELLED)
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(await r.ended(r.fetch()), ev.FetchEnded)
        assert r.up.connections == connections


async def test_a_used_connection_that_upstream_has_closed_harms_no_request(tmp_path: Path) -> None:
    async def answer_and_close(stream: trio.SocketStream, asked: fake.Asked) -> None:
        await fake.whole(BODY)(stream, asked)
        await stream.aclose()

    async with rig(tmp_path) as r:
        r.up.on(PATH, answer_and_close)
        for _ in range(3):
            assert isinstance(await r.ended(r.fetch()), ev.FetchEnded)
            await trio.testing.wait_all_tasks_blocked()


@pytest.mark.parametrize("medium", [Medium.FILE, Medium.MEMORY])
async def test_a_kept_connection_that_ends_without_an_answer_is_replaced_once(
    tmp_path: Path, medium: Medium
) -> None:
    async with rig(tmp_path) as r:
        r.up.on(PATH, fake.whole(BODY), fake.cut, fake.whole(BODY), fake.cut)
        for connections, end in ((1, ev.FetchEnded), (2, ev.FetchEnded), (3, ev.FetchFailed)):
            number = r.fetch(medium)
            assert isinstance(await r.ended(number), end)
            await trio.testing.wait_all_tasks_blocked()
            assert r.up.connections == connections
        assert r.ends(number) == [ev.FetchFailed(number, ev.Cause.CUT)]


@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n", b"?\r\n\r\n"])
async def test_a_kept_connection_that_has_begun_to_answer_is_not_replaced(
    tmp_path: Path, begun: bytes
) -> None:
    async def begin(stream: trio.SocketStream, _: fake.Asked) -> None:
        await stream.send_all(begun)
        await stream.aclose()

    async with rig(tmp_path) as r:
        r.up.on(PATH, fake.whole(BODY), begin)
        await r.ended(r.fetch())
        await trio.testing.wait_all_tasks_blocked()
        number = r.fetch()
        assert await r.ended(number) == ev.FetchFailed(number, ev.Cause.CUT)
        assert r.up.connections == 1


async def test_a_new_connection_that_ends_without_an_answer_is_a_cut(tmp_path: Path) -> None:
    async with rig(tmp_path) as r:
        r.up.on(PATH, fake.cut)
        number = r.fetch()
        assert await r.ended(number) == ev.FetchFailed(number, ev.Cause.CUT)
        assert r.up.connections == 1


async def test_a_short_body_is_a_cut_and_never_an_end(tmp_path: Path) -> None:
    async with rig(tmp_path) as r:
        for stop in (0, 1, len(BODY) - 1):
            r.up.on(PATH, fake.until(BODY, stop, fake.cut))
            number = r.fetch()
            assert await r.ended(number) == ev.FetchFailed(number, ev.Cause.CUT)
            spooled = [e.length for e in r.core.events if isinstance(e, ev.BodySpooled)]
            assert stop == 0 or spooled[-1] == stop


async def test_an_upstream_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    async with rig(tmp_path) as r:
        site = UpstreamSite("up", Url("http", "127.0.0.1", 1))
        r.driver.fetches.upstreams = Upstreams({"up": site}, {})
        number = r.fetch()
        assert await r.ended(number) == ev.FetchFailed(number, ev.Cause.UNREACHABLE)


async def test_a_window_takes_no_more_than_it_has_room_for(tmp_path: Path) -> None:
    body = bytes(range(256)) * 40_000  # ten megabytes for a window of four
    async with rig(tmp_path) as r:
        r.up.on(PATH, fake.whole(body))
        number = r.fetch(Medium.WINDOW)

        def spooled() -> int:
            return max(
                (e.length for e in r.core.events if isinstance(e, ev.BodySpooled)), default=0
            )

        source = Spool(number, Medium.WINDOW, NAME)
        exchange = r.driver.open(PULL, lambda: None)
        got = b""
        while len(got) < len(body):
            await r.until(lambda: spooled() > len(got))  # noqa: B023
            await trio.testing.wait_all_tasks_blocked()
            have = spooled()
            assert have - len(got) <= 4 * 1024 * 1024
            span = Span(len(got), have)
            r.want(fx.SendBody(exchange.number, source, span))
            send = exchange.effects.popleft()
            assert not isinstance(send, fx.Respond | fx.Finish | fx.Abort)
            assert send.opened is not None
            got += send.opened.read(span.start, span.stop)
            send.release()
            r.driver.sent(exchange, send)
        assert got == body
        assert isinstance(await r.ended(number), ev.FetchEnded)


async def test_a_token_answer_beyond_its_limit_is_refused(tmp_path: Path) -> None:
    async with rig(tmp_path) as r:
        r.up.on("/token", fake.status(200, body=b" " * 2_000_000))
        challenge = ev.Challenge(True, f"http://127.0.0.1:{r.up.port}/token")
        r.want(fx.AcquireToken(5, "up", challenge))
        await r.until(lambda: isinstance(r.core.events[-1], ev.TokenRefused))
        assert r.core.events[-1] == ev.TokenRefused(5, None, ev.Cause.TOO_LARGE)


async def test_a_token_request_cancelled_at_any_step_ends_once(tmp_path: Path) -> None:
    for steps in range(1, 20):
        async with rig(tmp_path / str(steps)) as r:
            r.up.on("/token", fake.status(200, body=b'{"token": "t"}'))
            challenge = ev.Challenge(True, f"http://127.0.0.1:{r.up.port}/token")
            stepper = Stepper(steps)
            with trio.CancelScope() as scope:
                stepper.act = scope.cancel
                trio.lowlevel.add_instrument(stepper)
                r.want(fx.AcquireToken(5, "up", challenge))
                await trio.testing.wait_all_tasks_blocked()
            trio.lowlevel.remove_instrument(stepper)
        ends = [e for e in r.core.events if isinstance(e, ev.TokenGranted | ev.TokenRefused)]
        assert len(ends) == 1


def _is_head(event: ev.Event, number: int) -> bool:
    return isinstance(event, ev.HeadReceived) and event.fetch == number
