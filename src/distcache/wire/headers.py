"""Header fields as both sides of the cache read and write them (RFC 9110 §5).

Input is what an HTTP/1.1 parser hands over: pairs of bytes, any order, any letter case.
Nothing here raises on any bytes.
"""

import re
from collections.abc import Sequence
from email.utils import formatdate, mktime_tz, parsedate_tz
from math import ceil

Headers = Sequence[tuple[bytes, bytes]]

TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
"""RFC 9110 §5.6.2."""

LONGEST_DELAY = 7 * 24 * 3600
"""Seconds. A longer Retry-After is taken as this: no limit that registries set lasts longer."""

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][\w!#$&^.+-]{0,126}/[A-Za-z0-9][\w!#$&^.+-]{0,126}", re.A)
_FOLD = re.compile(rb"\n[ \t]")
_HEAD_END = re.compile(rb"\n\r?\n")
_SENDABLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_LIST_MEMBER = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*"?)+', re.S)


def folded(message: bytes) -> bool:
    """Whether a field of the header, or of as much of it as there is, goes on in a second line.
    A server may join them or refuse (RFC 9112 §5.2); a proxy in front that takes the first line
    alone would see another message, so they are refused."""
    return _FOLD.search(_HEAD_END.split(message, maxsplit=1)[0]) is not None


def values(headers: Headers, name: bytes) -> list[str]:
    """The values of every field line called `name` (lower case), in order."""
    return [v.decode("latin-1").strip(" \t") for n, v in headers if n.lower() == name]


def only(headers: Headers, name: bytes) -> str | None:
    """The value of a field that must not be a list; None when absent or contradictory."""
    found = set(values(headers, name))
    return found.pop() if len(found) == 1 else None


def members(lines: Sequence[str]) -> list[str]:
    """The members of a list-valued field (§5.6.1); commas in quotes do not separate."""
    found = (m.strip(" \t") for line in lines for m in _LIST_MEMBER.findall(line))
    return [m for m in found if m]


def sendable(value: str) -> bool:
    """Whether a value may stand in a header: visible ASCII with blanks inside. Anything else
    could split the message or would be read differently by different clients."""
    return _SENDABLE.fullmatch(value) is not None


def media_type(value: str | None) -> str | None:
    """A Content-Type without its parameters, spelled as sent; None when it is not one."""
    bare = (value or "").partition(";")[0].strip(" \t")
    return bare if _MEDIA_TYPE.fullmatch(bare) else None


def http_date(now: float) -> str:
    """IMF-fixdate (§5.6.7)."""
    return formatdate(now, usegmt=True)


def retry_after(headers: Headers, now: float) -> int | None:
    """Seconds from `now` (§10.2.3); None when absent or not understood."""
    value = only(headers, b"retry-after")
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,18}", value):
        return min(int(value), LONGEST_DELAY)
    try:
        date = parsedate_tz(value)
        at = None if date is None else mktime_tz(date)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # A day of any number of digits is taken for a date: too large to be a float.
    return None if at is None else ceil(min(max(at, now), now + LONGEST_DELAY) - now)
