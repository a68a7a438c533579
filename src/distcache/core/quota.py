"""How much upstream lets us ask, and what is not asked for that reason.

Hub counts pulls and says in `ratelimit-*` what is left; others say 429 and Retry-After. When
little is left, tags that were checked a short while ago are taken as they are, and after a 429
tags are not checked until upstream said it may be: both within `stale_if_error`, and marked.
Content that is not held is asked for all the same: only upstream can refuse it.
"""

from attrs import frozen

from .events import Quota, UpstreamHead
from .oci import Time
from .state import State
from .values import evolve


@frozen
class Reading:
    """What quota upstream told of at `at`; it is not to be asked about tags before `until`."""

    quota: Quota | None = None
    at: Time = 0.0
    until: Time = 0.0


def note(state: State, upstream: str, head: UpstreamHead, now: Time, *, check: bool) -> None:
    """An answer of the upstream's own. `check`: to the question what a name resolves to; that
    content is limited says nothing about those."""
    before = state.quotas.get(upstream) or Reading()
    until = before.until if head.status >= 400 else 0.0
    if check and head.status == 429 and head.retry_after:
        until = now + min(float(head.retry_after), state.limits.limited)
    if head.quota is not None:
        state.quotas[upstream] = Reading(head.quota, now, until)
    elif until != before.until:
        state.quotas[upstream] = evolve(before, until=until)


def told(state: State, upstream: str) -> bool:
    """Whether it has said anything about how much may be asked."""
    return upstream in state.quotas


def spares(state: State, upstream: str, checked: Time, now: Time) -> bool:
    """Whether upstream, which has `told`, is not to be asked again about what it confirmed at
    `checked`."""
    reading = state.quotas[upstream]
    if now < reading.until:
        return True
    if reading.quota is None or now >= reading.at + reading.quota.window:
        return False
    low = reading.quota.remaining <= reading.quota.limit * state.limits.quota_low
    return low and now - checked < state.limits.quota_stretch
