"""The same world, walked at random and far: long runs that a breadth-first walk cannot reach."""

from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from .world import Budget, World, new_world

WIDE = Budget(
    pulls=("tag", "head-tag", "blob", "head-blob", "range", "stranger", "manifest"),
    clients=3,
    starts=12,
    faults=5,
    closes=3,
    wakes=6,
    moves=2,
    max_size=5,
)


class Walk(RuleBasedStateMachine):
    world: World

    @initialize(auth=st.booleans(), chunked=st.booleans(), ttl=st.sampled_from([0.0, 60.0]))
    def begin(self, auth: bool, chunked: bool, ttl: float) -> None:
        self.world = new_world(evolve(WIDE, auth=auth, chunked=chunked, tag_ttl=ttl))

    @precondition(lambda self: hasattr(self, "world") and self.world.actions())
    @rule(data=st.data())
    def anything_happens(self, data: st.DataObject) -> None:
        self.world = self.world.act(data.draw(st.sampled_from(self.world.actions())))

    @rule()
    def nothing_happens(self) -> None:
        """Always possible: a world may come to rest before the walk is over."""

    @invariant()
    def nobody_waits_for_ever(self) -> None:
        if hasattr(self, "world"):
            self.world.check_quiet()


TestWalk = Walk.TestCase
TestWalk.settings = settings(
    max_examples=30, stateful_step_count=40, deadline=None, derandomize=True
)
