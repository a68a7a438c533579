"""What the World holds the cool-down to: nothing is served before it has been known for so long.

Since when a manifest is known is what the journal says of it, and that is held against when
upstream first said that it has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from distcache.core import effects as fx
from distcache.core.inventory import BlobStored, GrantStored, Record, SeenStored
from distcache.core.oci import Digest
from distcache.core.pull import ByDigest

from .clients import BrokenPromise, Client
from .scene import MANIFEST, PULLS, TAG, A

if TYPE_CHECKING:
    from .world import World


def told(world: World, record: SeenStored) -> None:
    """The journal says since when something is known: not before upstream said that it is there,
    or else before there was a cool-down; and never later than was said before."""
    digest, since = record.digest, record.since
    held = since == 0.0 and world.known.get(digest) == 0.0
    if not held and not world.heard.get(digest, world.now + 1) <= since <= world.now:
        raise BrokenPromise(f"known since upstream never said so: {record}")
    if since > world.known.get(digest, since):
        raise BrokenPromise(f"time begins anew: {record}")
    world.known = {**world.known, digest: since}


def answers(world: World, client: Client, head: fx.AnswerHead) -> None:
    """Nothing too new, nothing older without need, and no refusal of what is old enough."""
    target = PULLS[client.pull].target
    if head.problem is not None:
        if head.decision.cooling:
            asked = world.said if target == TAG else _asked(target)
            if asked is None or not _young(world, asked):
                raise BrokenPromise(f"held back although it is old enough: {head}")
            world.sightings.happened.add("what is too new is refused")
        return
    named = head.descriptor.content.digest if head.descriptor else None
    if named not in MANIFEST:
        return
    if named not in world.known or _young(world, named):
        raise BrokenPromise(f"served although it is too new: {head}")
    if world.known[named]:
        world.sightings.happened.add("what was too new is old enough")
    if head.decision.cooling:
        if world.said is None or not _young(world, world.said):
            raise BrokenPromise(f"what the tag was, although the new is old enough: {head}")
        world.sightings.happened.add("what the tag was before is given")


def explained(world: World) -> None:
    """Who asks why is told what a pull would meet."""
    for digest, since in world.known.items():
        until = since + world.bound.cool_down if _young(world, digest) else None
        why = world.cache.explain(MANIFEST[digest], A, world.now)
        if why.held_back_until != until:
            raise BrokenPromise(f"not so: {why}")


def after_a_start(records: Sequence[Record]) -> dict[Digest, float]:
    """Since when it is known to the next process, which takes what is held for old."""
    known = {r.digest: r.since for r in records if isinstance(r, SeenStored)}
    whole = {r.digest for r in records if isinstance(r, BlobStored) and r.document is not None}
    for record in records:
        if isinstance(record, GrantStored) and record.content.digest in whole & MANIFEST.keys():
            known.setdefault(record.content.digest, 0.0)
    return known


def _young(world: World, digest: Digest) -> bool:
    return world.now < world.known.get(digest, world.now) + world.bound.cool_down


def _asked(target: object) -> Digest | None:
    return target.content.digest if isinstance(target, ByDigest) else None
