"""How log lines look: as text (`key=value`, like the registry's) or JSON.

Values are quoted whenever they hold more than plain characters, so that nothing a client sends
can begin a line or a field of its own.
"""

import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

from attrs import define

from .settings import Level

Value = str | int | float | None
"""None: the field is left out."""

LEVELS = {
    Level.DEBUG: logging.DEBUG,
    Level.INFO: logging.INFO,
    Level.WARN: logging.WARNING,
    Level.ERROR: logging.ERROR,
}
_NAMES = {number: level.value for level, number in LEVELS.items()}
_PLAIN = re.compile(r"[A-Za-z0-9_./:@+^%*-]+")
_KEY = re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST = 1000
"""Characters of one value; what is beyond is cut, so that no request makes a huge line."""

CLIENTS = 1024
"""Clients whose names are remembered as they are shown."""


class Hole:
    """A value that each line has its own of."""


Answer = tuple[tuple[str, ...], str, float, str, float]
"""Parts of the line, client, duration, id, time."""


class Text(logging.Formatter):
    def __init__(self, common: Mapping[str, str]) -> None:
        super().__init__()
        self.common = common
        self.remembered = lru_cache(CLIENTS)(self.shown)
        """`shown`, for what is often the same."""

    def parts(self, record: logging.LogRecord) -> dict[str, Value]:
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
        return found

    def format(self, record: logging.LogRecord) -> str:
        return "".join(self.pieces(self.parts(record)))

    def pieces(self, fields: "Mapping[str, Value | Hole]") -> tuple[str, ...]:
        """The line as it is between its holes."""
        done: list[str] = []
        text = self.opening
        joint = ""
        for key, value in fields.items():
            if value is None:
                continue
            text += joint + self.label(key)
            joint = self.joint
            if isinstance(value, Hole):
                done.append(text)
                text = ""
            else:
                text += self.shown(_bounded(key, value))
        return (*done, text + self.closing)

    def line(self, answer: Answer) -> str:
        """As `format` would give it."""
        (start, before, between, after, end), client, seconds, request, moment = answer
        return (
            f"{start}{_shown(moment)}{before}{self.remembered(client)}{between}"
            f"{request}{after}{seconds * 1000:.3f}{end}"
        )

    def around(self, pieces: tuple[str, ...]) -> tuple[str, ...]:
        """Of an answer's line, with what stands around the values of its holes; nothing, when
        these are others than we know of."""
        if len(pieces) != 5:
            return ()
        mark = self.mark
        start, before, between, after, end = pieces
        return (
            f"{start}{mark}",
            f"{mark}{before}",
            f"{between}{mark}",
            f"{mark}{after}{mark}",
            f"ms{mark}{end}\n",
        )

    opening = closing = ""
    joint = " "
    mark = ""
    """Stands around plain text."""

    def label(self, key: str) -> str:
        return f"{_KEY.sub('_', key)}="

    def shown(self, value: str | int | float) -> str:
        return _quoted(value)


class Json(Text):
    opening, joint, closing, mark = "{", ", ", "}", '"'

    def label(self, key: str) -> str:
        return f"{json.dumps(key)}: "

    def shown(self, value: str | int | float) -> str:
        return json.dumps(value)


@define(eq=False)
class _Second:
    """The last second that was written, as lines begin with it."""

    number: int = -1
    text: str = ""


_second = _Second()


def _shown(moment: float) -> str:
    number = int(moment)
    if number != _second.number:
        text = datetime.fromtimestamp(number, UTC).isoformat()
        _second.number, _second.text = number, text.removesuffix("+00:00")
    return f"{_second.text}.{int((moment - number) * 1000):03d}Z"


def _bounded(key: str, value: str | int | float) -> str | int | float:
    if isinstance(value, str) and len(value) > _LONGEST and key != "error":
        return f"{value[:_LONGEST]}…"
    return value


def _quoted(value: str | int | float) -> str:
    text = str(value)
    # JSON's quoting leaves no control character and no line separator: everything is ASCII.
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
