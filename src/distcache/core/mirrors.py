"""Mirrors: other places that may have an upstream's content, asked before the upstream itself.

A mirror that fails is passed over for a while that doubles each time; one that merely has not
got the thing is not at fault. The upstream itself is always the last to be asked, and its
word alone is final.
"""

from attrs import frozen

from .oci import Time
from .state import State


@frozen
class Health:
    """Of a mirror that failed `failures` times in a row: it is not asked before `until`."""

    failures: int
    until: Time


def first(state: State, upstream: str, now: Time) -> int | None:
    """Whom to ask first; None: the upstream itself."""
    return after(state, upstream, -1, now)


def after(state: State, upstream: str, mirror: int, now: Time) -> int | None:
    """Whom to ask when `mirror` has not got it."""
    for index in range(mirror + 1, state.config.upstreams[upstream].mirrors):
        health = state.mirrors.get((upstream, index))
        if health is None or health.until <= now:
            return index
    return None


def failed(
    state: State, upstream: str, mirror: int, now: Time, retry_after: int | None = None
) -> None:
    """It cannot be reached, is broken, or told something wrong."""
    health = state.mirrors.get((upstream, mirror))
    failures = 1 if health is None else health.failures + 1
    limits = state.limits
    rest = min(limits.mirror_rest * 2.0 ** (failures - 1), limits.mirror_rest_max)
    rest = max(rest, min(float(retry_after or 0), limits.mirror_rest_max))
    state.mirrors[upstream, mirror] = Health(failures, now + rest)


def well(state: State, upstream: str, mirror: int) -> None:
    """It answered."""
    state.mirrors.pop((upstream, mirror), None)
