"""Answers from the store, given again without deciding again.

A pull that was answered from the store alone is answered the same way as long as nothing has
changed that the decision looked at: `State.version` counts the events that may change it, and
`until` is when time will. All else is left to the long way, which also makes the answers that
are kept here. Of a blob's ranges one answer is kept for all: another range is the same answer with
other numbers.
That both ways do the same is a property that the tests hold (tests/core/test_hits.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from attrs import frozen

from . import blobs, ranges
from .decision import Outcome
from .effects import Effect, Finish, Journal, Respond, SendBody, Stored
from .events import BodySent, PullRequested
from .oci import Kind
from .pull import ByDigest, Catalog, Method, Ping, Span
from .values import evolve

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from .effects import AnswerHead
    from .exchanges import Exchange
    from .oci import Digest, Reference, Time
    from .pull import Pull, RangeSpec
    from .state import State

LIMIT = 4096
"""Pulls whose answers are kept; the first to come is the first to go."""

UNKEPT = (Catalog, Ping)
"""What is asked for in vain here: the answers are not from the store."""

MARGIN = 1e-3
"""Seconds before a moment of change from which on the long way decides: times are rounded."""

K = TypeVar("K", bound="Hashable")


@frozen
class Hit:
    """An answer to `pull`. Without `exchange` it is all head; else `span` of `source` follows."""

    pull: Pull
    version: int
    until: Time
    digest: Digest
    head: AnswerHead
    exchange: Exchange | None
    source: Stored
    span: Span | None


def again(state: State, event: PullRequested, now: Time) -> list[Effect] | None:
    """The effects of a pull that was answered before. None: decide."""
    number = event.exchange
    hit = begin(state, number, event.pull, now)
    if hit is None:
        return None
    if hit.span is None:
        return [Respond(number, hit.head), Finish(number)]
    return [Respond(number, hit.head), SendBody(number, hit.source, hit.span)]


def begin(state: State, number: int, pull: Pull, now: Time) -> Hit | None:
    """What `again` does, and the answer itself: with an `exchange`, the client is its reader."""
    hit = _part(state, pull) if pull.ranges else state.hits.get(id(pull))
    if hit is None or hit.version != state.version or now >= hit.until:
        return None
    digest = hit.digest
    if state.used[digest] < now:
        state.used[digest] = now
    if hit.exchange is not None and hit.span is not None:
        state.exchanges[number] = hit.exchange
        state.readers[digest] = state.readers.get(digest, 0) + 1
    return hit


def done(state: State, event: BodySent) -> list[Effect] | None:
    """The end of an answer whose last byte is out, from a stored blob. None: another event."""
    number = event.exchange
    x = state.exchanges.get(number)
    if x is None or x.reading is None or x.credit != event.stop or x.stop != event.stop:
        return None
    del state.exchanges[number]
    blobs.read(state, x.reading, -1)
    return [Finish(number)]


def whole(state: State, pull: Pull, now: Time) -> Hit | None:
    """A pull and the end of its answer in one: `again` and `done` with nothing between them, for
    whom has all of the answer at hand. None: begin with the pull."""
    hit = state.hits.get(id(pull))
    if hit is None or hit.version != state.version or now >= hit.until:
        return None
    if state.used[hit.digest] < now:
        state.used[hit.digest] = now
    return hit


def part(
    state: State, pull: Pull, specs: Sequence[RangeSpec], now: Time
) -> tuple[Hit, Span] | None:
    """As `whole`, of the pull with these ranges: an answer to others of the same blob, or to all of
    it, and what is sent of it; its head is `head_of` both."""
    hit = _known(state, pull)
    if hit is None or hit.version != state.version or now >= hit.until:
        return None
    span = ranges.select(specs, state.blobs[hit.digest].size)
    if not isinstance(span, Span):
        return None
    if state.used[hit.digest] < now:
        state.used[hit.digest] = now
    return hit, span


def head_of(hit: Hit, span: Span) -> AnswerHead:
    """One part's, by the answer to another of the same blob, or to all of it."""
    head = hit.head
    assert head.descriptor is not None, head
    length, size = span.stop - span.start, head.descriptor.size
    return evolve(head, status=206, length=length, size=size, span=span)


def keep(state: State, event: PullRequested, effects: list[Effect]) -> None:
    """Look at what the long way did, and keep it if it was a mere hit."""
    pull = event.pull
    target = pull.target
    if pull.authority is not None or isinstance(target, UNKEPT):
        return
    if effects and isinstance(effects[0], Journal):
        effects = effects[1:]
    match effects:
        case [Respond(head=head), Finish()]:
            x, span = None, None
        case [Respond(head=head), SendBody(source=Stored(), span=span)]:
            # Whose it was does not count for those who come after.
            x = evolve(state.exchanges[event.exchange], client=None)
        case _:
            return
    descriptor, decision = head.descriptor, head.decision
    if descriptor is None or decision.outcome is not Outcome.HIT:
        return
    if decision.stale_if_error:
        return
    blob = blobs.stored(state, descriptor.content)
    if blob is None:
        return
    until = blob.journalled + state.limits.used_resolution
    if not isinstance(target, ByDigest):
        until = min(until, _turns(state, target, head))
    digest = descriptor.content.digest
    hit = Hit(pull, state.version, until - MARGIN, digest, head, x, Stored(digest), span)
    if not pull.ranges:
        _put(state.hits, id(pull), hit)
    if x is not None and isinstance(target, ByDigest) and target.content.kind is Kind.BLOB:
        _put(state.parts, target, hit)


def _put(table: dict[K, Hit], key: K, hit: Hit) -> None:
    table.pop(key, None)
    if len(table) >= LIMIT:
        del table[next(iter(table))]
    table[key] = hit


def _known(state: State, pull: Pull) -> Hit | None:
    """An answer to any range of what `pull` asks for one of, without conditions, or to all."""
    if pull.if_none_match or pull.if_range is not None or pull.method is not Method.GET:
        return None
    return state.parts.get(pull.target)


def _part(state: State, pull: Pull) -> Hit | None:
    """The answer to one range."""
    known = _known(state, pull)
    if known is None or (blob := state.blobs.get(known.digest)) is None:
        return None
    span = ranges.select(pull.ranges, blob.size)
    if not isinstance(span, Span):
        return None
    assert known.exchange is not None, known
    first, stop = span.start, span.stop
    head = head_of(known, span)
    x = evolve(known.exchange, pull=pull, first=first, stop=stop, pos=first, credit=stop)
    version, until, digest = known.version, known.until, known.digest
    return Hit(pull, version, until, digest, head, x, known.source, span)


def _turns(state: State, reference: Reference, head: AnswerHead) -> Time:
    """When the head's Age or its freshness in seconds is another, or the tag is stale. Until then
    nothing but an event that counts in `version` changes the tag's record."""
    checked = state.tags[reference].checked
    assert head.age is not None
    older, ttl = checked + head.age + 1, head.decision.ttl
    if ttl is None:
        return older
    lifetime = state.config.upstreams[reference.repository.upstream].tag_ttl
    return min(older, checked + lifetime - ttl)
