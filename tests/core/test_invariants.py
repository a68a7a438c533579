"""The checks between the machines find what they are for, and nothing where nothing is wrong."""

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from distcache.core.blobs import BlobState
from distcache.core.events import Cause, Challenge, Secret
from distcache.core.exchanges import ExchangeState
from distcache.core.fills import FillState
from distcache.core.invariants import check
from distcache.core.oci import Digest, Repository, TagRef
from distcache.core.pull import Authority, Method, Ping, Probing
from distcache.core.state import Look, State
from distcache.core.tags import TagState
from tests.core.content import (
    APP,
    HUB,
    IMAGE,
    LATEST,
    LAYER,
    OTHER,
    WRONG,
    blob,
    held,
    manifest,
    records,
)
from tests.core.scenario import Scenario, config, scenario

BLOB = LAYER.under(APP)
ALICE = Authority("a", Secret("a"))
OWN = TagRef(Repository(HUB, "library/app", "a"), "1")
GREETING = Ping(Repository(HUB, "", "a"))
PROBED = Probing(APP, blob("probed").content, Method.HEAD)
RESTING = Probing(OTHER, LAYER.content, Method.GET)
IDLE, DOOMED, GONE = blob("idle"), blob("doomed"), blob("gone")


def busy() -> State:
    """Everything at once: 1 reads a stored blob, 2 a fill; 3 waits for a tag, 4 for a probe, 5
    for a manifest; a fill and a probe back off, a blob is being deleted."""
    s = scenario(config(ttl=1e6), records(held(LAYER, IDLE), held(DOOMED, used=-1e6)))
    s.get(BLOB)
    s.get(blob("coming").under(APP))
    s.fetch.answers(200, length=100)
    s.fetch.brings(50)
    s.get(LATEST)
    s.head(blob("probed").under(APP))
    s.get(IMAGE.under(APP))
    s.get(blob("broken").under(APP))
    s.fetches[-1].offers(LAYER)
    s.fetches[-1].fails(Cause.CUT)
    s.passes(0.0)
    assert s.doomed == {DOOMED.digest}
    s.get(manifest("x").under(OTHER))
    tag(s)
    login(s)
    s.get(LAYER.under(OTHER))
    s.fetches[-1].answers(503)
    state = s.cache._state
    check(state)
    return state


def tag(s: Scenario) -> None:
    """And a tag that is known."""
    other = type(LATEST)(APP, "known")
    s.get(other)
    s.fetches[-1].offers(IMAGE)


def login(s: Scenario) -> None:
    """And somebody who logs in at upstream: 10 waits for its greeting."""
    s.get(OWN, authority=ALICE)
    s.fetches[-1].offers(IMAGE)
    s.fetches[-1].fails(Cause.CANCELLED)
    s.get(GREETING, authority=Authority("a"))


def exchange(s: State, number: int, **changes: Any) -> None:
    s.exchanges[number] = evolve(s.exchanges[number], **changes)


def fill(s: State, name: str, **changes: Any) -> None:
    key = blob(name).content
    s.fills[key] = evolve(s.fills[key], **changes)


def stored(s: State, digest: Digest, **changes: Any) -> None:
    s.blobs[digest] = evolve(s.blobs[digest], **changes)


def known(s: State, **changes: Any) -> None:
    reference = type(LATEST)(APP, "known")
    s.tags[reference] = evolve(s.tags[reference], **changes)


def doom_a_read_blob(s: State) -> None:
    stored(s, LAYER.digest, state=BlobState.DOOMED)
    s.doomed += LAYER.size


def point_elsewhere(s: State) -> None:
    s.tags_of[LAYER.digest] = frozenset({LATEST})
    known(s, descriptor=LAYER.descriptor)


def leave_a_probe(s: State) -> None:
    s.probes[RESTING] = evolve(s.probes[RESTING], waiters=())
    number = next(n for n, x in s.exchanges.items() if x.on == RESTING)
    del s.exchanges[number]
    s.deadlines.clear(("answer", number))


def stop_asking_for_a_tag(s: State) -> None:
    s.tags[LATEST] = evolve(s.tags[LATEST], state=TagState.STALE)
    fetch = s.calls.pop(LATEST).fetch
    assert fetch is not None
    del s.fetches[fetch]


Breakage = Callable[[State], object]
BROKEN: dict[str, Breakage] = {
    "news that nobody was told": lambda s: s.woken.append((1, Look())),
    "a size that is not the sum": lambda s: setattr(s, "stored", s.stored + 1),
    "a doomed size that is not the sum": lambda s: setattr(s, "doomed", 0),
    "a reader that is not counted": lambda s: s.readers.pop(LAYER.digest),
    "a reader that is not there": lambda s: s.readers.update({IDLE.digest: 1}),
    "a reader of what is not there": lambda s: s.readers.update({GONE.digest: 1}),
    "content without a last use": lambda s: s.used.pop(IDLE.digest),
    "a blob that is deleted while it is read": doom_a_read_blob,
    "a credit without sending": lambda s: exchange(s, 1, state=ExchangeState.IDLE),
    "sending without a credit": lambda s: exchange(s, 1, credit=None),
    "waiting without an end": lambda s: s.deadlines.clear(("answer", 3)),
    "an end without waiting": lambda s: s.deadlines.set(("answer", 1), 0.0),
    "waiting for nothing": lambda s: exchange(s, 3, on=None),
    "waiting for a tag that does not know": lambda s: exchange(s, 5, on=LATEST),
    "waiting for a probe that does not know": lambda s: exchange(s, 3, on=s.exchanges[4].on),
    "reading a fill that does not know": lambda s: exchange(s, 3, on=blob("coming").content),
    "a call that nobody wants": lambda s: s.calls.update(
        {GONE.content: s.calls[blob("coming").content]}
    ),
    "a fill without a call": lambda s: s.calls.pop(blob("coming").content),
    "a fetch of a call that is over": lambda s: s.fetches.update({99: GONE.content}),
    "two fetches for one owner": lambda s: s.fetches.update({99: LATEST}),
    "backing off without an end": lambda s: s.deadlines.clear((blob("broken").content, "retry")),
    "an end without backing off": lambda s: s.deadlines.set((blob("coming").content, "retry"), 0.0),
    "more than there is": lambda s: fill(s, "coming", have=101),
    "a reader who reads something else": lambda s: fill(s, "coming", readers=(2, 1)),
    "a state that needs a call": lambda s: fill(s, "broken", state=FillState.STREAMING),
    "a probe whose waiter waits for something else": lambda s: s.probes.update(
        {k: evolve(p, waiters=(*p.waiters, 3)) for k, p in s.probes.items()}
    ),
    "a probe that backs off without an end": lambda s: s.deadlines.clear((RESTING, "retry")),
    "a probe's end without backing off": lambda s: s.deadlines.set((PROBED, "retry"), 0.0),
    "a probe that nobody waits for without an end": leave_a_probe,
    "an end to a probe that somebody waits for": lambda s: s.deadlines.set((PROBED, "linger"), 0.0),
    "a probe without a call": lambda s: s.calls.pop(PROBED),
    "a tag whose waiter waits for something else": lambda s: s.tags.update(
        {LATEST: evolve(s.tags[LATEST], waiters=(3, 4))}
    ),
    "waiting for a tag that is not asked": stop_asking_for_a_tag,
    "a tag that its digest does not name": point_elsewhere,
    "a digest that names no tags": lambda s: s.tags_of.update({WRONG: frozenset()}),
    "a digest that names a tag of nothing": lambda s: s.tags_of.update(
        {WRONG: frozenset({LATEST})}
    ),
    "a digest that names another's tag": lambda s: s.tags_of.update(
        {WRONG: frozenset({type(LATEST)(APP, "known")})}
    ),
    "waiting for a greeting that does not know": lambda s: exchange(s, 3, on=GREETING),
    "a greeting that nobody asks for": lambda s: s.calls.pop(GREETING),
    "a login without an end": lambda s: s.deadlines.clear(("authority", "a")),
    "a login that is remembered for another's tag": lambda s: s.authorities.update(
        {"a": evolve(s.authorities["a"], references=frozenset({LATEST}))}
    ),
    "a right of a login that counts no longer": lambda s: s.grants.update(
        {IDLE.content: frozenset({OWN.repository, Repository(HUB, "x", "gone")})}
    ),
    "a right to what is being deleted": lambda s: s.grants.update(
        {DOOMED.content: frozenset({APP})}
    ),
}


@pytest.mark.parametrize("what", list(BROKEN))
def test_it_finds(what: str) -> None:
    state = busy()
    BROKEN[what](state)
    with pytest.raises(AssertionError):
        check(state)


def test_where_nothing_is_wrong_it_finds_nothing() -> None:
    check(busy())
    check(State(config()))


def test_challenges_and_tokens_need_no_call() -> None:
    s = scenario()
    s.get(LATEST)
    s.fetch.answers(401, challenges=(Challenge(True, "https://auth.hub/token", HUB),))
    check(s.cache._state)
