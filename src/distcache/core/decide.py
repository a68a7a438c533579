"""What is done about a pull that waits: answered now, or let wait for the right thing.

Called when the pull arrives and again whenever what it waited for has changed. Reads all
machines, starts tag checks, probes and fills, and writes the one Decision that header, log
and metrics show.
"""

from . import (
    acceptance,
    blobs,
    conditions,
    cooldown,
    exchanges,
    fills,
    freshness,
    grants,
    listings,
    pings,
    problems,
    quota,
    ranges,
    tags,
)
from .blobs import Blob
from .decision import Decision, Fwd, Outcome
from .effects import AnswerHead, Code, Finish, Problem, Respond
from .exchanges import Exchange
from .fills import Fill
from .grants import OCTETS
from .oci import (
    Content,
    Descriptor,
    Digest,
    Document,
    Kind,
    Listed,
    Reference,
    Repository,
    TagsRef,
    Time,
)
from .problems import Failure
from .pull import ByDigest, Catalog, Method, Page, Ping
from .state import Look, News, Relay, State
from .tags import TagState
from .values import evolve

CATALOG_PAGE = 1000
"""Repositories of a catalog's page when the client names no number."""


def look(state: State, number: int, now: Time) -> None:
    """Decide about a WAITING exchange."""
    x = state.exchanges[number]
    target = x.pull.target
    if state.draining:
        _refuse(state, number, x, problems.DRAINING, now)
    elif isinstance(target, Catalog):
        _catalog(state, number, x, target, now)
    elif isinstance(target, Ping):
        _ping(state, number, x, target, now)
    elif isinstance(target, ByDigest):
        _by_digest(state, number, x, target, now)
    elif x.descriptor is not None and isinstance(target, TagsRef):
        _tags(state, number, x, target, x.descriptor.content, now)
    elif x.descriptor is not None:
        _resolved(state, number, x, target, x.descriptor, now)
    else:
        _reference(state, number, x, target, now)


def hear(state: State, number: int, news: News, now: Time) -> None:
    """What a WAITING exchange waited for has an outcome."""
    x = state.exchanges[number]
    if isinstance(news, Look):
        look(state, number, now)
        return
    target = x.pull.target
    assert not isinstance(target, Catalog)
    if isinstance(news, Failure):
        fail(state, number, news, now)
        return
    x = evolve(x, fwd_status=news.status, on=None)
    if isinstance(target, ByDigest):
        x = evolve(x, probed=news.descriptor)
    else:
        x = evolve(x, descriptor=news.descriptor, checked=now)
    state.exchanges[number] = x
    look(state, number, now)


def fail(state: State, number: int, failure: Failure, now: Time) -> None:
    """Upstream could not say, or said no: something older where policy lets it, else the
    truth."""
    x = state.exchanges[number]
    target = x.pull.target
    assert not isinstance(target, Catalog)
    if isinstance(target, Ping):
        _refuse(state, number, x, _told(failure, target.repository, target), now, failure)
        return
    if _come_meanwhile(state, x):
        why = Fwd.URI_MISS if x.fwd is Fwd.BYPASS else x.fwd
        state.exchanges[number] = evolve(x, on=None, fwd=why)
        look(state, number, now)
        return
    if isinstance(target, ByDigest):
        _refuse(state, number, x, _told(failure, target.repository, target.content), now, failure)
        return
    older = None if failure.definite or x.stale else tags.usable_on_error(state, target, now)
    if older is not None:
        descriptor, checked = older
        x = evolve(x, descriptor=descriptor, stale=True, checked=checked, on=None)
        state.exchanges[number] = evolve(x, fwd_status=failure.status)
        look(state, number, now)
        return
    _refuse(state, number, x, _told(failure, target.repository, target), now, failure)


def _come_meanwhile(state: State, x: Exchange) -> bool:
    """Whether what it waited for in vain (its own transfer, past a failing store) has reached
    the cache another way."""
    target = x.pull.target
    assert not isinstance(target, Catalog | Ping)
    if isinstance(target, ByDigest):
        content = target.content
    elif x.descriptor is not None:
        content = x.descriptor.content
    else:
        return False
    return fills.held(state, content) and _may(state, x, target.repository, content)


def _may(state: State, x: Exchange, repository: Repository, content: Content) -> bool:
    """Whether `repository` may serve it; a resolved reference is a grant of its own."""
    if x.descriptor is not None or x.probed is not None:
        return True
    fill = state.fills.get(content)
    # Of a transfer that upstream has not answered yet only itself may be served.
    said = fill is not None and (fill.status is not None or blobs.stored(state, content) is None)
    granted = said and fill is not None and repository in fill.granted
    granted = granted and not acceptance.over(state, repository)
    return granted or grants.granted(state, repository, content)


def _told(failure: Failure, repository: Repository, what: Reference | Content | Ping) -> Problem:
    return problems.problem(failure, repository, what)


def _reference(state: State, number: int, x: Exchange, reference: Reference, now: Time) -> None:
    tag = tags.lookup(state, reference, now)
    if tag is not None and tag.state is TagState.GONE:
        gone = problems.problem(Failure(404), reference.repository, reference)
        _refuse(state, number, x, gone, now)
        return
    if tag is not None and tag.descriptor is not None and tag.state is TagState.FRESH:
        state.exchanges[number] = evolve(x, descriptor=tag.descriptor, checked=tag.checked)
        look(state, number, now)
        return
    if state.config.offline:
        held = tag.descriptor if tag is not None else None
        if tag is None or held is None or not fills.held(state, held.content):
            _refuse(state, number, x, problems.OFFLINE, now)
            return
        x = evolve(x, descriptor=held, checked=tag.checked, stale=True)
        state.exchanges[number] = x
        look(state, number, now)
        return
    if (
        tag is not None
        and tag.state is TagState.STALE
        and _spared(state, number, x, reference, now)
    ):
        return
    known = tag is not None and tag.descriptor is not None
    joined = tags.check(state, number, reference, now)
    x = evolve(x, fwd=Fwd.STALE if known else Fwd.URI_MISS)
    if isinstance(joined, Failure):
        state.exchanges[number] = x
        fail(state, number, joined, now)
    else:
        exchanges.wait(state, number, evolve(x, collapsed=joined), reference, now)


def _spared(state: State, number: int, x: Exchange, reference: Reference, now: Time) -> bool:
    """Answer with what is held because upstream is not to be asked now."""
    older = tags.usable_on_error(state, reference, now)
    if older is None or not quota.spares(state, reference.repository.upstream, older[1], now):
        return False
    descriptor, checked = older
    state.exchanges[number] = evolve(x, descriptor=descriptor, checked=checked, stale=True)
    look(state, number, now)
    return True


def _tags(
    state: State, number: int, x: Exchange, target: TagsRef, content: Content, now: Time
) -> None:
    """The page that is wanted of a list that is held whole."""
    blob, fill = blobs.stored(state, content), state.fills.get(content)
    document = fill.document if fill is not None else None
    if blob is not None:
        blobs.touch(state, content.digest, now)
        document = blob.document
    if document is None or document.tags is None:
        problem = _told(problems.UNKEPT, target.repository, target)
        _refuse(state, number, x, problem, now, problems.UNKEPT)
        return
    names, more = listings.part(document.tags, x.pull.page)
    # What is held although it could not be confirmed came for an earlier pull.
    came = blob is None and not x.stale
    stored = came and fill is not None and fills.kept(state, content, fill)
    head = AnswerHead(
        200, _decision(state, x, now, stored=stored), age=_age(x, now), tags=names, more=more
    )
    _complete(state, number, x, head, now)


def _by_digest(state: State, number: int, x: Exchange, target: ByDigest, now: Time) -> None:
    """Upstream must say that it has a manifest before that is known, and its cool-down begins."""
    repository, content = target.repository, target.content
    if x.probed is not None:
        cooldown.see(state, repository, content, now)
    held = _held_back(state, x, repository, content, now)
    # What is held although its age has been forgotten was served before.
    if held is None or (held.since is None and _come_meanwhile(state, x)):
        _content(state, number, x, repository, content, now)
    elif held.since is not None:
        _hold_back(state, number, x, repository, content, held, now)
    elif state.config.offline:
        _refuse(state, number, x, problems.OFFLINE, now)
    else:
        x = evolve(x, fwd=_why(x, None))
        joined = grants.probe(state, number, target, now)
        _await(state, number, x, joined, target, now)


def _resolved(
    state: State, number: int, x: Exchange, target: Reference, descriptor: Descriptor, now: Time
) -> None:
    """What a reference resolved to; while that is too new, what it was before."""
    repository, content = target.repository, descriptor.content
    cooldown.see(state, repository, content, now)
    held = _held_back(state, x, repository, content, now)
    if held is None:
        _content(state, number, x, repository, content, now)
        return
    older = tags.before(state, target)
    if older is None or _held_back(state, x, repository, older[0].content, now) is not None:
        _hold_back(state, number, x, repository, content, held, now)
        return
    cooldown.note(state, repository, content, held)
    x = evolve(x, descriptor=older[0], checked=older[1], cooling=True)
    state.exchanges[number] = x
    _content(state, number, x, repository, older[0].content, now)


def _held_back(
    state: State, x: Exchange, repository: Repository, content: Content, now: Time
) -> cooldown.Hold | None:
    """Who waits for content already was let through, whatever the policy is by now."""
    return None if x.on is not None else cooldown.hold(state, repository, content, now)


def _hold_back(
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
    _refuse(state, number, evolve(x, cooling=True), problem, now)


def _content(
    state: State, number: int, x: Exchange, repository: Repository, content: Content, now: Time
) -> None:
    """`content` under `repository`: from the store, from a transfer under way, or a new one."""
    relay = Relay(number, content)
    if relay in state.fills:
        _serve_filling(state, number, x, relay, now)
        return
    blob = blobs.stored(state, content)
    fill = state.fills.get(content)
    may = _may(state, x, repository, content)
    if may and blob is not None:
        if fill is not None and number in fill.readers:
            # The fill began while this was to be deleted, which then could not be done.
            exchanges.release(state, number, now)
            x = state.exchanges[number]
        _serve_stored(state, number, x, content, blob, now)
        return
    if may and fill is not None and number in fill.readers:
        _serve_filling(state, number, x, content, now)
        return
    if may and fill is not None and fill.right:
        joined = fills.join(state, number, repository, content, now)
        _await(state, number, x, joined, content, now)
        return
    if content.kind is Kind.LISTING:
        problem = _told(problems.UNKEPT, repository, content)
        _refuse(state, number, x, problem, now, problems.UNKEPT)
        return
    bodiless = _bodiless(x, content)
    if may and bodiless and _serve_described(state, number, x, now):
        return
    if state.config.offline:
        _refuse(state, number, x, problems.OFFLINE, now)
        return
    known = blob is not None or fill is not None
    described = x.probed is not None or x.descriptor is not None
    if (bodiless and not described) or (known and not may):
        if fill is not None and number in fill.readers:
            # What let it read along does not count any more.
            exchanges.release(state, number, now)
            x = state.exchanges[number]
        x = evolve(x, fwd=_why(x, None))
        joined = grants.probe(state, number, ByDigest(repository, content), now)
        _await(state, number, x, joined, ByDigest(repository, content), now)
        return
    x = evolve(x, fwd=_why(x, fill))
    joined = fills.join(state, number, repository, content, now)
    _await(state, number, x, joined, content, now)


def _await(
    state: State,
    number: int,
    x: Exchange,
    joined: Failure | bool,
    on: ByDigest | Content,
    now: Time,
) -> None:
    if isinstance(joined, Failure):
        state.exchanges[number] = x
        fail(state, number, joined, now)
        return
    collapsed = x.collapsed or (joined and x.fwd is not None)
    exchanges.wait(state, number, evolve(x, collapsed=collapsed), on, now)
    if joined and isinstance(on, Content):
        _serve_filling(state, number, state.exchanges[number], on, now)


def _why(x: Exchange, fill: Fill | None) -> Fwd:
    """The reason for asking upstream; what a tag's check was for stays the reason."""
    if x.fwd is not None and x.fwd is not Fwd.BYPASS:
        return x.fwd
    return Fwd.PARTIAL if fill is not None and fill.have else Fwd.URI_MISS


def _bodiless(x: Exchange, content: Content) -> bool:
    """Whether the answer is all head: nothing need be fetched for it."""
    if x.pull.method is Method.HEAD:
        return True
    return conditions.not_modified(x.pull.if_none_match, content.digest)


def _serve_stored(
    state: State, number: int, x: Exchange, content: Content, blob: Blob, now: Time
) -> None:
    blobs.touch(state, content.digest, now)
    kind = blob.document.media_type if blob.document and content.kind is not Kind.BLOB else OCTETS
    descriptor = Descriptor(content, blob.size, kind)
    _tell_of_members(state, x, content, blob.document)
    _answer(state, number, x, descriptor, now, reading=content.digest)


def _tell_of_members(
    state: State, x: Exchange, content: Content, document: Document | None
) -> None:
    target = x.pull.target
    assert not isinstance(target, Catalog)
    if content.kind is Kind.MANIFEST:
        cooldown.served(state, target.repository, content.digest, document)


def _serve_described(state: State, number: int, x: Exchange, now: Time) -> bool:
    """From upstream's HEAD alone, if it said how long the content is."""
    descriptor = x.probed or x.descriptor
    if descriptor is None or descriptor.size is None or not descriptor.media_type or x.stale:
        return False
    _answer(state, number, x, descriptor, now)
    return True


def _serve_filling(state: State, number: int, x: Exchange, key: Content | Relay, now: Time) -> None:
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
    if fill.spool.first < served.first and fills.rewind(state, key, served.first, now) is not None:
        fills.drop(state, key)
        exchanges.abort(state, number, now)


def _chunked(x: Exchange) -> bool:
    """Whether the whole may be sent although its length is not known."""
    return x.pull.chunked and x.pull.method is Method.GET and not x.pull.ranges


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
    head = AnswerHead(
        200,
        _decision(state, x, now, stored=stored),
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
    ranged = pull.ranges and descriptor.content.kind is Kind.BLOB
    if size is not None and ranged and conditions.range_applies(pull.if_range, digest):
        span = ranges.select(pull.ranges, size)
    if isinstance(span, ranges.Unsatisfiable):
        beyond = Problem(416, Code.SIZE_INVALID, f"the content has {size} bytes")
        decision = _decision(state, x, now, stored=False)
        head = AnswerHead(416, decision, 0, descriptor, size, problem=beyond, age=head.age)
        _complete(state, number, x, head, now)
        return
    first, stop = (0, size) if span is None else (span.start, span.stop)
    if span is not None:
        head = evolve(head, status=206, length=stop and stop - first, size=size, span=span)
    state.emit(Respond(number, head))
    exchanges.answered(state, number, x, first, stop, reading)
    exchanges.pump(state, number, now)


def _age(x: Exchange, now: Time) -> int | None:
    return None if x.checked is None else int(freshness.age(x.checked, now))


def _listed(state: State, x: Exchange) -> Listed | None:
    """What came with the list under this pull's own reference, whoever else's bytes it shares."""
    target = x.pull.target
    tag = None if isinstance(target, ByDigest | Catalog | Ping) else state.tags.get(target)
    return None if tag is None else tag.listed


def _complete(state: State, number: int, x: Exchange, head: AnswerHead, now: Time) -> None:
    """An answer without content."""
    state.emit(Respond(number, head))
    state.emit(Finish(number))
    state.exchanges[number] = x
    exchanges.close(state, number, now)


def _refuse(
    state: State,
    number: int,
    x: Exchange,
    problem: Problem,
    now: Time,
    failure: Failure | None = None,
) -> None:
    status = failure.status if failure else x.fwd_status
    x = evolve(x, fwd_status=status, stale=False, checked=None)
    head = AnswerHead(problem.status, _decision(state, x, now, stored=False), problem=problem)
    _complete(state, number, x, head, now)


def _decision(state: State, x: Exchange, now: Time, *, stored: bool) -> Decision:
    ttl = None
    target = x.pull.target
    if x.checked is not None and not isinstance(target, ByDigest | Catalog | Ping):
        lifetime = state.config.upstreams[target.repository.upstream].tag_ttl
        left = lifetime - freshness.age(x.checked, now)
        ttl = int(left) if x.stale or lifetime else None
    if x.fwd is None:
        return Decision(Outcome.HIT, ttl=ttl, stale_if_error=x.stale, cooling=x.cooling)
    why, status, joined = x.fwd, x.fwd_status, x.collapsed
    return Decision(Outcome.FWD, why, status, joined, stored, ttl, x.stale, x.cooling)


def _ping(state: State, number: int, x: Exchange, target: Ping, now: Time) -> None:
    """Who shows something is let through, and meets upstream at the next request."""
    shown = x.pull.authority is not None and x.pull.authority.authorization is not None
    greeting = None if shown else pings.known(state, target, now)
    if shown or (greeting is not None and greeting.challenge is None):
        _complete(state, number, x, AnswerHead(200, _decision(state, x, now, stored=False)), now)
    elif greeting is not None:
        login = _told(Failure(401, challenge=greeting.challenge), target.repository, target)
        _refuse(state, number, x, login, now)
    elif state.config.offline:
        _refuse(state, number, x, problems.OFFLINE, now)
    else:
        joined = pings.ask(state, number, target, now)
        x = evolve(x, fwd=Fwd.URI_MISS)
        if isinstance(joined, Failure):
            state.exchanges[number] = x
            fail(state, number, joined, now)
        else:
            exchanges.wait(state, number, evolve(x, collapsed=joined), target, now)


def _catalog(state: State, number: int, x: Exchange, target: Catalog, now: Time) -> None:
    held = {r for holders in state.grants.values() for r in holders if r.authority is None}
    names = tuple(sorted({_name(state, r) for r in held}))
    count = CATALOG_PAGE if target.n is None else target.n
    page, more = listings.part(names, Page(count, target.last))
    head = AnswerHead(200, _decision(state, x, now, stored=False), repositories=page, more=more)
    _complete(state, number, x, head, now)


def _name(state: State, repository: Repository) -> str:
    """As a client of this cache spells it."""
    only = len(state.config.upstreams) == 1
    return repository.name if only else f"{repository.upstream}/{repository.name}"
