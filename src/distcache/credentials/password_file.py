"""A password in a file of its own, as secrets are mounted into containers."""

import re
from functools import partial
from pathlib import Path

from attrs import frozen

from ..watched import FileProblem, Report, WatchedFile
from ..wire.outgoing import Credentials
from .logins import Ask, Failed, Known

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@frozen
class PasswordFile:
    username: str
    path: Path


def parse(data: bytes) -> str:
    """The password: everything but one line end after it. Raises ValueError."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    password = text.removesuffix("\n").removesuffix("\r")
    if not password:
        raise ValueError("holds no password")
    if _CONTROL.search(password):
        # RFC 7617 section 2.
        raise ValueError("holds more than one line, or control characters")
    return password


class PasswordFileSource:
    """A file that becomes unusable leaves the password that it had, and is told of once."""

    def __init__(self, spec: PasswordFile, report: Report) -> None:
        self._username = spec.username
        self._report = report
        self._file = WatchedFile(spec.path, parse)
        self._last: Known | None = None
        self._told = ""

    def current(self, now: float) -> Known | Ask:
        password = self._file.current(now)
        if password is None:
            return Ask(partial(self._read, now))
        return Known(Credentials(self._username, password))

    def _read(self, now: float) -> Known | Failed:
        try:
            self._last = Known(Credentials(self._username, self._file.read(now)))
            self._told = ""
        except FileProblem as problem:
            if self._told != str(problem):
                self._told = str(problem)
                self._report("a file of credentials cannot be used", {"error": str(problem)})
            return self._last or Failed(str(problem))
        return self._last
