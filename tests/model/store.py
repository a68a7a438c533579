"""The World's store: files and an index, and what a kill leaves of them.

As the real one: files are the truth about bytes, the index about everything else; the index
is written behind the files, in order, so a kill leaves some first part of what was journalled.
What has a file and no row is taken in without its document; a row without a file goes, with
the grants and tags that refer to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, assert_never

from distcache.core import effects as fx
from distcache.core import events as ev
from distcache.core.cache import Cache
from distcache.core.inventory import (
    BlobDropped,
    BlobStored,
    BlobUsed,
    FillDropped,
    FillStored,
    GrantDropped,
    GrantStored,
    Inventory,
    PinDropped,
    PinStored,
    Record,
    SeenDropped,
    SeenStored,
    TagDropped,
    TagStored,
)
from distcache.core.oci import Digest

from . import ages
from .clients import BrokenPromise
from .scene import SIZES, TAG

if TYPE_CHECKING:
    from .world import World

Job = fx.CommitBlob | fx.DeleteBlob


def do(world: World, digest: str, result: str) -> None:
    """The next job for this digest ends: `ok` or `fail`."""
    index, job = next((i, j) for i, j in enumerate(world.jobs) if j.digest == digest)
    world.jobs = world.jobs[:index] + world.jobs[index + 1 :]
    commit = isinstance(job, fx.CommitBlob)
    if result == "fail":
        world.left["faults"] -= 1
        let_go(world, job.digest)
        operation = ev.StoreOperation.COMMIT if commit else ev.StoreOperation.DELETE
        world.feed(ev.StoreFailed(operation, job.digest, ev.StoreFault.NO_SPACE))
    elif isinstance(job, fx.CommitBlob):
        held = world.spools[job.spool.number]
        if not all(held) or len(held) != SIZES[job.digest]:
            raise BrokenPromise(f"published what is wrong: {job}")
        world.disk |= {job.digest}
        world.feed(ev.BlobCommitted(job.digest))
    else:
        world.disk -= {job.digest}
        world.feed(ev.BlobDeleted(job.digest, SIZES[job.digest]))


def kill(world: World, written: int) -> None:
    """All that was in memory is lost, and of the journal all but the first `written` records."""
    world.left["kills"] -= 1
    inventory = restarted(world.records[:written], world.disk, world.now)
    if not any(getattr(r, "reference", None) == TAG for r in inventory.records):
        world.held = None
    elif world.held is not None:
        there = [r for r in inventory.records if getattr(r, "digest", None) == world.held]
        world.held = world.held if any(getattr(r, "document", None) for r in there) else None
    world.records = tuple(inventory.records)
    told = [r for r in world.records if isinstance(r, TagStored) and r.reference == TAG]
    world.said = told[0].descriptor.content.digest if told else None
    world.pins = frozenset(r.what for r in world.records if isinstance(r, PinStored))
    world.agreed, world.ill, world.limited_until = {}, {}, 0.0
    if world.bound.cool_down:
        world.known = ages.after_a_start(world.records)
    # That it was forgotten may be lost.
    world.vouched |= {r.repository for r in world.records if isinstance(r, GrantStored)}
    for container in (world.clients, world.fetches, world.spools, world.tokens):
        container.clear()
    world.jobs, world.discarded, world.trail = (), frozenset(), frozenset()
    world.draining = False
    world.cache = Cache(world.config(), inventory)
    world.cache.check()


def let_go(world: World, digest: Digest) -> None:
    """The store may lose it, or has."""
    if world.held == digest:
        world.held = None
    if world.said == digest and world.bound.wishes:
        # The tag goes with it, and what it was is not pinned by it any more.
        world.said = None


def tidy(world: World) -> None:
    """Forget the spools that are discarded and that nobody works with any more."""
    used = {s.spool.number for s in world.fetches.values() if s.spool is not None}
    outs = [c.out.source for c in world.clients.values() if c.out is not None]
    used |= {source.number for source in outs if isinstance(source, fx.Spool)}
    used |= {job.spool.number for job in world.jobs if isinstance(job, fx.CommitBlob)}
    for number in world.discarded - used:
        world.spools.pop(number, None)
    world.discarded &= used


def restarted(records: Iterable[Record], disk: frozenset[Digest], now: float) -> Inventory:
    """What a start finds, when just these records had been written."""
    blobs: dict[Digest, BlobStored] = {}
    tags: dict[object, TagStored] = {}
    grants: dict[GrantStored, None] = {}
    pins: dict[PinStored, None] = {}
    seen: dict[object, SeenStored] = {}
    for record in records:
        match record:
            case BlobStored():
                blobs[record.digest] = record
            case BlobUsed():
                if record.digest in blobs:
                    old = blobs[record.digest]
                    blobs[record.digest] = BlobStored(
                        old.digest, old.size, record.used, old.document
                    )
            case TagStored():
                tags[record.reference] = record
            case TagDropped():
                tags.pop(record.reference, None)
            case GrantStored():
                grants[record] = None
            case GrantDropped():
                grants.pop(GrantStored(record.repository, record.content), None)
            case PinStored():
                pins[record] = None
            case PinDropped():
                pins.pop(PinStored(record.what), None)
            case SeenStored():
                seen[record.repository, record.digest] = record
            case SeenDropped():
                seen.pop((record.repository, record.digest), None)
            case BlobDropped():
                gone = record.digest
                blobs.pop(gone, None)
                tags = {r: t for r, t in tags.items() if t.descriptor.content.digest != gone}
                grants = {g: None for g in grants if g.content.digest != gone}
            case FillStored() | FillDropped():
                # For this World's clients, of whom nobody knows who they are, there are none.
                raise BrokenPromise(f"nobody is known for whom: {record}")
            case _:
                assert_never(record)
    there = [record for digest, record in blobs.items() if digest in disk]
    adopted = [BlobStored(d, SIZES[d], now) for d in sorted(disk - blobs.keys())]
    return Inventory(
        (
            *there,
            *adopted,
            *(t for t in tags.values() if t.descriptor.content.digest in disk),
            *(g for g in grants if g.content.digest in disk),
            *pins,
            *seen.values(),
        )
    )
