"""Seeded bugs that the exploration must find: a world that lets them pass proves nothing."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from distcache.core import blobs, calls, exchanges, fills, freshness, grants, ranges, tags
from distcache.core.effects import DiscardSpool
from distcache.core.fills import Fill
from distcache.core.problems import Failure
from distcache.core.state import State

from .explore import Counterexample, explore
from .world import Budget

Mutant = tuple[object, str, Any, Budget]

_on_ended, _on_answer, _wake = fills.on_ended, fills.on_answer, State.wake
_redirected, _tag_failed, _cut = calls._redirected, tags.on_failed, fills.cut
_sent, _right = exchanges.sent, fills._right


def _any_digest(state: Any, key: Any, digest: Any, document: Any, now: Any) -> Any:
    return _on_ended(state, key, fills.content_of(key).digest, document, now)


def _any_offset(state: Any, key: Any, head: Any, now: Any) -> Any:
    return _on_answer(state, key, evolve(head, start=state.fills[key].have), now)


def _first_waiter_only(state: Any, waiters: Any, news: Any) -> None:
    _wake(state, waiters[:1], news)


def _authorization_follows(state: Any, owner: Any, call: Any, location: Any, now: Any) -> Any:
    return _redirected(state, owner, call, evolve(location, same_origin=True), now)


def _everything_is_absent(state: Any, reference: Any, failure: Any, now: Any) -> None:
    _tag_failed(state, reference, Failure(404), now)


def _cut_fill_is_absent(state: Any, key: Any, failure: Any, now: Any) -> Any:
    _cut(state, key, failure, now)
    return Failure(404)


def _position_stays(state: Any, number: int, stop: int, now: float) -> None:
    before = state.exchanges[number].pos
    _sent(state, number, stop, now)
    if number in state.exchanges:
        state.exchanges[number] = evolve(state.exchanges[number], pos=before)


def _drops_readers(state: Any, key: Any, exchange: int, now: float) -> None:
    fills.drop(state, key)


def _discards_early(state: Any, key: Any, fill: Any) -> None:
    state.emit(DiscardSpool(fill.spool))
    _right(state, key, fill)


def _silent(*_: Any) -> None:
    return None


ONE_BLOB = Budget(("blob",), closes=1)
MUTANTS: dict[str, Mutant] = {
    "the last byte goes out before the digest is known": (
        Fill, "available", property(lambda fill: fill.have), ONE_BLOB),
    "any digest will do": (fills, "on_ended", _any_digest, ONE_BLOB),
    "a 206 may start anywhere": (fills, "on_answer", _any_offset, ONE_BLOB),
    "only the first waiter hears": (State, "wake", _first_waiter_only, ONE_BLOB),
    "whoever knows the digest gets the blob": (
        grants, "granted", lambda *_: True, Budget(("blob", "stranger"))),
    "credentials follow a redirect": (
        calls, "_redirected", _authorization_follows, Budget(("blob",), auth=True, wakes=0)),
    "a tag is fresh for ever": (
        freshness, "is_fresh", lambda *_: True, Budget(("tag",), moves=1)),
    "a failing upstream means absent": (tags, "on_failed", _everything_is_absent, Budget(("tag",))),
    "a broken transfer means absent": (fills, "cut", _cut_fill_is_absent, ONE_BLOB),
    "what is read may be evicted": (
        blobs, "pinned", lambda *_: False,
        Budget(("blob", "manifest"), max_size=2, starts=3)),
    "a range is ignored": (ranges, "select", lambda *_: None, Budget(("range",))),
    "progress reaches nobody": (exchanges, "pump", _silent, ONE_BLOB),
    "the position is not kept": (exchanges, "sent", _position_stays, ONE_BLOB),
    "what is not committed yet is not held": (
        fills, "held",
        lambda state, content: blobs.stored(state, content) is not None, Budget(("tag",))),
    "a spool is discarded too soon": (fills, "_right", _discards_early, ONE_BLOB),
    "a reader that leaves ends the fill": (fills, "leave", _drops_readers, ONE_BLOB),
}  # fmt: skip


@pytest.mark.parametrize("name", list(MUTANTS))
def test_the_exploration_finds_that(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, attribute, replacement, budget = MUTANTS[name]
    monkeypatch.setattr(where, attribute, replacement)
    with pytest.raises(Counterexample):
        explore(budget, 6000)


def test_unchanged_they_pass() -> None:
    budgets: list[Budget] = [mutant[3] for mutant in MUTANTS.values()]
    for budget in dict.fromkeys(budgets):
        explore(budget, 1500)
