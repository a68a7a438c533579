"""Byte ranges (RFC 9110 §14), as a registry's blobs need them.

One range is answered with 206. Several in one header are answered with the whole content
(§14.2 lets a server ignore Range): a 416 or 501 there makes containers/image fail the pull,
a 200 does not. A header that is not understood is ignored likewise.
"""

import re
from collections.abc import Sequence
from enum import Enum

from .pull import RangeSpec, Span

MAX_OFFSET = 1 << 62
"""Offsets beyond it are taken as this one: no content is as long, and numbers stay small."""

_COMMON = re.compile(r"bytes=([0-9]{1,18})-([0-9]{1,18})")
"""What clients that read in parts send; no number of so many digits is beyond MAX_OFFSET."""

_SPEC = re.compile(r"(\d{0,40})-(\d{0,40})")


class Unsatisfiable(Enum):
    """The range lies outside the content: 416."""

    UNSATISFIABLE = "unsatisfiable"


UNSATISFIABLE = Unsatisfiable.UNSATISFIABLE


def parse(header: str) -> tuple[RangeSpec, ...]:
    """The specs of a Range header's value; empty when it is to be ignored."""
    common = _COMMON.fullmatch(header)
    if common is not None:
        first, last = int(common[1]), int(common[2])
        return () if last < first else (RangeSpec(first, last),)
    unit, _, rest = header.partition("=")
    if unit.strip(" \t").lower() != "bytes":
        return ()
    specs = [_spec(part) for part in (p.strip(" \t") for p in rest.split(",")) if part]
    return tuple(s for s in specs if s is not None) if None not in specs else ()


def select(specs: Sequence[RangeSpec], size: int) -> Span | Unsatisfiable | None:
    """What `specs` select of `size` bytes; None: the whole content, answered with 200."""
    if len(specs) != 1:
        return None
    (spec,) = specs
    if spec.first is None:
        assert spec.last is not None, spec
        start = size - min(spec.last, size)
        return Span(start, size) if start < size else UNSATISFIABLE
    if spec.first >= size:
        return UNSATISFIABLE
    stop = size if spec.last is None else min(spec.last + 1, size)
    return Span(spec.first, stop)


def _spec(text: str) -> RangeSpec | None:
    match = _SPEC.fullmatch(text)
    if match is None or text == "-" or not text.isascii():
        return None
    first = int(match[1]) if match[1] else None
    last = int(match[2]) if match[2] else None
    if first is not None and last is not None and last < first:
        return None
    return RangeSpec(_within(first), _within(last))


def _within(offset: int | None) -> int | None:
    return None if offset is None else min(offset, MAX_OFFSET)
