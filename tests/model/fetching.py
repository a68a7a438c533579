"""What upstream does about a fetch under way, honest or not, and what the cache hears of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from distcache.core import effects as fx
from distcache.core import events as ev
from distcache.core.oci import Digest
from distcache.core.pull import Method

from . import health, upstream
from .clients import BrokenPromise, wish
from .scene import DOCUMENTS, MANIFEST, SIZES, TAG, B, L, second_page
from .upstream import Sim

if TYPE_CHECKING:
    from .world import World

RIGHT, WRONG = Digest("sha256:right so far"), Digest("sha256:wrong")


def act(world: World, fetch: int, what: str) -> None:
    """`more` of a body, its `end`, a `head`, or a fault by its name."""
    sim = world.fetches[fetch]
    if what == "more":
        _body(world, fetch, sim, right=True)
    elif what == "end":
        _end(world, fetch, sim)
    elif what == "head":
        _head(world, fetch, sim, upstream.honest(sim.request, world.bound, world.tag))
    else:
        world.left["faults"] -= 1
        if what == "corrupt":
            _body(world, fetch, sim, right=False)
        elif what in upstream.CAUSES:
            del world.fetches[fetch]
            health.failed(world, sim.request, what, before=sim.at is None)
            cause, held = upstream.CAUSES[what], _holds(world, sim, what)
            world.feed(ev.FetchFailed(fetch, cause, held), sim.request)
        else:
            _head(world, fetch, sim, upstream.dishonest(sim.request, what))


def _head(world: World, fetch: int, sim: Sim, head: ev.UpstreamHead) -> None:
    request = sim.request
    digest = upstream.digest_of(request, world.tag)
    _hear(world, request, head, digest)
    if head.status in (200, 206) and request.method is Method.GET and digest is not None:
        at, stop = head.start, SIZES[digest]
        if digest == L and sim.spool is not None:
            # Its pages follow each other in the spool.
            at = len(world.spools[sim.spool.number])
            following = head.next_page or (None if at else second_page(request.mirror))
            head = evolve(head, length=1, size=1, next_page=following)
            stop = at + 1
        world.fetches[fetch] = sim._replace(at=at, digest=digest, stop=stop)
    else:
        # No body but an end.
        world.fetches[fetch] = sim._replace(at=SIZES[B], digest=B, stop=SIZES[B])
    world.feed(ev.HeadReceived(fetch, head), request)


def _hear(
    world: World, request: fx.UpstreamRequest, head: ev.UpstreamHead, digest: Digest | None
) -> None:
    """What the cache is told, as far as promises are about it."""
    repository, resource = request.repository, request.resource
    health.told(world, request, head)
    lost_page = request.location == second_page(request.mirror)
    if head.status == 404 and request.mirror is None and not lost_page:
        world.said404 |= {(repository, resource)}
        if resource == TAG:
            world.held, world.said, world.words = None, None, {}
    if head.status == 200 and digest is not None:
        world.vouched |= {repository}
        if repository.authority is not None:
            if repository in world.agreed:
                said = "a client's own authority is asked about again"
                world.sightings.happened.add(said)
            world.agreed = {**world.agreed, repository: world.now}
            for number, client in world.clients.items():
                if wish(client).repository == repository:
                    world.clients[number] = client._replace(agreed=True)
    says = digest if head.status in (200, 304) else None
    if world.bound.cool_down and says in MANIFEST and says not in world.heard:
        world.heard = {**world.heard, says: world.now}
    if resource == TAG and says is not None:
        world.said = says
        if world.timed:
            world.words = {**world.words, says: world.now}


def _body(world: World, fetch: int, sim: Sim, *, right: bool) -> None:
    assert sim.at is not None
    world.fetches[fetch] = sim._replace(at=sim.at + 1)
    if sim.spool is None:
        return
    held = world.spools[sim.spool.number]
    if len(held) < sim.at:
        raise BrokenPromise(f"a gap in {sim.spool}")
    if len(held) == sim.at:
        held = (*held, right)
        world.spools[sim.spool.number] = held
    world.feed(ev.BodySpooled(fetch, len(held)), sim.request)


def _end(world: World, fetch: int, sim: Sim) -> None:
    del world.fetches[fetch]
    if sim.spool is None or sim.digest is None:
        world.feed(ev.FetchEnded(fetch), sim.request)
        return
    held = world.spools[sim.spool.number]
    digest = sim.digest if all(held) and len(held) == SIZES[sim.digest] else WRONG
    if sim.spool.after is not None and sim.spool.after.digest == WRONG:
        digest = WRONG
    document = DOCUMENTS.get(digest)
    if sim.digest == L and all(held):
        document = DOCUMENTS[L]
    world.feed(ev.FetchEnded(fetch, digest, document), sim.request)


def _holds(world: World, sim: Sim, what: str) -> ev.Held | None:
    if what not in ("full", "fault") or sim.spool is None:
        return None
    bits = world.spools[sim.spool.number]
    return ev.Held(len(bits), RIGHT if all(bits) else WRONG)
