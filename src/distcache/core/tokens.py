"""The Token machine: one bearer token per (upstream, realm, service, scope).

ABSENT has no record. One request serves all calls that wait; a refusal is remembered for
`negative_ttl`, so that a wrong password does not hammer the token service. A token never
serves another key, and it is the calls that make sure it never meets another origin.
"""

from enum import Enum

from attrs import frozen

from .effects import AcquireToken
from .events import Challenge, Secret, TokenRefused
from .oci import Time
from .problems import NO_TOKEN, Failure
from .state import Owner, State
from .tables import step
from .values import evolve


class TokenState(Enum):
    ABSENT = "absent"
    REQUESTED = "requested"
    VALID = "valid"
    REFUSED = "refused"

    __hash__ = object.__hash__


class TokenInput(Enum):
    WANTED = "wanted"
    GRANTED = "granted"
    DENIED = "denied"
    FAILED = "failed"
    EXPIRED = "expired"
    DISTRUSTED = "distrusted"

    __hash__ = object.__hash__


_S, _I = TokenState, TokenInput
TRANSITIONS = {
    (_S.ABSENT, _I.WANTED): _S.REQUESTED,
    (_S.REQUESTED, _I.WANTED): _S.REQUESTED,
    (_S.REQUESTED, _I.GRANTED): _S.VALID,
    (_S.REQUESTED, _I.DENIED): _S.REFUSED,
    (_S.REQUESTED, _I.FAILED): _S.ABSENT,
    (_S.VALID, _I.WANTED): _S.VALID,
    (_S.VALID, _I.EXPIRED): _S.ABSENT,
    (_S.VALID, _I.DISTRUSTED): _S.ABSENT,
    (_S.REFUSED, _I.WANTED): _S.REFUSED,
    (_S.REFUSED, _I.EXPIRED): _S.ABSENT,
}


@frozen
class TokenKey:
    upstream: str
    challenge: Challenge
    mirror: int | None = None


@frozen
class Token:
    """`waiters` wait while REQUESTED under `request`; `until` ends VALID and REFUSED."""

    state: TokenState
    request: int | None = None
    waiters: tuple[Owner, ...] = ()
    secret: Secret | None = None
    failure: Failure | None = None
    until: Time = 0.0


def want(state: State, key: TokenKey, owner: Owner, now: Time) -> Secret | Failure | None:
    """The token, or why there is none; None: `owner` will hear of it."""
    token = state.tokens.get(key)
    if token is not None and token.until <= now and token.request is None:
        _end(state, key, token, TokenInput.EXPIRED)
        token = None
    token = token or Token(TokenState.ABSENT)
    after = step(TRANSITIONS, token.state, TokenInput.WANTED)
    if after is not TokenState.REQUESTED:
        return token.secret or token.failure
    request = token.request
    if request is None:
        request = state.number()
        state.requests[request] = key
        state.emit(AcquireToken(request, key.upstream, key.challenge, key.mirror))
    state.tokens[key] = Token(after, request, (*token.waiters, owner))
    return None


def granted(
    state: State, request: int, secret: Secret, expires_in: float, now: Time
) -> tuple[Owner, ...]:
    """Store it; the owners that waited for it."""
    key, token = _answered(state, request)
    until = now + max(expires_in - state.limits.token_margin, 0.0)
    state.tokens[key] = Token(
        step(TRANSITIONS, token.state, TokenInput.GRANTED), secret=secret, until=until
    )
    state.deadlines.set(key, until)
    return token.waiters


def failure_of(refusal: TokenRefused) -> Failure:
    """A token service knows who may come in and how often; nothing else that it says is
    upstream's word on content."""
    status = refusal.status
    if status is None or status in (401, 403, 429) or status >= 500:
        return Failure(status, refusal.cause, refusal.retry_after)
    return NO_TOKEN


def refused(state: State, request: int, failure: Failure, now: Time) -> tuple[Owner, ...]:
    """The owners that must now fail."""
    key, token = _answered(state, request)
    if failure.status not in (401, 403):
        _end(state, key, token, TokenInput.FAILED)
        return token.waiters
    until = now + state.config.upstreams[key.upstream].negative_ttl
    after = step(TRANSITIONS, token.state, TokenInput.DENIED)
    state.tokens[key] = Token(after, failure=failure, until=until)
    state.deadlines.set(key, until)
    return token.waiters


def distrust(state: State, key: TokenKey, secret: Secret) -> None:
    """Upstream refused this token: forget it, unless another has taken its place."""
    token = state.tokens.get(key)
    if token is not None and token.secret == secret:
        _end(state, key, token, TokenInput.DISTRUSTED)


def expire(state: State, key: TokenKey) -> None:
    """Its deadline has come: only what ends, VALID or REFUSED, has one."""
    _end(state, key, state.tokens[key], TokenInput.EXPIRED)


def leave(state: State, key: TokenKey, owner: Owner) -> None:
    """`owner` no longer waits. The request goes on: its token will be wanted again."""
    token = state.tokens.get(key)
    if token is not None:
        rest = tuple(o for o in token.waiters if o != owner)
        state.tokens[key] = evolve(token, waiters=rest)


def _answered(state: State, request: int) -> tuple[TokenKey, Token]:
    key = state.requests.pop(request)
    return key, state.tokens[key]


def _end(state: State, key: TokenKey, token: Token, put: TokenInput) -> None:
    step(TRANSITIONS, token.state, put)
    state.tokens.pop(key, None)
    state.deadlines.clear(key)
