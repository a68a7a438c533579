"""The Fill machine's other half: what upstream's transfer brings, its breaks and new tries."""

from . import calls, fills, provenance, retry
from .effects import DiscardSpool
from .events import Cause, UpstreamHead
from .fills import TRANSITIONS, FillInput, content_of
from .oci import Digest, Document, Kind, Time
from .problems import NOT_A_DOCUMENT, SHORT, WRONG_DIGEST, WRONG_RANGE, Failure, refusal
from .state import FillKey, Look, Relay, State
from .tables import step
from .values import evolve


def on_answer(state: State, key: FillKey, head: UpstreamHead, now: Time) -> Failure | None:
    """A head; a failure when the fill cannot go on (`cut` decides whether it is tried again)."""
    fill = state.fills[key]
    failure = refusal(head, fill.have)
    if failure is WRONG_RANGE:
        state.fills[key] = evolve(fill, ranged=False)
    if failure is not None:
        return failure
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
    filled = provenance.came(fill.client, call, fill.status, now)
    fill = evolve(fill, size=fill.have, document=document, filled=filled)
    fills.verified(state, key, fill)
    return None


def cut(state: State, key: FillKey, failure: Failure, now: Time) -> Failure | None:
    """The transfer broke: go on later from the watermark, if that is worthwhile. A mirror's
    failures do not count."""
    fill = state.fills[key]
    if failure.elsewhere and failure.cause is not Cause.TOO_LARGE:
        pause(state, key, now, counts=False)
        return None
    begun = fill.status is not None
    if not retry.worthwhile(failure, fill.attempts, state.limits, begun=begun):
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
    return fills.request(state, key, fill, now)


def again(state: State, key: FillKey, now: Time) -> Failure | None:
    """The wait is over."""
    fill = state.fills[key]
    fill = evolve(fill, state=step(TRANSITIONS, fill.state, FillInput.RETRY))
    state.fills[key] = fill
    return fills.request(state, key, fill, now)
