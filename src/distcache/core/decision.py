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
    """Why upstream was asked (RFC 9211 §2.2), as far as this cache has reasons. `request` has no
    case: no header of a client makes it pass over what it holds. Nor has `method`: what is not
    GET or HEAD is refused."""

    URI_MISS = "uri-miss"
    """Nothing is held under this name."""
    STALE = "stale"
    """What a tag resolves to is held, and had to be confirmed."""
    PARTIAL = "partial"
    """A transfer under way holds the first bytes; the others are still to come."""
    BYPASS = "bypass"
    """The store cannot take it: it is passed through and not kept."""

    __hash__ = object.__hash__


@frozen
class Decision:
    """`fwd` is None exactly for a hit. `fwd_status` is upstream's status, None when there was
    no answer. `ttl` is the remaining freshness in whole seconds, negative for a stale answer;
    `stale_if_error` marks an answer given although upstream could not confirm it, `cooling`
    one that is not what upstream has now, because that is too new."""

    outcome: Outcome
    fwd: Fwd | None = None
    fwd_status: int | None = None
    collapsed: bool = False
    stored: bool = False
    ttl: int | None = None
    stale_if_error: bool = False
    cooling: bool = False


HIT = Decision(Outcome.HIT)
