"""The local registry in asynchronous tests: the loop goes on while it starts and ends, and a
cancellation leaves nothing behind."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator

import httpx
import pytest
import trio

from distcache.testing import LocalRegistry, WrongRequests, image, local_registry
from distcache.testing.aside import aside
from tests.testing.http import ask
from tests.testing.leftovers import nothing_left

IMAGE = image([{"etc/hello": b"hi"}])
TAG = "/v2/library/app/manifests/1"
IMAGES = {"library/app": {"1": IMAGE}}

Run = Callable[[Callable[[], Awaitable[None]]], None]


def on_asyncio(main: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await main()

    asyncio.run(run(), debug=True)


on_both = pytest.mark.parametrize("run", [trio.run, on_asyncio], ids=["trio", "asyncio"])


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    with nothing_left():
        yield


@on_both
def test_a_client_of_the_same_loop_pulls(run: Run) -> None:
    async def main() -> None:
        async with (
            local_registry(IMAGES) as registry,
            local_registry() as empty,
            httpx.AsyncClient() as client,
        ):
            answer = await client.get(registry.url + TAG)
            assert (answer.status_code, answer.content) == (200, IMAGE.body)
            assert (await client.get(empty.url + TAG)).status_code == 404

    run(main)


@on_both
def test_errors_come_out_as_they_do_without_a_loop(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            async with local_registry():
                raise ZeroDivisionError
        registry = local_registry()
        await registry.__aenter__()
        ask(registry.upstream.host, "/favicon.ico")
        with pytest.raises(WrongRequests):
            await registry.__aexit__(None, None, None)

    run(main)


@on_both
def test_work_aside_returns_or_raises(run: Run) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        assert await aside(threading.get_ident) != threading.get_ident()
        with pytest.raises(ZeroDivisionError):
            await aside(fail)

    run(main)


class Work:
    """Work that ends when it may."""

    def __init__(self) -> None:
        self.may_end, self.ended = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.may_end.wait()
        self.ended.set()


def test_a_cancellation_waits_for_the_work_on_trio() -> None:
    work = Work()
    scope = trio.CancelScope()

    async def within_scope() -> None:
        with scope:
            await aside(work)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(within_scope)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
            await trio.testing.wait_all_tasks_blocked()
            assert not work.ended.is_set()
            work.may_end.set()
        assert scope.cancelled_caught

    trio.run(main)
    assert work.ended.is_set()


def test_a_cancellation_waits_for_the_work_on_asyncio() -> None:
    work = Work()

    async def main() -> None:
        task = asyncio.ensure_future(aside(work))
        await asyncio.sleep(0)
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0)
        assert not task.done()
        work.may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert work.ended.is_set()

    asyncio.run(main())


def test_a_registry_whose_start_is_cancelled_is_not_there_on_trio() -> None:
    registry = local_registry()

    async def main() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            async with registry:
                pytest.fail("nothing was cancelled")
        assert scope.cancelled_caught

    trio.run(main)
    assert_gone(registry)


def test_a_registry_whose_start_is_cancelled_is_not_there_on_asyncio() -> None:
    registry = local_registry()

    async def start() -> None:
        async with registry:
            pytest.fail("nothing was cancelled")

    async def main() -> None:
        task = asyncio.ensure_future(start())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert_gone(registry)


def assert_gone(registry: LocalRegistry) -> None:
    assert registry.host, "it had been started"
    for host in (registry.host, registry.upstream.host):
        with pytest.raises(ConnectionRefusedError):
            ask(host, "/v2/")


@on_both
def test_an_end_that_is_cancelled_is_an_end(run: Run) -> None:
    registry = local_registry(IMAGES)

    async def main() -> None:
        async with registry:
            held = registry.upstream.hold()
            await cancelled_in(held.wait, registry)

    run(main)
    assert_gone(registry)


async def cancelled_in(wait: Callable[[], None], registry: LocalRegistry) -> None:
    """Cancel a pull of this loop while upstream holds it."""

    async def pull() -> None:
        async with httpx.AsyncClient() as client:
            await client.get(registry.url + TAG)

    if trio.lowlevel.in_trio_task():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pull)
            await aside(wait)
            nursery.cancel_scope.cancel()
    else:
        task = asyncio.ensure_future(pull())
        await aside(wait)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
