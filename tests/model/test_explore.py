"""The small bounds, walked whole: no promise of the core is broken in any state."""

from __future__ import annotations

import pytest

from distcache.core.pull import Method

from . import checks
from .bounds import SMALL
from .explore import Counterexample, Result, explore, replay
from .keys import key
from .scene import Bound
from .sometimes import CELLS, DECISIONS, EFFECTS, EVENTS, HAPPENINGS, Sightings
from .world import World


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    return {name: explore(bound) for name, bound in SMALL.items()}


@pytest.fixture(scope="module")
def seen(results: dict[str, Result]) -> Sightings:
    everything = Sightings()
    for result in results.values():
        everything.add(result.sightings)
    return everything


@pytest.mark.parametrize("name", list(SMALL))
def test_every_state_of_the_bound_keeps_every_promise(
    name: str, results: dict[str, Result]
) -> None:
    assert results[name].complete
    assert results[name].states > 50


def test_sometimes_every_effect(seen: Sightings) -> None:
    assert seen.effects == EFFECTS


def test_sometimes_every_event(seen: Sightings) -> None:
    assert seen.events == EVENTS


def test_sometimes_everything_that_machines_without_a_table_decide(seen: Sightings) -> None:
    assert seen.happened == HAPPENINGS


def test_sometimes_every_cell_of_every_table(seen: Sightings) -> None:
    assert seen.cells == CELLS


def test_sometimes_every_decision_that_is_promised_and_never_another(seen: Sightings) -> None:
    assert seen.decisions == DECISIONS


def test_clients_of_one_kind_may_change_places() -> None:
    one = replay(Bound(("blob", "range")), ["pull 0 blob", "pull 1 range"])
    other = replay(Bound(("blob", "range")), ["pull 0 range", "pull 1 blob"])
    assert key(one) != key(other), "who came first asks for other bytes"
    same = ["pull 0 blob", "pull 1 blob", "fetch 2 head", "fetch 2 more"]
    left, right = (replay(Bound(("blob",), closes=1), [*same, f"close {gone}"]) for gone in (0, 1))
    assert key(left) == key(right)


def test_a_deletion_that_fails_while_the_same_is_fetched_again_harms_nobody() -> None:
    """Found by a larger bound than the small ones."""
    bound = Bound(("tag",), clients=3, starts=3, moves=1, max_size=2, kinds=("delete",))
    first = ["pull 0 tag", "fetch 1 head", "pull 1 tag", "fetch 3 head", "move", "fetch 4 head"]
    moved = ["pull 2 tag", "fetch 6 head", "fetch 6 more", "fetch 6 more", "fetch 6 end", "sent 1"]
    evicted = ["job sha256:d2 ok", "fetch 7 head"]
    again = ["fetch 9 head", "fetch 9 more", "fetch 9 more", "job sha256:d2 fail", "fetch 9 end"]
    checks.settle(replay(bound, [*first, *moved, *evicted, *again]), set())


def test_content_may_be_forgotten_again_before_it_is_gone() -> None:
    """Found by the first bound that had an operator."""
    replay(Bound(stocked=True, wishes=2), ["order forget-blob", "order forget-blob"])


def test_a_transfer_under_way_lets_nobody_in_whose_time_is_up() -> None:
    """Found by the first bound that had clients' own authorities."""
    began = ["pull 0 alice-blob", "fetch 2 head", "wake"]
    world = replay(Bound(("alice-blob",), faults=0), [*began, "pull 1 alice-blob"])
    asked = [sim.request for sim in world.fetches.values() if sim.spool is None]
    assert [request.method for request in asked] == [Method.GET]


def test_a_list_that_breaks_off_at_a_mirror_is_had_from_upstream() -> None:
    """Found by the first bound that had mirrors."""
    bound = Bound(("tags",), mirrors=1)
    world = replay(bound, ["pull 0 tags", "fetch 2 head", "fetch 2 cut"])
    assert [sim.request.mirror for sim in world.fetches.values()] == [None]


def test_a_counterexample_is_the_shortest_script_and_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nobody_may_leave(world: World, slot: str) -> None:
        raise AssertionError("a client left")

    monkeypatch.setattr(World, "_close", nobody_may_leave)
    with pytest.raises(Counterexample) as found:
        explore(Bound(("blob",), closes=1))
    script = str(found.value).split("\n\n", 1)[1]
    assert "'pull 0 blob',\n    'close 0',\n]" in script
    with pytest.raises(AssertionError, match="a client left"):
        exec(script, {})
