"""The log: one line per record.

Lines of the access log are many and much alike: what is said of a request is put aside, and at
latest DELAY later all of it is made into lines, from parts made once, and written in one go.
"""

import logging
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from threading import Lock, Timer, current_thread
from time import time
from typing import TextIO

from attrs import frozen

from .lines import LEVELS, Answer, Hole, Json, Text
from .lines import Value as Value
from .settings import Formatter, Level, Log

_LOGGER = logging.getLogger("distcache")
_ACCESS = logging.getLogger("distcache.access")

DELAY = 0.05
"""Seconds. The first request after so long is written at once, those that follow are together."""

_TOGETHER = 256
"""Lines that are written together at most."""


def configure(settings: Log, stream: TextIO | None = None) -> None:
    """Set up the `distcache` loggers, anew at each call; lines go to standard error. Nothing of
    other libraries is shown below the level of a warning."""
    flush()
    formatter = (Text if settings.formatter is Formatter.TEXT else Json)(settings.fields)
    writer = _Current.writer = _Writer(stream or sys.stderr, formatter)
    handler = _Handler(writer)
    handler.setFormatter(formatter)
    _LOGGER.handlers = [handler]
    _LOGGER.propagate = False
    _LOGGER.setLevel(LEVELS[settings.level])
    _ACCESS.setLevel(logging.INFO)
    _ACCESS.disabled = not settings.access


def note(level: Level, message: str, fields: Mapping[str, Value] | None = None) -> None:
    """One event of the server's own."""
    _LOGGER.log(LEVELS[level], "%s", message, extra={"fields": dict(fields or {})})


def failure(message: str, error: BaseException) -> None:
    """An error that nobody foresaw, with its traceback."""
    _LOGGER.error("%s", message, exc_info=error)


def access_wanted() -> bool:
    """Whether `access` would say anything."""
    return _ACCESS.isEnabledFor(logging.INFO)


@frozen(eq=False)
class Answered:
    """What is said of answered requests that differ in their client, id and duration only."""

    fields: "Mapping[str, Value | Hole]"
    writer: "_Writer | None"
    parts: tuple[str, ...]


def answered(
    *,
    method: str,
    target: str,
    status: int,
    sent: int,
    user: str | None = None,
    agent: str | None = None,
    cache: str | None = None,
    aborted: str | None = None,
    reason: str | None = None,
) -> Answered:
    """`sent` bytes of body, `cache` as in Cache-Status, `user` who asked, where that is known;
    `aborted`: by whom, and for what `reason`, it was ended before it was complete. The target's
    query is shown; no header that could hold a secret is taken."""
    fields: dict[str, Value | Hole] = {
        "http.request.method": method,
        "http.request.uri": target,
        "http.request.remoteaddr": Hole(),
        "auth.user.name": user,
        "http.request.useragent": agent,
        "http.request.id": Hole(),
        "http.response.status": status,
        "http.response.written": sent,
        "http.response.duration": Hole(),
        "cache": cache,
        "http.response.aborted": aborted,
        "err.message": reason,
    }
    return _prepared(fields)


def access(said: Answered, client: str, seconds: float, request: str) -> None:
    """One answered request. `request` is its id, of characters that need no quotes."""
    if said.writer is not _Current.writer:
        said = _prepared(said.fields)
    writer = said.writer
    if writer is None or not said.parts:
        # The program that we are part of does the logging, or a field of its own is in our way.
        own = {
            "http.request.remoteaddr": client,
            "http.request.id": request,
            "http.response.duration": f"{seconds * 1000:.3f}ms",
        }
        _ACCESS.info(_COMPLETED, extra={"fields": {**said.fields, **own}})
        return
    now = time()
    writer.put_aside((said.parts, client, seconds, request, now), now)


def flush() -> None:
    """Write what is still to be written."""
    if _Current.writer is not None:
        _Current.writer.flush()


_COMPLETED = "response completed"


def _prepared(fields: "Mapping[str, Value | Hole]") -> Answered:
    writer = _Current.writer
    if writer is None:
        return Answered(fields, None, ())
    formatter = writer.formatter
    whole = {"time": Hole(), "level": "info", "msg": _COMPLETED, **formatter.common, **fields}
    return Answered(fields, writer, formatter.around(formatter.pieces(whole)))


class _Writer:
    """Writes lines in the order they come, from any thread."""

    def __init__(self, stream: TextIO, formatter: "Text") -> None:
        self.formatter = formatter
        self._stream = stream
        self._lock = Lock()
        self._waiting: deque[str | Answer] = deque()
        self._timer: Timer | None = None
        self._written = -DELAY

    def put_aside(self, answer: Answer, now: float) -> None:
        """It is written soon, with those that follow."""
        self._waiting.append(answer)
        if self._timer is None or len(self._waiting) >= _TOGETHER:
            self._hurry(now)

    def write(self, line: str) -> None:
        """It does not wait, nor does what was said before it."""
        self._waiting.append(line)
        with self._lock:
            self._write()

    def flush(self) -> None:
        with self._lock:
            timer, self._timer = self._timer, None
            self._write()
        if timer is not None and timer is not current_thread():
            # Nothing of a server that has ended is left behind.
            timer.cancel()
            timer.join()

    def _hurry(self, now: float) -> None:
        with self._lock:
            if len(self._waiting) >= _TOGETHER or abs(now - self._written) >= DELAY:
                self._write()
            elif self._timer is None:
                # Not a daemon: at the end of the process it is waited for.
                timer = Timer(DELAY, self.flush)
                timer.start()
                # Not before: one that could not be started is nobody's to wait for.
                self._timer = timer

    def _write(self) -> None:
        """What waits now; others may say more meanwhile."""
        self._written = time()
        line = self.formatter.line
        waiting = self._waiting
        said = [waiting.popleft() for _ in range(len(waiting))]
        if said:
            # Whoever reads the log may be gone; the server is not.
            with suppress(OSError, ValueError):
                self._stream.write(
                    "".join([one if isinstance(one, str) else line(one) for one in said])
                )
                self._stream.flush()


class _Handler(logging.Handler):
    def __init__(self, writer: _Writer) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        self._writer.write(f"{self.format(record)}\n")


class _Current:
    """What `configure` made; None: whoever embeds us does the logging."""

    writer: _Writer | None = None
