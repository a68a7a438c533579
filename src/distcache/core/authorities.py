"""Whose word counts where distcache has no credential of its own: the client's, with upstream.

For an upstream with `passthrough` each client's authority is a realm of its own: its
repositories carry it, so its grants and tags are nobody else's, and upstream is asked with
the client's own Authorization. What upstream accepted is remembered as long as the authority
is good for, at most `limits.authority` seconds, in memory only.
"""

from . import tags
from .acceptance import Accepted
from .oci import Time
from .pull import Authority
from .state import State
from .tags import TagInput, TagState

KEY = "authority"


def note(state: State, authority: Authority, now: Time) -> None:
    """A client shows it."""
    if authority.name in state.authorities:
        return
    while len(state.authorities) >= state.limits.authorities:
        oldest = min(state.authorities, key=lambda name: state.authorities[name].until)
        _end(state, oldest)
    until = now + state.limits.authority
    if authority.expires is not None:
        until = max(now, min(until, authority.expires))
    state.authorities[authority.name] = Accepted(authority.authorization, until)
    state.deadlines.set((KEY, authority.name), until)


def expire(state: State, name: str, now: Time) -> None:
    """Its time is up. What is under way for it goes on with it."""
    accepted = state.authorities[name]
    _withdraw(state, name, accepted)
    if any(call.repository.authority == name for call in state.calls.values()):
        again = now + state.limits.authority
        state.authorities[name] = Accepted(accepted.authorization, again)
        state.deadlines.set((KEY, name), again)
    else:
        del state.authorities[name]


def _end(state: State, name: str) -> None:
    _withdraw(state, name, state.authorities.pop(name))
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
