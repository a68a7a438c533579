"""Cancelling an upstream request at every step it takes, and pools that outlive it."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from distcache.asyncio_server import pools
from distcache.asyncio_server.fetch import Fetcher, open_fetcher
from distcache.asyncio_server.poller import Poller
from distcache.core import effects as fx
from distcache.core import events as ev
from distcache.core.effects import Medium, Spool, UpstreamRequest
from distcache.core.oci import Content, Digest, Kind, Repository
from distcache.core.pull import Method
from distcache.driver import Clock, Driver, TokenCall, Transfer, Upstreams, errands
from distcache.settings import Seconds, UpstreamTimeouts
from distcache.store import open_store
from distcache.wire.sites import UpstreamSite
from distcache.wire.urls import Url
from tests.adapters import scripted as up
from tests.adapters.answers import NAMES, answers, told
from tests.adapters.certificates import certificate as certificate
from tests.adapters.fake_core import FakeCore, FakeShell
from tests.adapters.harness import nothing_left
from tests.adapters.pieces import CancelAt
from tests.support.tls import context

BODY = bytes(range(256)) * 2000
NAME = Digest(up.digest(BODY))
CONTENT = Content(Kind.BLOB, NAME)
REQUEST = UpstreamRequest(Method.GET, Repository("up", "a/img"), CONTENT)
LARGE = random.Random(3).randbytes(6 * 1024 * 1024)
"""Most of it passes the loop by."""

PATH = f"/v2/a/img/blobs/{NAME}"
STEPS = 30
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


class Stepper:
    """Calls `act` before the requests' step of that number."""

    def __init__(self) -> None:
        self.left = 0
        self.act: Callable[[], None] = lambda: None

    def before_step(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.act()

    def install(self) -> None:
        def factory(loop: asyncio.AbstractEventLoop, coro: Any, **more: Any) -> asyncio.Task[Any]:
            if "Fetcher._run" in getattr(coro, "__qualname__", ""):
                coro = Stepped(coro, self)
            return asyncio.Task(coro, loop=loop, **more)

        asyncio.get_running_loop().set_task_factory(factory)


class Stepped(Coroutine[Any, Any, Any]):
    def __init__(self, inner: Coroutine[Any, Any, Any], stepper: Stepper) -> None:
        self._inner = inner
        self._stepper = stepper

    def send(self, value: Any) -> Any:
        self._stepper.before_step()
        return self._inner.send(value)

    def throw(self, *error: Any) -> Any:
        return self._inner.throw(*error)

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()


secured = pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])


class Rig:
    def __init__(self, upstream: up.Upstream, core: FakeCore, driver: Driver) -> None:
        self.up, self.core, self.driver = upstream, core, driver
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
        name = Digest(up.digest(LARGE))
        request = evolve(REQUEST, resource=Content(Kind.BLOB, name))
        self.up.on(f"/v2/a/img/blobs/{name}", up.whole(LARGE))
        self.want(fx.Fetch(self._number, request, Spool(self._number, Medium.FILE, name)))
        return self._number, name

    def ends(self, number: int) -> list[ev.Event]:
        kinds = ev.FetchEnded | ev.FetchFailed
        return [e for e in self.core.events if isinstance(e, kinds) and e.fetch == number]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(up.PATIENCE):
            while not condition():
                await asyncio.sleep(0.001)

    async def quiet(self) -> None:
        """An answer's end is told before its connection is given back."""
        await self.until(lambda: len(asyncio.all_tasks()) == 1)

    async def ended(self, number: int) -> ev.Event:
        await self.until(lambda: self.ends(number))
        (end,) = self.ends(number)
        return end


@asynccontextmanager
async def rig(
    tmp_path: Path,
    port: int | None = None,
    timeouts: UpstreamTimeouts = UpstreamTimeouts(),  # noqa: B008 - frozen
    own: tuple[Path, Path] | None = None,
) -> AsyncIterator[Rig]:
    """`own`: upstream speaks TLS, by this certificate and key."""
    store = open_store(tmp_path / "store")
    core, shell, poller = FakeCore(), Shell(), Poller()
    with up.scripted(own and context(own)) as upstream:
        url = Url("https" if own else "http", "127.0.0.1", port or upstream.port)
        site = UpstreamSite("up", url, ca=str(own[0]) if own else None)
        clock = Clock(asyncio.get_running_loop().time)
        driver = Driver(core, store, Upstreams({"up": site}, {}, common=timeouts), clock, shell)
        async with open_fetcher(poller) as shell.fetcher:
            yield Rig(upstream, core, driver)
    driver.close()
    shell.work()
    store.close()
    poller.close()


@pytest.mark.parametrize("warm", [False, True], ids=["new connection", "used connection"])
@pytest.mark.parametrize("medium", [Medium.FILE, Medium.MEMORY])
def test_a_fetch_cancelled_at_any_step_ends_once_and_harms_no_other(
    tmp_path: Path, warm: bool, medium: Medium
) -> None:
    async def main() -> None:
        stepper = Stepper()
        stepper.install()
        async with rig(tmp_path) as r:
            r.up.on(PATH, up.whole(BODY))
            cancelled = 0
            for steps in range(1, STEPS):
                if warm:
                    assert isinstance(await r.ended(r.fetch(medium)), ev.FetchEnded)
                number = r.fetch(medium)
                stepper.left = steps
                stepper.act = lambda n=number: r.want(fx.CancelFetch(n))  # type: ignore[misc]
                end = await r.ended(number)
                stepper.left = 0
                failed = ev.FetchFailed(number, ev.Cause.CANCELLED)
                assert end in (failed, ev.FetchEnded(number, NAME))
                cancelled += end == failed
                assert await r.ended(r.fetch(medium)) == ev.FetchEnded(r._number, NAME)
                assert len(r.ends(number)) == 1
            assert cancelled

    with nothing_left():
        asyncio.run(main())


@secured
@pytest.mark.parametrize("medium", [None, Medium.MEMORY, Medium.FILE])
@pytest.mark.parametrize("name", NAMES)
def test_a_question_on_a_kept_connection_is_answered_as_on_a_new_one(
    tmp_path: Path, certificate: tuple[Path, Path], name: str, medium: Medium | None, secure: bool
) -> None:
    async def asked(path: Path, *, kept: bool) -> list[ev.Event]:
        async with rig(path, own=certificate if secure else None) as r:
            method = Method.GET if medium else Method.HEAD
            data = answers(method.value)[name]
            r.up.on(PATH, *[up.status(200)] * kept, up.raw(data) if data else up.cut)
            for number in range(1 - kept, 2):
                spool = medium and Spool(number, medium, limit=9999)
                r.want(fx.Fetch(number, evolve(REQUEST, method=method), spool))
                await r.ended(number)
                await r.quiet()
            assert r.up.connections == (1 if data or not kept else 2)
            return told(r.core.events, fetch=1)

    async def main() -> None:
        kept = await asked(tmp_path / "kept", kept=True)
        assert kept == await asked(tmp_path / "new", kept=False)

    with nothing_left():
        asyncio.run(main())


@pytest.mark.parametrize(
    ("by", "secure"),
    [("cancel", False), ("timeout", False), ("end", False), ("cancel", True), ("end", True)],
)
def test_a_question_on_a_kept_connection_ends_once_without_an_answer(
    tmp_path: Path, certificate: tuple[Path, Path], by: str, secure: bool
) -> None:
    async def main() -> None:
        patience = UpstreamTimeouts(headers=Seconds(0.3 if by == "timeout" else 20))
        own = certificate if secure else None
        async with rig(tmp_path, timeouts=patience, own=own) as r:
            r.up.on(PATH, up.status(200), up.hang)
            ask = evolve(REQUEST, method=Method.HEAD)
            r.want(fx.Fetch(1, ask, None))
            await r.ended(1)
            await r.quiet()
            r.want(fx.Fetch(2, ask, None))
            await r.until(lambda: len(r.up.asked) == 2)
            if by == "cancel":
                r.want(fx.CancelFetch(2))
            if by != "end":
                await r.ended(2)
            assert len(asyncio.all_tasks()) == 1
        cause = ev.Cause.TIMEOUT if by == "timeout" else ev.Cause.CANCELLED
        assert r.ends(2) == [ev.FetchFailed(2, cause)]

    with nothing_left():
        asyncio.run(main())


@pytest.mark.parametrize("steps", range(1, 7))
def test_a_server_that_ends_at_any_step_ends_its_requests_once(tmp_path: Path, steps: int) -> None:
    async def main() -> None:
        stepper = Stepper()
        stepper.install()
        left = asyncio.Event()
        async with rig(tmp_path) as r:
            r.up.on(PATH, up.whole(BODY))
            challenge = ev.Challenge(True, f"http://127.0.0.1:{r.up.port}/token")
            stepper.left, stepper.act = steps, left.set
            r.fetch()
            r.want(fx.AcquireToken(5, "up", challenge))
            await left.wait()
        assert len(r.ends(1)) == 1
        ends = [e for e in r.core.events if isinstance(e, ev.TokenGranted | ev.TokenRefused)]
        assert len(ends) == 1

    with nothing_left():
        asyncio.run(main())


def test_a_request_that_is_begun_while_the_server_ends_has_an_end(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as r:
            r.up.on(PATH, up.hang)
            r.fetch()
            await r.until(lambda: r.up.asked)
            spool = Spool(2, Medium.FILE, NAME)
            again = fx.Fetch(2, REQUEST, spool)
            r.core.script = lambda e: [again] if e == failed else []
            failed = ev.FetchFailed(1, ev.Cause.CANCELLED)
        assert r.ends(1) == [failed]
        assert r.ends(2) == [ev.FetchFailed(2, ev.Cause.CANCELLED)]

    asyncio.run(main())


def test_a_large_body_leaves_its_connection_for_the_next(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as r:
            for _ in range(3):
                number, name = r.fetch_large()
                assert await r.ended(number) == ev.FetchEnded(number, name)
                await r.quiet()
            assert r.up.connections == 1
            spooled = [e.length for e in r.core.events if isinstance(e, ev.BodySpooled)]
            assert spooled.count(len(LARGE)) >= 3

    with nothing_left():
        asyncio.run(main())


@pytest.mark.parametrize("place", [*range(1, 12), 20, 30])
def test_a_large_body_cancelled_at_any_step_ends_once(tmp_path: Path, place: int) -> None:
    async def main() -> None:
        stepper = Stepper()
        stepper.install()
        async with rig(tmp_path) as r:
            stepper.left = place
            number, name = r.fetch_large()
            stepper.act = lambda: r.want(fx.CancelFetch(number))
            failed = ev.FetchFailed(number, ev.Cause.CANCELLED)
            assert await r.ended(number) in (failed, ev.FetchEnded(number, name))
            stepper.left = 0
            number, name = r.fetch_large()
            assert await r.ended(number) == ev.FetchEnded(number, name)

    with nothing_left():
        asyncio.run(main())


@pytest.mark.parametrize("piece", [1, 2, 3, 4])
def test_a_large_body_cancelled_when_a_piece_has_come_ends_soon(tmp_path: Path, piece: int) -> None:
    async def main() -> None:
        async with rig(tmp_path) as r:
            number, _ = r.fetch_large()
            r.core.script = script = CancelAt(number, piece, len(LARGE))
            script.check(await r.ended(number))

    with nothing_left():
        asyncio.run(main())


@pytest.mark.parametrize("steps", range(1, 12))
def test_a_server_that_ends_while_a_large_body_comes_ends_it_once(
    tmp_path: Path, steps: int
) -> None:
    async def main() -> None:
        stepper = Stepper()
        stepper.install()
        left = asyncio.Event()
        async with rig(tmp_path) as r:
            stepper.left, stepper.act = steps, left.set
            number, _ = r.fetch_large()
            await r.until(lambda: left.is_set() or r.ends(number))
        assert len(r.ends(number)) == 1

    with nothing_left():
        asyncio.run(main())


@secured
@pytest.mark.parametrize("length", [1000, 40_000])
def test_small_content_that_comes_in_pieces_is_taken_in_whole(
    tmp_path: Path,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    length: int,
    secure: bool,
) -> None:
    # However slow this machine is.
    monkeypatch.setattr(errands, "GATHER", up.PATIENCE)
    body = BODY[:length]

    async def main() -> None:
        async with rig(tmp_path, own=certificate if secure else None) as r:
            r.up.on(PATH, up.status(200), up.until(body, 500, up.rest(body, 500)))
            for number in (1, 2):
                r.want(fx.Fetch(number, REQUEST, Spool(number, Medium.FILE, NAME)))
                await r.ended(number)
                await r.quiet()
            assert r.ends(2) == [ev.FetchEnded(2, Digest(up.digest(body)))]
            assert r.up.connections == 1

    with nothing_left():
        asyncio.run(main())


def test_small_content_that_stops_half_way_is_told_as_far_as_it_has_come(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as r:
            r.up.on(PATH, up.status(200), up.until(BODY[:1000], 500, up.hang))
            for number in (1, 2):
                r.want(fx.Fetch(number, REQUEST, Spool(number, Medium.FILE, NAME)))
                await r.until(lambda: r.ends(1))
                await r.quiet()
            await r.until(lambda: ev.BodySpooled(2, 500) in r.core.events)
            r.want(fx.CancelFetch(2))
            assert await r.ended(2) == ev.FetchFailed(2, ev.Cause.CANCELLED)

    with nothing_left():
        asyncio.run(main())


def test_requests_one_after_the_other_use_one_connection(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as r:
            r.up.on(PATH, up.whole(BODY))
            for _ in range(3):
                await r.ended(r.fetch())
                await r.quiet()
            assert r.up.connections == 1

    asyncio.run(main())


@pytest.mark.parametrize(("length", "connections"), [(1000, 1), (1_000_000, 2)])
def test_an_unwanted_rest_is_read_when_it_is_short_and_torn_off_when_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int, connections: int
) -> None:
    # However slow this machine is.
    monkeypatch.setattr(pools, "REST_TIME", up.PATIENCE)

    async def main() -> None:
        async with rig(tmp_path) as r:
            r.up.on(PATH, up.status(404, body=b"x" * length), up.whole(BODY))
            number = r.fetch()

            def script(event: ev.Event) -> list[fx.Effect]:
                head = isinstance(event, ev.HeadReceived) and event.fetch == number
                return [fx.CancelFetch(number)] if head else []

            r.core.script = script
            assert await r.ended(number) == ev.FetchFailed(number, ev.Cause.CANCELLED)
            await r.quiet()
            assert isinstance(await r.ended(r.fetch()), ev.FetchEnded)
            assert r.up.connections == connections

    asyncio.run(main())


@pytest.mark.parametrize("medium", [Medium.FILE, Medium.MEMORY])
@pytest.mark.parametrize("how", [up.cut, up.reset])
def test_a_kept_connection_that_ends_without_an_answer_is_replaced_once(
    tmp_path: Path, medium: Medium, how: up.Script
) -> None:
    async def main() -> None:
        async with rig(tmp_path) as r:
            r.up.on(PATH, up.whole(BODY), how, up.whole(BODY), how)
            for connections, end in ((1, ev.FetchEnded), (2, ev.FetchEnded), (3, ev.FetchFailed)):
                number = r.fetch(medium)
                assert isinstance(await r.ended(number), end)
                await r.quiet()
                assert r.up.connections == connections
            assert r.ends(number) == [ev.FetchFailed(number, ev.Cause.CUT)]

    with nothing_left():
        asyncio.run(main())


@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n", b"?\r\n\r\n"])
def test_a_kept_connection_that_has_begun_to_answer_is_not_replaced(
    tmp_path: Path, begun: bytes
) -> None:
    def begin(one: socket.socket, _: up.Asked) -> None:
        one.sendall(begun)
        one.close()

    async def main() -> None:
        async with rig(tmp_path) as r:
            r.up.on(PATH, up.whole(BODY), begin)
            await r.ended(r.fetch())
            await r.quiet()
            number = r.fetch()
            assert await r.ended(number) == ev.FetchFailed(number, ev.Cause.CUT)
            assert r.up.connections == 1

    asyncio.run(main())


def test_an_upstream_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path, port=1) as r:
            number = r.fetch()
            assert await r.ended(number) == ev.FetchFailed(number, ev.Cause.UNREACHABLE)

    asyncio.run(main())


def test_a_reset_by_upstream_is_a_cut_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as r:
            r.up.on(PATH, up.until(BODY, 1000, up.reset))
            number = r.fetch()
            assert await r.ended(number) == ev.FetchFailed(number, ev.Cause.CUT)

    asyncio.run(main())


def test_a_token_answer_beyond_its_limit_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as r:
            r.up.on("/token", up.status(200, body=b" " * 2_000_000))
            challenge = ev.Challenge(True, f"http://127.0.0.1:{r.up.port}/token")
            r.want(fx.AcquireToken(5, "up", challenge))
            await r.until(lambda: isinstance(r.core.events[-1], ev.TokenRefused))
            assert r.core.events[-1] == ev.TokenRefused(5, None, ev.Cause.TOO_LARGE)

    asyncio.run(main())
