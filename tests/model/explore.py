"""Breadth-first exploration of the World: every state within a bound, each promise checked.

`python -m tests.model.explore` walks the large bounds, one process a processor, and prints the
table; `--states` and `--seconds` say how far. A counterexample is the shortest there is, printed
as a script that runs.

What is checked: in each transition every promise of every effect (`promises`); in each state the
core's invariants, and that it can come to rest with every exchange ended. For that each state
notes where it goes when all goes well; following these notes must end at rest.

Two states are one state (`key`) when they differ only in
- numbers: of fetches, token requests and spools, which are relabelled in the order met;
- which of several clients that asked the same is which, unless their order in a queue tells;
- absolute time: distances count; of last uses only the order, where no idle age is set;
- the order in which the store is given jobs for different digests.
Each is sound because neither the core nor the World looks at what is thrown away. What is left of
each budget is part of a state. Keys are remembered as 64-bit hashes: with n states the chance
that two different ones were taken for one is about n² / 2⁶⁵, for a million 1 in 37 million.
"""

from __future__ import annotations

import argparse
import gc
import math
import os
import sys
import time
from array import array
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

from attrs import frozen

from . import checks, choices
from .bounds import LARGE
from .keys import key
from .scene import Bound
from .sometimes import Sightings
from .world import World

AT_REST, UNKNOWN = -1, -2

Queue = deque[tuple[int, int, World]]
"""Numbers of states, what they are known by but for the budgets, and the states."""


class Counterexample(AssertionError):
    """A broken promise, and how to get there."""


@frozen
class Result:
    """`transitions` lead to new states or known ones; `depth` is the longest shortest way;
    `complete`: nothing within the bound was left out."""

    states: int
    transitions: int
    depth: int
    seconds: float
    sightings: Sightings
    complete: bool


def explore(bound: Bound, limit: int = 10_000_000, until: float = math.inf) -> Result:
    """All states within `bound`, or the first `limit` of them, or as many as are met before the
    clock (`time.monotonic`) says `until`."""
    walk = _Walk(bound)
    collecting = gc.isenabled()
    gc.disable()  # states make no cycles, and looking for some takes longer than the walk
    try:
        with walk.sightings.of_tables():
            return walk.all(limit, until)
    finally:
        if collecting:
            gc.enable()


def replay(bound: Bound, actions: Sequence[str]) -> World:
    """The world after `actions`."""
    world = World(bound)
    for action in actions:
        world = world.act(action)
        checks.check(world.fork())
    return world


class _Walk:
    """The known states by number: how each was reached, and where it goes when all goes well."""

    def __init__(self, bound: Bound) -> None:
        self.sightings = Sightings()
        self._bound = bound
        self._words: dict[str, int] = {"": 0}
        self._parents = array("i", [-1])
        self._actions = array("i", [0])
        self._depths = array("H", [0])
        self._onward = array("i", [UNKNOWN])
        self._known: dict[int, int] = {}
        self._resting: set[int] = set()

    def all(self, limit: int, until: float) -> Result:
        began = time.perf_counter()
        first = World(self._bound, self.sightings)
        mark, rest = key(first)
        self._known[mark] = 0
        queue: Queue = deque([(0, rest, first)])
        transitions = 0
        while queue and len(self._known) < limit and time.monotonic() < until:
            transitions += self._expand(*queue.popleft(), queue)
        for index, rest, world in queue:
            self._settle(index, rest, world)
        self._check_rest()
        seconds = time.perf_counter() - began
        depth = max(self._depths)
        complete = not queue
        return Result(len(self._known), transitions, depth, seconds, self.sightings, complete)

    def _expand(self, index: int, rest: int, world: World, queue: Queue) -> int:
        actions = world.actions()
        benign = choices.benign(world)
        for action in actions:
            try:
                after = world.act(action)
                mark, after_rest = key(after)
                number = self._known.get(mark)
                if number is None:
                    number = len(self._parents)
                    self._known[mark] = number
                    self._parents.append(index)
                    self._actions.append(self._words.setdefault(action, len(self._words)))
                    self._depths.append(self._depths[index] + 1)
                    self._onward.append(UNKNOWN)
                    checks.check(after)
                    queue.append((number, after_rest, after))
            except (AssertionError, LookupError, AttributeError, TypeError) as error:
                raise self._counterexample(index, [action], error) from error
            if action == benign:
                self._onward[index] = number
        if benign is None:
            self._onward[index] = AT_REST
        elif self._onward[index] == UNKNOWN:
            self._settle(index, rest, world)
        return len(actions)

    def _settle(self, index: int, rest: int, world: World) -> None:
        """Where what should happen next is beyond the budget."""
        if rest in self._resting:
            self._onward[index] = AT_REST
            return
        try:
            checks.settle(world, self._resting, rest)
        except (AssertionError, LookupError, AttributeError, TypeError) as error:
            raise self._counterexample(index, [], error) from error
        self._onward[index] = AT_REST

    def _check_rest(self) -> None:
        """Whether following what goes well ends at rest from everywhere: no way goes in circles."""
        onward = self._onward
        for start in range(len(onward)):
            way, index = [], start
            while onward[index] >= 0:
                way.append(index)
                following, onward[index] = onward[index], UNKNOWN
                index = following
            if onward[index] == UNKNOWN:
                raise self._counterexample(start, [], AssertionError("goes in circles"))
            for passed in way:
                onward[passed] = AT_REST

    def _counterexample(self, index: int, last: list[str], error: BaseException) -> Counterexample:
        words = list(self._words)
        script: list[str] = []
        while index > 0:
            script.append(words[self._actions[index]])
            index = self._parents[index]
        lines = "\n".join(f"    {action!r}," for action in [*script[::-1], *last])
        return Counterexample(
            f"{error!r}\n\nfrom tests.model.explore import replay\n"
            f"from tests.model.scene import Bound\n\nreplay({self._bound}, [\n{lines}\n])"
        )


STATES = 90_000
SECONDS = 840.0
"""What a large bound may cost, and all of them together before what is left is only settled."""


def walk_all(
    bounds: Mapping[str, Bound], processes: int, limit: int = STATES, seconds: float = SECONDS
) -> int:
    """Print the table, a line as soon as its bound is done, and the counterexamples: how many.
    `limit` cuts each bound in breadth, `seconds` all of them."""
    print(f"{'bound':45} {'states':>8} {'transitions':>11} {'depth':>5} {'s':>6} {'states/s':>8}")
    began, until = time.perf_counter(), time.monotonic() + seconds
    states = transitions = broken = cut = 0
    seen = Sightings()
    with ProcessPoolExecutor(processes, max_tasks_per_child=1) as pool:
        jobs = {pool.submit(explore, b, limit, until): name for name, b in bounds.items()}
        for job in as_completed(jobs):
            try:
                r = job.result()
            except Counterexample as found:
                print(f"{jobs[job]}: {found}", flush=True)
                broken += 1
                continue
            states += r.states
            transitions += r.transitions
            cut += not r.complete
            seen.add(r.sightings)
            note = "" if r.complete else "  cut: whole to the depth before the last"
            _row(jobs[job], r.states, r.transitions, str(r.depth), r.seconds, note)
    _row(f"all, {processes} processes", states, transitions, "", time.perf_counter() - began)
    print(f"{len(bounds)} bounds: {broken} broken, {cut} cut at {limit} states or {seconds:.0f} s")
    print(f"{len(seen.effects)} effects, {len(seen.cells)} cells, {len(seen.decisions)} decisions")
    return broken


def _row(
    name: str, states: int, transitions: int, depth: str, seconds: float, note: str = ""
) -> None:
    speed = states / seconds
    line = f"{name:45} {states:8} {transitions:11} {depth:>5} {seconds:6.0f} {speed:8.0f}{note}"
    print(line, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="explore", description="walk the large bounds")
    parser.add_argument("--states", type=int, default=STATES, help="of a bound, at most")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for all, about")
    chosen = parser.parse_args()
    processes = os.cpu_count() or 1
    return 1 if walk_all(LARGE, processes, chosen.states, chosen.seconds) else 0


if __name__ == "__main__":
    sys.exit(main())
