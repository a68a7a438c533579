"""The Blob machine: what is stored, what names what, and what must stay.

A blob leaves the accounting only when the store says that its bytes are gone (DOOMED until
then). What a stored manifest names is one image with it: `parents` goes from a blob to the
stored manifests that name it, and only a blob without parents stands in the LRU.
"""

from enum import Enum
from heapq import heapify, heappush

from attrs import frozen

from .effects import Journal
from .inventory import BlobStored, BlobUsed
from .oci import Content, Digest, Document, Kind, Time
from .state import State
from .tables import step
from .values import evolve


class BlobState(Enum):
    STORED = "stored"
    DOOMED = "doomed"

    __hash__ = object.__hash__


class BlobInput(Enum):
    EVICTED = "evicted"
    KEPT = "kept"

    __hash__ = object.__hash__


TRANSITIONS = {
    (BlobState.STORED, BlobInput.EVICTED): BlobState.DOOMED,
    (BlobState.DOOMED, BlobInput.KEPT): BlobState.STORED,
}


@frozen
class Blob:
    """`journalled` is the last use that the journal knows; `listed`: it has its entry in the
    LRU. Its last use and its readers change with every pull and stand in tables of their own,
    `State.used` and `State.readers`."""

    state: BlobState
    size: int
    journalled: Time
    document: Document | None = None
    listed: bool = False


def stored(state: State, content: Content) -> Blob | None:
    """The blob that can be served as `content`: bytes alone are no manifest or listing."""
    blob = state.blobs.get(content.digest)
    if blob is None or blob.state is BlobState.DOOMED:
        return None
    if content.kind is not Kind.BLOB and blob.document is None:
        return None
    return blob


def add(state: State, digest: Digest, size: int, document: Document | None, used: Time) -> None:
    """Its bytes are durable now. The same digest again may bring the document along."""
    old = state.blobs.get(digest)
    if old is None:
        state.stored += size
        state.used[digest] = used
        blob = Blob(BlobState.STORED, size, used, document)
    else:
        assert old.state is BlobState.STORED, digest
        blob = evolve(old, document=document or old.document)
    state.blobs[digest] = blob
    link(state, digest, blob)
    list_if_root(state, digest)


def restore(state: State, record: BlobStored) -> None:
    """As `add`, for many at start: `list_roots` follows, once what names what is known."""
    digest, document = record.digest, record.document
    old = state.blobs.get(digest)
    if old is None:
        state.stored += record.size
        state.used[digest] = record.used
        blob = Blob(BlobState.STORED, record.size, record.used, document)
    else:
        blob = evolve(old, document=document or old.document)
    state.blobs[digest] = blob
    if document is not None:
        link(state, digest, blob)


def list_roots(state: State) -> None:
    """The LRU of what was restored, all at once."""
    blobs, named = state.blobs, state.parents
    roots = [digest for digest in blobs if digest not in named]
    for digest in roots:
        blobs[digest] = evolve(blobs[digest], listed=True)
    state.lru = [(state.used[digest], digest) for digest in roots]
    heapify(state.lru)


def journal(state: State, digest: Digest) -> None:
    blob = state.blobs[digest]
    state.emit(Journal(BlobStored(digest, blob.size, state.used[digest], blob.document)))


def touch(state: State, digest: Digest, now: Time) -> None:
    """It is being used; uses close together reach the journal once."""
    blob = state.blobs[digest]
    if now - blob.journalled >= state.limits.used_resolution:
        state.emit(Journal(BlobUsed(digest, now)))
        state.blobs[digest] = evolve(blob, journalled=now)
    if state.used[digest] < now:
        state.used[digest] = now


def read(state: State, digest: Digest, change: int) -> None:
    """One reader more (+1) or less (-1)."""
    readers = state.readers.get(digest, 0) + change
    if readers:
        state.readers[digest] = readers
    else:
        del state.readers[digest]


def parents(state: State, digest: Digest) -> list[Digest]:
    """The stored manifests that name it."""
    return sorted(state.parents.get(digest, ()))


def pinned(state: State, digest: Digest) -> bool:
    """Being read, or being fetched."""
    if digest in state.readers:
        return True
    return any(Content(kind, digest) in state.fills for kind in Kind)


def list_if_root(state: State, digest: Digest) -> None:
    """Give it its place in the LRU, if nothing stored names it."""
    blob = state.blobs[digest]
    if not blob.listed and not parents(state, digest):
        state.blobs[digest] = evolve(blob, listed=True)
        heappush(state.lru, (state.used[digest], digest))


def doom(state: State, digest: Digest) -> None:
    blob = state.blobs[digest]
    after = step(TRANSITIONS, blob.state, BlobInput.EVICTED)
    state.blobs[digest] = evolve(blob, state=after, listed=False)
    state.doomed += blob.size


def deleted(state: State, digest: Digest) -> None:
    """The store has let go of it."""
    blob = state.blobs.pop(digest)
    del state.used[digest]
    state.stored -= blob.size
    state.doomed -= blob.size


def lost(state: State, digest: Digest) -> None:
    """It turned out that the store does not have it."""
    blob = state.blobs.pop(digest)
    del state.used[digest]
    state.readers.pop(digest, None)
    state.stored -= blob.size
    unlink(state, digest, blob)


def kept(state: State, digest: Digest, now: Time) -> None:
    """The store could not delete it: it is as good as used just now."""
    blob = state.blobs[digest]
    after = step(TRANSITIONS, blob.state, BlobInput.KEPT)
    kept_blob = evolve(blob, state=after)
    state.blobs[digest] = kept_blob
    state.used[digest] = max(now, state.used[digest])
    state.doomed -= blob.size
    link(state, digest, kept_blob)
    list_if_root(state, digest)


def link(state: State, digest: Digest, blob: Blob) -> None:
    """It names its children: they stay while it stays."""
    # One set for all who have no other parent: there are as many as layers.
    alone = frozenset((digest,))
    named = state.parents
    for child in blob.document.children if blob.document else ():
        name = child.content.digest
        others = named.get(name)
        named[name] = alone if others is None else others | alone


def unlink(state: State, digest: Digest, blob: Blob) -> None:
    """It no longer names its children; those that nothing names now are roots."""
    for child in blob.document.children if blob.document else ():
        name = child.content.digest
        rest = state.parents.get(name, frozenset()) - {digest}
        if rest:
            state.parents[name] = rest
        else:
            state.parents.pop(name, None)
        if name in state.blobs and state.blobs[name].state is BlobState.STORED:
            list_if_root(state, name)
