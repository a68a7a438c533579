"""What an operator asks of the cache: to let go or to keep.

Pins are by name: what a pinned tag resolves to stays, and when the tag moves, the pin moves
with it.
"""

from collections.abc import Callable

from . import blobs, eviction, exchanges, tags
from .blobs import BlobState
from .effects import Journal
from .inventory import GrantDropped, PinDropped, PinStored
from .oci import Content, Digest, Kind, Reference, Repository, TagRef
from .reports import Named
from .state import State
from .tags import TagInput, TagState


def known(state: State, what: TagRef | Repository | Digest) -> bool:
    """Whether there is something to forget: a tag or its absence, what a repository may serve,
    content that is stored."""
    if isinstance(what, TagRef):
        return any(_is_tag(reference, what) for reference in state.tags)
    if isinstance(what, Repository):
        tagged = any(reference.repository == what for reference in state.tags)
        return tagged or any(what in holders for holders in state.grants.values())
    blob = state.blobs.get(what)
    return blob is not None and blob.state is BlobState.STORED


def forget(state: State, what: TagRef | Repository | Digest) -> None:
    """The next pull asks upstream, and is sent nothing of what was forgotten."""
    if isinstance(what, TagRef):
        _forget_tags(state, lambda r: _is_tag(r, what))
        return
    if isinstance(what, Repository):
        _forget_tags(state, lambda r: r.repository == what)
        for content in [c for c, holders in state.grants.items() if what in holders]:
            _revoke(state, what, content)
        return
    blob = state.blobs.get(what)
    if blob is not None and blob.state is BlobState.STORED:
        exchanges.detach(state, what)
        if blobs.pinned(state, what):
            # It is being fetched just now, or has been a moment ago: it stays for those.
            tags.evicted(state, what)
            for kind in Kind:
                for repository in state.grants.get(Content(kind, what), frozenset()):
                    _revoke(state, repository, Content(kind, what))
        else:
            eviction.doom(state, what)


def pin(state: State, what: Named, keep: bool) -> None:
    """Keep it whatever `ttl` and `max_size` say, or no longer."""
    if keep and what not in state.pins:
        state.pins = state.pins | {what}
        state.emit(Journal(PinStored(what)))
    elif not keep and what in state.pins:
        state.pins = state.pins - {what}
        state.emit(Journal(PinDropped(what)))


def _is_tag(reference: Reference, what: TagRef) -> bool:
    """Whatever types its clients take."""
    named = (what.repository, what.tag)
    return isinstance(reference, TagRef) and (reference.repository, reference.tag) == named


def _forget_tags(state: State, wanted: Callable[[Reference], bool]) -> None:
    for reference in [r for r in state.tags if wanted(r)]:
        gone = state.tags[reference].state is TagState.GONE
        tags.forget(state, reference, TagInput.LAPSED if gone else TagInput.EVICTED)


def _revoke(state: State, repository: Repository, content: Content) -> None:
    rest = state.grants[content] - {repository}
    if rest:
        state.grants[content] = rest
    else:
        del state.grants[content]
    state.emit(Journal(GrantDropped(repository, content)))
