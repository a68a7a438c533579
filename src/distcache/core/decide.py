"""What is done about a pull that waits: answered now, or let wait for the right thing.

Called when the pull arrives and again whenever what it waited for has changed. Reads all
machines, and starts tag checks, probes and fills; how an answer looks is `respond`'s.
"""

from . import (
    blobs,
    checks,
    cooldown,
    exchanges,
    fills,
    grants,
    pings,
    problems,
    quota,
    respond,
    rights,
    tags,
)
from .decision import Fwd
from .exchanges import Exchange
from .fills import Fill
from .oci import Content, Descriptor, Kind, Reference, Repository, TagsRef, Time
from .problems import Failure
from .pull import ByDigest, Catalog, Method, Ping, Probing
from .state import Look, News, Relay, State
from .tags import TagState
from .values import evolve


def look(state: State, number: int, now: Time) -> None:
    """Decide about a WAITING exchange."""
    x = state.exchanges[number]
    target = x.pull.target
    if state.draining:
        respond.refuse(state, number, x, problems.DRAINING, now)
    elif isinstance(target, Catalog):
        respond.catalog(state, number, x, target, now)
    elif isinstance(target, Ping):
        _ping(state, number, x, target, now)
    elif isinstance(target, ByDigest):
        _by_digest(state, number, x, target, now)
    elif x.descriptor is not None and isinstance(target, TagsRef):
        respond.tags_page(state, number, x, target, x.descriptor.content, now)
    elif x.descriptor is not None:
        _resolved(state, number, x, target, x.descriptor, now)
    else:
        _reference(state, number, x, target, now)


def hear(state: State, number: int, news: News, now: Time) -> None:
    """What a WAITING exchange waited for has an outcome."""
    if isinstance(news, Look):
        look(state, number, now)
        return
    x = state.exchanges[number]
    if isinstance(news, Failure):
        state.exchanges[number] = evolve(x, on=None)
        fail(state, number, news, now)
        return
    descriptor, status = news.descriptor, news.status
    if isinstance(x.pull.target, ByDigest):
        x = evolve(x, on=None, fwd_status=status, probed=descriptor)
    else:
        x = evolve(x, on=None, fwd_status=status, descriptor=descriptor, checked=now)
    state.exchanges[number] = x
    look(state, number, now)


def fail(state: State, number: int, failure: Failure, now: Time) -> None:
    """Upstream could not say, or said no: something older where policy lets it, else the
    truth."""
    x = state.exchanges[number]
    if rights.come_meanwhile(state, x):
        state.exchanges[number] = evolve(x, fwd=_why(x, None))
        look(state, number, now)
        return
    target = x.pull.target
    older = None
    if not isinstance(target, ByDigest | Catalog | Ping) and not failure.definite:
        older = tags.usable_on_error(state, target, now)
    if older is None:
        respond.give_up(state, number, x, failure, now)
        return
    descriptor, checked = older
    x = evolve(x, descriptor=descriptor, stale=True, checked=checked)
    state.exchanges[number] = evolve(x, fwd_status=failure.status)
    look(state, number, now)


def _reference(state: State, number: int, x: Exchange, reference: Reference, now: Time) -> None:
    tag = tags.lookup(state, reference, now)
    if tag is not None and tag.state is TagState.GONE:
        respond.give_up(state, number, x, Failure(404), now)
        return
    if tag is not None and tag.state is TagState.FRESH:
        state.exchanges[number] = evolve(x, descriptor=tag.descriptor, checked=tag.checked)
        look(state, number, now)
        return
    known = None if tag is None else tag.descriptor
    if state.config.offline:
        if tag is None or known is None or not fills.held(state, known.content):
            respond.refuse(state, number, x, problems.OFFLINE, now)
            return
        x = evolve(x, descriptor=known, checked=tag.checked, stale=True)
        state.exchanges[number] = x
        look(state, number, now)
        return
    if (
        tag is not None
        and tag.state is TagState.STALE
        and _spared(state, number, x, reference, now)
    ):
        return
    joined = checks.check(state, number, reference, now)
    fwd = Fwd.STALE if known is not None else Fwd.URI_MISS
    if isinstance(joined, Failure):
        state.exchanges[number] = evolve(x, fwd=fwd)
        fail(state, number, joined, now)
    else:
        x = evolve(x, fwd=fwd, collapsed=joined, on=reference)
        exchanges.wait(state, number, x, now)


def _spared(state: State, number: int, x: Exchange, reference: Reference, now: Time) -> bool:
    """Answer with what is held because upstream is not to be asked now."""
    upstream = reference.repository.upstream
    if not quota.told(state, upstream):
        return False
    older = tags.usable_on_error(state, reference, now)
    if older is None or not quota.spares(state, upstream, older[1], now):
        return False
    descriptor, checked = older
    state.exchanges[number] = evolve(x, descriptor=descriptor, checked=checked, stale=True)
    look(state, number, now)
    return True


def _by_digest(state: State, number: int, x: Exchange, target: ByDigest, now: Time) -> None:
    """Upstream must say that it has a manifest before that is known, and its cool-down begins."""
    repository, content = target.repository, target.content
    if x.probed is not None:
        cooldown.see(state, repository, content, now)
    held = rights.held_back(state, x, repository, content, now)
    # What is held although its age has been forgotten was served before.
    if held is None or (held.since is None and rights.come_meanwhile(state, x)):
        _content(state, number, x, repository, content, now)
    elif held.since is not None:
        respond.hold_back(state, number, x, repository, content, held, now)
    elif state.config.offline:
        respond.refuse(state, number, x, problems.OFFLINE, now)
    else:
        x = evolve(x, fwd=_why(x, None))
        probing = Probing(repository, content, Method.HEAD)
        joined = grants.probe(state, number, probing, now)
        _await(state, number, x, joined, probing, now)


def _resolved(
    state: State, number: int, x: Exchange, target: Reference, descriptor: Descriptor, now: Time
) -> None:
    """What a reference resolved to; while that is too new, what it was before."""
    repository, content = target.repository, descriptor.content
    cooldown.see(state, repository, content, now)
    held = rights.held_back(state, x, repository, content, now)
    if held is None:
        _content(state, number, x, repository, content, now)
        return
    older = tags.before(state, target)
    if older is None or rights.held_back(state, x, repository, older[0].content, now) is not None:
        respond.hold_back(state, number, x, repository, content, held, now)
        return
    cooldown.note(state, repository, content, held)
    x = evolve(x, descriptor=older[0], checked=older[1], cooling=True)
    _content(state, number, x, repository, older[0].content, now)


def _content(
    state: State, number: int, x: Exchange, repository: Repository, content: Content, now: Time
) -> None:
    """`content` under `repository`: from the store, from a transfer under way, or a new one."""
    relay = Relay(number, content)
    if relay in state.fills:
        respond.from_fill(state, number, x, relay, now)
        return
    blob = blobs.stored(state, content)
    fill = state.fills.get(content)
    may = rights.may(state, x, repository, content)
    reads = x.on == content
    if may and blob is not None:
        if reads:
            # The fill began while this was to be deleted, which then could not be done.
            exchanges.release(state, number, now)
            x = state.exchanges[number]
        respond.from_store(state, number, x, content, blob, now)
        return
    if may and reads:
        respond.from_fill(state, number, x, content, now)
        return
    if may and fill is not None and fill.right:
        joined = fills.join(state, number, repository, content, now)
        _await(state, number, x, joined, content, now)
        return
    if content.kind is Kind.LISTING:
        respond.give_up(state, number, x, problems.UNKEPT, now)
        return
    if reads:
        # What let it read along does not count any more.
        exchanges.release(state, number, now)
        x = state.exchanges[number]
    bodiless = respond.bodiless(x, content)
    if may and bodiless and respond.from_head(state, number, x, now):
        return
    if state.config.offline:
        respond.refuse(state, number, x, problems.OFFLINE, now)
        return
    probing = Probing(repository, content, Method.HEAD if bodiless else Method.GET)
    # Who asks again waits for what asks already, whatever others have got or lost meanwhile.
    asking = fill is not None and fill.status is None and fill.repository == repository
    known = blob is not None or fill is not None or probing in state.probes
    described = x.probed is not None or x.descriptor is not None
    if (bodiless and not described) or (known and not may and not asking):
        x = evolve(x, fwd=_why(x, None))
        joined = grants.probe(state, number, probing, now)
        _await(state, number, x, joined, probing, now)
        return
    x = evolve(x, fwd=_why(x, fill))
    joined = fills.join(state, number, repository, content, now)
    _await(state, number, x, joined, content, now)


def _await(
    state: State,
    number: int,
    x: Exchange,
    joined: Failure | bool,
    on: Probing | Content,
    now: Time,
) -> None:
    if isinstance(joined, Failure):
        state.exchanges[number] = x
        fail(state, number, joined, now)
        return
    collapsed = x.collapsed or (joined and x.fwd is not None)
    exchanges.wait(state, number, evolve(x, collapsed=collapsed, on=on), now)
    if joined and isinstance(on, Content):
        respond.from_fill(state, number, state.exchanges[number], on, now)


def _why(x: Exchange, fill: Fill | None) -> Fwd:
    """The reason for asking upstream; what a tag's check was for stays the reason."""
    if x.fwd is not None and x.fwd is not Fwd.BYPASS:
        return x.fwd
    return Fwd.PARTIAL if fill is not None and fill.have else Fwd.URI_MISS


def _ping(state: State, number: int, x: Exchange, target: Ping, now: Time) -> None:
    """Who shows something is let through, and meets upstream at the next request."""
    shown = x.pull.authority is not None and x.pull.authority.authorization is not None
    greeting = None if shown else pings.known(state, target, now)
    if shown or (greeting is not None and greeting.challenge is None):
        respond.welcome(state, number, x, now)
    elif greeting is not None:
        respond.give_up(state, number, x, Failure(401, challenge=greeting.challenge), now)
    elif state.config.offline:
        respond.refuse(state, number, x, problems.OFFLINE, now)
    else:
        joined = pings.ask(state, number, target, now)
        x = evolve(x, fwd=Fwd.URI_MISS)
        if isinstance(joined, Failure):
            state.exchanges[number] = x
            fail(state, number, joined, now)
        else:
            exchanges.wait(state, number, evolve(x, collapsed=joined, on=target), now)
