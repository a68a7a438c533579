"""Whatever clients, upstream, store, clock and operator do, in any order, the core keeps every
promise that the model's World holds it to, and comes to rest from wherever it was left.

The first byte chooses the rules, each further one what happens next.
"""

from itertools import product

from attrs import evolve

from tests.model import checks
from tests.model.scene import PULLS, Bound
from tests.model.world import World

WORDS = (b"\0\0\0\0", b"\x01\x01", b"\xff\xff")
FEW = 120
"""Steps; budgets are spent long before."""

WIDE = Bound(
    pulls=tuple(PULLS),
    clients=3,
    starts=12,
    faults=6,
    closes=3,
    wakes=8,
    moves=2,
    max_size=5,
)
"""Beyond what can be walked exhaustively."""

RULES = tuple(
    evolve(
        WIDE,
        auth=auth,
        chunked=upstream == "chunked",
        plain=upstream == "plain",
        stocked=stocked,
        tag_ttl=60.0 if lasting else 0.0,
        ttl=None if lasting else 60.0,
        drains=int(end == "drains"),
        kills=0 if end == "drains" else 2,
        switches=int(end == "switches"),
    )
    for auth, upstream, stocked, lasting, end in product(
        ("", "basic", "bearer"),
        ("ranges", "chunked", "plain"),
        (False, True),
        (False, True),
        ("", "drains", "switches"),
    )
)


def one_input(data: bytes) -> None:
    world = World(RULES[(data[:1] or b"\0")[0] % len(RULES)])
    for choice in data[1:FEW]:
        actions = world.actions()
        if not actions:
            break
        world = world.act(actions[choice % len(actions)])
        checks.check(world.fork())
    checks.settle(world, set())
