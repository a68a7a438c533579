"""Grants: what a repository may serve, and the probe that asks upstream for one.

Bytes are stored once, by digest; the right to serve them is per repository. It comes from
upstream having served or confirmed the content under that repository, or from a manifest
that the repository may serve and that names it. Whoever knows a digest gains nothing by it:
a probe asks as often as a fill that brings nothing, in the same way and at the same times, so
that neither the answer nor how long it takes tells what others hold.
"""

from enum import Enum

from attrs import frozen

from . import acceptance, blobs, calls, retry
from .calls import Call
from .effects import Journal
from .events import UpstreamHead
from .inventory import GrantStored
from .oci import Content, Descriptor, Kind, Repository, Time
from .problems import Failure, refusal
from .pull import Method, Probing
from .state import Resolved, State
from .tables import step
from .values import evolve

OCTETS = "application/octet-stream"


class ProbeState(Enum):
    NONE = "none"
    HEAD = "head"
    GET = "get"
    BACKOFF = "backoff"

    __hash__ = object.__hash__


class ProbeInput(Enum):
    ASKED = "asked"
    WANTED = "wanted"
    UNHELPFUL = "unhelpful"
    CUT = "cut"
    RETRY = "retry"

    __hash__ = object.__hash__


TRANSITIONS = {
    (ProbeState.NONE, ProbeInput.ASKED): ProbeState.HEAD,
    (ProbeState.NONE, ProbeInput.WANTED): ProbeState.GET,
    (ProbeState.HEAD, ProbeInput.ASKED): ProbeState.HEAD,
    (ProbeState.GET, ProbeInput.ASKED): ProbeState.GET,
    (ProbeState.HEAD, ProbeInput.UNHELPFUL): ProbeState.GET,
    (ProbeState.GET, ProbeInput.CUT): ProbeState.BACKOFF,
    (ProbeState.BACKOFF, ProbeInput.ASKED): ProbeState.BACKOFF,
    (ProbeState.BACKOFF, ProbeInput.RETRY): ProbeState.GET,
}

UNHELPFUL = (400, 403, 405, 501)
"""How registries refuse HEAD where they would answer GET."""


@frozen
class Probe:
    """A HEAD for content under a repository, for all who wait; a GET whose body nobody reads
    where the bytes are wanted, or HEAD is refused or tells no length. `attempts` counts GETs."""

    state: ProbeState
    waiters: tuple[int, ...]
    attempts: int = 1


def granted(state: State, repository: Repository, content: Content) -> bool:
    """Directly, or through a manifest that names it."""
    if repository in state.grants.get(content, ()):
        return True
    for parent in state.parents.get(content.digest, ()):
        if not granted(state, repository, Content(Kind.MANIFEST, parent)):
            continue
        manifest = blobs.stored(state, Content(Kind.MANIFEST, parent))
        document = manifest.document if manifest is not None else None
        if document is not None and any(c.content == content for c in document.children):
            return True
    return False


def grant(state: State, repository: Repository, content: Content) -> None:
    """Record it, while the content is stored; a fill carries its own grants until then."""
    if blobs.stored(state, content) is None:
        return
    holders = state.grants.get(content, frozenset())
    if repository in holders:
        return
    if repository.authority is None:
        state.grants[content] = holders | {repository}
        state.emit(Journal(GrantStored(repository, content)))
    elif acceptance.accept(state, repository, content):
        state.grants[content] = holders | {repository}


def probe(state: State, exchange: int, key: Probing, now: Time) -> Failure | bool:
    """Let `exchange` wait for upstream's word; True when another was waiting already."""
    asked = state.probes.get(key)
    if asked is not None:
        state.deadlines.clear((key, "linger"))
        after = step(TRANSITIONS, asked.state, ProbeInput.ASKED)
        state.probes[key] = evolve(asked, state=after, waiters=(*asked.waiters, exchange))
        return True
    put = ProbeInput.WANTED if key.method is Method.GET else ProbeInput.ASKED
    after = step(TRANSITIONS, ProbeState.NONE, put)
    state.probes[key] = Probe(after, (exchange,))
    failure = calls.start(state, key, Call(key.method, key.repository, key.content), now)
    if failure is not None:
        del state.probes[key]
        return failure
    return False


def on_answer(state: State, key: Probing, head: UpstreamHead, now: Time) -> None:
    asked = state.probes[key]
    vague = head.status == 200 and head.length is None
    if asked.state is ProbeState.HEAD and (vague or head.status in UNHELPFUL):
        calls.finish(state, key)
        _get(
            state,
            key,
            evolve(asked, state=step(TRANSITIONS, asked.state, ProbeInput.UNHELPFUL)),
            now,
        )
        return
    failure = refusal(head, 0)
    if failure is not None:
        on_failed(state, key, failure, now)
        return
    waiters = drop(state, key).waiters
    grant(state, key.repository, key.content)
    # A manifest's type matters: without one, the manifest itself must be looked into.
    kind = OCTETS if key.content.kind is Kind.BLOB else head.media_type or ""
    size = head.size if head.status == 206 else head.length
    state.wake(waiters, Resolved(Descriptor(key.content, size, kind), head.status))


def on_failed(state: State, key: Probing, failure: Failure, now: Time) -> None:
    """A GET is tried again as the transfer that it stands for would be."""
    asked = state.probes[key]
    wanted = asked.state is ProbeState.GET
    if not wanted or not retry.worthwhile(failure, asked.attempts, state.limits, begun=False):
        _give_up(state, key, failure)
        return
    calls.finish(state, key)
    attempts = asked.attempts + 1
    wait = retry.delay(key.content.digest, attempts, state.limits, failure.retry_after)
    after = step(TRANSITIONS, asked.state, ProbeInput.CUT)
    state.probes[key] = evolve(asked, state=after, attempts=attempts)
    state.deadlines.set((key, "retry"), now + wait)


def again(state: State, key: Probing, now: Time) -> None:
    """The wait is over."""
    asked = state.probes[key]
    _get(state, key, evolve(asked, state=step(TRANSITIONS, asked.state, ProbeInput.RETRY)), now)


def leave(state: State, key: Probing, exchange: int, now: Time) -> None:
    """Without anybody who waits it goes on for as long as an unread fill does: else who comes
    again would learn by it whether it is one."""
    asked = state.probes[key]
    waiters = tuple(w for w in asked.waiters if w != exchange)
    state.probes[key] = evolve(asked, waiters=waiters)
    if waiters:
        return
    if state.draining:
        drop(state, key)
    else:
        state.deadlines.set((key, "linger"), now + state.limits.linger)


def drop(state: State, key: Probing) -> Probe:
    """End it, whatever its state."""
    calls.finish(state, key)
    state.deadlines.clear((key, "retry"))
    state.deadlines.clear((key, "linger"))
    return state.probes.pop(key)


def _get(state: State, key: Probing, asked: Probe, now: Time) -> None:
    """Ask with GET."""
    state.probes[key] = asked
    failure = calls.start(state, key, Call(Method.GET, key.repository, key.content), now)
    if failure is not None:
        _give_up(state, key, failure)


def _give_up(state: State, key: Probing, failure: Failure) -> None:
    state.wake(drop(state, key).waiters, failure)
