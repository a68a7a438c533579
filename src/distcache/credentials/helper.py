"""Credentials from a helper program, kept for as long as its owner says (`proxy.exec`)."""

from functools import partial
from threading import Lock

from attrs import frozen

from ..watched import Report
from . import program
from .logins import Ask, Failed, Known

RETRY = 5.0
"""Seconds after a failure in which the helper is not run again, whoever asks."""


@frozen
class Helper:
    """`command` is one program, a name in PATH or a path. `lifetime` in seconds: 0 runs it for
    every request, None once and never again (as registry:3 has it). `server` is what it is asked
    for: docker's spelling of the registry."""

    command: str
    server: str
    lifetime: float | None = None


class HelperSource:
    """Runs one program at a time: who waits for it takes what the one before was told."""

    def __init__(self, spec: Helper, report: Report) -> None:
        self._spec = spec
        self._report = report
        self._lock = Lock()
        self._kept: tuple[Known | Failed, float | None] | None = None

    def current(self, now: float) -> Known | Failed | Ask:
        return self._fresh(now) or Ask(partial(self._ask, now))

    def _fresh(self, now: float) -> Known | Failed | None:
        if self._kept is None:
            return None
        said, until = self._kept
        return said if until is None or now < until else None

    def _ask(self, now: float) -> Known | Failed:
        spec = self._spec
        with self._lock:
            fresh = self._fresh(now)
            if fresh is not None:
                return fresh
            said: Known | Failed
            try:
                said = Known(program.ask(spec.command, spec.server))
                until = None if spec.lifetime is None else now + spec.lifetime
            except program.HelperFailed as failure:
                self._report("a credential helper failed", {"error": str(failure)})
                said = Failed(str(failure))
                until = now + RETRY
            self._kept = said, until
            return said
