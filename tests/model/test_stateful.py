"""The same world, walked at random and far: long runs that a breadth-first walk cannot reach."""

from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from . import checks
from .scene import PULLS, Bound
from .world import World

WIDE = Bound(
    pulls=tuple(PULLS),
    clients=3,
    starts=12,
    faults=5,
    closes=3,
    wakes=6,
    moves=2,
    drains=0,
    kills=2,
    switches=0,
    max_size=5,
)


class Walk(RuleBasedStateMachine):
    world: World

    @initialize(
        auth=st.sampled_from(["", "basic", "bearer"]),
        upstream=st.sampled_from(["ranges", "chunked", "plain"]),
        stocked=st.booleans(),
        tag_ttl=st.sampled_from([0.0, 60.0]),
        ttl=st.sampled_from([None, 60.0]),
        ends=st.sampled_from(["", "drains", "switches"]),
    )
    def begin(
        self,
        auth: str,
        upstream: str,
        stocked: bool,
        tag_ttl: float,
        ttl: float | None,
        ends: str,
    ) -> None:
        bound = evolve(
            WIDE,
            auth=auth,
            chunked=upstream == "chunked",
            plain=upstream == "plain",
            stocked=stocked,
            tag_ttl=tag_ttl,
            ttl=ttl,
            drains=int(ends == "drains"),
            switches=int(ends == "switches"),
        )
        self.world = World(bound)

    @precondition(lambda self: hasattr(self, "world") and self.world.actions())
    @rule(data=st.data())
    def anything_happens(self, data: st.DataObject) -> None:
        self.world = self.world.act(data.draw(st.sampled_from(self.world.actions())))

    @rule()
    def nothing_happens(self) -> None:
        """Always possible: a world may come to rest before the walk is over."""

    @invariant()
    def the_core_is_sound(self) -> None:
        if hasattr(self, "world"):
            checks.check(self.world.fork())

    def teardown(self) -> None:
        if hasattr(self, "world"):
            checks.settle(self.world, set())


TestWalk = Walk.TestCase
TestWalk.settings = settings(
    max_examples=30, stateful_step_count=40, deadline=None, derandomize=True
)
