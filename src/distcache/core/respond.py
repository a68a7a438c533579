"""What a pull is answered with: the head, the one Decision that header, log and metrics show, and
where the body lies.

What may be served, and when, has been decided (`decide`).
"""

from . import (
    blobs,
    conditions,
    cooldown,
    exchanges,
    fills,
    freshness,
    listings,
    problems,
    ranges,
    transfers,
)
from .blobs import Blob
from .decision import Decision, Outcome
from .effects import AnswerHead, Blame, Code, Finish, Problem, Respond
from .exchanges import Exchange
from .grants import OCTETS
from .oci import Content, Descriptor, Digest, Document, Kind, Listed, Repository, TagsRef, Time
from .problems import Failure
from .pull import ByDigest, Catalog, Method, Page, Ping
from .state import Relay, State
from .values import evolve

CATALOG_PAGE = 1000
"""Repositories of a catalog's page when the client names no number."""


def from_store(
    state: State, number: int, x: Exchange, content: Content, blob: Blob, now: Time
) -> None:
    """With what is held; it has been used now."""
    blobs.touch(state, content.digest, now)
    kind = blob.document.media_type if blob.document and content.kind is not Kind.BLOB else OCTETS
    descriptor = Descriptor(content, blob.size, kind)
    _tell_of_members(state, x, content, blob.document)
    _answer(state, number, x, descriptor, now, reading=content.digest)


def from_fill(state: State, number: int, x: Exchange, key: Content | Relay, now: Time) -> None:
    """Answer from a running fill as soon as enough is known; else go on waiting."""
    fill = state.fills[key]
    content = fills.content_of(key)
    if fill.status is None or (content.kind is not Kind.BLOB and not fill.right):
        return
    if fill.size is None and not _chunked(x):
        return
    if fill.size == 0 and not fill.right:
        return  # a complete answer before the digest is known
    document = fill.document
    kind = document.media_type if document else OCTETS
    descriptor = Descriptor(content, fill.size, kind)
    x = evolve(x, on=key, fwd_status=x.fwd_status or fill.status)
    _tell_of_members(state, x, content, document)
    _answer(state, number, x, descriptor, now, stored=fills.kept(state, key, fill))
    served = state.exchanges.get(number)
    if not isinstance(key, Relay) or served is None or fill.right:
        return
    early = fill.spool.first < served.first
    failure = transfers.rewind(state, key, served.first, now) if early else None
    if failure is not None:
        fills.drop(state, key)
        reason = problems.problem(failure, fill.repository, content).message
        exchanges.abort(state, number, reason, Blame.UPSTREAM, now)


def from_head(state: State, number: int, x: Exchange, now: Time) -> bool:
    """From upstream's HEAD alone, if it said how long the content is."""
    descriptor = x.probed or x.descriptor
    if descriptor is None or descriptor.size is None or not descriptor.media_type:
        return False
    _answer(state, number, x, descriptor, now)
    return True


def bodiless(x: Exchange, content: Content) -> bool:
    """Whether the answer is all head: nothing need be fetched for it."""
    if x.pull.method is Method.HEAD:
        return True
    return conditions.not_modified(x.pull.if_none_match, content.digest)


def tags_page(
    state: State, number: int, x: Exchange, target: TagsRef, content: Content, now: Time
) -> None:
    """The page that is wanted of a list that is held whole."""
    blob, fill = blobs.stored(state, content), state.fills.get(content)
    document, stored = None, False
    if blob is not None:
        blobs.touch(state, content.digest, now)
        document = blob.document
    elif fill is not None:
        document = fill.document
        # What is held although it could not be confirmed came for an earlier pull.
        stored = not x.stale and fills.kept(state, content, fill)
    if document is None or document.tags is None:
        give_up(state, number, x, problems.UNKEPT, now)
        return
    names, more = listings.part(document.tags, x.pull.page)
    decision = _decision(x, _ttl(state, x, now), stored=stored)
    head = AnswerHead(200, decision, age=_age(x, now), tags=names, more=more)
    _complete(state, number, x, head, now)


def catalog(state: State, number: int, x: Exchange, target: Catalog, now: Time) -> None:
    """The repositories of which anything may be served to everybody."""
    held = {r for holders in state.grants.values() for r in holders if r.authority is None}
    names = tuple(sorted({_name(state, r) for r in held}))
    count = CATALOG_PAGE if target.n is None else target.n
    page, more = listings.part(names, Page(count, target.last))
    head = AnswerHead(200, _decision(x), repositories=page, more=more)
    _complete(state, number, x, head, now)


def welcome(state: State, number: int, x: Exchange, now: Time) -> None:
    """Upstream would let the client in."""
    _complete(state, number, x, AnswerHead(200, _decision(x)), now)


def give_up(state: State, number: int, x: Exchange, failure: Failure, now: Time) -> None:
    """What upstream said, or did not say, is all that there is."""
    target = x.pull.target
    assert not isinstance(target, Catalog)
    resource = target.content if isinstance(target, ByDigest) else target
    problem = problems.problem(failure, target.repository, resource)
    refuse(state, number, evolve(x, fwd_status=failure.status), problem, now)


def refuse(state: State, number: int, x: Exchange, problem: Problem, now: Time) -> None:
    head = AnswerHead(problem.status, _decision(evolve(x, stale=False)), problem=problem)
    _complete(state, number, x, head, now)


def hold_back(
    state: State,
    number: int,
    x: Exchange,
    repository: Repository,
    content: Content,
    held: cooldown.Hold,
    now: Time,
) -> None:
    cooldown.note(state, repository, content, held)
    problem = cooldown.problem(repository, content, held)
    refuse(state, number, evolve(x, cooling=True), problem, now)


def _complete(state: State, number: int, x: Exchange, head: AnswerHead, now: Time) -> None:
    """An answer without content."""
    state.emit(Respond(number, head))
    state.emit(Finish(number))
    state.exchanges[number] = x
    exchanges.close(state, number, now)


def _ttl(state: State, x: Exchange, now: Time) -> int | None:
    """Seconds for which what was confirmed is fresh, or, negative, has not been."""
    if x.checked is None:
        return None
    target = x.pull.target
    assert not isinstance(target, Catalog)
    lifetime = state.config.upstreams[target.repository.upstream].tag_ttl
    if not (x.stale or lifetime):
        return None
    return int(lifetime - freshness.age(x.checked, now))


def _decision(x: Exchange, ttl: int | None = None, *, stored: bool = False) -> Decision:
    if x.fwd is None:
        return Decision(Outcome.HIT, ttl=ttl, stale_if_error=x.stale, cooling=x.cooling)
    why, status, joined = x.fwd, x.fwd_status, x.collapsed
    return Decision(Outcome.FWD, why, status, joined, stored, ttl, x.stale, x.cooling)


def _answer(
    state: State,
    number: int,
    x: Exchange,
    descriptor: Descriptor,
    now: Time,
    *,
    stored: bool = False,
    reading: Digest | None = None,
) -> None:
    """The head for content that is there, or coming; then its body. `reading`: from there."""
    pull = x.pull
    size = descriptor.size
    digest = descriptor.content.digest
    ttl = _ttl(state, x, now)
    head = AnswerHead(
        200,
        _decision(x, ttl, stored=stored),
        size,
        descriptor,
        age=_age(x, now),
        listed=_listed(state, x) if descriptor.content.kind is Kind.LISTING else None,
    )
    if conditions.not_modified(pull.if_none_match, digest):
        _complete(state, number, x, evolve(head, status=304, length=0), now)
        return
    if pull.method is Method.HEAD:
        _complete(state, number, x, head, now)
        return
    span = None
    ranged = descriptor.content.kind is Kind.BLOB
    if size is not None and ranged and conditions.range_applies(pull.if_range, digest):
        span = ranges.select(pull.ranges, size)
    if isinstance(span, ranges.Unsatisfiable):
        beyond = Problem(416, Code.SIZE_INVALID, f"the content has {size} bytes")
        decision = evolve(head.decision, stored=False)
        head = evolve(head, status=416, decision=decision, length=0, size=size, problem=beyond)
        _complete(state, number, x, head, now)
        return
    first, stop = (0, size) if span is None else (span.start, span.stop)
    if span is not None:
        head = evolve(head, status=206, length=stop and stop - first, size=size, span=span)
    state.emit(Respond(number, head))
    exchanges.answered(state, number, x, first, stop, reading)
    exchanges.pump(state, number, now)


def _tell_of_members(
    state: State, x: Exchange, content: Content, document: Document | None
) -> None:
    target = x.pull.target
    assert not isinstance(target, Catalog)
    if content.kind is Kind.MANIFEST:
        assert document is not None, "it is served once it has been read"
        cooldown.served(state, target.repository, content.digest, document)


def _chunked(x: Exchange) -> bool:
    """Whether the whole may be sent although its length is not known."""
    return x.pull.chunked and x.pull.method is Method.GET and not x.pull.ranges


def _age(x: Exchange, now: Time) -> int | None:
    return None if x.checked is None else int(freshness.age(x.checked, now))


def _listed(state: State, x: Exchange) -> Listed | None:
    """What came with the list under this pull's own reference, whoever else's bytes it shares."""
    target = x.pull.target
    tag = None if isinstance(target, ByDigest | Catalog | Ping) else state.tags.get(target)
    return None if tag is None else tag.listed


def _name(state: State, repository: Repository) -> str:
    """As a client of this cache spells it."""
    only = len(state.config.upstreams) == 1
    return repository.name if only else f"{repository.upstream}/{repository.name}"
