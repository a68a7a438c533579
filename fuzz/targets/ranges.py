"""Whatever a Range header says, what is selected is what RFC 9110 §14 selects, byte by byte, or
the header is ignored.

The first byte is the content's size.
"""

import re

from distcache.core import ranges
from distcache.core.pull import Span

WORDS = (b"bytes=", b"bytes=0-", b"bytes=-1", b"items=", b"0-0", b",", b" ", b"9" * 30)

_ONE = re.compile(r"[ \t]*bytes[ \t]*=[ \t,]*(\d*)-(\d*)[ \t,]*", re.I | re.A)


def one_input(data: bytes) -> None:
    size, header = (data[:1] or b"\0")[0], data[1:].decode("latin-1")
    specs = ranges.parse(header)
    assert ranges.parse(header) == specs
    found = ranges.select(specs, size)
    one = _ONE.fullmatch(header)
    if one is None:
        # Several ranges, another unit, or no ranges at all: nothing but the whole.
        assert found is None, (header, found)
        return
    expected = selected(one[1], one[2], size)
    match found:
        case None:
            assert expected is None, (header, size)
        case Span(start, stop):
            assert expected == range(start, stop), (header, size, found)
        case _:
            assert expected == range(0), (header, size)


def selected(first: str, last: str, size: int) -> range | None:
    """The offsets, one by one; None: no valid range. Numbers too long to be meant may be either."""
    if len(first) > 40 or len(last) > 40 or not (first or last):
        return None
    if not first:
        return range(max(size - int(last), 0), size) if size and int(last) else range(0)
    if last and int(last) < int(first):
        return None
    inside = [at for at in range(size) if int(first) <= at and (not last or at <= int(last))]
    return range(inside[0], inside[-1] + 1) if inside else range(0)
