"""What a pull may be given: content that its repository may serve and that is not held back.

Being stored is not enough. What a pull has had resolved or probed is a right of its own.
"""

from . import acceptance, blobs, cooldown, fills, grants
from .exchanges import Exchange
from .oci import Content, Repository, Time
from .pull import ByDigest, Catalog, Ping
from .state import State


def come_meanwhile(state: State, x: Exchange) -> bool:
    """Whether what it waited for in vain (its own transfer, past a failing store) has reached
    the cache another way."""
    target = x.pull.target
    if isinstance(target, Catalog | Ping):
        return False
    if isinstance(target, ByDigest):
        content = target.content
    elif x.descriptor is not None:
        content = x.descriptor.content
    else:
        return False
    return fills.held(state, content) and may(state, x, target.repository, content)


def may(state: State, x: Exchange, repository: Repository, content: Content) -> bool:
    """Whether `repository` may serve it; a resolved reference is a grant of its own."""
    if x.descriptor is not None or x.probed is not None:
        return True
    fill = state.fills.get(content)
    if fill is None or repository not in fill.granted or acceptance.over(state, repository):
        return grants.granted(state, repository, content)
    # Of a transfer that upstream has not answered yet only itself may be served.
    coming = fill.status is not None or blobs.stored(state, content) is None
    return coming or grants.granted(state, repository, content)


def held_back(
    state: State, x: Exchange, repository: Repository, content: Content, now: Time
) -> cooldown.Hold | None:
    """Who waits for content already was let through, whatever the policy is by now."""
    return None if x.on is not None else cooldown.hold(state, repository, content, now)
