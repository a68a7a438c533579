"""Durations and sizes as people write them in `config.yml`.

Durations have the grammar of Go's `time.ParseDuration`, which the registry uses: a row of
decimal numbers with units, `1h30m`, `1.5h`, `500ms`, or plain `0`. A number without unit counts
nanoseconds, as it does in the registry. Sizes are bytes, with `kB`, `MB`, … for powers of 1000
and `KiB`, `MiB`, … for powers of 1024.
"""

import re
from fractions import Fraction

LONGEST = Fraction(2**63 - 1, 10**9)
"""Seconds; what Go's 64-bit nanoseconds can hold, about 292 years."""

LARGEST = 2**63 - 1
"""Bytes; the largest size of a file."""

SHORTEST_BARE = 10**6
"""Nanoseconds. A smaller number without unit is a forgotten unit, not a wish for less than
a millisecond."""

_UNITS = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),  # U+00B5, the micro sign
    "μs": Fraction(1, 10**6),  # U+03BC, the Greek letter
    "ms": Fraction(1, 10**3),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}
_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_PART = re.compile(rf"({_NUMBER})({'|'.join(sorted(_UNITS, key=len, reverse=True))})")
_BARE = re.compile(r"[0-9]+")

_MULTIPLES = {"": 1, "b": 1} | {
    f"{letter}{infix}b": base**power
    for power, letter in enumerate("kmgtp", start=1)
    for infix, base in (("", 1000), ("i", 1024))
}
_SIZE = re.compile(rf"({_NUMBER}) ?([A-Za-z]*)")


def duration(text: str) -> float:
    """Seconds, never negative. Raises ValueError with a sentence for the user."""
    if _BARE.fullmatch(text):
        return _bare(text)
    position, total = 0, Fraction(0)
    unsigned = text.removeprefix("+")
    while part := _PART.match(unsigned, position):
        total += Fraction(part[1]) * _UNITS[part[2]]
        position = part.end()
    if position == 0 or position < len(unsigned):
        raise ValueError(f"not a duration like 168h, 1h30m or 500ms: {text!r}")
    return _bounded(total, text)


def size(text: str) -> int:
    """Bytes. Raises ValueError with a sentence for the user."""
    match = _SIZE.fullmatch(text)
    multiple = _MULTIPLES.get(match[2].lower()) if match else None
    if match is None or multiple is None:
        raise ValueError(f"not a size like 10GB, 10GiB or a number of bytes: {text!r}")
    value = Fraction(match[1]) * multiple
    if value > LARGEST:
        raise ValueError(f"size too large: {text!r}")
    if value.denominator != 1:
        raise ValueError(f"not a whole number of bytes: {text!r}")
    return int(value)


def spell_duration(seconds: float) -> str:
    """The shortest usual spelling of a duration, for people: `168h`, `1h30m`, `0.5s`."""
    whole = int(seconds)
    if seconds != whole:
        return f"{seconds:g}s"
    hours, rest = divmod(whole, 3600)
    parts = ((hours, "h"), (rest // 60, "m"), (rest % 60, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"


def spell_size(count: int) -> str:
    """A size for people, exact: in the largest unit that divides it."""
    for name in ("PB", "PiB", "TB", "TiB", "GB", "GiB", "MB", "MiB", "kB", "KiB"):
        multiple = _MULTIPLES[name.lower()]
        if count and count % multiple == 0:
            return f"{count // multiple}{name}"
    return f"{count}B"


def _bare(text: str) -> float:
    nanoseconds = Fraction(text)
    if 0 < nanoseconds < SHORTEST_BARE:
        raise ValueError(f"a number without unit counts nanoseconds; write {text}s or {text}m")
    return _bounded(nanoseconds / 10**9, text)


def _bounded(seconds: Fraction, text: str) -> float:
    if seconds > LONGEST:
        raise ValueError(f"longer than a duration can be (292 years): {text!r}")
    return float(seconds)
