"""From what went wrong to what the client is told.

The rule of the house: 404 only when upstream said 404, 401 and 403 only when upstream refused,
429 when upstream limits, 502 when it is unreachable or broken, 504 when it was too slow.
"""

from attrs import frozen

from .effects import Code, Problem
from .events import Cause, Challenge, UpstreamHead
from .oci import Content, Kind, Reference, ReferrersRef, Repository, TagsRef
from .pull import Ping

RETRY_AFTER = 10
"""Seconds to wait, where upstream limits without saying how long."""


@frozen
class Failure:
    """Why something could not be had. `status` is upstream's (or its token service's) answer;
    `cause` why there was none; `fault` our finding about an answer that is no good;
    `challenge` what the client itself must answer. `elsewhere`: a mirror's fault, which is
    passed over from now on, so another place may do better."""

    status: int | None = None
    cause: Cause | None = None
    retry_after: int | None = None
    fault: str | None = None
    challenge: Challenge | None = None
    elsewhere: bool = False

    @property
    def definite(self) -> bool:
        """Upstream answered the question (absent, or not for us): nothing older may be used."""
        return self.status in (401, 403, 404, 410)

    @property
    def absent(self) -> bool:
        return self.status in (404, 410)


OFFLINE = Problem(503, Code.UNAVAILABLE, "not held, and this cache is set to work offline")
DRAINING = Problem(503, Code.UNAVAILABLE, "the cache is shutting down", retry_after=5)
TOO_SLOW = Failure(cause=Cause.TIMEOUT)
SHORT = Failure(fault="a body shorter or longer than announced")
WRONG_DIGEST = Failure(fault="content that does not match its digest")
NOT_A_DOCUMENT = Failure(fault="something that is not a manifest or listing")
NOT_ASKED = Failure(fault="nothing, being not asked")
"""The cache has been taken offline meanwhile."""
NO_TOKEN = Failure(fault="neither a token nor a refusal")
INCOMPLETE = Failure(fault="a list whose pages cannot all be had")
UNKEPT = Failure(fault="a list that cannot be kept")
WRONG_RANGE = Failure(fault="another range than asked for")


def refusal(head: UpstreamHead, have: int) -> Failure | None:
    """Why a head brings no content; `have`: bytes that are there. Who asks on behalf of somebody
    who may not have them must not be answered otherwise than who fetches."""
    if head.status == 416 or (head.status == 206 and head.start != have):
        return WRONG_RANGE
    if head.status not in (200, 206):
        return Failure(head.status, retry_after=head.retry_after)
    return None


def problem(
    failure: Failure, repository: Repository, resource: Reference | Content | Ping
) -> Problem:
    """The answer for a client that waited for `resource`."""
    upstream = repository.upstream
    if failure is NOT_ASKED:
        return OFFLINE
    if failure.absent:
        return Problem(404, _unknown(resource), f"not found at {upstream}")
    match failure.status:
        case 401:
            text = f"{upstream} asks for authentication"
            return Problem(401, Code.UNAUTHORIZED, text, challenge=failure.challenge)
        case 403:
            return Problem(403, Code.DENIED, f"{upstream} denies access")
        case 429:
            wait = RETRY_AFTER if failure.retry_after is None else failure.retry_after
            return Problem(429, Code.TOOMANYREQUESTS, f"{upstream} limits our requests", wait)
    if failure.cause is Cause.TIMEOUT:
        return Problem(504, Code.UNAVAILABLE, f"{upstream} did not answer in time")
    return Problem(502, Code.UNAVAILABLE, f"{upstream} {_trouble(failure)}", failure.retry_after)


def said(failure: Failure) -> str | None:
    """Why upstream's answer is none, or no good. None: its status says all."""
    if failure.cause is Cause.TIMEOUT:
        return "did not answer in time"
    if failure.fault is None and failure.status is not None:
        return None
    return _trouble(failure)


def _unknown(resource: Reference | Content | Ping) -> Code:
    match resource:
        case TagsRef() | Ping():
            return Code.NAME_UNKNOWN
        case ReferrersRef():
            # Clients take 404 as "not supported" and use the tag schema; NAME_UNKNOWN would stop
            # oras there.
            return Code.UNSUPPORTED
        case Content(kind=Kind.BLOB):
            return Code.BLOB_UNKNOWN
    return Code.MANIFEST_UNKNOWN


def _trouble(failure: Failure) -> str:
    if failure.fault is not None:
        return f"sent {failure.fault}"
    if failure.status is not None:
        return f"answered {failure.status}"
    match failure.cause:
        case Cause.UNREACHABLE:
            return "cannot be reached"
        case Cause.REFUSED:
            return "led to a place that this cache may not follow"
        case Cause.TOO_LARGE:
            return "sent a document beyond the limit"
    return "broke off"
