"""Equal for states that behave alike, different for states that do not."""

from collections.abc import Callable, Hashable

import pytest
from attrs import frozen

from distcache.core import fingerprint
from distcache.core.config import Limits
from distcache.core.effects import Medium, Spool
from distcache.core.events import Cause, Challenge, PullRequested, Woke
from distcache.core.fingerprint import Labels, parts
from distcache.core.inventory import SeenStored
from distcache.core.oci import Repository, TagRef
from distcache.core.pull import Authority, ByDigest, Method, Ping, Pull, RangeSpec
from distcache.core.state import Relay
from tests.core.content import (
    APP,
    HUB,
    IMAGE,
    INDEX,
    LATEST,
    LAYER,
    OTHER,
    START,
    Item,
    blob,
    held,
    records,
)
from tests.core.scenario import Scenario, config, scenario

BLOB = LAYER.under(APP)
BEARER = Challenge(True, "https://auth.hub/token", HUB)


def test_numbers_given_along_the_way_do_not_matter() -> None:
    """One cache has already asked, and failed, three times."""
    tried, fresh = scenario(), scenario()
    for _ in range(3):
        tried.get(LATEST).leaves()
        tried.fetch.fails(Cause.UNREACHABLE)
    tried.clients.clear()
    for s in (tried, fresh):
        s.get(BLOB)
        s.fetch.offers(LAYER)
        s.fetch.brings(10)
    assert tried.transfers[-1].effect.fetch != fresh.transfers[-1].effect.fetch
    assert tried.cache.fingerprint(tried.now) == fresh.cache.fingerprint(fresh.now)


def test_the_order_in_which_things_came_does_not_matter() -> None:
    one, other = scenario(), scenario()
    pulls = (1, Pull(Method.GET, LATEST)), (2, Pull(Method.GET, BLOB))
    for s, order in ((one, pulls), (other, pulls[::-1])):
        for number, pull in order:
            s.cache.handle(PullRequested(number, pull), s.now)
    assert one.cache.fingerprint(one.now) == other.cache.fingerprint(other.now)


def test_what_time_it_is_does_not_matter_but_how_long_ago_things_were() -> None:
    early = scenario(config(tag_ttl=60.0), held(IMAGE, tag=LATEST))
    late = scenario(
        config(tag_ttl=60.0),
        held(IMAGE, tag=LATEST, used=START + 99.0, checked=START + 99.0),
        START + 99.0,
    )
    assert early.cache.fingerprint(early.now) == late.cache.fingerprint(late.now)
    assert early.cache.fingerprint(early.now + 1.0) != early.cache.fingerprint(early.now)


def two_clients(tag: int, layer: int, alike: dict[int, int] | None, *items: Item) -> Hashable:
    """Which of them asks for what, where `items` are held."""
    s = scenario(records=held(*items))
    s.cache.handle(PullRequested(tag, Pull(Method.GET, LATEST)), s.now)
    s.cache.handle(PullRequested(layer, Pull(Method.GET, BLOB)), s.now)
    return s.cache.fingerprint(s.now, alike)


def test_clients_of_one_class_may_change_places() -> None:
    for items in ((), (LAYER,)):
        assert two_clients(1, 2, {1: 0, 2: 0}, *items) == two_clients(2, 1, {1: 0, 2: 0}, *items)
        assert two_clients(1, 2, {1: 0, 2: 1}, *items) != two_clients(2, 1, {1: 0, 2: 1}, *items)
        assert two_clients(1, 2, None, *items) != two_clients(2, 1, None, *items)


def waiting_in_turn(alike: dict[int, int], *numbers: int) -> tuple[Hashable, Labels]:
    s = scenario()
    labels = Labels()
    for number in numbers:
        for what in (LATEST, BLOB):
            pull = Pull(Method.GET, what)
            s.cache.handle(PullRequested(number * 10 + (what == BLOB), pull), s.now)
    s.cache.handle(PullRequested(99, Pull(Method.HEAD, BLOB)), s.now)
    return s.cache.fingerprint(s.now, alike, labels), labels


def test_nor_does_it_matter_who_of_one_class_came_first() -> None:
    alike = {10: 1, 11: 2, 20: 1, 21: 2, 99: 3}
    first, _ = waiting_in_turn(alike, 1, 2)
    second, _ = waiting_in_turn(alike, 2, 1)
    assert first == second


def test_the_caller_is_told_what_its_numbers_are_called() -> None:
    _, labels = waiting_in_turn({10: 1, 11: 2, 20: 1, 21: 2, 99: 3}, 2, 1)
    assert labels.exchanges == {20: 0, 10: 1, 21: 2, 11: 3, 99: 4}
    assert sorted(labels.numbers.values()) == list(range(len(labels.numbers)))


def test_every_number_that_was_given_has_a_name() -> None:
    s, labels = scenario(), Labels()
    s.get(BLOB)
    s.get(blob("second").under(OTHER))
    s.fetches[1].answers(401, challenges=(BEARER,))
    s.get(LATEST)
    s.cache.fingerprint(s.now, labels=labels)
    fetches = {t.effect.fetch for t in s.fetches}
    spools = {t.spool.number for t in s.transfers if t.effect.spool}
    assert set(labels.numbers) >= fetches | spools | {s.token.effect.request}


@pytest.mark.parametrize("number", [1, 7])
def test_one_client_alone_is_called_the_same_whatever_its_number(number: int) -> None:
    s, same = scenario(), scenario()
    for at, cache in ((number, s.cache), (3, same.cache)):
        cache.handle(PullRequested(at, Pull(Method.GET, LATEST)), s.now)
    labels = Labels()
    mark = s.cache.fingerprint(s.now, {number: 0}, labels)
    assert mark == same.cache.fingerprint(s.now, {3: 0})
    assert labels.exchanges == {number: 0}


def test_without_clients_there_is_nobody_to_name() -> None:
    cache = scenario(records=held(LAYER)).cache
    assert cache.fingerprint(START, {}) == cache.fingerprint(START)


def test_what_is_remembered_is_bounded_and_does_not_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remembered = told(a_fill_further_on).cache.fingerprint(START)
    monkeypatch.setattr(fingerprint, "REMEMBERED", 1)
    assert told(a_fill_further_on).cache.fingerprint(START) == remembered
    assert told(a_tag_check).cache.fingerprint(START) != remembered


def uses(*used: float, ttl: float | None = None) -> Hashable:
    items = (blob("a"), blob("b"))
    parts = (held(item, used=at) for item, at in zip(items, used, strict=True))
    return scenario(config(ttl=ttl), records(*parts)).cache.fingerprint(START)


def test_which_was_used_before_which_matters() -> None:
    assert uses(-3e6, -2e6) != uses(-2e6, -3e6)


def test_which_was_stored_before_which_does_not() -> None:
    known = [SeenStored(APP, item.digest, START) for item in (IMAGE, INDEX)]
    marks = []
    for order in (1, -1):
        stored = records(held(*(LAYER, IMAGE)[::order]), known[::order])
        marks.append(scenario(config(cool_down=60.0), stored).cache.fingerprint(START))
    assert marks[0] == marks[1]


def test_how_long_before_matters_only_where_idle_content_goes() -> None:
    assert uses(-4e6, -2e6) == uses(-3e6, -2e6)
    assert uses(START - 4.0, START, ttl=9.0) != uses(START - 3.0, START, ttl=9.0)


def known_for(seconds: float, cool_down: float) -> Hashable:
    known = SeenStored(APP, IMAGE.digest, START - seconds)
    return scenario(config(cool_down=cool_down), [known]).cache.fingerprint(START)


def test_how_long_a_manifest_is_known_matters_until_it_is_old_enough() -> None:
    assert known_for(5.0, 60.0) != known_for(6.0, 60.0)
    assert known_for(60.0, 60.0) == known_for(61.0, 60.0)
    assert known_for(5.0, 0.0) == known_for(6.0, 0.0)
    assert known_for(5.0, 60.0) == known_for(5.0001, 60.0), "to the millisecond"


def nothing(s: Scenario) -> None:
    pass


def a_tag_check(s: Scenario) -> None:
    s.get(LATEST)


def another_tag_s_check(s: Scenario) -> None:
    s.get(TagRef(APP, "v1"))


def a_gone_tag(s: Scenario) -> None:
    s.get(LATEST)
    s.fetch.answers(404)


def a_probe(s: Scenario) -> None:
    s.head(BLOB)


def a_fill(s: Scenario) -> None:
    s.get(BLOB)


def a_fill_for_a_range(s: Scenario) -> None:
    s.get(BLOB, ranges=(RangeSpec(0, None),))


def a_fill_for_another(s: Scenario) -> None:
    s.get(LAYER.under(OTHER))


def a_fill_that_has_begun(s: Scenario) -> None:
    s.get(BLOB)
    s.fetch.offers(LAYER)


def a_fill_further_on(s: Scenario) -> None:
    a_fill_that_has_begun(s)
    s.fetch.brings(40)


def a_fill_that_waits(s: Scenario) -> None:
    a_fill_further_on(s)
    s.fetch.fails()


def a_fill_nobody_reads(s: Scenario) -> None:
    a_fill_that_has_begun(s)
    s.clients[0].leaves()


def a_stored_blob(s: Scenario) -> None:
    s.pulls(LAYER)


def a_stored_blob_being_read(s: Scenario) -> None:
    s.pulls(LAYER)
    s.get(BLOB)


def a_token_asked_for(s: Scenario) -> None:
    s.get(BLOB)
    s.fetch.answers(401, challenges=(BEARER,))


def a_token_had(s: Scenario) -> None:
    a_token_asked_for(s)
    s.token.grants()


def a_token_refused(s: Scenario) -> None:
    a_token_asked_for(s)
    s.token.refuses(403)


def a_drain(s: Scenario) -> None:
    s.drains()


def a_failed_deletion(s: Scenario) -> None:
    s.pulls(LAYER)
    s.cache.configure(config(ttl=0.0))
    s.passes(0.0)
    s.cannot_delete()


def a_window(s: Scenario) -> None:
    s.get(BLOB)
    s.fetch.fails(Cause.STORE)


def a_window_that_waits(s: Scenario) -> None:
    a_window(s)
    s.fetch.fails()
    s.fetch.fails()


def a_window_beside_a_fill(s: Scenario) -> None:
    a_window(s)
    s.get(blob("second").under(APP))


STORIES: list[Callable[[Scenario], None]] = [
    nothing,
    a_tag_check,
    another_tag_s_check,
    a_gone_tag,
    a_probe,
    a_fill,
    a_fill_for_a_range,
    a_fill_for_another,
    a_fill_that_has_begun,
    a_fill_further_on,
    a_fill_that_waits,
    a_fill_nobody_reads,
    a_stored_blob,
    a_stored_blob_being_read,
    a_token_asked_for,
    a_token_had,
    a_token_refused,
    a_drain,
    a_failed_deletion,
    a_window,
    a_window_that_waits,
    a_window_beside_a_fill,
]


def told(story: Callable[[Scenario], None]) -> Scenario:
    s = scenario()
    story(s)
    return s


@pytest.mark.parametrize("story", STORIES)
def test_every_state_is_told_apart_from_every_other(story: Callable[[Scenario], None]) -> None:
    mine = told(story).cache.fingerprint(START)
    assert told(story).cache.fingerprint(START) == mine
    assert hash(mine) == hash(told(story).cache.fingerprint(START))
    for other in STORIES:
        if other is not story:
            assert told(other).cache.fingerprint(START) != mine, other.__name__


@pytest.mark.parametrize("story", STORIES)
def test_a_state_is_the_same_at_another_time(story: Callable[[Scenario], None]) -> None:
    later = scenario(now=START + 100.25)
    later.passes(50.5)
    story(later)
    assert later.cache.fingerprint(later.now) == told(story).cache.fingerprint(START)


@pytest.mark.parametrize(
    "story",
    [
        a_tag_check,
        a_gone_tag,
        a_fill_that_waits,
        a_fill_nobody_reads,
        a_token_had,
        a_token_refused,
        a_failed_deletion,
    ],
)
def test_how_long_ago_it_was_is_told_apart(story: Callable[[Scenario], None]) -> None:
    s = told(story)
    ages = [s.cache.fingerprint(s.now + age) for age in (0.0, 0.001, 1.0, 2.0, 3.0)]
    assert len(set(ages)) == len(ages)
    assert s.cache.fingerprint(s.now + 0.0001) == ages[0], "to the millisecond"


@pytest.mark.parametrize("story", [a_tag_check, a_fill, a_probe, a_token_asked_for])
def test_what_has_no_time_does_not_age(story: Callable[[Scenario], None]) -> None:
    s = scenario(config(limits=Limits(linger=0.0)))
    story(s)
    s.passes(28.0)
    for client in s.clients:
        if not client.end:
            client.leaves()
    assert s.cache.fingerprint(s.now) == s.cache.fingerprint(s.now + 1.0)


def test_whose_number_is_whose_is_told_apart() -> None:
    """Two tags under check: which of them the client waits for, and which fetch is for which."""
    marks = set()
    for what in (LATEST, TagRef(APP, "v1")):
        s = scenario()
        for tag in (LATEST, TagRef(APP, "v1")):
            s.handle(PullRequested(1 if tag == what else 2, Pull(Method.GET, tag)))
        marks.add(s.cache.fingerprint(s.now))
    assert len(marks) == 2


@pytest.mark.parametrize("what", [LATEST, BLOB])
@pytest.mark.parametrize("method", [Method.GET, Method.HEAD])
def test_in_each_queue_only_the_places_count(what: TagRef | ByDigest, method: Method) -> None:
    marks = []
    for order in ((1, 2, 3), (3, 1, 2), (2, 3, 1)):
        s = scenario()
        for number in order:
            s.cache.handle(PullRequested(number, Pull(method, what)), s.now)
        marks.append(s.cache.fingerprint(s.now, dict.fromkeys(order, 0)))
    assert marks[0] == marks[1] == marks[2]


GREETING = Ping(Repository(HUB, "", "anonymous"))


def queued(pull: Pull, order: tuple[int, ...], alike: dict[int, int] | None) -> Hashable:
    s = scenario()
    for number in order:
        s.cache.handle(PullRequested(number, pull), s.now)
    return s.cache.fingerprint(s.now, alike)


def test_among_those_who_wait_for_a_greeting_too() -> None:
    pull = Pull(Method.GET, GREETING, authority=Authority("anonymous"))
    alike = dict.fromkeys((1, 2, 3), 0)
    assert queued(pull, (1, 2, 3), alike) == queued(pull, (1, 3, 2), alike)


@pytest.mark.parametrize(
    "pull",
    [
        Pull(Method.GET, LATEST),
        Pull(Method.GET, BLOB),
        Pull(Method.HEAD, BLOB),
        Pull(Method.GET, GREETING, authority=Authority("anonymous")),
    ],
)
def test_among_clients_that_are_not_alike_who_came_first_counts(pull: Pull) -> None:
    """They are told in that order."""
    assert queued(pull, (1, 2, 3), None) != queued(pull, (1, 3, 2), None)


@pytest.mark.parametrize("first", [0, 1])
def test_which_transfer_waits_how_long_is_told_apart(first: int) -> None:
    """Both have been left, one three seconds before the other."""
    items = (LAYER, blob("second"))

    def left(first: int) -> Hashable:
        s = scenario()
        for item in items:
            s.get(item.under(APP))
        s.clients[first].leaves()
        s.passes(3.0)
        s.clients[1 - first].leaves()
        return s.cache.fingerprint(s.now)

    assert left(first) == left(first)
    assert left(first) != left(1 - first)


def test_where_a_reader_is_in_a_fill_is_told_apart_from_who_it_is() -> None:
    """One reader has been sent what is there, the other has not."""
    marks = set()
    for reader in (0, 1):
        s = scenario()
        s.get(BLOB)
        s.get(BLOB)
        s.fetch.offers(LAYER)
        s.fetch.brings(10)
        s.clients[reader].takes()
        marks.add(s.cache.fingerprint(s.now))
    assert len(marks) == 2


def test_the_journal_is_to_be_written_again_or_not_and_nothing_else() -> None:
    s = scenario(config(tag_ttl=1e9, ttl=None), held(IMAGE, tag=LATEST))
    early = s.cache.fingerprint(START + 59.0)
    assert early != s.cache.fingerprint(START + 58.0)
    checked = [s.cache.fingerprint(START + 60.0 + age) for age in (0.0, 0.0)]
    assert checked[0] == checked[1] != early


def test_a_use_is_to_be_journalled_after_a_while_and_then_always() -> None:
    cache = scenario(config(ttl=None), held(LAYER)).cache
    marks = [cache.fingerprint(START + age) for age in (58.0, 59.0, 60.0, 61.0)]
    assert len(set(marks)) == 3
    assert marks[2] == marks[3]


def test_how_long_ago_a_tag_was_checked_is_told_apart() -> None:
    cache = scenario(config(tag_ttl=1e9, ttl=None), held(IMAGE, tag=LATEST)).cache
    assert cache.fingerprint(START + 100.0) != cache.fingerprint(START + 101.0)


def test_until_when_nothing_is_evicted_is_told_apart_and_then_forgotten() -> None:
    s = scenario(config(ttl=None))
    s.pulls(LAYER)
    s.passes(100.0)
    s.cache.configure(config(ttl=None, max_size=0))
    s.handle(Woke())
    s.cannot_delete()
    marks = [s.cache.fingerprint(s.now + age) for age in (59.0, 59.5, 60.0, 61.0)]
    assert len(set(marks)) == 3
    assert marks[2] == marks[3]


@frozen
class Kept:
    """A record as machines keep them."""

    until: float | None = None
    at: float | None = None
    fetch: int | tuple[int, ...] | None = None
    request: int | None = None
    exchange: int | None = None
    waiters: tuple[int, ...] = ()
    size: int = 0
    names: tuple[str, ...] = ()
    on: Relay | Spool | None = None


ALIKE = [
    (Kept(until=1.0), Kept(until=2.0)),
    (Kept(fetch=1), Kept(fetch=2)),
    (Kept(fetch=(1, 2)), Kept(fetch=(3, 4))),
    (Kept(exchange=1), Kept(exchange=2)),
    (Kept(waiters=(1,)), Kept(waiters=(2,))),
    (Kept(on=Relay(1, LAYER.content)), Kept(on=Relay(2, LAYER.content))),
    (Kept(on=Spool(1, Medium.FILE)), Kept(on=Spool(2, Medium.FILE))),
]
"""But for their times and numbers."""

UNLIKE = [
    (Kept(until=1.0), Kept(at=1.0)),
    (Kept(fetch=1), Kept(request=1)),
    (Kept(fetch=1), Kept(exchange=1)),
    (Kept(waiters=(1,)), Kept(waiters=(1, 2))),
    (Kept(size=1), Kept(size=2)),
    (Kept(names=("a",)), Kept(names=("b",))),
    (Kept(on=Relay(1, LAYER.content)), Kept(on=Relay(1, IMAGE.content))),
    (Kept(on=Spool(1, Medium.FILE)), Kept(on=Spool(1, Medium.MEMORY))),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_a_record_s_shape_leaves_out_times_and_numbers(one: Kept, other: Kept) -> None:
    assert parts(one)[0] == parts(other)[0]
    assert parts(one)[1:] != parts(other)[1:]


@pytest.mark.parametrize(("one", "other"), UNLIKE)
def test_a_record_s_shape_says_all_else_and_where_they_are(one: Kept, other: Kept) -> None:
    assert parts(one)[0] != parts(other)[0]


def test_the_numbers_of_a_record_are_those_of_all_that_it_holds() -> None:
    spool = Spool(4, Medium.FILE)
    _, times, numbers, exchanges, any_ = parts(Kept(1.5, 2.5, (1, 2), 3, 7, (8, 9), on=spool))
    assert times == (("until", 1.5), ("at", 2.5))
    assert numbers == (1, 2, 3, 4)
    assert exchanges == (7, 8, 9)
    assert any_
    assert not parts(Kept())[-1]


def test_no_more_records_are_remembered_than_there_may_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fingerprint, "REMEMBERED", 2)
    monkeypatch.setattr(fingerprint, "_parts", {})
    kept = [Kept(size=n) for n in range(3)]
    remembered = []
    for record in kept:
        parts(record)
        remembered.append(len(fingerprint._parts))
    assert remembered == [1, 2, 1]
