"""When two worlds go on alike: the key that exploration knows them by.

Equal for worlds that differ in names only: all numbers are names, and clients of one kind may
change places. Times count as distances from now.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from distcache.core import effects as fx
from distcache.core.fingerprint import REMEMBERED, Labels
from distcache.core.inventory import Record
from distcache.core.oci import Digest

if TYPE_CHECKING:
    from .clients import Client
    from .world import World


def key(world: World) -> tuple[int, int]:
    """Hashes of all that tells: with what is left of each budget, and without."""
    clients = world.clients
    # One alone has nobody to change places with.
    classes = {n: _class(c) for n, c in clients.items()} if len(clients) > 1 else _ALONE
    labels = Labels()
    core = world.cache.fingerprint(world.now, classes, labels)
    name, names = labels.number, labels.exchanges
    told = [(names.get(n, -1), hash(_of_client(c, labels))) for n, c in clients.items()]
    fetches = [
        (name(n), -1 if s.at is None else s.at, s.digest or "") for n, s in world.fetches.items()
    ]
    if len(told) > 1:
        told.sort()
    if len(fetches) > 1:
        fetches.sort()
    spools: list[tuple[int, tuple[bool, ...]]] = []
    if world.spools:
        spools += sorted([(name(n), bits) for n, bits in sorted(world.spools.items())])
    rest = hash(
        (
            core,
            world.tag,
            world.held,
            world.said,
            world.trail,
            world.disk,
            world.said404,
            world.vouched,
            world.offline,
            world.pins,
            _times(world),
            tuple(told),
            tuple(fetches),
            tuple(spools),
            tuple(sorted(map(name, world.discarded))) if world.discarded else (),
            _in_order(world) if world.jobs else (),
            _journalled(world) if world.left["kills"] else None,
        )
    )
    return hash((rest, *world.left.values())), rest


def _times(world: World) -> Hashable:
    """What promises about time look at."""
    now = world.now
    if not (
        world.words
        or world.heard
        or world.known
        or world.agreed
        or world.ill
        or world.limited_until
        or world.absolute
    ):
        return None
    words: list[Hashable] = [*sorted((d, round(now - at, 3)) for d, at in world.words.items())]
    if world.agreed:
        agreed = [(r.authority or "", round(now - at, 3)) for r, at in world.agreed.items()]
        words += ("agreed", *sorted(agreed))
    if world.ill:
        ill = [(m, n, max(round(at - now, 3), 0.0)) for m, (n, at) in world.ill.items()]
        words += ("ill", *sorted(ill))
    if world.limited_until > now:
        words.append(round(world.limited_until - now, 3))
    if world.absolute:
        words += ("now", now)
    if world.heard:
        words += ("heard", _ages(world, world.heard))
    if world.known:
        words += ("known", _ages(world, world.known))
    return tuple(words)


def _ages(world: World, since: dict[Digest, float]) -> Hashable:
    """Until they are old enough."""
    cool = world.bound.cool_down
    return tuple(sorted((d, min(round(world.now - at, 3), cool)) for d, at in since.items()))


def _in_order(world: World) -> Hashable:
    """Jobs for one digest are done in order; that of different digests is nobody's affair."""
    counts: dict[Digest, int] = {}
    numbered: list[tuple[Digest, int, str]] = []
    for job in world.jobs:
        counts[job.digest] = counts.get(job.digest, 0) + 1
        numbered.append((job.digest, counts[job.digest], type(job).__name__))
    return tuple(sorted(numbered))


def _journalled(world: World) -> Hashable:
    return tuple((type(r).__name__, _subject(r), _age(world, r)) for r in world.records)


def _subject(record: Record) -> Hashable:
    return tuple([getattr(record, n, None) for n in ("digest", "what", "content", "reference")])


def _age(world: World, record: Record) -> float:
    at = getattr(record, "used", getattr(record, "checked", world.now))
    return round(world.now - at, 3)


def _class(client: Client) -> int:
    """Equal for clients that may change places."""
    known = _classes.get(id(client))
    if known is None:
        if len(_classes) >= REMEMBERED:
            _classes.clear()
        known = _classes[id(client)] = client, hash(_of_client(client, None))
    return known[1]


_ALONE: dict[int, int] = {}
_classes: dict[int, tuple[Client, int]] = {}
"""By identity, which each client keeps as long as it is remembered."""


def _of_client(client: Client, labels: Labels | None) -> Hashable:
    out: Hashable = None
    if client.out is not None:
        source, span = client.out.source, client.out.span
        where: Hashable = source.digest if isinstance(source, fx.Stored) else None
        if labels is not None and isinstance(source, fx.Spool):
            where = labels.number(source.number)
        out = (where, span.start, span.stop)
    return (*client[:3], *client[4:], out)
