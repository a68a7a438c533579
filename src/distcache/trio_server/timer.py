"""Timers: `Woke` when the core's next deadline has come; a beat."""

import math
from collections.abc import Callable

import trio

from ..core.events import Woke
from ..core.oci import Time
from ..driver import Driver


class Timer:
    """`arm` may be called at any time, before `run` too."""

    def __init__(self) -> None:
        self._deadline: Time | None = None
        self._driver: Driver | None = None
        self._sleep: trio.CancelScope | None = None

    def arm(self, deadline: Time | None) -> None:
        self._deadline = deadline
        if self._sleep is not None:
            self._sleep.deadline = self._on_loop()

    async def run(self, driver: Driver) -> None:
        self._driver = driver
        while True:
            with trio.CancelScope(deadline=self._on_loop()) as self._sleep:
                await trio.sleep_forever()
            # Armed again by what the event changes; a deadline that stays is due at once.
            driver.feed(Woke())

    def _on_loop(self) -> float:
        if self._deadline is None or self._driver is None:
            return math.inf
        return self._driver.clock.on_loop(self._deadline)


async def beat(every: float, act: Callable[[float], None]) -> None:
    """Call `act` every so many seconds, with how late that is."""
    while True:
        due = trio.current_time() + every
        await trio.sleep_until(due)
        act(trio.current_time() - due)
