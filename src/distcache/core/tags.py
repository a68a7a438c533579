"""The Tag machine: what a reference resolves to, and when upstream must be asked again.

UNKNOWN has no record. What cannot be confirmed may still be used within `stale_if_error`,
unless upstream's word was definite. How upstream is asked is the other half of this machine,
`checks`.
"""

from enum import Enum

from attrs import frozen

from . import acceptance, blobs, cooldown, fills, freshness, grants, policy
from .effects import Journal
from .inventory import Answer, TagDropped, TagStored
from .listings import Coming
from .oci import (
    Descriptor,
    Digest,
    Kind,
    Listed,
    Reference,
    ReferrersRef,
    Time,
)
from .pull import Client
from .state import Resolved, State
from .tables import step
from .values import evolve


class TagState(Enum):
    UNKNOWN = "unknown"
    FRESH = "fresh"
    STALE = "stale"
    REVALIDATING = "revalidating"
    GONE = "gone"

    __hash__ = object.__hash__


class TagInput(Enum):
    CHECK = "check"
    CONFIRMED = "confirmed"
    ABSENT = "absent"
    FAILED_HELD = "failed-held"
    FAILED_BARE = "failed-bare"
    LAPSED = "lapsed"
    EVICTED = "evicted"

    __hash__ = object.__hash__


_S, _I = TagState, TagInput
TRANSITIONS = {
    (_S.UNKNOWN, _I.CHECK): _S.REVALIDATING,
    (_S.STALE, _I.CHECK): _S.REVALIDATING,
    (_S.REVALIDATING, _I.CHECK): _S.REVALIDATING,
    (_S.REVALIDATING, _I.CONFIRMED): _S.FRESH,
    (_S.REVALIDATING, _I.ABSENT): _S.GONE,
    (_S.REVALIDATING, _I.FAILED_HELD): _S.STALE,
    (_S.REVALIDATING, _I.FAILED_BARE): _S.UNKNOWN,
    (_S.FRESH, _I.LAPSED): _S.STALE,
    (_S.GONE, _I.LAPSED): _S.UNKNOWN,
    (_S.FRESH, _I.EVICTED): _S.UNKNOWN,
    (_S.STALE, _I.EVICTED): _S.UNKNOWN,
    (_S.REVALIDATING, _I.EVICTED): _S.REVALIDATING,
}


@frozen(slots=False)
class Tag:
    """`descriptor` is what upstream last confirmed, at `checked`, with `answer`; `previous` what
    it resolved to before, and when that was confirmed, until the new content is stored: a registry
    may say that a tag has moved and then refuse to give what it has moved to. `journalled` is the
    time of checking in the journal's record, if that has one. `etag` and `listed` came with the
    descriptor. `until` ends GONE. `coming` is what a check has brought so far, `waiters` wait
    for it while REVALIDATING; `client` is for whom it was begun."""

    state: TagState
    descriptor: Descriptor | None = None
    checked: Time = 0.0
    previous: tuple[Descriptor, Time] | None = None
    journalled: Time | None = None
    etag: str | None = None
    listed: Listed | None = None
    until: Time = 0.0
    coming: Coming | None = None
    waiters: tuple[int, ...] = ()
    answer: Answer | None = None
    client: Client | None = None


def lookup(state: State, reference: Reference, now: Time) -> Tag | None:
    """The record as it is at `now`: what has run out is so marked. None: UNKNOWN."""
    tag = state.tags.get(reference)
    if tag is None:
        return None
    if tag.state is TagState.GONE and tag.until <= now:
        forget(state, reference, TagInput.LAPSED)
        return None
    ttl = state.config.upstreams[reference.repository.upstream].tag_ttl
    stays = policy.immutable(state, reference)
    fresh = stays or freshness.is_fresh(tag.checked, ttl, now)
    if tag.state is TagState.FRESH and not (fresh and _to_be_had(state, tag)):
        tag = evolve(tag, state=step(TRANSITIONS, tag.state, TagInput.LAPSED))
        state.tags[reference] = tag
    return tag


def usable_on_error(
    state: State, reference: Reference, now: Time
) -> tuple[Descriptor, Time] | None:
    """What may be served although upstream cannot confirm it, or cannot give what it has moved
    to, within the limit; and when it was confirmed."""
    tag = state.tags.get(reference)
    if tag is None or tag.descriptor is None:
        return None
    limit = state.config.upstreams[reference.repository.upstream].stale_if_error
    for known in ((tag.descriptor, tag.checked), tag.previous):
        if known is not None and fills.held(state, known[0].content):
            return known if freshness.usable_on_error(known[1], limit, now) else None
    return None


def before(state: State, reference: Reference) -> tuple[Descriptor, Time] | None:
    """What it resolved to before upstream moved it, while that is held; when it was confirmed."""
    tag = state.tags.get(reference)
    known = tag.previous if tag is not None else None
    return known if known is not None and fills.held(state, known[0].content) else None


def confirm(
    state: State,
    reference: Reference,
    descriptor: Descriptor,
    etag: str | None,
    listed: Listed | None,
    now: Time,
    answer: Answer,
) -> None:
    tag = state.tags[reference]
    after = step(TRANSITIONS, tag.state, TagInput.CONFIRMED)
    old, previous = tag.descriptor, tag.previous
    same = old is not None and old.content == descriptor.content
    if old is not None and not same and (previous is None or _servable(state, reference, old, now)):
        previous = (old, tag.checked)
    if old is not None and not same:
        policy.moved(state, reference, old.content.digest, descriptor.content.digest)
    told = tag.journalled
    confirmed = Tag(after, descriptor, now, previous, told, etag, listed, answer=answer)
    if same:
        state.tags[reference] = confirmed
    else:
        _unpoint(state, reference, tag)
        _point(state, reference, confirmed)
    grants.grant(state, reference.repository, descriptor.content)
    due = tag.journalled is None or now - tag.journalled >= state.limits.used_resolution
    if due or not same or (etag, listed) != (tag.etag, tag.listed):
        _journal(state, reference)
    _bound(state, reference, descriptor.content.digest)
    state.wake(tag.waiters, Resolved(descriptor, answer.status))
    own = reference.repository.authority is not None
    if own and not acceptance.accept(state, reference.repository, reference):
        # It is for those who have waited, and for nobody after them.
        forget(state, reference, TagInput.EVICTED)


def absent(state: State, reference: Reference, now: Time) -> None:
    tag = state.tags[reference]
    _unpoint(state, reference, tag)
    _drop_record(state, reference, tag)
    ttl = state.config.upstreams[reference.repository.upstream].negative_ttl
    after = step(TRANSITIONS, tag.state, TagInput.ABSENT)
    state.tags[reference] = Tag(after, until=now + ttl)
    state.deadlines.set(reference, now + ttl)


def failed(state: State, reference: Reference) -> None:
    tag = state.tags[reference]
    if tag.descriptor is None:
        step(TRANSITIONS, tag.state, TagInput.FAILED_BARE)
        del state.tags[reference]
    else:
        after = step(TRANSITIONS, tag.state, TagInput.FAILED_HELD)
        state.tags[reference] = evolve(tag, state=after)


def committed(state: State, digest: Digest) -> None:
    """Its content is durable: what resolves to it is worth a record."""
    for reference in sorted(state.tags_of.get(digest, ()), key=repr):
        _journal(state, reference)


def evicted(state: State, digest: Digest) -> None:
    """Its content goes: a tag without content answers nothing. Of one that is not to move it is
    remembered what it was."""
    for reference in sorted(state.tags_of.get(digest, ()), key=repr):
        if policy.immutable(state, reference):
            _empty(state, reference)
        else:
            forget(state, reference, TagInput.EVICTED)


def restore(state: State, record: TagStored) -> None:
    checked = record.checked
    tag = Tag(
        TagState.FRESH,
        record.descriptor,
        checked,
        journalled=checked,
        etag=record.etag,
        listed=record.listed,
        answer=record.answer,
    )
    _point(state, record.reference, tag)


def forget(state: State, reference: Reference, put: TagInput) -> None:
    tag = state.tags[reference]
    after = step(TRANSITIONS, tag.state, put)
    _unpoint(state, reference, tag)
    _drop_record(state, reference, tag)
    state.deadlines.clear(reference)
    if after is TagState.UNKNOWN:
        del state.tags[reference]
    else:
        state.tags[reference] = Tag(
            after, coming=tag.coming, waiters=tag.waiters, client=tag.client
        )


def _empty(state: State, reference: Reference) -> None:
    """The next pull asks upstream. What it was is remembered in memory only."""
    tag = state.tags[reference]
    _drop_record(state, reference, tag)
    after = tag.state
    if after is TagState.FRESH:
        after = step(TRANSITIONS, after, TagInput.LAPSED)
    state.tags[reference] = evolve(tag, state=after, journalled=None)


def _servable(state: State, reference: Reference, known: Descriptor, now: Time) -> bool:
    held = fills.held(state, known.content)
    return held and cooldown.hold(state, reference.repository, known.content, now) is None


def _bound(state: State, reference: Reference, digest: Digest) -> None:
    """Clients can think up filters and pages of lists without end that have one answer: the
    question that was longest not asked is forgotten."""
    named = state.tags_of[digest]
    if not isinstance(reference, ReferrersRef) or len(named) <= state.limits.questions:
        return
    others = [one for one in named if isinstance(one, ReferrersRef) and one != reference]
    if others:
        oldest = min(others, key=lambda one: (state.tags[one].checked, repr(one)))
        forget(state, oldest, TagInput.EVICTED)


def _to_be_had(state: State, tag: Tag) -> bool:
    """What it resolves to can be served, or fetched by its digest; a list cannot be fetched so."""
    assert tag.descriptor is not None
    content = tag.descriptor.content
    return content.kind is not Kind.LISTING or fills.held(state, content)


def _point(state: State, reference: Reference, tag: Tag) -> None:
    assert tag.descriptor is not None
    digest = tag.descriptor.content.digest
    state.tags[reference] = tag
    state.tags_of[digest] = state.tags_of.get(digest, frozenset()) | {reference}


def _drop_record(state: State, reference: Reference, tag: Tag) -> None:
    if tag.journalled is not None:
        state.emit(Journal(TagDropped(reference)))


def _unpoint(state: State, reference: Reference, tag: Tag) -> None:
    if tag.descriptor is None:
        return
    digest = tag.descriptor.content.digest
    rest = state.tags_of[digest] - {reference}
    if rest:
        state.tags_of[digest] = rest
    else:
        del state.tags_of[digest]


def _journal(state: State, reference: Reference) -> None:
    tag = state.tags[reference]
    assert tag.descriptor is not None
    if reference.repository.authority is not None:
        return
    content, repository = tag.descriptor.content, reference.repository
    if cooldown.hold(state, repository, content, tag.checked) is not None:
        # The next process, too, is to know what it was before.
        return
    if blobs.stored(state, content) is not None:
        state.tags[reference] = evolve(tag, journalled=tag.checked, previous=None)
        record = TagStored(reference, tag.descriptor, tag.checked, tag.etag, tag.listed, tag.answer)
        state.emit(Journal(record))
