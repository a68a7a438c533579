"""How long an answer about a tag may be used (RFC 9111 §4.2, RFC 5861 §4).

A time of checking that lies in the future (the clock was set back between two runs) counts
as never fresh: it must not keep a tag from being asked about again.
"""

from .oci import Time


def age(checked: Time, now: Time) -> float:
    """Seconds since upstream last confirmed it."""
    return max(0.0, now - checked)


def is_fresh(checked: Time, ttl: float, now: Time) -> bool:
    """Whether it may be used without asking; never with a lifetime of 0."""
    return checked <= now < checked + ttl


def usable_on_error(checked: Time, limit: float, now: Time) -> bool:
    """Whether it may be used because upstream cannot answer."""
    return age(checked, now) <= limit
