"""The small bounds, walked whole: no promise of the core is broken in any state."""

import pytest

from .explore import SMALL, Result, explore

EFFECTS = {
    "Respond",
    "SendBody",
    "Finish",
    "Abort",
    "Fetch",
    "CancelFetch",
    "AcquireToken",
    "CommitBlob",
    "DiscardSpool",
    "DeleteBlob",
    "Journal",
    "Note",
}


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    return {name: explore(budget) for name, budget in SMALL.items()}


@pytest.mark.parametrize("name", list(SMALL))
def test_every_state_of_the_bound_keeps_every_promise(
    name: str, results: dict[str, Result]
) -> None:
    assert results[name].complete
    assert results[name].states > 100


def test_the_world_makes_the_core_use_every_effect(results: dict[str, Result]) -> None:
    assert frozenset[str]().union(*(r.seen for r in results.values())) == EFFECTS
