"""What goes when space or age demands it, an image at a time.

The unit is a root (nothing stored names it) with all that only it names; a blob that another
stored manifest names stays. A unit of which anything is being read or fetched is passed over.
Cost: O(log n) a unit, plus its own size; what is passed over is put back.
"""

from heapq import heappop, heappush

from . import blobs, tags
from .blobs import BlobState
from .effects import DeleteBlob, Journal
from .inventory import BlobDropped
from .oci import Content, Digest, Kind, Time
from .state import State
from .values import evolve


def run(state: State, now: Time) -> None:
    """Evict what `max_size` and `ttl` demand."""
    config = state.config
    if not config.evict or now < state.no_eviction_before:
        return
    _settle_first(state)
    excess, ttl = _excess(state), config.ttl
    if excess > 0 or (ttl is not None and state.lru and state.lru[0][0] + ttl <= now):
        _make_room(state, excess, now, config.limits.expiring)


def make_room(state: State, need: int, now: Time) -> bool:
    """The disk is full: evict `need` bytes' worth; whether anything could go."""
    if not state.config.evict or now < state.no_eviction_before:
        return False
    return _make_room(state, need, now)


def prune(state: State, max_size: int | None, idle: float | None, now: Time) -> None:
    """What an operator wants gone: the least recently used beyond `max_size` bytes, and what
    has not been used for `idle` seconds. What stays keeps its last use."""
    if state.config.evict:
        need = 0 if max_size is None else state.stored - state.doomed - max_size
        for entry in _free(state, need, now, idle)[1]:
            heappush(state.lru, entry)


def next_deadline(state: State) -> Time | None:
    """When the oldest root will have been idle for `ttl`; past while portions of what is idle
    are left. Earlier where its place in the LRU is from before its last use, which `run` finds
    out then."""
    ttl = state.config.ttl
    if ttl is None or not state.config.evict:
        return None
    if not state.lru:
        return None
    return max(state.lru[0][0] + ttl, state.no_eviction_before)


def drop(state: State, digest: Digest) -> None:
    """Everything that refers to it goes: grants, tags; then the journal hears of it."""
    for kind in Kind:
        state.grants.pop(Content(kind, digest), None)
    tags.evicted(state, digest)
    state.filled.pop(digest, None)
    state.emit(Journal(BlobDropped(digest)))


def _excess(state: State) -> int:
    """Bytes over `max_size`, counting fills by what they will be."""
    limit = state.config.max_size
    if limit is None:
        return 0
    filling = sum(
        fill.size or fill.have
        for fill in state.fills.values()
        if fill.size is None or fill.size <= limit
    )
    return state.stored - state.doomed + filling - limit


def _make_room(state: State, need: int, now: Time, portion: int | None = None) -> bool:
    """Free `need` bytes, and what has been idle for `ttl`; whether anything went."""
    ttl = state.config.ttl
    freed, passed_over = _free(state, need, now, ttl, portion)
    for used, digest in passed_over:
        # What is in use or to be kept is not idle: it comes up again when it has been so for
        # `ttl`, and does not stand in the way of what comes after it.
        place = used
        if (ttl is not None and used + ttl <= now) or kept(state, digest):
            place = state.used[digest] = max(used, now)
        heappush(state.lru, (place, digest))
    return freed > 0


def _free(
    state: State, need: int, now: Time, ttl: float | None, portion: int | None = None
) -> tuple[int, list[tuple[Time, Digest]]]:
    """Bytes that go, and the entries that were taken out of the LRU for what stays. Beyond
    `need`, only a portion of what is idle for too long."""
    passed_over: list[tuple[Time, Digest]] = []
    freed = gone = 0
    while True:
        _settle_first(state)
        if not state.lru:
            break
        used, digest = state.lru[0]
        expired = ttl is not None and used + ttl <= now
        if freed >= need and (not expired or (portion is not None and gone >= portion)):
            break
        entry = heappop(state.lru)
        members = unit(state, digest)
        if any(_stays(state, member) for member in members):
            passed_over.append(entry)
            continue
        freed += sum(state.blobs[member].size for member in members)
        gone += len(members)
        for member in members:
            doom(state, member)
    return freed, passed_over


def _settle_first(state: State) -> None:
    """Make the first entry true: its blob stored, a root, and used when it says."""
    heap = state.lru
    while heap:
        used, digest = heap[0]
        blob = state.blobs.get(digest)
        if blob is None or not blob.listed:
            heappop(heap)
        elif digest in state.parents:
            state.blobs[digest] = evolve(blob, listed=False)
        elif state.used[digest] != used:
            heappop(heap)
            heappush(heap, (state.used[digest], digest))
        else:
            return


def unit(state: State, root: Digest) -> list[Digest]:
    """The root, and what only members of the unit name, parents first."""
    found = [root]
    members = {root}
    for digest in found:
        document = state.blobs[digest].document
        for child in document.children if document else ():
            name = child.content.digest
            blob = state.blobs.get(name)
            if blob is None or blob.state is BlobState.DOOMED or name in members:
                continue
            if members.issuperset(blobs.parents(state, name)):
                found.append(name)
                members.add(name)
    return found


def doom(state: State, digest: Digest) -> None:
    """Have it deleted."""
    blobs.doom(state, digest)
    blobs.unlink(state, digest, state.blobs[digest])
    drop(state, digest)
    state.emit(DeleteBlob(digest))


def kept(state: State, digest: Digest) -> bool:
    """Whether an operator's pin names it, or a tag that resolves to it."""
    if not state.pins:
        return False
    if any(Content(kind, digest) in state.pins for kind in Kind):
        return True
    return not state.pins.isdisjoint(state.tags_of.get(digest, ()))


def _stays(state: State, digest: Digest) -> bool:
    return blobs.pinned(state, digest) or kept(state, digest)
