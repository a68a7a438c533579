"""Grants: what a repository may serve, and the probe that asks upstream for one.

Bytes are stored once, by digest; the right to serve them is per repository. It comes from
upstream having served or confirmed the content under that repository, or from a manifest
that the repository may serve and that names it. Whoever knows a digest gains nothing by it.
"""

from enum import Enum

from attrs import frozen

from . import acceptance, blobs, calls
from .calls import Call
from .effects import Journal
from .events import UpstreamHead
from .inventory import GrantStored
from .oci import Content, Descriptor, Kind, Repository, Time
from .problems import Failure
from .pull import Method, Probing
from .state import Resolved, State
from .tables import step
from .values import evolve

OCTETS = "application/octet-stream"


class ProbeState(Enum):
    NONE = "none"
    HEAD = "head"
    GET = "get"

    __hash__ = object.__hash__


class ProbeInput(Enum):
    ASKED = "asked"
    WANTED = "wanted"
    UNHELPFUL = "unhelpful"

    __hash__ = object.__hash__


TRANSITIONS = {
    (ProbeState.NONE, ProbeInput.ASKED): ProbeState.HEAD,
    (ProbeState.NONE, ProbeInput.WANTED): ProbeState.GET,
    (ProbeState.HEAD, ProbeInput.ASKED): ProbeState.HEAD,
    (ProbeState.GET, ProbeInput.ASKED): ProbeState.GET,
    (ProbeState.HEAD, ProbeInput.UNHELPFUL): ProbeState.GET,
}

UNHELPFUL = (400, 403, 405, 501)
"""How registries refuse HEAD where they would answer GET."""


@frozen
class Probe:
    """A HEAD for content under a repository, for all who wait; a GET whose body nobody reads
    where the bytes are wanted, or HEAD is refused or tells no length."""

    state: ProbeState
    waiters: tuple[int, ...]


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
    before = asked.state if asked else ProbeState.NONE
    wanted = asked is None and key.method is Method.GET
    after = step(TRANSITIONS, before, ProbeInput.WANTED if wanted else ProbeInput.ASKED)
    waiters = asked.waiters if asked else ()
    state.probes[key] = Probe(after, (*waiters, exchange))
    if asked is not None:
        return True
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
        after = step(TRANSITIONS, asked.state, ProbeInput.UNHELPFUL)
        state.probes[key] = evolve(asked, state=after)
        again = Call(Method.GET, key.repository, key.content)
        failure = calls.start(state, key, again, now)
        if failure is not None:
            on_failed(state, key, failure)
        return
    calls.finish(state, key)
    if head.status != 200:
        on_failed(state, key, Failure(head.status, retry_after=head.retry_after))
        return
    del state.probes[key]
    grant(state, key.repository, key.content)
    # A manifest's type matters: without one, the manifest itself must be looked into.
    kind = OCTETS if key.content.kind is Kind.BLOB else head.media_type or ""
    descriptor = Descriptor(key.content, head.length, kind)
    state.wake(asked.waiters, Resolved(descriptor, head.status))


def on_failed(state: State, key: Probing, failure: Failure) -> None:
    calls.finish(state, key)
    state.wake(state.probes.pop(key).waiters, failure)


def leave(state: State, key: Probing, exchange: int) -> None:
    """The probe itself goes on: it is cheap, and may be wanted again."""
    asked = state.probes[key]
    state.probes[key] = evolve(asked, waiters=tuple(w for w in asked.waiters if w != exchange))
