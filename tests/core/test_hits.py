"""Answers given again: the same as deciding anew, in every event and every state that follows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distcache.core import hits
from distcache.core.cache import Cache
from distcache.core.decision import HIT
from distcache.core.effects import Effect, Finish, Respond, SendBody
from distcache.core.events import (
    BodySent,
    ClientClosed,
    Event,
    Forgotten,
    PullRequested,
    SourceLost,
    Woke,
)
from distcache.core.inventory import BlobUsed
from distcache.core.pull import Authority, Catalog, Method, Pull, RangeSpec, Span
from distcache.core.values import evolve
from tests.core.content import (
    APP,
    IMAGE,
    LATEST,
    LAYER,
    MOVED,
    OTHER,
    SETTINGS,
    START,
    TAGS,
    blob,
    held,
    listing,
    records,
)
from tests.core.scenario import Scenario, config, scenario

EMPTY = blob("empty", 0)
NAMES = listing("names")
STOCK = records(
    held(IMAGE, LAYER, SETTINGS, EMPTY, tag=LATEST), held(NAMES, tag=TAGS), held(MOVED, under=OTHER)
)
PULLS = (
    Pull(Method.GET, LATEST),
    Pull(Method.HEAD, LATEST),
    Pull(Method.GET, TAGS),
    Pull(Method.GET, IMAGE.under(APP)),
    Pull(Method.GET, LAYER.under(APP)),
    Pull(Method.HEAD, LAYER.under(APP)),
    Pull(Method.GET, LAYER.under(APP), if_none_match=(f'"{LAYER.digest}"',)),
    Pull(Method.GET, LAYER.under(APP), ranges=(RangeSpec(0, 9),)),
    Pull(Method.GET, LAYER.under(OTHER)),
    Pull(Method.GET, EMPTY.under(APP)),
    Pull(Method.GET, Catalog()),
    *(
        Pull(Method.GET, LAYER.under(APP), ranges=specs)
        for specs in (
            (RangeSpec(1, None),),
            (RangeSpec(None, 3),),
            (RangeSpec(None, 10**9),),
            (RangeSpec(2, 10**9),),
            (RangeSpec(10**9, None),),
            (RangeSpec(None, 0),),
            (RangeSpec(0, 0), RangeSpec(2, 3)),
        )
    ),
    *(
        Pull(Method.GET, LAYER.under(APP), ranges=(RangeSpec(3, 5),), if_none_match=tags)
        for tags in (("*",), ('"other"',))
    ),
    *(
        Pull(Method.GET, LAYER.under(APP), ranges=(RangeSpec(3, 5),), if_range=tag)
        for tag in (f'"{LAYER.digest}"', '"other"')
    ),
    Pull(Method.HEAD, LAYER.under(APP), ranges=(RangeSpec(3, 5),)),
    Pull(Method.GET, EMPTY.under(APP), ranges=(RangeSpec(0, 5),)),
    Pull(Method.GET, IMAGE.under(APP), ranges=(RangeSpec(0, 5),)),
    Pull(Method.GET, LATEST, ranges=(RangeSpec(0, 5),)),
    Pull(Method.GET, LAYER.under(OTHER), ranges=(RangeSpec(0, 5),)),
)
ONE_RANGE = (7, *range(11, 15))
"""Those of PULLS that want one part of a blob that is there, without conditions."""

REFRESHED = config(tag_ttl=100.0, ttl=500.0)


@contextmanager
def every_decision_taken() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hits, "again", lambda *_: None)
        patch.setattr(hits, "done", lambda *_: None)
        yield


def both_ways(cache: Cache, event: Event, now: float) -> list[Effect]:
    """The effects, which must be those of the long way, as must be the state after them."""
    other = cache.fork()
    with every_decision_taken():
        decided = other.handle(event, now)
    effects = cache.handle(event, now)
    assert effects == decided
    assert cache.fingerprint(now) == other.fingerprint(now)
    assert cache.next_deadline() == other.next_deadline()
    cache.check()
    return effects


Step = tuple[int, float, bool]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(PULLS) + 3),
            st.sampled_from((0.0, 0.25, 0.999, 1.0, 30.0, 60.0, 99.9995, 300.0)),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_whatever_comes_both_ways_do_the_same(steps: list[Step]) -> None:
    cache = scenario(REFRESHED, STOCK).cache
    now, sending = START, dict[int, int]()
    for number, (what, later, at_once) in enumerate(steps, 1):
        now += later
        event: Event
        if what < len(PULLS):
            event = PullRequested(number, PULLS[what])
        elif what == len(PULLS) and sending:
            event = ClientClosed(sending.popitem()[0])
        elif what == len(PULLS) + 1 and sending:
            event = SourceLost(sending.popitem()[0], LAYER.digest, answered=True)
        elif what == len(PULLS) + 2:
            event = Forgotten(LATEST)
        else:
            event = Woke()
        for effect in both_ways(cache, event, now):
            if isinstance(effect, SendBody):
                sending[effect.exchange] = effect.span.stop
        if at_once and number in sending:
            both_ways(cache, BodySent(number, sending.pop(number)), now)


def decisions(s: Scenario, act: Callable[[], object]) -> int:
    """How many pulls were decided the long way while `act` ran."""
    count = 0
    keep = hits.keep

    def counting(*arguments: object) -> None:
        nonlocal count
        count += 1
        keep(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hits, "keep", counting)
        act()
    return count


def twice(s: Scenario, pull: Pull) -> int:
    def ask() -> None:
        for _ in range(2):
            s.ask(pull).takes_all()

    return decisions(s, ask)


@pytest.mark.parametrize(
    ("pull", "taken"),
    [
        *((PULLS[i], 1) for i in (0, 1, 3, 4, 5, 6, 9, *ONE_RANGE)),
        *((PULLS[i], 2) for i in (2, 10, *range(15, len(PULLS) - 1))),
    ],
)
def test_a_hit_is_decided_once_and_what_is_rarely_asked_again_each_time(
    pull: Pull, taken: int
) -> None:
    s = scenario(REFRESHED, STOCK)
    s.passes(0.5)
    assert twice(s, pull) == taken
    assert [c.end for c in s.clients] == ["finished", "finished"]
    assert s.clients[0].head == s.clients[1].head


def test_a_stranger_s_pull_is_never_a_hit() -> None:
    s = scenario(records=STOCK)
    assert twice(s, PULLS[3]) == 1
    s.get(IMAGE.under(OTHER))
    assert s.asked() == (Method.GET, IMAGE.content)


def test_nor_is_one_with_an_authority_of_its_own() -> None:
    own = type(APP)(APP.upstream, APP.name, "somebody")
    s = scenario(records=STOCK)
    s.get(LAYER.under(own), authority=Authority("somebody"))
    s.fetch.offers(LAYER)
    assert twice(s, Pull(Method.GET, LAYER.under(own), authority=Authority("somebody"))) == 2


def test_an_answer_that_could_not_be_confirmed_is_decided_each_time() -> None:
    s = scenario(config(offline=True), STOCK)
    assert twice(s, PULLS[0]) == 2
    assert s.clients[-1].decision.stale_if_error


def test_an_answer_out_of_a_transfer_is_none_from_the_store() -> None:
    s = scenario()
    s.pulls_tag(IMAGE)
    s.get(LAYER.under(APP))
    s.fetch.delivers(LAYER)
    waiting = Pull(Method.HEAD, LAYER.under(APP))
    assert twice(s, waiting) == 2
    assert s.clients[-1].decision == HIT
    part = Pull(Method.GET, LAYER.under(APP), ranges=(RangeSpec(0, 9),))
    assert twice(s, part) == 2
    s.stores()
    assert twice(s, waiting) == 1
    assert twice(s, part) == 1


def test_age_and_freshness_are_told_to_the_second() -> None:
    s = scenario(REFRESHED, STOCK)
    for age in range(5):
        head = s.get(LATEST).answer
        assert (head.age, head.decision.ttl) == (age, 100 - age)
        s.passes(1.0)


def test_a_tag_that_never_moves_is_as_old_as_it_is() -> None:
    s = scenario(config(immutable=("late*",)), STOCK)
    for age in range(3):
        s.passes(0.5)
        assert twice(s, PULLS[0]) == 1
        head = s.clients[-1].answer
        assert (head.age, head.decision.ttl) == (age, None)
        s.passes(0.5)


def test_a_use_is_journalled_once_a_minute_however_often_it_is_asked_for() -> None:
    s = scenario(records=STOCK)
    for _ in range(4):
        s.ask(PULLS[5])
        s.passes(30.0)
    assert [r.used for r in s.journalled(BlobUsed)] == [START + 60.0]


def test_what_was_kept_is_not_served_after_its_content_is_forgotten() -> None:
    s = scenario(records=STOCK)
    s.ask(PULLS[9]).takes_all()
    s.handle(Forgotten(EMPTY.digest))
    s.deletes()
    assert s.ask(PULLS[9]).status is None


def test_an_upstream_s_news_of_a_tag_count_at_once() -> None:
    s = scenario(REFRESHED, STOCK)
    s.ask(PULLS[0]).takes_all()
    s.handle(Forgotten(LATEST))
    s.ask(PULLS[0])
    assert s.asked() == (Method.HEAD, LATEST)


def test_so_many_are_kept_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hits, "LIMIT", 1)
    s = scenario(records=STOCK)
    assert twice(s, PULLS[4]) == 1
    assert twice(s, PULLS[5]) == 1, "in its place"
    assert twice(s, PULLS[4]) == 1


def test_the_end_of_a_part_is_not_the_end_of_the_answer() -> None:
    s = scenario(records=STOCK)
    client = s.ask(PULLS[4])
    assert client.turn is not None
    assert s.handle(BodySent(client.number, client.turn.span.stop - 1)) == []
    client.takes()
    assert s.effects == [Finish(client.number)]


@pytest.mark.parametrize("pull", PULLS, ids=repr)
def test_a_hit_taken_whole_leaves_what_its_events_would_leave(pull: Pull) -> None:
    s = scenario(REFRESHED, STOCK)
    assert s.cache.whole(pull, s.now) is None
    s.ask(pull).takes_all()
    s.now += 1.0
    by_events = s.cache.fork()
    told = by_events.handle(PullRequested(9, pull), s.now)
    for effect in told:
        if isinstance(effect, SendBody):
            by_events.handle(BodySent(9, effect.span.stop), s.now)
    before = s.cache.fingerprint(s.now)
    hit = s.cache.whole(pull, s.now)
    if hit is None:
        assert s.cache.fingerprint(s.now) == before
        return
    assert Respond(9, hit.head) in told
    assert s.cache.fingerprint(s.now) == by_events.fingerprint(s.now)


def parts(s: Scenario, pull: Pull) -> tuple[hits.Hit, Span] | None:
    """What a pull's ranges get of it, taken whole."""
    return s.cache.part(evolve(pull, ranges=()), pull.ranges, s.now)


@pytest.mark.parametrize("later", [0.0, 1.0])
@pytest.mark.parametrize("pull", PULLS, ids=repr)
def test_a_part_taken_whole_leaves_what_its_events_would_leave(pull: Pull, later: float) -> None:
    s = scenario(REFRESHED, STOCK)
    assert parts(s, pull) is None
    s.ask(PULLS[4]).takes_all()
    s.now += later
    by_events, before = s.cache.fork(), s.cache.fingerprint(s.now)
    told = by_events.handle(PullRequested(9, pull), s.now)
    found = parts(s, pull)
    assert (found is not None) == (pull in [PULLS[i] for i in ONE_RANGE])
    if found is None:
        assert s.cache.fingerprint(s.now) == before
        return
    hit, span = found
    assert told == [Respond(9, hits.head_of(hit, span)), SendBody(9, hit.source, span)]
    begun = s.cache.fork()
    assert begun.begin(9, pull, s.now) is not None
    assert begun.fingerprint(s.now) == by_events.fingerprint(s.now)
    by_events.handle(BodySent(9, span.stop), s.now)
    assert s.cache.fingerprint(s.now) == by_events.fingerprint(s.now)


def test_no_part_is_taken_whole_of_what_has_changed_since_or_run_out() -> None:
    for change in (Woke(), Forgotten(LAYER.digest), None):
        s = scenario(REFRESHED, STOCK)
        s.ask(PULLS[7]).takes_all()
        assert parts(s, PULLS[11]) is not None
        if change is None:
            s.now += 60.0
        else:
            s.handle(change)
        assert parts(s, PULLS[11]) is None


def test_nothing_is_taken_whole_that_has_changed_since_or_run_out() -> None:
    pull = Pull(Method.GET, LAYER.under(APP))
    for change in (Woke(), None):
        s = scenario(REFRESHED, STOCK)
        s.ask(pull).takes_all()
        assert s.cache.whole(pull, s.now) is not None
        if change is None:
            s.now += 60.0
        else:
            s.handle(change)
        assert s.cache.whole(pull, s.now) is None


@pytest.mark.parametrize("first", [4, 12, 17, 19, 21], ids=["all", "part", "parts", "tag", "range"])
def test_after_any_answer_of_its_content_a_part_is_a_hit(first: int) -> None:
    s = scenario(REFRESHED, STOCK)
    s.ask(PULLS[first]).takes_all()

    def ask() -> None:
        for i in ONE_RANGE:
            s.ask(PULLS[i]).takes_all()

    assert decisions(s, ask) == 0


@pytest.mark.parametrize("first", [5, 6, 15, 18, 22], ids=repr)
def test_after_an_answer_without_content_it_is_none(first: int) -> None:
    s = scenario(REFRESHED, STOCK)
    s.ask(PULLS[first])
    assert decisions(s, lambda: s.ask(PULLS[7])) == 1


def test_a_part_of_what_has_gone_is_no_hit() -> None:
    s = scenario(records=STOCK)
    s.ask(PULLS[7]).takes_all()
    s.handle(Forgotten(LAYER.digest))
    s.deletes()
    assert s.ask(PULLS[11]).status is None


def test_so_many_blobs_parts_are_kept_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hits, "LIMIT", 1)
    s = scenario(records=STOCK)
    other = Pull(Method.GET, SETTINGS.under(APP), ranges=(RangeSpec(0, 0),))
    assert [twice(s, pull) for pull in (PULLS[7], other, PULLS[11], PULLS[12])] == [1, 1, 1, 0]


@pytest.mark.parametrize("pull", PULLS, ids=repr)
def test_a_hit_that_is_begun_is_one_that_was_told_in_effects(pull: Pull) -> None:
    s = scenario(REFRESHED, STOCK)
    assert s.cache.begin(9, pull, s.now) is None
    s.ask(pull).takes_all()
    s.now += 1.0
    by_effects, before = s.cache.fork(), s.cache.fingerprint(s.now)
    told = by_effects.handle(PullRequested(9, pull), s.now)
    hit = s.cache.begin(9, pull, s.now)
    if hit is None:
        assert s.cache.fingerprint(s.now) == before
        return
    body = Finish(9) if hit.span is None else SendBody(9, hit.source, hit.span)
    assert told == [Respond(9, hit.head), body]
    assert s.cache.fingerprint(s.now) == by_effects.fingerprint(s.now)


def test_an_answer_that_was_a_use_to_write_down_is_kept_like_any_other() -> None:
    s = scenario(records=STOCK)
    s.passes(60.0)
    assert twice(s, PULLS[4]) == 1
    assert [r.used for r in s.journalled(BlobUsed)] == [START + 60.0]


def test_the_time_to_live_turns_where_its_own_seconds_do() -> None:
    """Not where those of the age do, when a tag's time is no whole number of them."""
    s = scenario(config(tag_ttl=100.5), STOCK)
    told = []
    for _ in range(4):
        s.passes(0.3)
        head = s.ask(PULLS[0]).answer
        told.append((head.age, head.decision.ttl))
    assert told == [(0, 100), (0, 99), (0, 99), (1, 99)]


def test_an_end_that_nobody_was_sent_up_to_ends_nothing() -> None:
    """What is out came from the transfer, and what it comes from next is a stored blob."""
    s = scenario()
    client = s.get(LAYER.under(APP))
    s.fetch.delivers(LAYER)
    s.stores()
    assert client.turn is not None
    assert client.turn.span.stop < LAYER.size
    assert s.handle(BodySent(client.number, LAYER.size)) == []
    client.takes_all()
    assert client.end == "finished"


def test_an_answer_that_is_made_anew_drives_out_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hits, "LIMIT", 2)
    s = scenario(REFRESHED, STOCK)
    s.passes(0.5)
    assert [twice(s, PULLS[4]), twice(s, PULLS[0])] == [1, 1]
    s.passes(1.0)
    assert twice(s, PULLS[0]) == 1
    assert twice(s, PULLS[4]) == 0
