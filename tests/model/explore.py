"""Breadth-first exploration of the World: every state within a bound, each promise checked.

`python -m tests.model.explore` walks the large bounds and prints the table. A counterexample
is the shortest there is, printed as the list of actions that leads to it.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Hashable

from attrs import evolve, frozen

from .world import Budget, World, new_world


class Counterexample(AssertionError):
    """A broken promise, and how to get there."""


@frozen
class Result:
    states: int
    transitions: int
    seconds: float
    seen: frozenset[str]
    complete: bool


def explore(budget: Budget, limit: int = 1_000_000) -> Result:
    """All states within `budget`, or the first `limit` of them."""
    began = time.perf_counter()
    first = new_world(budget)
    parents: list[tuple[int, str]] = [(-1, "")]
    known: set[int] = {hash(first.key())}
    queue: deque[tuple[int, World]] = deque([(0, first)])
    seen: set[str] = set()
    transitions = 0
    while queue and len(known) < limit:
        index, world = queue.popleft()
        for action in world.actions():
            transitions += 1
            try:
                after = world.act(action)
                after.check_quiet()
            except (AssertionError, KeyError, AttributeError, TypeError) as error:
                script = "\n  ".join([*_script(parents, index), action])
                raise Counterexample(f"{error!r}\n  {script}") from error
            key: Hashable = after.key()
            mark = hash(key)
            if mark in known:
                continue
            known.add(mark)
            seen |= after.seen
            parents.append((index, action))
            queue.append((len(parents) - 1, after))
    return Result(len(known), transitions, time.perf_counter() - began, frozenset(seen), not queue)


def _script(parents: list[tuple[int, str]], index: int) -> list[str]:
    script: list[str] = []
    while index > 0:
        index, action = parents[index]
        script.append(action)
    return script[::-1]


SMALL = {
    "two clients, a tag and a blob, one fault": Budget(),
    "two clients on one blob, a fault and a leaver": Budget(("blob",), closes=1, wakes=2),
    "a range and a whole blob": Budget(("blob", "range")),
    "a stranger knows the digest": Budget(("blob", "stranger"), faults=0),
    "the tag moves": Budget(("tag",), moves=1),
    "HEADs": Budget(("head-tag", "head-blob"), closes=1),
    "a token is needed": Budget(("tag", "blob"), auth=True, wakes=0),
    "length not announced": Budget(("blob",), chunked=True, closes=1),
    "room for one image only": Budget(("tag", "blob", "manifest"), max_size=5, starts=3, clients=1),
    "shutdown": Budget(("blob", "tag"), drains=1, faults=0, closes=1),
}


def main() -> int:
    """The large bounds: as SMALL, with a client, a fault and a wake-up more."""
    limit = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    print(f"{'bound':50} {'states':>9} {'transitions':>12} {'seconds':>8}")
    for name, budget in SMALL.items():
        large = evolve(
            budget,
            starts=budget.starts + 1,
            clients=budget.clients + 1,
            faults=budget.faults + 1,
            wakes=budget.wakes + 1,
        )
        r = explore(large, limit)
        more = "" if r.complete else "  (cut at the limit)"
        print(f"{name:50} {r.states:9} {r.transitions:12} {r.seconds:8.1f}{more}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
