"""What the World holds the core to: every effect is checked against what is true in the World.

A broken promise is one that no environment excuses. Those about single answers are here; that
nobody waits for ever, that nothing is left behind, and that a late event changes nothing are
with the World itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from distcache.core import effects as fx
from distcache.core import events as ev
from distcache.core.oci import Digest
from distcache.core.pull import ByDigest, Method

from .scene import D1, DOCUMENTS, PULLS, SECOND_PAGE, SIZES, TAG, TAGS, A, L, challenge, token
from .upstream import LOCATIONS

if TYPE_CHECKING:
    from .world import World

HOME = (LOCATIONS["home"].url, SECOND_PAGE.url)


class BrokenPromise(AssertionError):
    """The core did something that no environment excuses."""


class Promise(NamedTuple):
    """What a head promised of the body: the first byte, and how many if it said so."""

    body: bool
    first: int
    length: int | None
    size: int


class Client(NamedTuple):
    """What one exchange asked, was promised and got. `current`: what the tag was since it
    asked; `bad`: it was sent a byte that is wrong; `old`: the file it is being sent from is open,
    but no longer the one on disk."""

    pull: str
    current: frozenset[Digest]
    head: Promise | None = None
    out: fx.SendBody | None = None
    pos: int | None = None
    bad: bool = False
    old: bool = False


def respond(world: World, client: Client, head: fx.AnswerHead, number: int) -> Promise:
    """A head is right for what was asked, and for what upstream and policy say."""
    pull = PULLS[client.pull]
    target = pull.target
    if client.head is not None:
        raise BrokenPromise(f"{number} is answered twice: {head}")
    resource = target.content if isinstance(target, ByDigest) else target
    if head.status == 404 and resource not in world.said404:
        raise BrokenPromise(f"404 that upstream never said: {head}")
    if head.status in (200, 206):
        if isinstance(target, ByDigest) and target.repository not in world.vouched:
            raise BrokenPromise(f"served without a grant: {head}")
        if target == TAG:
            _fresh(world, client, head)
        if target == TAGS and head.tags != DOCUMENTS[L].tags:
            raise BrokenPromise(f"not the whole list: {head}")
        if not pull.chunked and head.length is None and pull.method is Method.GET:
            raise BrokenPromise(f"no length for a client that needs one: {head}")
    if target == TAG and head.status >= 429 and world.held is not None:
        raise BrokenPromise(f"an error although it is held: {head}")
    if head.status >= 429 and is_there(world, client):
        raise BrokenPromise(f"an error although it is stored: {head}")
    if pull.ranges and head.status == 200:
        raise BrokenPromise(f"200 for a range: {head}")
    if head.decision.stored and head.status != 304 and head.status > 206:
        raise BrokenPromise(f"an error that is said to be stored: {head}")
    made = head.repositories is not None or head.tags is not None
    body = pull.method is Method.GET and head.status in (200, 206) and not made
    size = SIZES[head.descriptor.content.digest] if head.descriptor else 0
    return Promise(body, head.span.start if head.span else 0, head.length, size)


def is_there(world: World, client: Client) -> bool:
    """Whether what was asked by its digest is stored, and known to be for who asked: in a world
    of one repository, where no grant can be lost with a manifest or in a kill."""
    target = PULLS[client.pull].target
    bound = world.bound
    if bound.kills or bound.stocked or "cousin" in bound.pulls or world.draining:
        return False
    if not isinstance(target, ByDigest) or target.repository != A:
        return False
    digest = target.content.digest
    return digest in world.disk and all(job.digest != digest for job in world.jobs)


def _fresh(world: World, client: Client, head: fx.AnswerHead) -> None:
    """Unmarked, it is what the tag was since the pull began, or within `tag_ttl`."""
    named = head.descriptor.content.digest if head.descriptor else D1
    if head.decision.stale_if_error or named in client.current:
        return
    if world.confirmed is not None:
        digest, at = world.confirmed
        if digest == named and world.now < at + world.bound.tag_ttl:
            return
    raise BrokenPromise(f"an old answer, unmarked: {head}")


def send(world: World, client: Client, effect: fx.SendBody) -> None:
    """The next bytes, once, from where they can be read."""
    head, source, span = client.head, effect.source, effect.span
    if head is None or client.out is not None:
        raise BrokenPromise(f"not its turn: {effect}")
    if span.start != (head.first if client.pos is None else client.pos):
        raise BrokenPromise(f"a gap or an overlap: {effect}")
    if span.stop <= span.start:
        raise BrokenPromise(f"nothing to send: {effect}")
    if head.length is not None and span.stop > head.first + head.length:
        raise BrokenPromise(f"more than was promised: {effect}")
    if isinstance(source, fx.Stored):
        if source.digest not in world.disk:
            raise BrokenPromise(f"not on disk: {effect}")
    elif source.number not in world.spools or source.number in world.discarded:
        raise BrokenPromise(f"sent after it was discarded: {effect}")
    elif len(world.spools[source.number]) < span.stop:
        raise BrokenPromise(f"not readable yet: {effect}")
    elif span.start < source.first:
        raise BrokenPromise(f"let go of already: {effect}")


def finish(client: Client, number: int) -> None:
    """All that was promised, and right."""
    head = client.head
    if head is None or client.out is not None:
        raise BrokenPromise(f"{number} finished too early")
    if not head.body:
        return
    sent = (head.first if client.pos is None else client.pos) - head.first
    wanted = head.size - head.first if head.length is None else head.length
    if sent != wanted:
        raise BrokenPromise(f"{number}: {sent} bytes of {wanted}")
    if client.bad and sent == head.size:
        raise BrokenPromise(f"{number}: a complete answer with wrong bytes")


def fetch(world: World, effect: fx.Fetch) -> None:
    """Nobody is shown what is not for them, and nothing is fetched twice at a time."""
    request, spool = effect.request, effect.spool
    shown = request.authorization
    abroad = request.location is not None and request.location.url not in HOME
    if shown is not None and abroad:
        raise BrokenPromise(f"credentials abroad: {effect}")
    if shown is True and world.bound.auth != "basic":
        raise BrokenPromise(f"a password that is not there: {effect}")
    if isinstance(shown, ev.Secret) and shown != token(challenge(request.repository)):
        raise BrokenPromise(f"another scope's token: {effect}")
    if request.location is not None and not request.location.allowed:
        raise BrokenPromise(f"goes where it may not: {effect}")
    if world.offline:
        raise BrokenPromise(f"asks upstream although offline: {effect}")
    if spool is None or spool.medium is fx.Medium.WINDOW:
        return
    if spool.number in world.discarded:
        raise BrokenPromise(f"fetched into what was discarded: {effect}")
    for other in world.fetches.values():
        same = other.request.resource == request.resource
        if same and other.spool is not None and other.spool.medium is not fx.Medium.WINDOW:
            raise BrokenPromise(f"fetched twice at a time: {effect}")
