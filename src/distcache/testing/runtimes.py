"""A cache in a thread of its own, with an event loop of its own."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Literal

import trio
from attrs import frozen

from .. import asyncio_server, trio_server
from ..settings import Settings

RuntimeName = Literal["asyncio", "trio"]


@frozen
class Begun:
    """A cache that serves; `end`, from any thread, makes it stop."""

    url: str
    end: Callable[[], None]


Runtime = Callable[[Settings, "Future[Begun]"], None]
"""Serves, tells when it has begun, and returns once told to end."""


def on_asyncio(settings: Settings, begun: "Future[Begun]") -> None:
    asyncio.run(_serve_on_asyncio(settings, begun))


def on_trio(settings: Settings, begun: "Future[Begun]") -> None:
    trio.run(_serve_on_trio, settings, begun)


RUNTIMES: Mapping[RuntimeName, Runtime] = {"asyncio": on_asyncio, "trio": on_trio}


@contextmanager
def running_cache(settings: Settings, runtime: Runtime) -> Iterator[str]:
    """The URL of a cache that runs while the block does. OSError, StoreError: it cannot start.
    What has ended it before its time is raised when the block is left."""
    begun: Future[Begun] = Future()
    ended: Future[None] = Future()
    arguments = (settings, runtime, begun, ended)
    thread = threading.Thread(target=_run, args=arguments, name="distcache")
    thread.start()
    try:
        cache = begun.result()
        try:
            yield cache.url
        finally:
            cache.end()
            ended.result()
    finally:
        thread.join()


def _run(
    settings: Settings, runtime: Runtime, begun: "Future[Begun]", ended: "Future[None]"
) -> None:
    try:
        runtime(settings, begun)
    except BaseException as error:
        (ended if begun.done() else begun).set_exception(error)
    else:
        ended.set_result(None)


async def _serve_on_asyncio(settings: Settings, begun: "Future[Begun]") -> None:
    ending, loop = asyncio.Event(), asyncio.get_running_loop()

    def end() -> None:
        # It may have ended by itself, which closed the loop; `ended` says why.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(ending.set)

    async with asyncio_server.open_server(settings) as server:
        begun.set_result(Begun(server.url, end))
        await ending.wait()


async def _serve_on_trio(settings: Settings, begun: "Future[Begun]") -> None:
    ending, token = trio.Event(), trio.lowlevel.current_trio_token()

    def end() -> None:
        # As above.
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(ending.set)

    async with trio_server.open_server(settings) as server:
        begun.set_result(Begun(server.url, end))
        await ending.wait()
