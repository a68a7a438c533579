"""What the World knows of its mirrors: who is ill for how long, and who has been asked.

It counts only what is certainly a mirror's fault, so it never thinks one ill for longer than
the core must: a mirror that cannot be reached, times out, is broken or limits us is passed over
for a while that doubles; and in the end upstream itself is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from distcache.core import effects as fx
from distcache.core import events as ev
from distcache.core.config import Limits
from distcache.core.oci import Content, Kind, TagRef

from .clients import BrokenPromise, Client, wish
from .scene import A, challenge

if TYPE_CHECKING:
    from .world import World

SERVED = (200, 206, 304, 416)
LIMITS = Limits()


def told(world: World, request: fx.UpstreamRequest, head: ev.UpstreamHead) -> None:
    """A head has come."""
    mirror = request.mirror
    if mirror is None:
        _limits(world, request, head)
    elif head.status in SERVED:
        world.ill = {m: ills for m, ills in world.ill.items() if m != mirror}
    elif head.status in (429, 503):
        _fell_ill(world, mirror)


def failed(world: World, request: fx.UpstreamRequest, what: str, *, before: bool) -> None:
    """A fetch is over, `before` its head or after. One that is cut before is sent again."""
    if request.mirror is not None and (what in ("down", "slow") or (what == "cut" and not before)):
        _fell_ill(world, request.mirror)


def asks(
    world: World, request: fx.UpstreamRequest, event: ev.Event, about: fx.UpstreamRequest | None
) -> None:
    """The core asks somebody. A request that is under way may go on at the same place: after a
    detour, for a token, or for the next page."""
    if not world.bound.mirrors:
        return
    mirror = request.mirror
    if mirror is None:
        asked_itself(world, request)
        return
    same = about is not None and (about.mirror, about.resource) == (mirror, request.resource)
    if same or isinstance(event, ev.TokenGranted):
        return
    if world.now < world.ill.get(mirror, (0, 0.0))[1]:
        raise BrokenPromise(f"asks a mirror that is ill: {request}")
    if mirror in world.ill:
        world.sightings.happened.add("a mirror that was ill is asked again")


def is_asked(world: World, client: Client) -> bool:
    """Whether upstream itself is being asked for it already."""
    if challenge(A) in world.tokens.values():
        return True
    requests = [sim.request for sim in world.fetches.values()]
    return any(r.mirror is None and _concerns(client, r) for r in requests)


def asked_itself(world: World, request: fx.UpstreamRequest | None) -> None:
    """Upstream itself is asked, or (None) its token service: whom that concerns has got what he
    may expect."""
    for number, client in world.clients.items():
        if request is None or _concerns(client, request):
            world.clients[number] = client._replace(itself=True)
    if request is not None and world.ill:
        world.sightings.happened.add("upstream is asked past a mirror")


def refuses(world: World, client: Client, head: fx.AnswerHead) -> None:
    """An error that tells of upstream needs its own word."""
    own = head.decision.fwd is not None and not (world.offline or world.draining)
    if not world.bound.mirrors or not own or client.itself:
        return
    late = head.status == 504 and isinstance(world.event, ev.Woke)
    remembered = head.status in (401, 403) and world.bound.auth == "bearer"
    if not late and not remembered:
        raise BrokenPromise(f"an error, and upstream itself was never asked: {head}")


def _concerns(client: Client, request: fx.UpstreamRequest) -> bool:
    wanted = wish(client)
    if wanted == (request.repository, request.resource):
        return True
    resource = request.resource
    manifest = isinstance(resource, Content) and resource.kind is Kind.MANIFEST
    return manifest and isinstance(wanted.resource, TagRef)


def _fell_ill(world: World, mirror: int) -> None:
    failures = world.ill.get(mirror, (0, 0.0))[0] + 1
    rest = min(LIMITS.mirror_rest * 2.0 ** (failures - 1), LIMITS.mirror_rest_max)
    world.ill = {**world.ill, mirror: (failures, world.now + rest)}
    if failures > 1:
        world.sightings.happened.add("a mirror fails again")


def _limits(world: World, request: fx.UpstreamRequest, head: ev.UpstreamHead) -> None:
    if request.repository.authority is not None:
        return
    if head.status < 400:
        world.limited_until = 0.0
    elif head.status == 429 and not isinstance(request.resource, Content):
        world.limited_until = world.now + (head.retry_after or 0)
