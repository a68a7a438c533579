"""Users and passwords in a file of Apache's htpasswd, as the CNCF Distribution registry reads it:
bcrypt only, blank lines and lines that begin with `#` passed over.

bcrypt is slow on purpose. What it found right is remembered for a while (`cached`); what is not
known is for a thread (`check`).

Source: registry/auth/htpasswd of CNCF Distribution; https://httpd.apache.org/docs/2.4/misc/password_encryptions.html
"""

import re
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

import bcrypt

from ..core.events import Secret
from ..watched import WatchedFile
from .authorization import Password
from .memory import Memory

REMEMBERED = 300.0
"""Seconds that a password once checked is taken without bcrypt; a change of the file ends it at
once."""

COSTS = range(4, 18)
"""bcrypt's logarithm of rounds. Beyond htpasswd's own limit of 17 a check takes half a minute."""

SIGNIFICANT = 72
"""Bytes of a password; bcrypt has always passed over the rest, and so does the registry."""

# The salt's last character has two bits that count; bcrypt refuses one with others set.
_HASH = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")

Users = Mapping[str, bytes]
"""bcrypt's hash by user."""


def parse(data: bytes) -> Users:
    """Raises ValueError with the number of the first line that is no user. The last of two lines
    for one user counts."""
    users: dict[str, bytes] = {}
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError as error:
        broken = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {broken}: not UTF-8") from None
    for number, line in enumerate(lines, start=1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        user, colon, stored = entry.partition(":")
        if not colon or not user:
            raise ValueError(f"line {number}: must be USER:HASH")
        match = _HASH.fullmatch(stored)
        if match is None:
            raise ValueError(f"line {number}: the password is not in bcrypt (htpasswd -B)")
        if int(match[1]) not in COSTS:
            raise ValueError(f"line {number}: the cost of bcrypt must be 4 to 17")
        users[user] = stored.encode()
    return users


class Htpasswd:
    """Times are in seconds."""

    def __init__(self, path: Path) -> None:
        self._file = WatchedFile(path, parse)
        self._right: Memory[bool] = Memory()

    def cached(self, login: Password, now: float) -> bool:
        """Whether this login is known to be right, at once. False says nothing: `check`."""
        users = self._file.current(now)
        stored = None if users is None else users.get(login.user)
        return stored is not None and self._remembers(login, stored, now)

    def check(self, login: Password, now: float) -> bool:
        """Blocking, for up to seconds. A user that is not there takes the time of one that is.
        Raises FileProblem. What waited for a thread may find it known by now."""
        users = self._file.read(now)
        stored = users.get(login.user)
        if stored is not None and self._remembers(login, stored, now):
            return True
        spent = stored or _stand_in(users, login.user)
        matches = spent is not None and bcrypt.checkpw(_significant(login.password), spent)
        if stored is None or not matches:
            return False
        self._right.keep(*_parts(login, stored), value=True, until=now + REMEMBERED)
        return True

    def _remembers(self, login: Password, stored: bytes, now: float) -> bool:
        return self._right.find(*_parts(login, stored), now=now) is True


def _parts(login: Password, stored: bytes) -> tuple[bytes, bytes, bytes]:
    return login.user.encode(), login.password.value.encode(), stored


def _significant(password: Secret) -> bytes:
    return password.value.encode()[:SIGNIFICANT]


def _stand_in(users: Users, user: str) -> bytes | None:
    """Somebody's hash to spend the time on, always the same for one name: where costs differ, a
    stranger's must not give away that it is one. Nobody can foretell whose, as that hangs on
    hashes that are secret."""
    if not users:
        return None
    digest = blake2b(b"".join(users.values()), digest_size=32)
    digest.update(user.encode())
    place = int.from_bytes(digest.digest()) % len(users)
    return list(users.values())[place]
