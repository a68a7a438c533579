"""Work that blocks, done in a thread of its own while an event loop of either kind goes on.

Not the loops' own pools of threads: those outlive the work, and a test would find them.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

import trio

T = TypeVar("T")


async def aside(work: Callable[[], T]) -> T:
    """What `work` returns or raises. Always waits for its end: a cancellation in the meantime is
    raised afterwards, in place of the result."""
    future: Future[T] = Future()
    thread = Thread(target=_fulfil, args=(work, future), name="distcache.testing")
    thread.start()
    try:
        if trio.lowlevel.in_trio_task():
            await _ended_on_trio(future)
        else:
            await _ended_on_asyncio(future)
    finally:
        thread.join()
    return future.result()


def _fulfil(work: Callable[[], T], future: Future[T]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)


async def _ended_on_trio(future: Future[T]) -> None:
    ended, token = trio.Event(), trio.lowlevel.current_trio_token()
    future.add_done_callback(lambda _: token.run_sync_soon(ended.set))
    with trio.CancelScope(shield=True):
        await ended.wait()
    await trio.lowlevel.checkpoint_if_cancelled()


async def _ended_on_asyncio(future: Future[T]) -> None:
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    future.add_done_callback(lambda _: loop.call_soon_threadsafe(ended.set))
    cancelled: asyncio.CancelledError | None = None
    while not ended.is_set():
        try:
            await ended.wait()
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
