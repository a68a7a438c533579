"""What could happen next in a World: everything, or what happens in one that means well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from distcache.core import effects as fx

from . import upstream
from .scene import STOCK

if TYPE_CHECKING:
    from .world import World


def actions(world: World) -> Iterator[str]:
    """Everything, as `World.act` has it."""
    left, bound = world.left, world.bound
    kinds = bound.kinds if left["faults"] else ()
    free = next((n for n in range(bound.clients) if n not in world.clients), None)
    if left["starts"] and free is not None:
        yield from (f"pull {free} {name}" for name in bound.pulls)
    for number, client in sorted(world.clients.items()):
        if client.out is not None:
            yield f"sent {number}"
            if "lost" in kinds and isinstance(client.out.source, fx.Stored):
                yield f"lost {number}"
        if left["closes"]:
            yield f"close {number}"
    for number in sorted(world.fetches):
        yield from goes_on(world, number)
        for kind in _goes_wrong(world, number):
            if kind in kinds:
                yield f"fetch {number} {kind}"
    for job in {j.digest: j for j in reversed(world.jobs)}.values():
        yield f"job {job.digest} ok"
        if ("commit" if isinstance(job, fx.CommitBlob) else "delete") in kinds:
            yield f"job {job.digest} fail"
    for number in sorted(world.tokens):
        yield f"token {number} ok"
        if "token" in kinds:
            yield from (f"token {number} {why}" for why in ("refused", "down", "lost"))
    if left["wakes"] and world.cache.next_deadline() is not None:
        yield "wake"
    if left["pauses"]:
        yield "pause"
    if left["wishes"]:
        yield from (f"order {wish}" for wish in bound.orders)
    if left["moves"]:
        yield from ("move", "vanish")
    if left["drains"]:
        yield "drain"
    if left["switches"]:
        yield "switch"
    if left["kills"]:
        yield from (f"kill {n}" for n in range(_written(world), len(world.records) + 1))


def benign(world: World) -> str | None:
    """What happens next in a world that means well; None: nothing is left to happen."""
    for number in sorted(world.clients):
        if world.clients[number].out is not None:
            return f"sent {number}"
    for number in sorted(world.fetches):
        return next(goes_on(world, number))
    for job in world.jobs:
        return f"job {job.digest} ok"
    for number in sorted(world.tokens):
        return f"token {number} ok"
    return "wake" if world.cache.next_deadline() is not None else None


def goes_on(world: World, number: int) -> Iterator[str]:
    """How a fetch goes on well."""
    sim = world.fetches[number]
    if sim.at is None:
        yield f"fetch {number} head"
    else:
        assert sim.digest is not None
        yield f"fetch {number} {'more' if sim.at < sim.stop else 'end'}"


def _goes_wrong(world: World, number: int) -> list[str]:
    sim = world.fetches[number]
    if sim.at is None:
        return upstream.faults_before(sim.request, sim.spool)
    assert sim.digest is not None
    kinds = ["cut", "slow"]
    if sim.spool is not None and sim.at < sim.stop:
        kinds.append("corrupt")
    return [*kinds, "full", "fault"] if upstream.is_file(sim.spool) else kinds


def _written(world: World) -> int:
    return len(STOCK) if world.bound.stocked else 0
