"""Timers: `Woke` when the core's next deadline has come; a beat."""

import asyncio
from collections.abc import Callable

from ..core.events import Woke
from ..core.oci import Time
from ..driver import Driver


class Timer:
    """`arm` may be called at any time, before `start` too and after `stop`."""

    def __init__(self) -> None:
        self._deadline: Time | None = None
        self._driver: Driver | None = None
        self._handle: asyncio.TimerHandle | None = None

    def arm(self, deadline: Time | None) -> None:
        self._deadline = deadline
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if deadline is not None and self._driver is not None:
            at = self._driver.clock.on_loop(deadline)
            self._handle = asyncio.get_running_loop().call_at(at, self._due)

    def start(self, driver: Driver) -> None:
        self._driver = driver
        self.arm(self._deadline)

    def stop(self) -> None:
        self._driver = None
        self.arm(None)

    def _due(self) -> None:
        driver, deadline = self._driver, self._deadline
        assert driver is not None
        self._handle = None
        if deadline is not None and driver.clock.now() < deadline:
            # The loop calls up to its clock's resolution too early.
            self.arm(deadline)
            return
        driver.feed(Woke())
        if self._handle is None and self._deadline is not None:
            # A deadline that stays is due at once.
            self.arm(self._deadline)


class Beat:
    """Calls `act` every so many seconds, with how late that is; None: never."""

    def __init__(self, every: float | None, act: Callable[[float], None]) -> None:
        self._every = every
        self._act = act
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._every is not None:
            loop = asyncio.get_running_loop()
            due = loop.time() + self._every
            self._handle = loop.call_at(due, self._due, loop, due)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _due(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self.start()
        # The loop calls up to its clock's resolution too early.
        self._act(max(0.0, loop.time() - due))
