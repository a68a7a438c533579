"""Wakes the core when its next deadline has come."""

import math

import trio

from ..core.oci import Time
from ..driver import Driver


class Timer:
    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._deadline = math.inf
        self._scope: trio.CancelScope | None = None

    def set(self, deadline: Time | None) -> None:
        clock = self._driver.clock
        self._deadline = math.inf if deadline is None else clock.monotonic(deadline)
        if self._scope is not None:
            self._scope.deadline = self._deadline

    async def run(self) -> None:
        while True:
            with trio.CancelScope(deadline=self._deadline) as self._scope:
                await trio.sleep_forever()
            self._scope = None
            if trio.current_time() >= self._deadline:
                self._deadline = math.inf
                self._driver.woke()
