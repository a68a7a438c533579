"""What others have in the cache shows nowhere to who may not have it."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from distcache.core import decide, fills, grants, retry
from distcache.core.fills import FillInput, FillState
from distcache.core.grants import ProbeInput, ProbeState
from distcache.core.problems import Failure
from distcache.core.pull import Method, Probing

from .clients import BrokenPromise
from .scene import Bound
from .twins import Case, walk

ONE = Bound(("stranger",), faults=2, closes=1, wakes=2, kinds=("broken",))
TWO = evolve(ONE, pulls=("stranger", "head-stranger"))
FAR = evolve(ONE, faults=0, wakes=3)
SHUT = evolve(ONE, faults=1, wakes=1)
BEGUN = ("pull 9 blob",)
ANSWERED = (*BEGUN, "fetch 2 head")
PASSING = ("broken", "cut", "wrong-206")
REFUSING = ("broken", "unauthorized", "denied", "token", "abroad", "private")

CASES = {
    "stored": Case(evolve(ONE, kinds=PASSING), stored=True),
    "stored, to the last try": Case(evolve(ONE, starts=1, faults=3), stored=True),
    "stored, any failure": Case(
        evolve(TWO, faults=1, wakes=1, kinds=("down", "slow", "limited", "unhelpful", "bare")),
        stored=True,
    ),
    "stored, a manifest": Case(evolve(ONE, pulls=("manifest-stranger",)), stored=True),
    "stored, a token": Case(
        evolve(ONE, auth="bearer", starts=1, wakes=1, kinds=REFUSING), stored=True
    ),
    "stored, mirrors": Case(
        evolve(ONE, mirrors=1, starts=1, kinds=("broken", "absent", "slow")), stored=True
    ),
    "stored, shut down": Case(evolve(SHUT, drains=1), stored=True),
    "stored, taken offline": Case(evolve(SHUT, switches=1), stored=True),
    "stored, strangers of two repositories": Case(
        evolve(SHUT, pulls=("stranger", "mallory-blob")), stored=True
    ),
    "stored, a login that runs out": Case(
        evolve(SHUT, pulls=("carol-blob",), kinds=("denied",), pauses=1, pause=160.0), stored=True
    ),
    "being fetched": Case(evolve(ONE, closes=0), began=ANSWERED),
    "being asked for": Case(FAR, began=BEGUN),
    "pulled meanwhile": Case(FAR, then=("blob",)),
    "pulled meanwhile, shut down": Case(evolve(SHUT, drains=1, wakes=0), then=("blob",)),
    "tagged meanwhile": Case(evolve(FAR, pulls=("manifest-stranger",), wakes=2), then=("tag",)),
}


@pytest.mark.parametrize("name", list(CASES))
def test_a_stranger_cannot_tell(name: str) -> None:
    walked = walk(CASES[name])
    assert walked.states > 30
    assert walked.answers


def test_sometimes_both_are_asked_again_and_refused_in_the_end() -> None:
    """Else it proves nothing that both do alike."""
    walked = walk(CASES["stored, to the last try"])
    assert {404, 502, 504} <= walked.answers
    assert {(ProbeState.BACKOFF, ProbeInput.RETRY), (FillState.BACKOFF, FillInput.RETRY)} <= (
        walked.cells
    )


def _never_again(state: Any, key: Probing, failure: Failure, now: float) -> None:
    grants._give_up(state, key, failure)


def _for_ever(state: Any, key: Probing, exchange: int, now: float) -> None:
    asked = state.probes[key]
    waiters = tuple(w for w in asked.waiters if w != exchange)
    state.probes[key] = evolve(asked, waiters=waiters)


class _Later:
    worthwhile = staticmethod(retry.worthwhile)

    @staticmethod
    def delay(*known: Any) -> float:
        return retry.delay(*known) + 1


MUTANTS: dict[str, tuple[object, str, Any, str]] = {
    "a probe is not tried again": (grants, "on_failed", _never_again, "stored"),
    "a probe is tried again later": (grants, "retry", _Later, "stored"),
    "a probe goes on for ever": (grants, "leave", _for_ever, "stored"),
    "a probe has words of its own": (
        grants, "refusal",
        lambda head, have: None if head.status == 200 else Failure(head.status), "stored"),
    "a probe asks with HEAD": (
        decide, "Probing",
        lambda repository, content, _: Probing(repository, content, Method.HEAD), "stored"),
    "whoever knows the digest gets it": (grants, "granted", lambda *_: True, "stored"),
    "others keep a transfer going": (
        fills, "_wanted", lambda _, fill: bool(fill.readers), "pulled meanwhile"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(MUTANTS))
def test_a_stranger_could_tell_if(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, attribute, replacement, case = MUTANTS[name]
    monkeypatch.setattr(where, attribute, replacement)
    with pytest.raises(BrokenPromise):
        walk(CASES[case])
