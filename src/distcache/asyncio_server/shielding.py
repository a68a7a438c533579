"""Waiting that a cancellation does not cut short: what was begun is seen to its end first.

asyncio cancels a task once, at the place where it waits; a thread or a clean-up that is left
there goes on unwatched. `asyncio.shield` alone lets it: here the waiting goes on, too.
"""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")


async def until_done(future: asyncio.Future[T]) -> None:
    """Whatever becomes of it; a cancellation that came meanwhile is raised afterwards."""
    cancelled = False
    while not future.done():
        try:
            await asyncio.wait((future,))
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError


async def seen_through(future: asyncio.Future[T]) -> T:
    """The future's result, or its error, unless cancelled meanwhile."""
    try:
        await until_done(future)
    except asyncio.CancelledError:
        if not future.cancelled():
            future.exception()  # looked at, and so not reported as forgotten
        raise
    return future.result()


async def run_through(work: Coroutine[Any, Any, T]) -> T:
    """`work` in a task of its own, to its end."""
    return await seen_through(asyncio.ensure_future(work))


async def in_thread(executor: Executor, job: Callable[[], T]) -> T:
    """`job` in a thread, to its end."""
    return await seen_through(asyncio.get_running_loop().run_in_executor(executor, job))
