"""Seeded bugs that the exploration must find: a world that lets them pass proves nothing."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from distcache.core import (
    acceptance,
    arrivals,
    authorities,
    blobs,
    calls,
    challenges,
    checks,
    cooldown,
    eviction,
    exchanges,
    fills,
    freshness,
    grants,
    listings,
    mirrors,
    operations,
    quota,
    ranges,
    rights,
    tags,
    transfers,
)
from distcache.core.cooldown import Hold
from distcache.core.effects import DiscardSpool, Spool
from distcache.core.fills import Fill
from distcache.core.problems import Failure
from distcache.core.state import State
from distcache.core.tokens import TokenKey

from .bounds import SMALL
from .explore import Counterexample, explore
from .scene import NETWORK, REDIRECTS, Bound

Mutant = tuple[object, str, Any, Bound]

_on_ended, _on_answer, _wake = transfers.on_ended, transfers.on_answer, State.wake
_redirected, _tag_failed, _cut = calls._redirected, checks.on_failed, transfers.cut
_sent, _right, _tag_journal = exchanges.sent, fills.verified, tags._journal
_finish, _begun = calls.finish, listings.begun
_see = cooldown.see
_choose, _send, _accepted = challenges.choose, calls._send, acceptance.Accepted


def _any_digest(state: Any, key: Any, digest: Any, document: Any, now: Any) -> Any:
    return _on_ended(state, key, fills.content_of(key).digest, document, now)


def _any_offset(state: Any, key: Any, head: Any, now: Any) -> Any:
    return _on_answer(state, key, evolve(head, start=state.fills[key].have), now)


def _one_page(coming: Any, reference: Any, head: Any) -> Any:
    return _begun(coming, reference, evolve(head, next_page=None))


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


def _journals_before_the_commit(state: Any, reference: Any) -> None:
    if reference in state.tags and state.tags[reference].descriptor is not None:
        digest = state.tags[reference].descriptor.content.digest
        state.tags[reference] = evolve(state.tags[reference], previous=None)
        if digest in state.blobs:
            _tag_journal(state, reference)


def _forgets_the_spool(state: Any, reference: Any) -> None:
    _finish(state, reference)


def _any_basic(state: Any, call: Any, head: Any) -> Any:
    return _choose(state, evolve(call, mirror=None), head)


def _to_a_mirror(state: Any, owner: Any, call: Any, now: Any) -> Any:
    return _send(state, owner, evolve(call, mirror=0), now)


def _never_over(authorization: Any, until: Any, expires: Any, over: Any) -> Any:
    return _accepted(authorization, until, expires)


def _seen_anew(state: Any, repository: Any, content: Any, now: Any) -> None:
    state.seen.pop((repository, content.digest), None)
    _see(state, repository, content, now)


def _silent(*_: Any) -> None:
    return None


ONE_BLOB = Bound(("blob",), closes=1, kinds=(*NETWORK, "corrupt", "wrong-206"))
MUTANTS: dict[str, Mutant] = {
    "the last byte goes out before the digest is known": (
        Fill, "available", property(lambda fill: fill.have), ONE_BLOB),
    "any digest will do": (transfers, "on_ended", _any_digest, ONE_BLOB),
    "a 206 may start anywhere": (transfers, "on_answer", _any_offset, ONE_BLOB),
    "only the first waiter hears": (State, "wake", _first_waiter_only, ONE_BLOB),
    "whoever knows the digest gets the blob": (
        grants, "granted", lambda *_: True, Bound(("blob", "stranger"))),
    "credentials follow a redirect": (
        calls, "_redirected", _authorization_follows,
        Bound(("blob",), auth="bearer", wakes=0, kinds=REDIRECTS)),
    "a password follows a redirect": (
        calls, "_redirected", _authorization_follows,
        Bound(("blob",), auth="basic", wakes=0, kinds=REDIRECTS)),
    "a tag is fresh for ever": (
        freshness, "is_fresh", lambda *_: True, Bound(("tag",), moves=1, faults=0)),
    "a tag is fresh for ever, answers last": (
        freshness, "is_fresh", lambda *_: True,
        Bound(("tag",), moves=1, tag_ttl=60.0, starts=3, clients=1, wakes=2, ttl=90.0, faults=0)),
    "a failing upstream means absent": (
        checks, "on_failed", _everything_is_absent, Bound(("tag",), kinds=NETWORK)),
    "a broken transfer means absent": (transfers, "cut", _cut_fill_is_absent, ONE_BLOB),
    "what is read may be evicted": (
        blobs, "pinned", lambda *_: False,
        Bound(("blob", "manifest"), max_size=2, starts=3, faults=0)),
    "a range is ignored": (ranges, "select", lambda *_: None, Bound(("range",))),
    "progress reaches nobody": (exchanges, "pump", _silent, ONE_BLOB),
    "the position is not kept": (exchanges, "sent", _position_stays, ONE_BLOB),
    "what is not committed yet is not held": (
        fills, "held",
        lambda state, content: blobs.stored(state, content) is not None,
        Bound(("tag",), kinds=("down",))),
    "a spool is discarded too soon": (fills, "verified", _discards_early, ONE_BLOB),
    "a reader that leaves ends the fill": (fills, "leave", _drops_readers, ONE_BLOB),
    "a spool is never discarded": (
        checks, "_give_up", _forgets_the_spool, Bound(("tags",), faults=1, clients=1)),
    "the first page of a list is taken for the whole": (
        listings, "begun", _one_page, Bound(("tags",), faults=0, clients=1)),
    "who passes by a failing store does not look back": (
        rights, "come_meanwhile", lambda *_: False,
        Bound(("blob",), kinds=("full",), wakes=2)),
    "who rests past a failing store is not told what came": (
        exchanges, "spare", _silent,
        Bound(("old-client",), kinds=("full", "broken"), faults=2, wakes=0, chunked=True)),
    "who has no more than a head past a failing store is not told": (
        exchanges, "_as_promised", lambda *_: False,
        Bound(("blob",), kinds=("full", "cut"), faults=2, wakes=0)),
    "a window goes on after whatever was sent": (
        arrivals, "Spool", lambda *parts, after=None: Spool(*parts),
        Bound(("blob",), kinds=("corrupt", "fault"), faults=2, starts=1, wakes=0)),
    "who reads the store stays in the fill": (
        exchanges, "release", _silent, Bound(
            ("tag",), max_size=2, moves=1, starts=3, clients=3, kinds=("delete",))),
    "a mirror that fails is asked again at once": (
        mirrors, "failed", _silent, SMALL["a mirror that fails again"]),
    "a mirror's word is the last": (
        calls, "_next", lambda state, owner, failure, now: failure, SMALL["a mirror that fails"]),
    "a mirror is shown the password": (
        challenges, "choose", _any_basic, SMALL["a mirror, and a password"]),
    "one token for upstream and its mirrors": (
        calls, "TokenKey", lambda upstream, challenge, mirror: TokenKey(upstream, challenge),
        SMALL["a mirror, and tokens"]),
    "a mirror is asked with a client's own authority": (
        calls, "_send", _to_a_mirror, Bound(("alice-blob",), mirrors=1, faults=0)),
    "an authority is good for ever": (
        authorities, "expire", _silent, SMALL["whoever may, for a while"]),
    "what one client may have any may": (
        grants, "granted", lambda *_: True, SMALL["whoever may"]),
    "a client's own authority follows a redirect": (
        calls, "_redirected", _authorization_follows, Bound(("alice-blob",), kinds=("abroad",))),
    "a token is remembered past its end": (
        authorities, "Accepted", _never_over, SMALL["accepted for a while"]),
    "a pin keeps nothing": (eviction, "kept", lambda *_: False, SMALL["pinned"]),
    "upstream is spared for ever": (quota, "spares", lambda *_: True, SMALL["little is left"]),
    "what is forgotten is granted still": (operations, "_revoke", _silent, SMALL["forgotten"]),
    "what is old is good on any error": (
        freshness, "usable_on_error", lambda *_: True, SMALL["no older than that"]),
    "nothing is too new": (cooldown, "hold", lambda *_: None, SMALL["too new"]),
    "what was held before is too new": (cooldown, "begin", _silent, SMALL["too new"]),
    "the time to wait is told from now": (
        cooldown, "Hold", lambda since, until: Hold(since, until + 1), SMALL["too new"]),
    "time begins anew with each pull": (cooldown, "see", _seen_anew, SMALL["too new"]),
    "every page is the first": (
        listings, "part", lambda names, page: (names[:1], True), SMALL["pages of a list"]),
    "shutting down lets new pulls in": (
        State, "draining", property(lambda _: False, _silent), Bound(("blob",), drains=1)),
}  # fmt: skip


@pytest.mark.parametrize("name", list(MUTANTS))
def test_the_exploration_finds_that(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, attribute, replacement, bound = MUTANTS[name]
    monkeypatch.setattr(where, attribute, replacement, raising=False)
    with pytest.raises(Counterexample):
        explore(bound, 6000)


def test_unchanged_they_pass() -> None:
    bounds: list[Bound] = [mutant[3] for mutant in MUTANTS.values()]
    for bound in dict.fromkeys(bounds):
        explore(bound, 1500)
