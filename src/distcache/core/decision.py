"""The decision taken for a pull, in the words of RFC 9211 (Cache-Status).

The header, the access log, the metrics and the tests read this one value.
"""

from enum import Enum

from attrs import frozen


class Outcome(Enum):
    HIT = "hit"
    FWD = "fwd"

    __hash__ = object.__hash__


class Fwd(Enum):
    """Why upstream was asked (RFC 9211 §2.2)."""

    URI_MISS = "uri-miss"
    STALE = "stale"
    PARTIAL = "partial"
    REQUEST = "request"
    BYPASS = "bypass"
    METHOD = "method"

    __hash__ = object.__hash__


@frozen
class Decision:
    """`fwd` is None exactly for a hit. `fwd_status` is upstream's status, None when there was
    no answer. `ttl` is the remaining freshness in whole seconds, negative for a stale answer;
    `stale_if_error` marks an answer given although upstream could not confirm it."""

    outcome: Outcome
    fwd: Fwd | None = None
    fwd_status: int | None = None
    collapsed: bool = False
    stored: bool = False
    ttl: int | None = None
    stale_if_error: bool = False


HIT = Decision(Outcome.HIT)
