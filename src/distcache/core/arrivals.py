"""What upstream and its token services say, brought to whom it concerns: the machine that asked,
and who waits when that machine cannot go on.
"""

from typing import assert_never

from . import blobs, calls, checks, eviction, exchanges, fills, grants, pings, tokens, transfers
from .calls import CallState
from .decision import Fwd
from .effects import Blame, Level, Medium, Note, Spool
from .events import (
    BodySpooled,
    Cause,
    FetchEnded,
    FetchFailed,
    HeadReceived,
    Held,
    TokenGranted,
    TokenRefused,
    UpstreamHead,
)
from .exchanges import ExchangeState
from .fills import Fill
from .oci import Content, Time
from .problems import Failure, problem
from .pull import Ping, Probing
from .state import FillKey, Look, Owner, Relay, State
from .values import evolve

FILLS = (Content, Relay)

UNKNOWN_NEED = 64 * 1024 * 1024
"""Bytes to make room for, when a full disk stops a fill whose size is not known."""


def fetched(
    state: State,
    owner: Owner,
    event: HeadReceived | BodySpooled | FetchEnded | FetchFailed,
    now: Time,
) -> None:
    match event:
        case HeadReceived():
            verdict = calls.on_head(state, owner, event.head, now)
            if isinstance(verdict, Failure):
                _failed(state, owner, verdict, now)
            elif verdict is not None:
                _answered(state, owner, verdict, now)
        case BodySpooled():
            if isinstance(owner, Content | Relay):
                settle(state, owner, transfers.on_spooled(state, owner, event.length, now), now)
            elif not isinstance(owner, Probing | Ping):
                checks.on_spooled(state, owner, event.length)
        case FetchEnded():
            _ended(state, owner, event, now)
        case FetchFailed():
            _broke_off(state, owner, event.cause, now, event.held)
        case _:
            assert_never(event)


def token(state: State, event: TokenGranted | TokenRefused, now: Time) -> None:
    if isinstance(event, TokenGranted):
        owners = tokens.granted(state, event.request, event.token, event.expires_in, now)
        for owner in owners:
            unasked = calls.on_token(state, owner, event.token)
            if unasked is not None:
                _failed(state, owner, unasked, now)
        return
    failure = tokens.failure_of(event)
    for owner in tokens.refused(state, event.request, failure, now):
        verdict = calls.on_refused(state, owner, failure, now)
        if verdict is not None:
            _failed(state, owner, verdict, now)


def settle(state: State, key: FillKey, failure: Failure | None, now: Time) -> None:
    """A fill that cannot go on: abort who was promised bytes, tell who waits. Who came for
    another repository tries its own, and whom a mirror failed the next place: these may be
    better off."""
    if failure is None:
        if isinstance(key, Relay) and blobs.stored(state, key.content) is not None:
            exchanges.spare(state, key.content)
        return
    fill = fills.drop(state, key)
    reason = problem(failure, fill.repository, fills.content_of(key)).message
    for number in fill.readers:
        x = state.exchanges[number]
        if x.state is not ExchangeState.WAITING:
            exchanges.abort(state, number, reason, Blame.UPSTREAM, now)
            continue
        x = evolve(x, on=None, turns=x.turns + 1)
        state.exchanges[number] = x
        better = failure.elsewhere or fills.reads_along(state, number, fill)
        if better and x.turns <= state.limits.redispatch:
            state.wake((number,), Look())
        else:
            state.wake((number,), failure)


def _broke_off(
    state: State, owner: Owner, cause: Cause, now: Time, held: Held | None = None
) -> None:
    failure = calls.on_failed(state, owner, cause, now)
    if not isinstance(failure, Failure):
        return
    # A relay and a document have nothing on disk that could fail.
    if cause in (Cause.NO_SPACE, Cause.STORE) and isinstance(owner, Content):
        _store_failed(state, owner, cause, held, now)
    else:
        _failed(state, owner, failure, now)


def _answered(state: State, owner: Owner, head: UpstreamHead, now: Time) -> None:
    if isinstance(owner, FILLS):
        failure = transfers.on_answer(state, owner, head, now)
        if failure is not None:
            _failed(state, owner, failure, now)
    elif isinstance(owner, Probing):
        grants.on_answer(state, owner, head, now)
    elif isinstance(owner, Ping):
        pings.on_answer(state, owner, head, now)
    else:
        checks.on_answer(state, owner, head, now)


def _ended(state: State, owner: Owner, event: FetchEnded, now: Time) -> None:
    if state.calls[owner].state is CallState.ASKED:
        # A message that is over before its head has said anything.
        _broke_off(state, owner, Cause.CUT, now)
    elif isinstance(owner, Content | Relay):
        verdict = transfers.on_ended(state, owner, event.digest, event.document, now)
        settle(state, owner, verdict, now)
    else:
        assert not isinstance(owner, Probing | Ping), "it ends with its head"
        checks.on_ended(state, owner, event.digest, event.document, now)


def _failed(state: State, owner: Owner, failure: Failure, now: Time) -> None:
    if isinstance(owner, Content | Relay):
        settle(state, owner, transfers.cut(state, owner, failure, now), now)
    elif isinstance(owner, Probing):
        grants.on_failed(state, owner, failure, now)
    elif isinstance(owner, Ping):
        pings.on_failed(state, owner, failure, now)
    else:
        checks.on_failed(state, owner, failure, now)


def _store_failed(state: State, key: Content, cause: Cause, held: Held | None, now: Time) -> None:
    """The spool cannot grow. Make room and go on; where there is none to make, each reader
    gets a transfer of its own that keeps nothing."""
    fill = state.fills[key]
    need = UNKNOWN_NEED if fill.size is None else fill.size - fill.have
    full = cause is Cause.NO_SPACE
    if full and fill.attempts < state.limits.attempts and eviction.make_room(state, need, now):
        transfers.pause(state, key, now)
        return
    fields = (("digest", key.digest), ("fault", cause.value))
    state.emit(Note(Level.WARNING, "the store is failing: passing content through", fields))
    fill = fills.drop(state, key)
    for number in fill.readers:
        _relay(state, number, key, fill, held, now)


def _relay(
    state: State, number: int, content: Content, broken: Fill, held: Held | None, now: Time
) -> None:
    x = state.exchanges[number]
    started = x.state is not ExchangeState.WAITING
    first = x.credit or x.pos if started else 0
    after = held if first > x.first else None
    if after is None and first > x.first:
        exchanges.abort(state, number, "the store failed", Blame.STORE, now)
        return
    spool = Spool(state.number(), Medium.WINDOW, content.digest, first, after=after)
    key = Relay(number, content)
    size = broken.size if started else None
    fill = Fill(broken.repository, spool, size=size, readers=(number,))
    if not started:
        x = evolve(x, fwd=Fwd.BYPASS, collapsed=False)
    state.exchanges[number] = evolve(x, on=key)
    failure = fills.begin(state, key, fill, now)
    if failure is not None and started:
        reason = problem(failure, broken.repository, content).message
        exchanges.abort(state, number, reason, Blame.UPSTREAM, now)
    elif failure is not None:
        state.wake((number,), failure)
