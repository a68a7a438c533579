"""What the World holds the core to: every effect is checked against what is true in the World.

A broken promise is one that no environment excuses. Those about single answers are here; that
nobody waits for ever, that nothing is left behind, and that a late event changes nothing are
with the World itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from distcache.core import effects as fx
from distcache.core import events as ev
from distcache.core.oci import Content, Digest, TagRef, TagsRef
from distcache.core.pull import ByDigest, Method, Ping

from . import ages, health
from .clients import BrokenPromise, Client, Promise, wish
from .scene import (
    AUTHORITIES,
    D1,
    DOCUMENTS,
    GREETING,
    PULLS,
    SIZES,
    TAG,
    A,
    challenge,
    origin,
    token,
)

if TYPE_CHECKING:
    from .world import World

REMEMBERED, STRETCH = 300.0, 300.0
"""Seconds that a client's own authority is good for without upstream's word, and that a tag is
not asked about while little is left of the quota."""

LISTS = {
    "tags": (("latest", "other"), False),
    "few-tags": (("latest",), True),
    "last-tags": (("other",), False),
}
"""What each pull of a list is answered with, and whether more follows."""


def respond(world: World, client: Client, head: fx.AnswerHead, number: int) -> Promise:
    """A head is right for what was asked, and for what upstream and policy say."""
    pull = PULLS[client.pull]
    target = pull.target
    if client.head is not None:
        raise BrokenPromise(f"{number} is answered twice: {head}")
    if head.status == 404 and wish(client) not in world.said404:
        raise BrokenPromise(f"404 that upstream never said: {head}")
    if head.status < 400 or head.status == 416:
        _allowed(world, client, head)
    if head.status in (200, 206):
        if isinstance(target, TagRef):
            _fresh(world, client, head)
        if isinstance(target, TagsRef):
            _listed(client, head)
        if not pull.chunked and head.length is None and pull.method is Method.GET:
            raise BrokenPromise(f"no length for a client that needs one: {head}")
    if head.status >= 400 and head.status != 416:
        _refused(world, client, head)
    if world.bound.cool_down:
        ages.answers(world, client, head)
    if pull.ranges and head.status == 200:
        raise BrokenPromise(f"200 for a range: {head}")
    if head.decision.stored and head.status != 304 and head.status > 206:
        raise BrokenPromise(f"an error that is said to be stored: {head}")
    made = head.repositories is not None or head.tags is not None
    body = pull.method is Method.GET and head.status in (200, 206) and not made
    body = body and not isinstance(target, Ping)
    size = SIZES[head.descriptor.content.digest] if head.descriptor else 0
    return Promise(body, head.span.start if head.span else 0, head.length, size)


def _allowed(world: World, client: Client, head: fx.AnswerHead) -> None:
    """Upstream lets this repository's clients have it, and this client if that is what counts."""
    pull = PULLS[client.pull]
    target, authority = pull.target, pull.authority
    if isinstance(target, Ping):
        said = client.agreed or target.repository in world.agreed
        if not said and (authority is None or authority.authorization is None):
            raise BrokenPromise(f"who must log in is greeted as if not: {head}")
        return
    if isinstance(target, ByDigest) and target.repository not in world.vouched:
        raise BrokenPromise(f"served without a grant: {head}")
    repository = wish(client).repository
    if authority is None or client.agreed or repository is None:
        return
    agreed = world.agreed.get(repository)
    good = authority.expires is None or world.now < authority.expires
    if agreed is None or not good or world.now >= agreed + REMEMBERED:
        raise BrokenPromise(f"served without upstream's word on this client: {head}")
    world.sightings.happened.add("a client's own authority is remembered")


def _refused(world: World, client: Client, head: fx.AnswerHead) -> None:
    """No error for what is held; none but upstream's own word; and it says where to log in."""
    pull = PULLS[client.pull]
    age = world.now - world.words.get(world.held or D1, world.now)
    held = world.held is not None and age <= world.bound.stale_if_error
    if pull.target == TAG and head.status >= 429 and held:
        raise BrokenPromise(f"an error although it is held: {head}")
    if head.status >= 429 and is_there(world, client):
        raise BrokenPromise(f"an error although it is stored: {head}")
    health.refuses(world, client, head)
    told = head.problem.challenge if head.problem is not None else None
    repository = wish(client).repository
    if told is None or repository is None:
        return
    if pull.authority is None or told not in (GREETING, challenge(repository)):
        raise BrokenPromise(f"a challenge that is not for this client: {head}")


def _listed(client: Client, head: fx.AnswerHead) -> None:
    """The page that was asked for, of the whole list."""
    if (head.tags, head.more) != LISTS[client.pull]:
        raise BrokenPromise(f"not the page of the list: {head}")


def is_there(world: World, client: Client) -> bool:
    """Whether what was asked by its digest is stored, and known to be for who asked: in a world
    of one repository, where no grant can be lost with a manifest or in a kill."""
    target = PULLS[client.pull].target
    bound = world.bound
    lossy = bound.kills or bound.stocked or bound.wishes
    if lossy or "cousin" in bound.pulls or world.draining:
        return False
    if not isinstance(target, ByDigest) or target.repository != A:
        return False
    digest = target.content.digest
    return digest in world.disk and all(job.digest != digest for job in world.jobs)


def _fresh(world: World, client: Client, head: fx.AnswerHead) -> None:
    """Unmarked, it is what the tag was since the pull began, or within `tag_ttl`; marked, it is
    no older than policy allows, and upstream was asked unless there was a reason not to."""
    named = head.descriptor.content.digest if head.descriptor else D1
    own = PULLS[client.pull].target == TAG
    age = world.now - world.words[named] if own and named in world.words else None
    bound = world.bound
    if head.decision.stale_if_error:
        if world.offline or not own:
            return
        if age is not None and age > bound.stale_if_error:
            raise BrokenPromise(f"older than policy allows: {head}")
        if head.decision.fwd is None:
            _spared(world, age, head)
        return
    if head.decision.cooling:
        return  # `ages` says whether it may be
    fresh = own and named == world.said and age is not None and age < bound.tag_ttl
    if named not in client.current and not fresh and not (own and bound.immutable):
        raise BrokenPromise(f"an old answer, unmarked: {head}")


def _spared(world: World, age: float | None, head: fx.AnswerHead) -> None:
    """Upstream was not asked: it said so, or little is left of what it lets us ask."""
    low = world.bound.scarce and age is not None and age < STRETCH
    if world.now >= world.limited_until and not low:
        raise BrokenPromise(f"upstream might have been asked: {head}")
    world.sightings.happened.add("a check is spared: " + ("scarce" if low else "limited"))


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
    _shown(world, request)
    if request.location is not None and not request.location.allowed:
        raise BrokenPromise(f"goes where it may not: {effect}")
    if world.offline:
        raise BrokenPromise(f"asks upstream although offline: {effect}")
    if world.bound.immutable and request.resource == TAG and world.held is not None:
        raise BrokenPromise(f"asks about what never moves: {effect}")
    if spool is None or spool.medium is fx.Medium.WINDOW:
        return
    if spool.number in world.discarded:
        raise BrokenPromise(f"fetched into what was discarded: {effect}")
    for other in world.fetches.values():
        same = other.request.resource == request.resource
        if same and other.spool is not None and other.spool.medium is not fx.Medium.WINDOW:
            raise BrokenPromise(f"fetched twice at a time: {effect}")


def _shown(world: World, request: fx.UpstreamRequest) -> None:
    """What proves who we are goes only where it belongs: a password to upstream itself, a token
    to who gave it and for its scope, a client's own authority nowhere but to upstream."""
    shown, own, mirror = request.authorization, request.repository.authority, request.mirror
    if own is not None and mirror is not None:
        raise BrokenPromise(f"a mirror is asked for a client's own: {request}")
    if shown is None:
        return
    at = origin(mirror)
    if request.location is not None and not request.location.url.startswith(f"{at}/"):
        raise BrokenPromise(f"credentials abroad: {request}")
    if isinstance(shown, fx.Forwarded):
        if own is None or shown.authorization != AUTHORITIES[own].authorization:
            raise BrokenPromise(f"another client's authority: {request}")
    elif own is not None:
        raise BrokenPromise(f"the cache's own credential for a client's own: {request}")
    elif shown is True:
        if world.bound.auth != "basic" or mirror is not None:
            raise BrokenPromise(f"a password that is not for there: {request}")
    elif shown != token(challenge(request.repository, mirror)):
        raise BrokenPromise(f"another scope's token: {request}")


def ordered(world: World, order: ev.Forgotten | ev.Pinned | ev.Pruned) -> None:
    """What an operator's wish means for what is promised from then on."""
    match order:
        case ev.Pinned(what, keep):
            world.pins = world.pins | {what} if keep else world.pins - {what}
        case ev.Forgotten(what) if what in (TAG, A):
            world.held, world.said = None, None
            if world.quiet and not world.clients and not world.spools:
                # Else what is under way brings upstream's word.
                world.words = {}
                world.vouched -= {what} if what == A else frozenset()
                world.sightings.happened.add("what is forgotten must be asked for again")


def deletes(world: World, digest: Digest) -> None:
    """What an operator has pinned stays, with all that it names, unless he has it forgotten."""
    kept = {what.digest for what in world.pins if isinstance(what, Content)}
    if TAG in world.pins and world.said is not None:
        kept.add(world.said)
    coming_or_going = {job.digest for job in world.jobs}
    for manifest in (kept & world.disk & DOCUMENTS.keys()) - coming_or_going:
        kept |= {child.content.digest for child in DOCUMENTS[manifest].children}
    event = world.event
    if digest in kept and not (isinstance(event, ev.Forgotten) and event.what == digest):
        raise BrokenPromise(f"deleted although it is pinned: {digest}")
    if world.pins:
        world.sightings.happened.add("something goes, and not what is pinned")
