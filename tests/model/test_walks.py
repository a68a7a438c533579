"""Each small world walked far at random: what lies deeper than a walk in breadth gets in time.

Seeded, so that every run takes the same ways.
"""

from random import Random

import pytest

from . import checks
from .bounds import SMALL
from .world import World

WALKS = 12
STEPS = 60


@pytest.mark.parametrize("name", list(SMALL))
def test_every_promise_is_kept_on_long_ways(name: str) -> None:
    resting: set[int] = set()
    for number in range(WALKS):
        random = Random(f"{name} {number}")
        world = World(SMALL[name])
        for _ in range(STEPS):
            actions = world.actions()
            if not actions:
                break
            world = world.act(random.choice(actions))
            checks.check(world.fork())
        checks.settle(world, resting)
