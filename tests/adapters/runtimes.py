"""The runtimes as `harness` runs them: each in a thread that has its own event loop."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any, TypeVar

import pytest
import trio
import trio.testing

from distcache.asyncio_server import serve as asyncio_serve
from distcache.settings import Settings
from distcache.store import Store
from distcache.store import open_store as real_open_store
from distcache.trio_server import serve as trio_serve
from tests.adapters.harness import Run, Running
from tests.adapters.recording import Ledger, RecordingCache
from tests.adapters.scripted import PATIENCE

T = TypeVar("T")
Post = Callable[[Callable[[], None]], None]


class OnLoop:
    """A server and the way to its loop's thread."""

    def __init__(
        self, server: Any, ledger: Ledger, post: Post, jump: Callable[[float], None] | None
    ) -> None:
        self.server = server
        self.ledger = ledger
        self.port: int = server.port
        self.url: str = server.url
        self.debug_port = int(server.debug_url.rpartition(":")[2]) if server.debug_url else 0
        self._post = post
        self._jump = jump

    def call(self, act: Callable[[], T]) -> T:
        done: Future[T] = Future()

        def do() -> None:
            try:
                done.set_result(act())
            except BaseException as error:
                done.set_exception(error)

        self._post(do)
        return done.result(PATIENCE)

    def stop(self, drain: float | None = None) -> None:
        self.call(lambda: self.server.stop(drain=drain))

    def reload(self, settings: Settings) -> bool:
        return self.call(lambda: bool(self.server.reload(settings)))

    def jump(self, seconds: float) -> None:
        self.call(lambda: self.jump_here(seconds))

    def jump_here(self, seconds: float) -> None:
        assert self._jump is not None, "this loop's clock is the system's"
        self._jump(seconds)


Main = Callable[[Run, list[RecordingCache], "Future[tuple[OnLoop, Callable[[], None]]]"], None]


@contextmanager
def threaded(run: Run, serve: ModuleType, main: Main) -> Iterator[Running]:
    """`main`, with the core recorded and the store prepared as the run says, in a thread."""
    caches: list[RecordingCache] = []
    begun: Future[tuple[OnLoop, Callable[[], None]]] = Future()
    ended: Future[None] = Future()

    def record(*arguments: Any) -> RecordingCache:
        caches.append(RecordingCache(*arguments))
        return caches[-1]

    def prepared(root: Any) -> Store:
        store = real_open_store(root)
        run.prepare(store)
        return store

    def body() -> None:
        try:
            main(run, caches, begun)
        except BaseException as error:
            (ended if begun.done() else begun).set_exception(error)
        else:
            ended.set_result(None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serve, "Cache", record)
        patch.setattr(serve, "open_store", prepared)
        thread = threading.Thread(target=body, name="loop")
        thread.start()
        try:
            running, end = begun.result(PATIENCE)
            try:
                yield running
            except BaseException:
                running.stop(drain=0)
                raise
            finally:
                end()
                ended.result(PATIENCE)
        finally:
            thread.join(PATIENCE)


def on_trio(run: Run) -> Any:
    return threaded(run, trio_serve, _trio_main)


def _trio_main(
    run: Run,
    caches: list[RecordingCache],
    begun: "Future[tuple[OnLoop, Callable[[], None]]]",
) -> None:
    clock = trio.testing.MockClock() if run.clock else None

    async def main() -> None:
        ending, token = trio.Event(), trio.lowlevel.current_trio_token()

        def end() -> None:
            with suppress(trio.RunFinishedError):  # it has failed
                token.run_sync_soon(ending.set)

        async with trio_serve.open_server(
            run.settings, on_decision=run.on_decision, tracing=run.tracing
        ) as server:
            jump = None if clock is None else clock.jump
            running = OnLoop(server, caches[0].ledger, token.run_sync_soon, jump)
            begun.set_result((running, end))
            await ending.wait()

    trio.run(main, clock=clock)


class ClockedLoop(asyncio.SelectorEventLoop):
    """Its clock goes on only when told, so that no time-out comes by itself."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__()

    def time(self) -> float:
        return self.now

    def jump(self, seconds: float) -> None:
        self.now += seconds


def on_asyncio(
    run: Run,
    *,
    debug: bool = False,
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    eager: bool = False,
) -> Any:
    def main(
        run: Run,
        caches: list[RecordingCache],
        begun: "Future[tuple[OnLoop, Callable[[], None]]]",
    ) -> None:
        loop_factory = ClockedLoop if run.clock else factory
        with asyncio.Runner(debug=debug, loop_factory=loop_factory) as runner:
            if eager:
                task_factory: Any = vars(asyncio)["eager_task_factory"]
                runner.get_loop().set_task_factory(task_factory)
            runner.run(_asyncio_main(run, caches, begun))

    return threaded(run, asyncio_serve, main)


async def _asyncio_main(
    run: Run,
    caches: list[RecordingCache],
    begun: "Future[tuple[OnLoop, Callable[[], None]]]",
) -> None:
    ending, loop = asyncio.Event(), asyncio.get_running_loop()

    def post(act: Callable[[], None]) -> None:
        loop.call_soon_threadsafe(act)

    async with asyncio_serve.open_server(
        run.settings, on_decision=run.on_decision, tracing=run.tracing
    ) as server:
        jump = loop.jump if isinstance(loop, ClockedLoop) else None
        running = OnLoop(server, caches[0].ledger, post, jump)
        begun.set_result((running, lambda: post(ending.set)))
        await ending.wait()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not others, f"left behind: {others}"
