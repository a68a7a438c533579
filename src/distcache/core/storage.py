"""What the store says: content that is there now, or gone, or cannot be read."""

from . import blobs, eviction, exchanges, fills, grants, provenance, tags
from .effects import Blame, DiscardSpool, Level, Note
from .events import BlobCommitted, BlobDeleted, SourceLost, StoreFailed, StoreFault
from .exchanges import ExchangeState
from .fills import FillState
from .oci import Content, Digest, Kind, Time
from .problems import Failure
from .state import Look, State
from .values import evolve


def committed(state: State, event: BlobCommitted | StoreFailed, now: Time) -> None:
    key = _committing(state, event.digest)
    if key is None:
        state.late += 1
        return
    if isinstance(event, StoreFailed):
        need = state.fills[key].have
        fills.commit_failed(state, key, event.fault)
        if event.fault is StoreFault.NO_SPACE:
            # For the next one.
            eviction.make_room(state, need, now)
        return
    fill = state.fills.pop(key)
    blobs.add(state, key.digest, fill.have, fill.document, now)
    blobs.journal(state, key.digest)
    if fill.filled is not None:
        provenance.keep(state, key.digest, fill.filled)
    for repository in fill.granted:
        grants.grant(state, repository, key)
    tags.committed(state, key.digest)
    for number in fill.readers:
        exchanges.publish(state, number, key.digest)
    state.emit(DiscardSpool(fill.spool))
    exchanges.spare(state, key)


def deleted(state: State, event: BlobDeleted | StoreFailed, now: Time) -> None:
    blob = state.blobs.get(event.digest)
    if blob is None or blob.state is blobs.BlobState.STORED:
        state.late += 1
    elif isinstance(event, BlobDeleted):
        blobs.deleted(state, event.digest)
    else:
        state.no_eviction_before = now + state.limits.delete_retry
        blobs.kept(state, event.digest, now)
        blobs.journal(state, event.digest)
        fields = (("digest", event.digest), ("fault", event.fault.value))
        state.emit(Note(Level.WARNING, "content could not be deleted", fields))


def source_lost(state: State, event: SourceLost, now: Time) -> None:
    """What cannot be read is dropped, and fetched again where nothing has been sent."""
    x = state.exchanges.get(event.exchange)
    if x is None or x.state is not ExchangeState.SENDING:
        state.late += 1
        return
    fields = (("digest", event.digest),)
    state.emit(Note(Level.ERROR, "stored content cannot be read", fields))
    lost = x.reading
    if event.answered:
        exchanges.abort(
            state, event.exchange, "the stored content cannot be read", Blame.STORE, now
        )
    else:
        exchanges.unsent(state, event.exchange, now)
        turns = state.exchanges[event.exchange].turns
        over = turns > state.limits.redispatch
        news = Failure(fault="content that cannot be kept") if over else Look()
        state.wake((event.exchange,), news)
    if lost is not None:
        _forget_blob(state, lost)


def _forget_blob(state: State, digest: Digest) -> None:
    for number, x in state.exchanges.items():
        if x.reading == digest:
            # It has the file open; what it was promised is still coming out of it.
            state.exchanges[number] = evolve(x, reading=None)
    blobs.lost(state, digest)
    eviction.drop(state, digest)


def _committing(state: State, digest: Digest) -> Content | None:
    for kind in Kind:
        fill = state.fills.get(Content(kind, digest))
        if fill is not None and fill.state is FillState.COMMITTING:
            return Content(kind, digest)
    return None
