"""Whose word counts where distcache has no credential of its own: the client's, with upstream.

For an upstream with `passthrough` each client's authority is a realm of its own: its
repositories carry it, so its grants and tags are nobody else's, and upstream is asked with
the client's own Authorization. What upstream accepted is remembered as long as the authority
is good for, at most `limits.authority` seconds, in memory only.
"""

from . import tags
from .acceptance import Accepted
from .oci import Secret, Time
from .pull import Authority
from .state import State
from .tags import TagInput, TagState
from .values import evolve

KEY = "authority"


def note(state: State, authority: Authority, now: Time) -> None:
    """A client shows it."""
    known = state.authorities.get(authority.name)
    if known is not None and known.until <= now:
        expire(state, authority.name, now)
    if authority.name in state.authorities:
        return
    while len(state.authorities) >= state.limits.authorities:
        oldest = min(state.authorities, key=lambda name: state.authorities[name].until)
        _end(state, oldest)
    _begin(state, authority.name, authority.authorization, authority.expires, now)


def expire(state: State, name: str, now: Time) -> None:
    """Its time is up. What is under way for it goes on with it."""
    accepted = state.authorities[name]
    _withdraw(state, name, accepted)
    if any(call.repository.authority == name for call in state.calls.values()):
        _begin(state, name, accepted.authorization, accepted.expires, now)
    else:
        _forget(state, name)


def _begin(
    state: State, name: str, authorization: Secret | None, expires: Time | None, now: Time
) -> None:
    until = now + state.limits.authority
    over = expires is not None and expires <= now
    if expires is not None and not over:
        until = min(until, expires)
    state.authorities[name] = Accepted(authorization, until, expires, over)
    state.deadlines.set((KEY, name), until)


def _end(state: State, name: str) -> None:
    _withdraw(state, name, state.authorities[name])
    _forget(state, name)


def _forget(state: State, name: str) -> None:
    del state.authorities[name]
    state.deadlines.clear((KEY, name))


def _withdraw(state: State, name: str, accepted: Accepted) -> None:
    for content in accepted.contents:
        holders = state.grants.get(content, frozenset())
        rest = frozenset(holder for holder in holders if holder.authority != name)
        if rest:
            state.grants[content] = rest
        else:
            state.grants.pop(content, None)
    for reference in accepted.references:
        tag = state.tags.get(reference)
        if tag is not None:
            gone = tag.state is TagState.GONE
            tags.forget(state, reference, TagInput.LAPSED if gone else TagInput.EVICTED)
    for key, fill in state.fills.items():
        # What upstream has yet to answer will be its word again.
        if fill.status is not None:
            others = tuple(holder for holder in fill.granted if holder.authority != name)
            state.fills[key] = evolve(fill, granted=others)
