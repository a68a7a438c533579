"""What goes wrong at a scripted upstream, and for which requests.

A rule is for every request whose path fits its pattern (`fnmatch`: `*` is anything, slashes
included). It holds until it is ended, or until it has been applied as often as it was to be.
"""

from collections.abc import Callable
from fnmatch import fnmatchcase
from threading import Condition
from types import TracebackType
from typing import Self

from attrs import define, field

from .shelves import Answer, Request, error

PATIENCE = 10.0
"""Seconds that a test waits for a request to come before it is told that none did."""

_CODES = {401: "UNAUTHORIZED", 403: "DENIED", 404: "MANIFEST_UNKNOWN", 429: "TOOMANYREQUESTS"}


@define(eq=False)
class Rule:
    """In force until `end`, or until its `with` block is left. `applied`: to how many requests
    it has been."""

    path: str
    applied: int = field(default=0, init=False)
    _change: Condition = field(kw_only=True)
    _left: int | None = field(default=None, kw_only=True)
    _over: bool = field(default=False, init=False)

    def end(self) -> None:
        """From the next request on the rule is not there; ending it twice does no harm."""
        with self._change:
            self._over = True
            self._change.notify_all()

    def take(self, request: Request) -> bool:
        """Whether the rule is for `request`; counts it if so."""
        with self._change:
            if self._over or self._left == 0 or not fnmatchcase(request.path, self.path):
                return False
            if self._left is not None:
                self._left -= 1
            self.applied += 1
            return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()


@define(eq=False)
class Failure(Rule):
    """Answers with an error."""

    status: int = field(kw_only=True)
    retry_after: int | None = field(default=None, kw_only=True)

    def answer(self) -> Answer:
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return error(self.status, _CODES.get(self.status, "UNKNOWN"), headers)


@define(eq=False)
class Cut(Rule):
    """Breaks the connection `after` so many bytes of the body, or before the head (None)."""

    after: int | None = field(default=None, kw_only=True)


@define(eq=False)
class Hold(Rule):
    """Lets requests wait: before the head (`after` None), or after so many bytes of the body.
    Ending it lets them go on."""

    after: int | None = field(default=None, kw_only=True)
    _reached: int = field(default=0, init=False)

    def wait(self, count: int = 1, *, patience: float = PATIENCE) -> None:
        """Block until `count` requests have been held, since the rule was made. TimeoutError when
        they have not in so many seconds."""
        with self._change:
            if not self._change.wait_for(lambda: self._reached >= count, patience):
                came = f"{self._reached} of {count} requests for {self.path} came"
                raise TimeoutError(f"{came} in {patience:g} s")

    def passed(self, stopping: Callable[[], bool]) -> bool:
        """Block until the rule has ended, or upstream is being stopped: that is False."""
        with self._change:
            self._reached += 1
            self._change.notify_all()
            self._change.wait_for(lambda: self._over or stopping())
            return not stopping()
