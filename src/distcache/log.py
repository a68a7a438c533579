"""Log lines, as text (`key=value`, like the registry's) or JSON; one per record.

Values are quoted whenever they hold more than plain characters, so that nothing a client sends
can begin a line or a field of its own.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

from .settings import Formatter, Level, Log

Value = str | int | float | None
"""None: the field is left out."""

_LOGGER = logging.getLogger("distcache")
_ACCESS = logging.getLogger("distcache.access")
_LEVELS = {
    Level.DEBUG: logging.DEBUG,
    Level.INFO: logging.INFO,
    Level.WARN: logging.WARNING,
    Level.ERROR: logging.ERROR,
}
_NAMES = {number: level.value for level, number in _LEVELS.items()}
_PLAIN = re.compile(r"[A-Za-z0-9_./:@+^%*-]+")
_KEY = re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST = 1000
"""Characters of one value; what is beyond is cut, so that no request makes a huge line."""


def configure(settings: Log, stream: TextIO | None = None) -> None:
    """Set up the `distcache` loggers, anew at each call; lines go to standard error. Nothing of
    other libraries is shown below the level of a warning."""
    handler = logging.StreamHandler(stream or sys.stderr)
    text = settings.formatter is Formatter.TEXT
    handler.setFormatter((_Text if text else _Json)(settings.fields))
    _LOGGER.handlers = [handler]
    _LOGGER.propagate = False
    _LOGGER.setLevel(_LEVELS[settings.level])
    _ACCESS.setLevel(logging.INFO)
    _ACCESS.disabled = not settings.access


def note(level: Level, message: str, fields: Mapping[str, Value] | None = None) -> None:
    """One event of the server's own."""
    _LOGGER.log(_LEVELS[level], "%s", message, extra={"fields": dict(fields or {})})


def failure(message: str, error: BaseException) -> None:
    """An error that nobody foresaw, with its traceback."""
    _LOGGER.error("%s", message, exc_info=error)


def access_wanted() -> bool:
    """Whether `access` would say anything."""
    return _ACCESS.isEnabledFor(logging.INFO)


def access(
    *,
    method: str,
    target: str,
    status: int,
    sent: int,
    seconds: float,
    client: str,
    user: str | None = None,
    agent: str | None = None,
    cache: str | None = None,
    request: str | None = None,
) -> None:
    """One answered request. `sent` bytes of body, `cache` as in Cache-Status, `request` its id,
    `user` who asked, where that is known.
    The target's query is shown; no header that could hold a secret is taken."""
    fields: dict[str, Value] = {
        "http.request.method": method,
        "http.request.uri": target,
        "http.request.remoteaddr": client,
        "auth.user.name": user,
        "http.request.useragent": agent,
        "http.request.id": request,
        "http.response.status": status,
        "http.response.written": sent,
        "http.response.duration": f"{seconds * 1000:.3f}ms",
        "cache": cache,
    }
    _ACCESS.info("%s", "response completed", extra={"fields": fields})


class _Formatter(logging.Formatter):
    def __init__(self, common: Mapping[str, str]) -> None:
        super().__init__()
        self.common = common

    def parts(self, record: logging.LogRecord) -> dict[str, str | int | float]:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        found: dict[str, Value] = {
            "time": when.replace("+00:00", "Z"),
            "level": _NAMES.get(record.levelno, record.levelname.lower()),
            "msg": record.getMessage(),
            **self.common,
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            found["error"] = self.formatException(record.exc_info)
        return {key: _bounded(key, value) for key, value in found.items() if value is not None}


class _Text(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        parts = self.parts(record).items()
        return " ".join(f"{_KEY.sub('_', key)}={_quoted(value)}" for key, value in parts)


class _Json(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(self.parts(record))


def _bounded(key: str, value: str | int | float) -> str | int | float:
    if isinstance(value, str) and len(value) > _LONGEST and key != "error":
        return f"{value[:_LONGEST]}…"
    return value


def _quoted(value: str | int | float) -> str:
    text = str(value)
    # JSON's quoting leaves no control character and no line separator: everything is ASCII.
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
