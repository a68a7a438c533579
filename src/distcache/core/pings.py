"""The Ping machine: how an upstream greets, for clients that must log in there themselves.

Docker and containers/image ask `/v2/` first and take the challenge that they meet there.
Where a client's own authority counts, that must be upstream's challenge.
"""

from enum import Enum

from attrs import frozen

from . import calls
from .calls import Call
from .events import Challenge, UpstreamHead
from .oci import Time
from .problems import Failure
from .pull import Method, Ping
from .state import Look, State
from .tables import step
from .values import evolve


class PingState(Enum):
    UNKNOWN = "unknown"
    ASKED = "asked"
    KNOWN = "known"

    __hash__ = object.__hash__


class PingInput(Enum):
    ASK = "ask"
    TOLD = "told"
    FAILED = "failed"
    LAPSED = "lapsed"

    __hash__ = object.__hash__


_S, _I = PingState, PingInput
TRANSITIONS = {
    (_S.UNKNOWN, _I.ASK): _S.ASKED,
    (_S.ASKED, _I.ASK): _S.ASKED,
    (_S.ASKED, _I.TOLD): _S.KNOWN,
    (_S.ASKED, _I.FAILED): _S.UNKNOWN,
    (_S.KNOWN, _I.LAPSED): _S.UNKNOWN,
}


@frozen
class Greeting:
    """`challenge` None: upstream is open to all. `until` ends KNOWN."""

    state: PingState
    waiters: tuple[int, ...] = ()
    challenge: Challenge | None = None
    until: Time = 0.0


def known(state: State, ping: Ping, now: Time) -> Greeting | None:
    """What upstream said, while that counts."""
    greeting = state.pings.get(ping)
    if greeting is None or greeting.state is not PingState.KNOWN:
        return None
    if greeting.until <= now:
        step(TRANSITIONS, greeting.state, PingInput.LAPSED)
        del state.pings[ping]
        return None
    return greeting


def ask(state: State, exchange: int, ping: Ping, now: Time) -> Failure | bool:
    """Let `exchange` wait for upstream's word; True when it joined another."""
    greeting = state.pings.get(ping) or Greeting(PingState.UNKNOWN)
    running = greeting.state is PingState.ASKED
    after = step(TRANSITIONS, greeting.state, PingInput.ASK)
    state.pings[ping] = Greeting(after, (*greeting.waiters, exchange))
    if running:
        return True
    failure = calls.start(state, ping, Call(Method.GET, ping.repository, ping), now)
    if failure is not None:
        del state.pings[ping]
        return failure
    return False


def on_answer(state: State, ping: Ping, head: UpstreamHead, now: Time) -> None:
    calls.finish(state, ping)
    if head.status == 200:
        _told(state, ping, None, now)
    else:
        _failed(state, ping, Failure(head.status, retry_after=head.retry_after))


def on_failed(state: State, ping: Ping, failure: Failure, now: Time) -> None:
    """A challenge is what was asked for."""
    calls.finish(state, ping)
    if failure.challenge is None:
        _failed(state, ping, failure)
    else:
        _told(state, ping, failure.challenge, now)


def leave(state: State, ping: Ping, exchange: int) -> None:
    greeting = state.pings[ping]
    waiters = tuple(w for w in greeting.waiters if w != exchange)
    state.pings[ping] = evolve(greeting, waiters=waiters)


def _told(state: State, ping: Ping, challenge: Challenge | None, now: Time) -> None:
    greeting = state.pings[ping]
    after = step(TRANSITIONS, greeting.state, PingInput.TOLD)
    until = now + state.limits.greeting
    state.pings[ping] = Greeting(after, challenge=challenge, until=until)
    state.wake(greeting.waiters, Look())


def _failed(state: State, ping: Ping, failure: Failure) -> None:
    greeting = state.pings.pop(ping)
    step(TRANSITIONS, greeting.state, PingInput.FAILED)
    state.wake(greeting.waiters, failure)
