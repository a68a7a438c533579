"""What an operator asks of the cache: letting go and keeping."""

from __future__ import annotations

from attrs import evolve

from distcache.core.effects import Stored
from distcache.core.events import Forgotten, Pinned, Pruned
from distcache.core.inventory import GrantDropped, PinDropped, PinStored, TagDropped
from distcache.core.oci import TagRef
from distcache.core.pull import Method, RangeSpec
from tests.core.content import (
    APP,
    IMAGE,
    LATEST,
    LAYER,
    OTHER,
    SETTINGS,
    START,
    blob,
    held,
    records,
)
from tests.core.scenario import WHOLE, config, explained, scenario, streaming, whole

BLOB = LAYER.under(APP)
SIZE = IMAGE.size + SETTINGS.size + LAYER.size


# Letting go


def test_a_forgotten_tag_is_asked_for_and_its_neighbours_are_not() -> None:
    neighbours = [TagRef(APP, "other"), TagRef(OTHER, "latest")]
    known = [held(IMAGE, SETTINGS, LAYER, under=OTHER, tag=tag) for tag in neighbours]
    s = scenario(config(tag_ttl=60.0), records(WHOLE, *known))
    narrow = s.get(evolve(LATEST, accept=(IMAGE.media_type,)))
    s.fetch.offers(IMAGE)
    assert narrow.status == 200
    s.handle(Forgotten(LATEST))
    assert {r.reference for r in s.journalled(TagDropped)} >= {LATEST}
    assert s.get(neighbours[0]).status == 200
    assert s.get(neighbours[1]).status == 200
    assert s.get(LATEST).status is None
    assert s.get(narrow.pull.target).status is None


def test_a_forgotten_absence_is_asked_about_again() -> None:
    s = scenario(config(negative_ttl=100.0))
    s.get(LATEST)
    s.fetch.answers(404)
    assert s.get(LATEST).status == 404
    s.handle(Forgotten(LATEST))
    assert s.get(LATEST).status is None
    s.fetch.offers(IMAGE)
    s.passes(100.0)


def test_a_forgotten_repository_may_serve_nothing_and_another_still_may() -> None:
    s = scenario(config(tag_ttl=60.0), records(WHOLE, held(LAYER, under=OTHER)))
    s.handle(Forgotten(APP))
    dropped = {(r.repository, r.content) for r in s.journalled(GrantDropped)}
    assert dropped == {(APP, item.content) for item in (IMAGE, SETTINGS, LAYER)}
    assert s.get(LATEST).status is None
    assert s.get(BLOB).status is None
    assert s.get(LAYER.under(OTHER)).status == 200
    assert explained(s, SETTINGS.content).held, "what it had is only no longer its own"


def test_what_was_never_known_is_forgotten_in_vain() -> None:
    s = whole()
    for what in (TagRef(APP, "other"), OTHER, blob("unknown").digest):
        assert not s.cache.knows(what)
        assert s.handle(Forgotten(what)) == []


def test_what_can_be_forgotten_is_known_until_it_is() -> None:
    s = scenario(config(negative_ttl=100.0), records(WHOLE, held(LAYER, under=OTHER)))
    absent = TagRef(APP, "absent")
    s.get(absent)
    s.fetch.answers(404)
    for what in (LATEST, absent, APP, OTHER, LAYER.digest):
        before = s.cache.fingerprint(s.now)
        assert s.cache.knows(what)
        assert s.cache.fingerprint(s.now) == before, "looking changes nothing"
        s.handle(Forgotten(what))
        assert not s.cache.knows(what)


def test_forgotten_content_is_deleted() -> None:
    s = scenario(config(), held(LAYER))
    s.handle(Forgotten(LAYER.digest))
    assert s.deletes() == [LAYER.digest]
    assert s.get(BLOB).status is None


def test_forgotten_content_is_deleted_at_once_and_its_readers_get_it_to_its_end() -> None:
    """Nobody joins them, neither by a right of their own nor by a manifest's; who comes next is
    served anew as soon as it is there."""
    s = whole(tag_ttl=60.0)
    readers = s.get(BLOB), s.get(BLOB, ranges=(RangeSpec(3, 9),))
    s.handle(Forgotten(LAYER.digest))
    assert s.doomed == {LAYER.digest}
    next_one = s.get(BLOB)
    assert next_one.status is None
    assert s.asked() == (Method.GET, LAYER.content)
    assert s.deletes() == [LAYER.digest]
    readers[0].takes_all()
    s.fetch.delivers(LAYER)
    s.stores()
    next_one.takes_all()
    readers[1].takes_all()
    assert [client.end for client in (*readers, next_one)] == ["finished"] * 3
    assert s.get(BLOB).source == Stored(LAYER.digest)


def test_a_reader_whose_file_was_not_open_yet_is_served_anew() -> None:
    s = whole()
    reader = s.get(BLOB)
    s.handle(Forgotten(LAYER.digest))
    s.deletes()
    reader.loses_source(answered=False)
    s.fetch.delivers(LAYER)
    s.stores()
    reader.takes_all()
    assert reader.end == "finished"
    assert s.cache.stats().stored_blobs == 3


def test_forgotten_content_that_is_being_fetched_stays_for_those_and_is_nobody_else_s() -> None:
    """It is here as mere bytes, and comes as a manifest."""
    s = scenario(config(), records(held(blob("image", 10)), held(blob("image", 10), under=OTHER)))
    s.get(IMAGE.under(APP))
    s.handle(Forgotten(IMAGE.digest))
    assert not s.doomed
    dropped = {r.repository for r in s.journalled(GrantDropped)}
    assert dropped == {APP, OTHER}
    assert s.get(blob("image", 10).under(OTHER)).status is None


def test_who_still_wants_what_came_a_moment_ago_is_not_cut_off() -> None:
    """Its bytes have just been found right, and it has been handed out a part of them."""
    s, client = streaming(40)
    client.takes()
    s.fetch.brings(60)
    s.fetch.finishes(LAYER)
    s.stores()
    s.handle(Forgotten(LAYER.digest))
    assert not s.doomed
    assert s.get(BLOB).status is None
    client.takes_all()
    assert client.end == "finished"


# Keeping


def test_a_pin_is_recorded_once_and_so_is_its_end() -> None:
    s = whole()
    for _ in range(2):
        s.handle(Pinned(LATEST, True))
    assert s.journalled(PinStored) == [PinStored(LATEST)]
    for _ in range(2):
        s.handle(Pinned(LATEST, False))
    assert s.journalled(PinDropped) == [PinDropped(LATEST)]
    assert s.cache.stats().pins == 0


def test_a_pin_of_one_leaves_the_other_s() -> None:
    s = scenario(config(), [PinStored(LATEST), *WHOLE])
    s.handle(Pinned(LAYER.content, True))
    s.handle(Pinned(LATEST, False))
    assert not explained(s).pinned
    assert explained(s, LAYER.content).pinned


def test_pins_come_back_with_the_inventory() -> None:
    s = scenario(config(ttl=60.0), [PinStored(LATEST), *WHOLE])
    s.passes(100.0)
    assert not s.doomed
    s.handle(Pinned(LATEST, False))
    s.passes(60.0)
    assert s.doomed == {IMAGE.digest, SETTINGS.digest, LAYER.digest}


# What would go


def test_what_would_go_is_told_and_stays() -> None:
    s = scenario(config(), records(held(LAYER, used=START - 10.0), held(SETTINGS)))
    assert s.cache.would_free(Pruned(None, 5.0), s.now) == (1, LAYER.size)
    assert s.cache.would_free(Pruned(0, None), s.now) == (2, LAYER.size + SETTINGS.size)
    assert s.cache.would_free(Forgotten(SETTINGS.digest), s.now) == (1, SETTINGS.size)
    assert s.cache.stats().stored_blobs == 2
    assert s.get(SETTINGS.under(APP)).status == 200
