"""What holds in every state of a World, and that each of them comes to rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distcache.core import events as ev
from distcache.core.pull import ByDigest, Method

from . import ages, choices, promises, upstream
from .clients import BrokenPromise
from .keys import key
from .scene import BLOB, PULLS, A

if TYPE_CHECKING:
    from .world import World

FEW_STEPS = 400
"""More than it takes to come to rest from anywhere."""


def check(world: World) -> None:
    """What holds in every state: the core's invariants, and the two ids that were the last
    to end mean nothing to it any more."""
    world.cache.check()
    for number in (world.last_fetch, world.last_fetch - 1):
        if number > 0 and number not in world.fetches:
            late = world.cache.handle(ev.FetchFailed(number, ev.Cause.CUT), world.now)
            if late:
                raise BrokenPromise(f"a late event was not ignored: {late}")
    _check_prompt(world)
    _check_quiet(world)
    if world.bound.cool_down:
        ages.explained(world)


def settle(world: World, known: set[int], mark: int | None = None) -> list[str]:
    """Let everything go well, and time pass, until all is at rest, or as in a state that is
    `known` to come to rest; those on the way are known from then on. What was done. `mark`: the
    key of this world without budgets, where its caller has it."""
    world, done, marks = world.fork(), list[str](), list[int]()
    for _ in range(FEW_STEPS):
        mark = key(world)[1] if mark is None or done else mark
        action = None if mark in known else choices.benign(world)
        marks.append(mark)
        if action is None:
            _check_quiet(world)
            known.update(marks)
            return done
        done.append(action)
        world.happen(action)
    raise BrokenPromise(f"does not come to rest: {world.clients}")


def _check_prompt(world: World) -> None:
    """As soon as upstream's head is known, every client is answered that waits for the same;
    but for those sent ways of their own by a failing store or by what the operator wants,
    and for other repositories."""
    if {"full", "fault"} & {*world.bound.kinds} or "cousin" in world.bound.pulls:
        return
    if world.bound.wishes:
        return
    for sim in world.fetches.values():
        if sim.at is None or not upstream.is_file(sim.spool) or world.bound.chunked:
            continue
        for number, client in world.clients.items():
            pull = PULLS[client.pull]
            plain = pull.method is Method.GET and not pull.if_none_match
            wants = plain and pull.target == ByDigest(A, BLOB)
            if wants and client.head is None and sim.request.resource == BLOB:
                raise BrokenPromise(f"{number} waits although the head is known: {client}")


def _check_quiet(world: World) -> None:
    """With nothing under way and no deadline left, nobody waits and nothing is left over."""
    if not world.quiet:
        return
    for number, client in world.clients.items():
        # Bytes past a failing store may be wrong: who has some needs the rest of the same.
        if client.pos is None and promises.is_there(world, client):
            raise BrokenPromise(f"{number} waits although it is stored: {client}")
    if world.cache.next_deadline() is not None:
        return
    if world.clients:
        raise BrokenPromise(f"waits for ever: {world.clients}")
    if world.spools.keys() - world.discarded:
        raise BrokenPromise(f"spools that nobody discards: {world.spools}")
