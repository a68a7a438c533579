"""The Fill machine: content on its way from upstream into the store, once for all readers.

A fill belongs to the cache, not to the client that caused it. Its spool only grows: a resumed
or restarted transfer never changes what is already there, so that the digest at the end
covers the very bytes that readers were sent. Until the digest is right the last byte is
withheld (`available`), and nothing is published.
"""

from enum import Enum

from attrs import frozen

from . import blobs, calls, retry
from .calls import Call
from .effects import CommitBlob, DiscardSpool, Level, Medium, Note, Spool
from .events import Cause, StoreFault, UpstreamHead
from .oci import Content, Digest, Document, Kind, Repository, Time
from .problems import NOT_A_DOCUMENT, SHORT, WRONG_DIGEST, WRONG_RANGE, Failure
from .pull import Method
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
    it once stored. `status` is upstream's."""

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
    return limit is None or (fill.size or 0) <= limit


def begin(state: State, key: FillKey, fill: Fill, now: Time) -> Failure | None:
    """Ask upstream for it."""
    state.fills[key] = fill
    failure = _request(state, key, fill, now)
    if failure is not None:
        del state.fills[key]
    return failure


def join(
    state: State, exchange: int, repository: Repository, content: Content, now: Time
) -> Failure | bool:
    """Let `exchange` read the fill; True when it was running already."""
    fill = state.fills.get(content)
    if fill is not None:
        state.deadlines.clear((content, "linger"))
        granted = fill.granted if repository in fill.granted else (*fill.granted, repository)
        state.fills[content] = evolve(fill, readers=(*fill.readers, exchange), granted=granted)
        return True
    if content.kind is Kind.BLOB:
        spool = Spool(state.number(), Medium.FILE, content.digest)
    else:
        spool = Spool(state.number(), Medium.MEMORY, content.digest, 0, state.limits.manifest)
    fill = Fill(repository, spool, readers=(exchange,), granted=(repository,))
    return begin(state, content, fill, now) or False


def adopt(
    state: State,
    repository: Repository,
    content: Content,
    spool: Spool,
    document: Document,
    size: int,
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
        status=200,
    )
    state.fills[content] = fill
    _right(state, content, evolve(fill, document=document))


def on_answer(state: State, key: FillKey, head: UpstreamHead, now: Time) -> Failure | None:
    """A head; a failure when the fill cannot go on (`cut` decides whether it is tried again)."""
    fill = state.fills[key]
    if head.status == 416 or (head.status == 206 and head.start != fill.have):
        state.fills[key] = evolve(fill, ranged=False)
        return WRONG_RANGE
    if head.status not in (200, 206):
        return Failure(head.status, retry_after=head.retry_after)
    size = head.size if head.status == 206 else head.length
    if fill.size is not None and size is not None and size != fill.size:
        return calls.refuse(state, state.calls[key], SHORT, now)
    after = step(TRANSITIONS, fill.state, FillInput.HEAD)
    size = fill.size if size is None else size
    state.fills[key] = evolve(fill, state=after, size=size, status=head.status)
    if content_of(key).kind is Kind.BLOB:
        state.wake(fill.readers, Look())
    return None


def on_spooled(state: State, key: FillKey, length: int, now: Time) -> Failure | None:
    fill = state.fills[key]
    if fill.size is not None and length > fill.size:
        return calls.refuse(state, state.calls[key], SHORT, now)
    if length <= fill.have:
        return None
    put = FillInput.ALL_IN if length == fill.size else FillInput.PROGRESS
    after = step(TRANSITIONS, fill.state, put)
    state.fills[key] = evolve(fill, state=after, have=length, attempts=1)
    if content_of(key).kind is Kind.BLOB:
        state.wake(fill.readers, Look())
    return None


def on_ended(
    state: State, key: FillKey, digest: Digest | None, document: Document | None, now: Time
) -> Failure | None:
    """All of it came, says upstream's framing; the digest decides."""
    fill = state.fills[key]
    content = content_of(key)
    call = calls.ended(state, key)
    if fill.size is not None and fill.have < fill.size:
        return cut(state, key, calls.refuse(state, call, Failure(cause=Cause.CUT), now), now)
    if digest != content.digest:
        return calls.refuse(state, call, WRONG_DIGEST, now)
    if content.kind is not Kind.BLOB and document is None:
        return NOT_A_DOCUMENT
    _right(state, key, evolve(fill, size=fill.have, document=document))
    return None


def cut(state: State, key: FillKey, failure: Failure, now: Time) -> Failure | None:
    """The transfer broke: go on later from the watermark, if that can help and has not been
    tried too often. Where nothing has come yet only a broken connection or a 5xx is, and few
    times: an honest error now is better than a late one. A mirror's failures do not count."""
    fill = state.fills[key]
    calls.finish(state, key)
    begun = fill.status is not None
    passing = failure.status is not None and failure.status >= 500
    worth = begun or passing or failure.cause is Cause.CUT or failure is WRONG_RANGE
    spent = fill.attempts >= (state.limits.attempts if begun else state.limits.first_attempts)
    if failure.elsewhere and failure.cause is not Cause.TOO_LARGE:
        pause(state, key, now, counts=False)
        return None
    if failure.definite or not worth or spent or failure.cause is Cause.TOO_LARGE:
        return failure
    pause(state, key, now, failure.retry_after)
    return None


def pause(
    state: State,
    key: FillKey,
    now: Time,
    retry_after: int | None = None,
    *,
    counts: bool = True,
) -> None:
    """Try again a little later."""
    calls.finish(state, key)
    fill = state.fills[key]
    attempts = fill.attempts + 1
    wait = retry.delay(content_of(key).digest, attempts, state.limits, retry_after)
    after = step(TRANSITIONS, fill.state, FillInput.CUT)
    state.fills[key] = evolve(fill, state=after, attempts=attempts if counts else fill.attempts)
    state.deadlines.set((key, "retry"), now + wait)


def rewind(state: State, key: Relay, first: int, now: Time) -> Failure | None:
    """Its only reader turned out to want nothing before `first`: begin again so that the
    window need not hold what nobody reads."""
    calls.finish(state, key)
    fill = state.fills[key]
    state.emit(DiscardSpool(fill.spool))
    spool = evolve(fill.spool, number=state.number(), first=first)
    after = step(TRANSITIONS, fill.state, FillInput.REWIND)
    fill = evolve(fill, state=after, spool=spool, have=0)
    state.fills[key] = fill
    return _request(state, key, fill, now)


def again(state: State, key: FillKey, now: Time) -> Failure | None:
    """The wait is over."""
    fill = state.fills[key]
    fill = evolve(fill, state=step(TRANSITIONS, fill.state, FillInput.RETRY))
    state.fills[key] = fill
    return _request(state, key, fill, now)


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
    if fill.readers or fill.state is FillState.COMMITTING:
        return
    if fill.state is FillState.KEEPING or isinstance(key, Relay) or state.draining:
        drop(state, key)
    elif fill.size is None or fill.have * 2 < fill.size:
        state.deadlines.set((key, "linger"), now + state.limits.linger)


def drop_if_unread(state: State, key: FillKey) -> None:
    fill = state.fills.get(key)
    if fill is not None and not fill.readers and fill.state is not FillState.COMMITTING:
        drop(state, key)


def drop(state: State, key: FillKey) -> Fill:
    """End it, whatever its state; nothing of it stays."""
    fill = state.fills.pop(key)
    calls.finish(state, key)
    state.deadlines.clear((key, "retry"))
    state.deadlines.clear((key, "linger"))
    state.emit(DiscardSpool(fill.spool))
    return fill


def _request(state: State, key: FillKey, fill: Fill, now: Time) -> Failure | None:
    content = content_of(key)
    # All bytes in but no end seen: only a whole answer can bring the end.
    resumable = fill.ranged and fill.spool.medium is not Medium.MEMORY and fill.have != fill.size
    offset = fill.have if resumable else 0
    call = Call(Method.GET, fill.repository, content, fill.spool, offset)
    return calls.start(state, key, call, now)


def _right(state: State, key: FillKey, fill: Fill) -> None:
    keep = kept(state, key, fill)
    put = FillInput.RIGHT if keep else FillInput.RIGHT_UNKEPT
    after = step(TRANSITIONS, fill.state, put)
    state.deadlines.clear((key, "linger"))
    state.fills[key] = evolve(fill, state=after)
    if keep:
        state.emit(CommitBlob(fill.spool, content_of(key).digest))
    state.wake(fill.readers, Look())
    drop_if_unread(state, key)
