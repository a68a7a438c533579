"""One thing asked of upstream, through challenges and redirects, up to the head that counts.

A call is what tags, probes and fills have in common: it knows how a repository wants to be
authenticated, sends the token it has the first time, follows redirects (never with the
Authorization of another origin), and takes a bounded number of detours. Its owner hears one
head or one failure; a body after that is the owner's affair.
"""

from enum import Enum

from attrs import frozen

from . import acceptance, challenges, mirrors, provenance, quota, tokens
from .effects import CancelFetch, Fetch, Forwarded, Spool, UpstreamRequest
from .events import Cause, Location, Secret, UpstreamHead
from .oci import Content, Reference, Repository, Time
from .problems import NOT_ASKED, Failure
from .pull import Method, Ping
from .state import Owner, State
from .tables import step
from .tokens import TokenKey
from .values import evolve

REDIRECTS = (301, 302, 303, 307, 308)
OURS = (Cause.NO_SPACE, Cause.STORE, Cause.CANCELLED)
"""Causes that are nobody's fault but this cache's."""


class CallState(Enum):
    PREPARED = "prepared"
    AUTHORIZING = "authorizing"
    ASKED = "asked"
    ANSWERED = "answered"

    __hash__ = object.__hash__


class CallInput(Enum):
    SENT = "sent"
    TOKEN_WANTED = "token-wanted"
    DETOUR = "detour"
    ANSWERED = "answered"

    __hash__ = object.__hash__


_S, _I = CallState, CallInput
TRANSITIONS = {
    (_S.PREPARED, _I.SENT): _S.ASKED,
    (_S.PREPARED, _I.TOKEN_WANTED): _S.AUTHORIZING,
    (_S.AUTHORIZING, _I.SENT): _S.ASKED,
    (_S.ASKED, _I.DETOUR): _S.PREPARED,
    (_S.ASKED, _I.ANSWERED): _S.ANSWERED,
}


@frozen(slots=False)
class Call:
    """`fetch` is the request under way, `token` the key its bearer token has, or will have.
    `challenges`, `hops` and `resent` bound the detours, `mirror` is who is asked. `page`: a
    further page of a list, which only who gave the one before has."""

    method: Method
    repository: Repository
    resource: Reference | Content | Ping
    spool: Spool | None = None
    offset: int = 0
    etag: str | None = None
    state: CallState = CallState.PREPARED
    fetch: int | None = None
    authorization: Secret | Forwarded | bool | None = None
    token: TokenKey | None = None
    location: Location | None = None
    challenges: int = 0
    hops: int = 0
    resent: bool = False
    mirror: int | None = None
    page: Location | None = None


Verdict = UpstreamHead | Failure | None
"""None: the call goes on by itself."""


def start(state: State, owner: Owner, call: Call, now: Time) -> Failure | None:
    """Begin; a failure when it is known at once that it cannot succeed."""
    assert owner not in state.calls, owner
    if call.repository.authority is None and call.page is None:
        first = mirrors.first(state, call.repository.upstream, now)
        if first is not None:
            call = evolve(call, mirror=first)
    failure = _send(state, owner, call, now)
    if failure is not None:
        del state.calls[owner]
    return failure


def on_head(state: State, owner: Owner, head: UpstreamHead, now: Time) -> Verdict:
    """What upstream's head means: the verdict for the owner, or a detour taken."""
    call = state.calls[owner]
    if call.mirror is None and call.repository.authority is None:
        check = not isinstance(call.resource, Content)
        quota.note(state, call.repository.upstream, head, now, check=check)
    if head.status == 401:
        return _or_next(state, owner, _challenged(state, owner, call, head, now), now)
    if head.status in REDIRECTS and head.location is not None:
        verdict = _redirected(state, owner, call, head.location, now)
        return _or_next(state, owner, verdict, now)
    provenance.answered(state, call, head.status, now)
    if call.mirror is not None:
        if not _serves(call, head):
            return _next(state, owner, Failure(head.status, retry_after=head.retry_after), now)
        mirrors.well(state, call.repository.upstream, call.mirror)
    state.calls[owner] = evolve(call, state=step(TRANSITIONS, call.state, CallInput.ANSWERED))
    return head


def on_failed(state: State, owner: Owner, cause: Cause, now: Time) -> Verdict:
    """The fetch is over. A request that died before its head may have met a connection that
    upstream was just closing: it is sent once more."""
    call = state.calls[owner]
    state.fetches.pop(call.fetch or 0, None)
    call = evolve(call, fetch=None)
    if call.state is CallState.ASKED and cause is Cause.CUT and not call.resent:
        again = step(TRANSITIONS, call.state, CallInput.DETOUR)
        return _send(state, owner, evolve(call, state=again, resent=True), now)
    state.calls[owner] = call
    failure = Failure(cause=cause)
    if cause in OURS:
        return failure
    provenance.failed(state, call, failure, now)
    if call.mirror is None:
        return failure
    if call.state is CallState.ASKED:
        return _next(state, owner, failure, now)
    # Its owner has had the head: it goes on by itself.
    return refuse(state, call, failure, now)


def on_token(state: State, owner: Owner, secret: Secret) -> Failure | None:
    """The token that the call waited for is there; it is used at once, however short-lived."""
    if state.config.offline:
        return NOT_ASKED
    call = state.calls[owner]
    _ask(state, owner, call, secret, call.token)
    return None


def on_refused(state: State, owner: Owner, failure: Failure, now: Time) -> Failure | None:
    """There is no token for it."""
    return _or_next(state, owner, failure, now)


def finish(state: State, owner: Owner) -> None:
    """The owner has what it needs, or gives up."""
    call = state.calls.pop(owner, None)
    if call is None:
        return
    if call.fetch is not None:
        del state.fetches[call.fetch]
        state.emit(CancelFetch(call.fetch))
    elif call.token is not None:
        tokens.leave(state, call.token, owner)


def ended(state: State, owner: Owner) -> Call:
    """The fetch has said FetchEnded: nothing is left to cancel."""
    call = state.calls.pop(owner)
    del state.fetches[call.fetch or 0]
    return call


def refuse(state: State, call: Call, failure: Failure, now: Time) -> Failure:
    """What came is no good, or not all of it came: a mirror is then at fault."""
    provenance.failed(state, call, failure, now)
    if call.mirror is None:
        return failure
    mirrors.failed(state, call.repository.upstream, call.mirror, now, failure.retry_after)
    return evolve(failure, elsewhere=True)


def _send(state: State, owner: Owner, call: Call, now: Time) -> Failure | None:
    """Ask, or wait for a token; a failure when neither can be."""
    state.calls[owner] = call
    if state.config.offline:
        return NOT_ASKED
    abroad = call.location is not None and not call.location.same_origin
    if call.repository.authority is not None:
        own = None if abroad else acceptance.authorization(state, call.repository)
        _ask(state, owner, call, None if own is None else Forwarded(own))
        return None
    challenge = state.schemes.get((call.repository, call.mirror))
    if challenge is None or abroad:
        _ask(state, owner, call, None)
        return None
    if not challenge.bearer:
        _ask(state, owner, call, True)
        return None
    key = TokenKey(call.repository.upstream, challenge, call.mirror)
    known = tokens.want(state, key, owner, now)
    if isinstance(known, Failure):
        if call.mirror is not None:
            return _next(state, owner, known, now)
        return known
    if known is None:
        waits = step(TRANSITIONS, call.state, CallInput.TOKEN_WANTED)
        state.calls[owner] = evolve(call, state=waits, token=key)
        return None
    _ask(state, owner, call, known, key)
    return None


def _ask(
    state: State,
    owner: Owner,
    call: Call,
    authorization: Secret | Forwarded | bool | None,
    token: TokenKey | None = None,
) -> None:
    """`token`: the key of the one that is shown."""
    fetch = state.number()
    sent = step(TRANSITIONS, call.state, CallInput.SENT)
    state.calls[owner] = evolve(
        call, state=sent, fetch=fetch, authorization=authorization, token=token
    )
    state.fetches[fetch] = owner
    request = UpstreamRequest(
        call.method,
        call.repository,
        call.resource,
        call.location,
        authorization,
        call.offset,
        call.etag,
        call.mirror,
    )
    state.emit(Fetch(fetch, request, call.spool))


def _challenged(
    state: State, owner: Owner, call: Call, head: UpstreamHead, now: Time
) -> Failure | None:
    """Take one of the challenges, if one is left to take (at most `limits.challenges`)."""
    if call.repository.authority is not None:
        return Failure(status=401, challenge=challenges.offered(call, head))
    challenge = challenges.choose(state, call, head)
    refused = call.challenges >= state.limits.challenges or call.authorization is True
    if call.token is not None:
        assert isinstance(call.authorization, Secret)
        tokens.distrust(state, call.token, call.authorization)
    if challenge is None or refused:
        return Failure(status=401)
    challenges.remember(state, call, challenge)
    call = evolve(call, challenges=call.challenges + 1, location=call.page)
    return _detour(state, owner, call, now)


def _redirected(
    state: State, owner: Owner, call: Call, location: Location, now: Time
) -> Failure | None:
    if not location.allowed or call.hops >= state.limits.redirects:
        return Failure(cause=Cause.REFUSED)
    came_back = call.location is None or call.location.same_origin
    # Once away from the origin, a redirect within the new place is still away from it.
    target = evolve(location, same_origin=location.same_origin and came_back)
    return _detour(state, owner, evolve(call, location=target, hops=call.hops + 1), now)


def _detour(state: State, owner: Owner, call: Call, now: Time) -> Failure | None:
    assert call.fetch is not None
    del state.fetches[call.fetch]
    state.emit(CancelFetch(call.fetch))
    again = step(TRANSITIONS, call.state, CallInput.DETOUR)
    return _send(state, owner, evolve(call, state=again, fetch=None), now)


def _serves(call: Call, head: UpstreamHead) -> bool:
    """Whether a mirror has what was asked for, and says so in a way that was asked for; 416 is
    the range's fault."""
    if head.status == 304:
        return call.etag is not None
    return head.status == 200 or (head.status in (206, 416) and call.offset > 0)


def _or_next(state: State, owner: Owner, verdict: Failure | None, now: Time) -> Failure | None:
    """A mirror's failure is not the last word."""
    if verdict is None:
        return None
    call = state.calls[owner]
    provenance.failed(state, call, verdict, now)
    return verdict if call.mirror is None else _next(state, owner, verdict, now)


def _next(state: State, owner: Owner, failure: Failure, now: Time) -> Failure | None:
    """Ask the next place. A mirror that has not got it, or does not want us, is not ill."""
    call = state.calls[owner]
    upstream = call.repository.upstream
    assert call.mirror is not None
    if call.page is not None:
        # A list that breaks off is no list; its owner begins anew.
        return refuse(state, call, failure, now)
    if not failure.definite:
        mirrors.failed(state, upstream, call.mirror, now, failure.retry_after)
    if call.fetch is not None:
        state.fetches.pop(call.fetch, None)
        state.emit(CancelFetch(call.fetch))
    fresh = Call(call.method, call.repository, call.resource, call.spool, call.offset, call.etag)
    after = mirrors.after(state, upstream, call.mirror, now)
    return _send(state, owner, evolve(fresh, mirror=after), now)
