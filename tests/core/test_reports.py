"""What is told of the cache; looking changes nothing."""

from __future__ import annotations

from attrs import evolve

from distcache.core.config import Config, Limits, Upstream
from distcache.core.events import Cause, Challenge, Forgotten, Pinned, Quota
from distcache.core.inventory import Answer, Filled, FillStored
from distcache.core.oci import Content, Kind, Repository, TagRef
from distcache.core.pull import ByDigest, Client
from distcache.core.reports import Explanation, Filling, Image, Reach, Stats
from distcache.core.tags import TagState
from tests.core.content import (
    APP,
    HUB,
    IMAGE,
    INDEX,
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
    manifest,
    records,
)
from tests.core.scenario import WHOLE, Scenario, config, explained, scenario, whole

BLOB = LAYER.under(APP)
SIZE = IMAGE.size + SETTINGS.size + LAYER.size


# Sums


def test_an_empty_cache_has_nothing() -> None:
    s = scenario()
    assert s.cache.stats() == Stats(0, 0, 0, 0, 0, 0, 0)
    assert s.cache.images() == []
    assert s.cache.fillings() == []


def test_sums_count_what_is_there() -> None:
    s = whole()
    second = blob("second")
    for _ in range(2):
        s.get(second.under(APP))
    s.get(blob("third").under(APP))
    s.handle(Pinned(LATEST, True))
    assert s.cache.stats() == Stats(SIZE, 3, 2, 3, 3, 1, 1)


def test_what_is_being_deleted_is_no_longer_counted_as_stored() -> None:
    s = scenario(config(), held(LAYER, SETTINGS))
    s.handle(Forgotten(LAYER.digest))
    assert s.cache.stats().stored_bytes == SETTINGS.size
    assert s.deletes() == [LAYER.digest]
    assert s.cache.stats().stored_bytes == SETTINGS.size


# Images


def test_an_image_is_as_large_as_what_is_stored_of_it() -> None:
    s = whole()
    image = Image(LATEST, IMAGE.descriptor, START, True, SIZE, SIZE, START, False)
    assert s.cache.images() == [image]


def test_alone_is_what_no_other_manifest_names() -> None:
    moved = TagRef(APP, "moved")
    s = scenario(config(), records(WHOLE, held(MOVED, tag=moved)))
    first, second = s.cache.images()
    assert (first.reference, first.size, first.alone) == (LATEST, SIZE, SIZE - LAYER.size)
    whole = MOVED.size + LAYER.size
    assert (second.reference, second.size, second.alone) == (moved, whole, MOVED.size)


def test_an_index_counts_what_its_manifests_name_once() -> None:
    twice = manifest("twice", IMAGE, manifest("other", LAYER))
    s = scenario(config(), records(held(twice, tag=LATEST), held(IMAGE, SETTINGS, LAYER)))
    (image,) = s.cache.images()
    assert (image.size, image.alone) == (twice.size + SIZE, twice.size + SIZE)


def test_an_index_under_a_tag_is_an_image_with_all_it_names() -> None:
    s = scenario(config(), records(held(INDEX, tag=LATEST), WHOLE[:-1]))
    assert [image.size for image in s.cache.images()] == [INDEX.size + SIZE]


def test_a_use_of_the_manifest_is_the_image_s() -> None:
    s = whole()
    s.passes(70.0)
    s.get(IMAGE.under(APP))
    (image,) = s.cache.images()
    assert (image.used, image.checked) == (START + 70.0, START)


def test_an_image_whose_manifest_is_not_there_yet_is_not_held() -> None:
    s = scenario()
    s.get(LATEST)
    s.fetch.offers(IMAGE)
    image = Image(LATEST, IMAGE.descriptor, START, False, 0, 0, None, False)
    assert s.cache.images() == [image]


def test_images_come_in_the_order_of_their_names() -> None:
    names = [
        TagRef(Repository(upstream, name), tag)
        for upstream in ("hub", "quay")
        for name in ("a", "b")
        for tag in ("1", "2")
    ]
    known = [held(IMAGE, under=None, tag=name) for name in reversed(names)]
    s = scenario(config(others=["quay"]), records(*known))
    assert [image.reference for image in s.cache.images()] == names


def test_of_the_latest_only_so_many_come_the_last_used_first_and_held_ones_alone() -> None:
    moved, gone = TagRef(APP, "moved"), TagRef(APP, "gone")
    s = scenario(config(), records(WHOLE, held(MOVED, tag=moved)))
    s.get(gone)
    s.fetch.offers(manifest("not there yet", LAYER))
    s.passes(70.0)
    s.get(MOVED.under(APP))
    latest, first = s.cache.images(latest=5)
    assert [latest.reference, first.reference] == [moved, LATEST]
    assert s.cache.images(latest=1) == [latest]
    assert latest in s.cache.images()


def test_what_is_known_for_one_kind_of_client_and_lists_are_no_images() -> None:
    narrow = evolve(LATEST, accept=(IMAGE.media_type,))
    known = [held(IMAGE, tag=narrow), held(listing("tags", "a"), tag=TAGS)]
    s = scenario(config(), records(*known))
    s.get(TagRef(APP, "gone"))
    s.fetch.answers(404)
    assert s.cache.images() == []


def test_a_pin_is_shown() -> None:
    s = whole()
    s.handle(Pinned(LATEST, True))
    assert [image.pinned for image in s.cache.images()] == [True]


# Transfers


def test_transfers_tell_how_far_they_are_and_who_reads() -> None:
    s = scenario()
    s.get(BLOB)
    s.get(BLOB)
    asked = Filling(LAYER.content, APP, "requesting", 0, None, 2)
    assert s.cache.fillings() == [asked]
    s.fetch.offers(LAYER)
    s.fetch.brings(40)
    assert s.cache.fillings() == [evolve(asked, state="streaming", have=40, size=100)]


# Reach


def reach(s: Scenario) -> Reach:
    (found,) = s.cache.reach(s.now)
    return found


def test_of_an_upstream_that_said_nothing_nothing_is_known() -> None:
    assert reach(scenario()) == Reach(HUB, None, None, None, ())


def test_a_quota_counts_for_its_window() -> None:
    s = whole()
    s.get(LATEST)
    s.fetch.answers(digest=IMAGE.digest, quota=Quota(100, 50, 60.0))
    assert reach(s) == Reach(HUB, 50, 100, None, (), START, START + 60.0)
    s.passes(59.0)
    assert reach(s).remaining == 50
    s.passes(1.0)
    assert reach(s) == Reach(HUB, None, None, None, ())


def test_a_limit_is_told_until_it_is_over() -> None:
    s = whole()
    s.get(LATEST)
    s.fetch.answers(429, retry_after=30)
    assert reach(s) == Reach(HUB, None, None, START + 30.0, ())
    s.passes(29.0)
    assert reach(s).limited_until == START + 30.0
    s.passes(1.0)
    assert reach(s).limited_until is None


def test_mirrors_that_rest_are_named_by_their_upstream() -> None:
    two = Upstream(mirrors=3)
    s = scenario(Config({HUB: two, "quay": two}, limits=Limits(mirror_rest=10.0)))
    s.get(LATEST)
    s.fetch.fails(Cause.UNREACHABLE)
    s.fetch.answers(404)
    s.fetch.fails(Cause.UNREACHABLE)
    s.passes(9.0)
    assert [r.resting for r in s.cache.reach(s.now)] == [(0, 2), ()]
    s.passes(1.0)
    assert [r.resting for r in s.cache.reach(s.now)] == [(), ()]


# Explanations


def test_of_what_is_held_back_is_told_since_when_and_until_when() -> None:
    s = scenario(config(cool_down=60.0))
    client = s.get(LATEST)
    s.fetch.offers(IMAGE)
    assert client.status == 403
    for what in (LATEST, IMAGE.content):
        found = explained(s, what)
        assert (found.known_since, found.held_back_until) == (START, START + 60.0)
    s.passes(60.0)
    assert explained(s).held_back_until is None
    unknown = explained(s, MOVED.content)
    assert (unknown.known_since, unknown.held_back_until) == (None, None)


def test_of_what_was_never_asked_for_nothing_is_known() -> None:
    assert explained(scenario()) == Explanation(
        reference=LATEST,
        state=TagState.UNKNOWN,
        descriptor=None,
        checked=None,
        fresh_until=None,
        stale_until=None,
        absent_until=None,
        known_since=None,
        held_back_until=None,
        held=False,
        size=None,
        used=None,
        pinned=False,
        granted=(),
        filling=None,
        asking=False,
        answered=None,
        filled=None,
        reach=Reach(HUB, None, None, None, ()),
    )


def test_a_tag_that_is_held_tells_how_long_it_is_good_for() -> None:
    s = whole(tag_ttl=60.0, stale_if_error=1000.0)
    assert explained(s) == Explanation(
        reference=LATEST,
        state=TagState.FRESH,
        descriptor=IMAGE.descriptor,
        checked=START,
        fresh_until=START + 60.0,
        stale_until=START + 1000.0,
        absent_until=None,
        known_since=None,
        held_back_until=None,
        held=True,
        size=IMAGE.size,
        used=START,
        pinned=False,
        granted=(APP,),
        filling=None,
        asking=False,
        answered=None,
        filled=None,
        reach=Reach(HUB, None, None, None, ()),
    )
    s.passes(59.0)
    assert explained(s).state is TagState.FRESH
    s.passes(1.0)
    assert explained(s).state is TagState.STALE


def test_of_upstream_is_told_what_it_said_last_and_what_is_left_of_its_quota() -> None:
    s = scenario()
    s.whose = Client("192.0.2.7", "alice")
    s.get(LATEST)
    s.fetch.offers(IMAGE, quota=Quota(100, 50, 60.0))
    s.fetch.delivers(IMAGE)
    s.stores()
    found = explained(s)
    assert found.answered == (START, Answer(200))
    assert found.filled == Filled(START, APP, s.whose, None, 200)
    assert found.reach == reach(s) == Reach(HUB, 50, 100, None, (), START, START + 60.0)


def test_how_it_came_is_not_told_of_what_is_not_held_as_that() -> None:
    known = FillStored(LAYER.digest, Filled(START, APP, None))
    s = scenario(config(), [*records(held(LAYER)), known])
    assert explained(s, LAYER.content).filled is not None
    assert explained(s, Content(Kind.MANIFEST, LAYER.digest)).filled is None


def test_a_tag_that_never_moves_stays_fresh() -> None:
    s = whole(immutable=("lat*",))
    s.passes(1000.0)
    assert explained(s).state is TagState.FRESH


def test_a_tag_under_check_says_so_and_its_coming_content_how_far_it_is() -> None:
    s = scenario()
    s.get(LATEST)
    asked = explained(s)
    assert (asked.state, asked.asking) == (TagState.REVALIDATING, True)
    assert (asked.descriptor, asked.checked, asked.fresh_until) == (None, None, None)
    s.fetch.offers(IMAGE)
    assert explained(s).filling == (0, None)
    s.fetch.offers(IMAGE)
    s.fetch.brings(4)
    coming = explained(s)
    assert (coming.held, coming.filling, coming.asking) == (False, (4, IMAGE.size), False)
    assert (coming.size, coming.used) == (None, None)


def test_an_absent_tag_is_absent_for_a_while() -> None:
    s = scenario(config(negative_ttl=10.0))
    s.get(LATEST)
    s.fetch.answers(404)
    gone = explained(s)
    assert (gone.state, gone.absent_until) == (TagState.GONE, START + 10.0)
    s.now += 10.0
    assert explained(s).state is TagState.UNKNOWN


def test_content_is_explained_by_its_digest() -> None:
    s = whole()
    found = explained(s, LAYER.content)
    assert (found.state, found.descriptor) == (TagState.UNKNOWN, None)
    assert (found.held, found.size, found.used) == (True, LAYER.size, START)
    asked = Content(Kind.BLOB, blob("new").digest)
    assert not explained(s, asked).asking
    s.get(ByDigest(APP, asked))
    assert explained(s, asked).asking


def test_who_may_have_it_is_who_was_granted_it_or_a_manifest_that_names_it() -> None:
    third = Repository(HUB, "a/third")
    s = scenario(
        config(),
        records(held(LAYER, under=OTHER), held(IMAGE, under=third), held(LAYER, under=APP)),
    )
    assert explained(s, LAYER.content).granted == (third, APP, OTHER)
    assert explained(s, SETTINGS.content).granted == (third,)


def test_who_may_have_an_index_may_have_what_its_manifests_name() -> None:
    known = held(INDEX), held(IMAGE, SETTINGS, LAYER, under=None)
    s = scenario(config(), records(*known))
    assert explained(s, LAYER.content).granted == (APP,)
    assert s.get(BLOB).status == 200


def test_what_is_pinned_by_a_tag_is_pinned_by_digest_too() -> None:
    s = whole()
    s.handle(Pinned(LATEST, True))
    assert explained(s).pinned
    assert explained(s, IMAGE.content).pinned
    assert not explained(s, LAYER.content).pinned


def test_what_is_pinned_by_digest_is_pinned_under_its_tag_too() -> None:
    s = whole()
    s.handle(Pinned(IMAGE.content, True))
    assert explained(s).pinned
    assert explained(s, IMAGE.content).pinned
    assert not explained(scenario()).pinned


def test_a_pin_on_what_is_not_there_is_shown() -> None:
    s = scenario()
    s.handle(Pinned(LATEST, True))
    assert explained(s).pinned


def test_a_token_request_is_no_reason_to_call_a_tag_unknown() -> None:
    s = scenario()
    s.get(LATEST)
    s.fetch.answers(401, challenges=(Challenge(True, "https://auth.hub/token", HUB),))
    assert explained(s).asking
