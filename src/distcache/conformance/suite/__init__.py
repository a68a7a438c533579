"""The checks, by section, in the order in which they run."""

from collections.abc import Iterator

from ..checks import Check, Section
from .blobs import blobs
from .caching import caching
from .conditions import conditions
from .connections import connections
from .discovery import tags
from .errors import errors
from .malformed import malformed
from .manners import manners
from .outages import outages
from .properties import properties
from .pulling import base, manifests
from .ranges import ranges
from .referrers import referrers
from .sequences import sequences
from .upstream import upstream
from .watching import watching

SECTIONS: tuple[Section, ...] = (
    base,
    manifests,
    blobs,
    ranges,
    conditions,
    tags,
    referrers,
    errors,
    connections,
    malformed,
    properties,
    sequences,
    caching,
    manners,
    outages,
    upstream,
    watching,
)


def checks() -> Iterator[Check]:
    for section in SECTIONS:
        yield from section.checks
