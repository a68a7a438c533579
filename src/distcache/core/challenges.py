"""What upstream's 401 asks for: which of its challenges is taken up, handed on, remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .events import Challenge, UpstreamHead
from .state import State
from .values import evolve

if TYPE_CHECKING:
    from .calls import Call


def choose(state: State, call: Call, head: UpstreamHead) -> Challenge | None:
    if call.location is not None and not call.location.same_origin:
        return None  # another origin's challenge is not for our credentials
    name = call.repository.name
    for challenge in head.challenges:
        if challenge.bearer:
            scope = challenge.scope or f"repository:{name}:pull"
            # What was wrong with the last token makes it no other token that is wanted.
            return evolve(challenge, scope=scope, error="")
    policy = state.config.upstreams[call.repository.upstream]
    basic = policy.basic and call.mirror is None
    return next(iter(head.challenges), None) if basic else None


def offered(call: Call, head: UpstreamHead) -> Challenge | None:
    """What nobody but the client can answer, who goes by an authority of its own."""
    home = call.location is None or call.location.same_origin
    challenge = next((c for c in head.challenges if c.bearer and home), None)
    name = call.repository.name
    if challenge is not None and name and not challenge.scope:
        challenge = evolve(challenge, scope=f"repository:{name}:pull")
    return challenge


def remember(state: State, call: Call, challenge: Challenge) -> None:
    """Names come from clients, also names that there are not: the oldest go, at the price of
    one more 401."""
    key = (call.repository, call.mirror)
    while key not in state.schemes and len(state.schemes) >= state.limits.schemes:
        del state.schemes[next(iter(state.schemes))]
    state.schemes[key] = challenge
