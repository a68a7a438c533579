"""The Tag machine's other half: what upstream is asked about a reference, and what it says.

One check serves all who wait. A tag is asked by HEAD, its digest is the validator; where HEAD is
refused or names no digest, and for listings, by GET. What comes in counts when it is whole: until
then the record stays what it was.
"""

from . import blobs, calls, cooldown, fills, listings, provenance, tags
from .calls import Call
from .effects import DiscardSpool, Medium, Spool
from .events import Location, UpstreamHead
from .grants import UNHELPFUL
from .inventory import Answer
from .listings import Coming
from .oci import Content, Descriptor, Digest, Document, Kind, Reference, TagRef, Time
from .problems import INCOMPLETE, NOT_A_DOCUMENT, Failure
from .pull import Method
from .state import State
from .tables import step
from .tags import TRANSITIONS, Tag, TagInput, TagState
from .values import evolve


def check(state: State, exchange: int, reference: Reference, now: Time) -> Failure | bool:
    """Let `exchange` wait for a check; True when it joined one that runs."""
    # From here on the pull's own reference is the key: what is the same object is found at once.
    tag = state.tags.pop(reference, None) or Tag(TagState.UNKNOWN)
    running = tag.state is TagState.REVALIDATING
    after = step(TRANSITIONS, tag.state, TagInput.CHECK)
    client = tag.client if running else state.exchanges[exchange].client
    tag = evolve(tag, state=after, waiters=(*tag.waiters, exchange), client=client)
    state.tags[reference] = tag
    if running:
        return True
    failure = _ask(state, reference, tag, Method.HEAD, now)
    if failure is not None:
        state.tags[reference] = evolve(tag, waiters=())
        tags.failed(state, reference)
        return failure
    return False


def on_answer(state: State, reference: Reference, head: UpstreamHead, now: Time) -> None:
    """Upstream's head; for a GET the document follows."""
    tag = state.tags[reference]
    call = state.calls[reference]
    asked, conditional = call.method, call.etag is not None
    answer = Answer(head.status, mirror=call.mirror)
    if head.status == 200 and asked is Method.GET:
        coming = listings.begun(tag.coming or Coming(), reference, head)
        state.tags[reference] = evolve(tag, coming=coming)
        return
    _give_up(state, reference)
    if head.status == 200 and head.digest is not None:
        content = Content(Kind.MANIFEST, head.digest)
        descriptor = Descriptor(content, head.length, head.media_type or "")
        same = tag.descriptor is not None and tag.descriptor.content == content
        tags.confirm(state, reference, descriptor, tag.etag if same else None, None, now, answer)
    elif head.status == 304 and tag.descriptor is not None and conditional:
        tags.confirm(state, reference, tag.descriptor, tag.etag, tag.listed, now, answer)
    elif asked is Method.HEAD and head.status in (200, *UNHELPFUL):
        failure = _ask(state, reference, tag, Method.GET, now)
        if failure is not None:
            on_failed(state, reference, failure, now)
    elif call.page is not None and head.status in (404, 410):
        # The repository is there: it was when the page before came.
        on_failed(state, reference, INCOMPLETE, now)
    else:
        on_failed(state, reference, Failure(head.status, retry_after=head.retry_after), now)


def on_spooled(state: State, reference: Reference, length: int) -> None:
    tag = state.tags[reference]
    coming = evolve(tag.coming or Coming(), have=length)
    state.tags[reference] = evolve(tag, coming=coming)


def on_ended(
    state: State,
    reference: Reference,
    digest: Digest | None,
    document: Document | None,
    now: Time,
) -> None:
    """The document is there, and its digest with it; or a page of it, and the next is asked for."""
    call = calls.ended(state, reference)
    assert call.spool is not None
    coming = state.tags[reference].coming
    assert coming is not None
    if digest is None or document is None:
        state.emit(DiscardSpool(call.spool))
        on_failed(state, reference, calls.refuse(state, call, NOT_A_DOCUMENT, now), now)
        return
    if coming.page is not None:
        _turn_page(state, reference, call, coming, coming.page, now)
        return
    kind = Kind.MANIFEST if isinstance(reference, TagRef) else Kind.LISTING
    content = Content(kind, digest)
    if cooldown.hold(state, reference.repository, content, now) is None:
        filled = provenance.came(state.tags[reference].client, call, 200, now)
        spool, size = call.spool, coming.have
        fills.adopt(state, reference.repository, content, spool, document, size, filled)
    else:
        # Once it is old enough it is fetched; what the tag was before is not given up for it.
        state.emit(DiscardSpool(call.spool))
    descriptor = Descriptor(content, coming.have, document.media_type)
    answer = Answer(200, mirror=call.mirror)
    tags.confirm(state, reference, descriptor, coming.etag, coming.listed, now, answer)


def on_failed(state: State, reference: Reference, failure: Failure, now: Time) -> None:
    tag = state.tags[reference]
    _give_up(state, reference)
    if failure.elsewhere:
        tag = evolve(tag, coming=None)
        state.tags[reference] = tag
        again = _ask(state, reference, tag, Method.HEAD, now)
        if again is None:
            return
        failure = again
    waiters = tag.waiters
    state.tags[reference] = evolve(tag, waiters=(), coming=None)
    if failure.absent:
        tags.absent(state, reference, now)
    else:
        tags.failed(state, reference)
    state.wake(waiters, failure)


def leave(state: State, reference: Reference, exchange: int) -> None:
    """The check itself goes on: it is cheap, and its answer will be wanted."""
    tag = state.tags[reference]
    waiters = tuple(w for w in tag.waiters if w != exchange)
    state.tags[reference] = evolve(tag, waiters=waiters)


def _ask(state: State, reference: Reference, tag: Tag, method: Method, now: Time) -> Failure | None:
    if method is Method.HEAD and isinstance(reference, TagRef):
        return calls.start(state, reference, Call(method, reference.repository, reference), now)
    limit = state.limits.manifest if isinstance(reference, TagRef) else state.limits.listing
    spool = Spool(state.number(), Medium.MEMORY, limit=limit)
    held = tag.descriptor is not None and blobs.stored(state, tag.descriptor.content)
    etag = tag.etag if held else None
    call = Call(Method.GET, reference.repository, reference, spool, etag=etag)
    return calls.start(state, reference, call, now)


def _turn_page(
    state: State, reference: Reference, call: Call, coming: Coming, page: Location, now: Time
) -> None:
    """Ask for the next page, which goes on in the same spool."""
    assert call.spool is not None
    failure: Failure | None = None
    if listings.may_follow(coming, page, call, state.limits):
        method, repository, mirror = Method.GET, reference.repository, call.mirror
        following = Call(
            method, repository, reference, call.spool, location=page, mirror=mirror, page=page
        )
        failure = calls.start(state, reference, following, now)
    else:
        failure = calls.refuse(state, call, INCOMPLETE, now)
    if failure is not None:
        state.emit(DiscardSpool(call.spool))
        on_failed(state, reference, failure, now)


def _give_up(state: State, reference: Reference) -> None:
    """The call is over, if there is one, and so is what it has brought so far."""
    call = state.calls.get(reference)
    calls.finish(state, reference)
    if call is not None and call.spool is not None:
        state.emit(DiscardSpool(call.spool))
