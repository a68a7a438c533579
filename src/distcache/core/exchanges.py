"""The Exchange machine: one client's pull, from the question to the last byte.

WAITING has sent nothing. Once the head is out the window `[first, stop)` is fixed and the
exchange is SENDING (one SendBody outstanding: the credit) or IDLE (nothing to send yet). It
is CLOSED, and its record gone, with Finish, Abort or ClientClosed.
"""

from enum import Enum

from attrs import frozen

from . import blobs, checks, fills, grants, pings
from .decision import Fwd
from .effects import Abort, Blame, Finish, SendBody, Source, Stored
from .oci import Content, Descriptor, Digest, Time
from .pull import Client, Ping, Probing, Pull, Span
from .state import FillKey, Look, Owner, Relay, State
from .tables import step
from .values import evolve


class ExchangeState(Enum):
    WAITING = "waiting"
    SENDING = "sending"
    IDLE = "idle"
    CLOSED = "closed"

    __hash__ = object.__hash__


class ExchangeInput(Enum):
    ANSWERED = "answered"
    SEND = "send"
    SENT = "sent"
    END = "end"
    UNSENT = "unsent"

    __hash__ = object.__hash__


_S, _I = ExchangeState, ExchangeInput
TRANSITIONS = {
    (_S.WAITING, _I.ANSWERED): _S.IDLE,
    (_S.WAITING, _I.END): _S.CLOSED,
    (_S.IDLE, _I.SEND): _S.SENDING,
    (_S.IDLE, _I.END): _S.CLOSED,
    (_S.SENDING, _I.SENT): _S.IDLE,
    (_S.SENDING, _I.END): _S.CLOSED,
    (_S.SENDING, _I.UNSENT): _S.WAITING,
}


@frozen(slots=False)
class Exchange:
    """`on` is what it waits for or reads from; `descriptor` what its reference resolved to (a
    reference resolved once is not asked again); `probed` what a probe learnt. `stop` None:
    to the end, wherever that is. `turns` counts decisions taken anew. `fwd`, `fwd_status`,
    `collapsed`, `stale` and `cooling` go into the Decision. `client`: whose it is."""

    pull: Pull
    state: ExchangeState = ExchangeState.WAITING
    on: Owner | None = None
    descriptor: Descriptor | None = None
    probed: Descriptor | None = None
    reading: Digest | None = None
    first: int = 0
    stop: int | None = None
    pos: int = 0
    credit: int | None = None
    turns: int = 0
    fwd: Fwd | None = None
    fwd_status: int | None = None
    collapsed: bool = False
    stale: bool = False
    cooling: bool = False
    checked: Time | None = None
    client: Client | None = None


def wait(state: State, number: int, x: Exchange, now: Time) -> None:
    """Until what it waits `on` has news, or the time for an answer is up."""
    state.exchanges[number] = x
    key = ("answer", number)
    if key not in state.deadlines:
        state.deadlines.set(key, now + state.limits.answer)


def answered(
    state: State,
    number: int,
    x: Exchange,
    first: int,
    stop: int | None,
    reading: Digest | None,
) -> None:
    """The head is out: from now on it only streams, from a stored blob or from a fill."""
    after = step(TRANSITIONS, x.state, ExchangeInput.ANSWERED)
    state.deadlines.clear(("answer", number))
    if reading is not None:
        blobs.read(state, reading, +1)
    # How it came about has been told.
    state.exchanges[number] = evolve(
        x, state=after, reading=reading, first=first, stop=stop, pos=first, collapsed=False
    )


def pump(state: State, number: int, now: Time) -> None:
    """Send what can be sent, or end."""
    x = state.exchanges[number]
    if x.state is not ExchangeState.IDLE:
        return
    source, available, end = _source(state, x)
    stop = end if x.stop is None else x.stop
    if stop is not None and x.pos >= stop:
        state.emit(Finish(number))
        close(state, number, now)
        return
    if source is None:
        abort(state, number, "the content was lost while it was sent", Blame.STORE, now)
        return
    upto = available if stop is None else min(available, stop)
    if upto > x.pos:
        after = step(TRANSITIONS, x.state, ExchangeInput.SEND)
        state.exchanges[number] = evolve(x, state=after, credit=upto)
        state.emit(SendBody(number, source, Span(x.pos, upto)))


def sent(state: State, number: int, stop: int, now: Time) -> None:
    x = state.exchanges[number]
    assert x.credit == stop, (number, stop)
    after = step(TRANSITIONS, x.state, ExchangeInput.SENT)
    state.exchanges[number] = evolve(x, state=after, pos=stop, credit=None)
    pump(state, number, now)


def unsent(state: State, number: int, now: Time) -> None:
    """Nothing of the answer went out: it may be decided anew."""
    x = state.exchanges[number]
    after = step(TRANSITIONS, x.state, ExchangeInput.UNSENT)
    _let_go(state, number, x, now)
    state.exchanges[number] = Exchange(x.pull, after, turns=x.turns + 1, client=x.client)


def release(state: State, number: int, now: Time) -> None:
    """It no longer waits for what it waited for."""
    x = state.exchanges[number]
    _let_go(state, number, x, now)
    state.exchanges[number] = evolve(x, on=None)


def spare(state: State, content: Content) -> None:
    """It is in the store now: who waits for the next try of a transfer past the store, and has
    been sent no byte of the content, need not any more. Bytes of a transfer that was never right
    may be wrong: who has some goes on from the same transfer, whose digest tells in the end."""
    resting = [k for k, fill in state.fills.items() if fill.state is fills.FillState.BACKOFF]
    for key in resting:
        if not isinstance(key, Relay) or key.content != content:
            continue
        x = state.exchanges[key.exchange]
        if x.state is ExchangeState.WAITING:
            fills.drop(state, key)
            state.exchanges[key.exchange] = evolve(x, on=None, fwd=Fwd.URI_MISS)
            state.wake((key.exchange,), Look())
        elif x.pos == x.first and _as_promised(state, state.fills[key].size, content):
            fills.drop(state, key)
            publish(state, key.exchange, content.digest)
            state.wake((key.exchange,), Look())


def publish(state: State, number: int, digest: Digest) -> None:
    """What it is being sent from has become a stored blob."""
    x = state.exchanges[number]
    stop = state.blobs[digest].size if x.stop is None else x.stop
    state.exchanges[number] = evolve(x, on=None, reading=digest, stop=stop)
    blobs.read(state, digest, +1)


def detach(state: State, digest: Digest) -> None:
    """Who has been handed out all that it wants of a stored blob needs the blob no more: it has
    the file open, or finds that it is lost before anything has been sent."""
    for number, x in state.exchanges.items():
        if x.reading == digest and x.credit == x.stop:
            state.exchanges[number] = evolve(x, reading=None)
            blobs.read(state, digest, -1)


def drain(state: State) -> None:
    """No new ones from now on, and nothing goes on that nobody waits for."""
    state.draining = True
    for key in list(state.fills):
        fills.drop_if_unread(state, key)
    for asked, probe in list(state.probes.items()):
        if not probe.waiters:
            grants.drop(state, asked)


def lapse(state: State, owner: FillKey | Probing) -> None:
    """Nobody has come for whom it would go on."""
    if isinstance(owner, Probing):
        grants.drop(state, owner)
    else:
        fills.drop_if_unread(state, owner)


def abort(state: State, number: int, reason: str, blame: Blame, now: Time) -> None:
    state.emit(Abort(number, reason, blame))
    close(state, number, now)


def close(state: State, number: int, now: Time) -> None:
    """It ends: let go of everything it held or waited for."""
    x = state.exchanges.pop(number)
    step(TRANSITIONS, x.state, ExchangeInput.END)
    state.deadlines.clear(("answer", number))
    _let_go(state, number, x, now)


def _let_go(state: State, number: int, x: Exchange, now: Time) -> None:
    if x.reading is not None:
        blobs.read(state, x.reading, -1)
    match x.on:
        case Probing():
            grants.leave(state, x.on, number, now)
        case Ping():
            if x.on in state.pings:
                pings.leave(state, x.on, number)
        case Content() | Relay():
            if x.on in state.fills:
                fills.leave(state, x.on, number, now)
        case _:
            if x.on in state.tags:
                checks.leave(state, x.on, number)


def _as_promised(state: State, size: int | None, content: Content) -> bool:
    """Whether what is stored is as long as upstream said, if it did, when the head went out."""
    return size is None or size == state.blobs[content.digest].size


def _source(state: State, x: Exchange) -> tuple[Source | None, int, int | None]:
    """Where its bytes are, up to where they may be sent, and where they end. No source: it was
    lost while the last bytes went out."""
    if x.reading is not None:
        size = state.blobs[x.reading].size
        return Stored(x.reading), size, size
    if x.on is None:
        return None, 0, None
    assert isinstance(x.on, Content | Relay), x
    fill = state.fills[x.on]
    return fill.spool, fill.available, fill.size if fill.right else None
