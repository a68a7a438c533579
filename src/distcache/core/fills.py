"""The Fill machine: content on its way from upstream into the store, once for all readers.

A fill belongs to the cache, not to the client that caused it. Its spool only grows: a resumed
or restarted transfer never changes what is already there, so that the digest at the end
covers the very bytes that readers were sent. Until the digest is right the last byte is
withheld (`available`), and nothing is published. What upstream's transfer brings, and what
becomes of it when it breaks, is the other half of this machine, `transfers`.
"""

from enum import Enum

from attrs import frozen

from . import blobs, calls
from .calls import Call
from .effects import CommitBlob, DiscardSpool, Level, Medium, Note, Spool
from .events import StoreFault
from .inventory import Filled
from .oci import Content, Document, Kind, Repository, Time
from .problems import Failure
from .pull import Catalog, Client, Method
from .state import FillKey, Look, Relay, State
from .tables import step
from .values import evolve


class FillState(Enum):
    REQUESTING = "requesting"
    STREAMING = "streaming"
    BACKOFF = "backoff"
    VERIFYING = "verifying"
    COMMITTING = "committing"
    KEEPING = "keeping"
    """Right, but not to be stored: its readers are served, then it goes."""

    __hash__ = object.__hash__


class FillInput(Enum):
    HEAD = "head"
    PROGRESS = "progress"
    ALL_IN = "all-in"
    RIGHT = "right"
    RIGHT_UNKEPT = "right-unkept"
    CUT = "cut"
    REWIND = "rewind"
    RETRY = "retry"
    COMMIT_FAILED = "commit-failed"

    __hash__ = object.__hash__


_S, _I = FillState, FillInput
TRANSITIONS = {
    (_S.REQUESTING, _I.HEAD): _S.STREAMING,
    (_S.REQUESTING, _I.CUT): _S.BACKOFF,
    (_S.STREAMING, _I.PROGRESS): _S.STREAMING,
    (_S.STREAMING, _I.ALL_IN): _S.VERIFYING,
    (_S.STREAMING, _I.RIGHT): _S.COMMITTING,
    (_S.STREAMING, _I.RIGHT_UNKEPT): _S.KEEPING,
    (_S.STREAMING, _I.CUT): _S.BACKOFF,
    (_S.STREAMING, _I.REWIND): _S.REQUESTING,
    (_S.VERIFYING, _I.RIGHT): _S.COMMITTING,
    (_S.VERIFYING, _I.RIGHT_UNKEPT): _S.KEEPING,
    (_S.VERIFYING, _I.CUT): _S.BACKOFF,
    (_S.BACKOFF, _I.RETRY): _S.REQUESTING,
    (_S.COMMITTING, _I.COMMIT_FAILED): _S.KEEPING,
}

RIGHT = (FillState.COMMITTING, FillState.KEEPING)


@frozen(slots=False)
class Fill:
    """`have` is the watermark, `size` the whole (None: not known yet). `readers` are exchanges
    that wait for it or are sent from it. `attempts` counts tries without progress; `ranged`
    is False once upstream has shown that it cannot resume. `granted` repositories may serve
    it once stored. `status` is upstream's. `client`: whose pull began it; `filled`: how it came."""

    repository: Repository
    spool: Spool
    state: FillState = FillState.REQUESTING
    have: int = 0
    size: int | None = None
    attempts: int = 1
    ranged: bool = True
    readers: tuple[int, ...] = ()
    granted: tuple[Repository, ...] = ()
    document: Document | None = None
    status: int | None = None
    client: Client | None = None
    filled: Filled | None = None

    @property
    def right(self) -> bool:
        return self.state in RIGHT

    @property
    def available(self) -> int:
        """Bytes from the start that may be sent."""
        if self.right:
            return self.have
        end = self.have if self.size is None else min(self.have, self.size)
        # With the size unknown any byte may be the last.
        return max(end - 1, 0) if self.size is None or end == self.size else end


def content_of(key: FillKey) -> Content:
    return key.content if isinstance(key, Relay) else key


def held(state: State, content: Content) -> bool:
    """Whether it can be served without upstream: stored, or verified and on its way there."""
    fill = state.fills.get(content)
    return blobs.stored(state, content) is not None or (fill is not None and fill.right)


def kept(state: State, key: FillKey, fill: Fill) -> bool:
    """Whether it is going to be stored, as far as is known."""
    if isinstance(key, Relay) or fill.state is FillState.KEEPING:
        return False
    limit = state.config.max_size
    return limit is None or fill.size is None or fill.size <= limit


def begin(state: State, key: FillKey, fill: Fill, now: Time) -> Failure | None:
    """Ask upstream for it."""
    state.fills[key] = fill
    failure = request(state, key, fill, now)
    if failure is not None:
        del state.fills[key]
    return failure


def join(
    state: State, exchange: int, repository: Repository, content: Content, now: Time
) -> Failure | bool:
    """Let `exchange` read the fill; True when it was running already."""
    fill = state.fills.get(content)
    if fill is not None:
        if fill.status is not None or repository == fill.repository:
            state.deadlines.clear((content, "linger"))
        granted = fill.granted if repository in fill.granted else (*fill.granted, repository)
        state.fills[content] = evolve(fill, readers=(*fill.readers, exchange), granted=granted)
        return True
    if content.kind is Kind.BLOB:
        spool = Spool(state.number(), Medium.FILE, content.digest)
    else:
        spool = Spool(state.number(), Medium.MEMORY, content.digest, 0, state.limits.manifest)
    client = state.exchanges[exchange].client
    fill = Fill(repository, spool, readers=(exchange,), granted=(repository,), client=client)
    return begin(state, content, fill, now) or False


def adopt(
    state: State,
    repository: Repository,
    content: Content,
    spool: Spool,
    document: Document,
    size: int,
    filled: Filled | None,
) -> None:
    """A document that came by its tag, whole and hashed: store it, unless it is there."""
    if blobs.stored(state, content) is not None or content in state.fills:
        state.emit(DiscardSpool(spool))
        return
    fill = Fill(
        repository,
        spool,
        FillState.VERIFYING,
        size,
        size,
        granted=(repository,),
        document=document,
        status=200,
        filled=filled,
    )
    verified(state, content, fill)


def commit_failed(state: State, key: FillKey, fault: StoreFault) -> None:
    """It is right all the same: whoever reads it gets it whole."""
    fill = state.fills[key]
    after = step(TRANSITIONS, fill.state, FillInput.COMMIT_FAILED)
    state.fills[key] = evolve(fill, state=after)
    digest = content_of(key).digest
    fields = (("digest", digest), ("fault", fault.value))
    state.emit(Note(Level.WARNING, "content could not be stored", fields))
    drop_if_unread(state, key)


def leave(state: State, key: FillKey, exchange: int, now: Time) -> None:
    """A reader less. Without any, a fill that is far along goes on; another waits a little."""
    fill = state.fills[key]
    fill = evolve(fill, readers=tuple(r for r in fill.readers if r != exchange))
    state.fills[key] = fill
    if _wanted(state, fill):
        return
    if fill.state is FillState.KEEPING or isinstance(key, Relay) or state.draining:
        drop_if_unread(state, key)
    elif fill.size is None or fill.have * 2 < fill.size:
        state.deadlines.set((key, "linger"), now + state.limits.linger)


def reads_along(state: State, reader: int, fill: Fill) -> bool:
    """Whether it came for another repository than the fill's."""
    target = state.exchanges[reader].pull.target
    assert not isinstance(target, Catalog), "it waits for nothing"
    return target.repository != fill.repository


def drop_if_unread(state: State, key: FillKey) -> None:
    """End it unless it goes on for somebody. Who read along for another repository is better off
    alone."""
    if not _wanted(state, state.fills[key]):
        for reader in drop(state, key).readers:
            state.exchanges[reader] = evolve(state.exchanges[reader], on=None)
            state.wake((reader,), Look())


def drop(state: State, key: FillKey) -> Fill:
    """End it, whatever its state; nothing of it stays."""
    fill = state.fills.pop(key)
    calls.finish(state, key)
    state.deadlines.clear((key, "retry"))
    state.deadlines.clear((key, "linger"))
    state.emit(DiscardSpool(fill.spool))
    return fill


def _wanted(state: State, fill: Fill) -> bool:
    """Whether it goes on for somebody, or for the store. Before upstream has answered it does so
    for those of its own repository alone, whom it must not show that others want the same."""
    if fill.state is FillState.COMMITTING:
        return True
    return any(fill.status is not None or not reads_along(state, r, fill) for r in fill.readers)


def request(state: State, key: FillKey, fill: Fill, now: Time) -> Failure | None:
    content = content_of(key)
    # All bytes in but no end seen: only a whole answer can bring the end.
    resumable = fill.ranged and fill.spool.medium is not Medium.MEMORY and fill.have != fill.size
    offset = fill.have if resumable else 0
    call = Call(Method.GET, fill.repository, content, fill.spool, offset)
    return calls.start(state, key, call, now)


def verified(state: State, key: FillKey, fill: Fill) -> None:
    keep = kept(state, key, fill)
    put = FillInput.RIGHT if keep else FillInput.RIGHT_UNKEPT
    after = step(TRANSITIONS, fill.state, put)
    state.deadlines.clear((key, "linger"))
    state.fills[key] = evolve(fill, state=after)
    if keep:
        state.emit(CommitBlob(fill.spool, content_of(key).digest))
    state.wake(fill.readers, Look())
    drop_if_unread(state, key)
