"""What goes when space or age demands it, and what must not."""

import math
from typing import Any

import pytest

from distcache.core.config import Limits
from distcache.core.effects import Medium, Stored
from distcache.core.events import Cause, Pinned, Pruned, Woke
from distcache.core.inventory import BlobDropped, BlobStored, TagDropped
from distcache.core.oci import TagRef
from distcache.core.pull import Method
from tests.core.content import (
    APP,
    IMAGE,
    INDEX,
    LATEST,
    LAYER,
    OTHER,
    SETTINGS,
    START,
    blob,
    held,
    manifest,
    records,
)
from tests.core.scenario import Scenario, config, scenario

OLD, NEW, NEXT = blob("old", 60), blob("new", 30), blob("next", 20)


def two(**settings: Any) -> Scenario:
    """`OLD` was used ten seconds before `NEW`."""
    parts = held(OLD, used=START - 20.0), held(NEW, used=START - 10.0)
    return scenario(config(**settings), records(*parts))


# By size


def test_the_least_recently_used_goes_first_and_no_more_than_is_needed() -> None:
    s = two(max_size=100)
    s.pulls(NEXT)
    assert s.deletes() == [OLD.digest]


def test_a_hit_is_a_use() -> None:
    s = two(max_size=100)
    s.get(OLD.under(APP)).takes_all()
    s.pulls(NEXT)
    assert s.deletes() == [NEW.digest]


def test_up_to_max_size_nothing_goes() -> None:
    s = two(max_size=110)
    s.pulls(NEXT)
    assert not s.doomed


def test_without_a_limit_nothing_goes() -> None:
    s = two(max_size=None, ttl=None)
    s.pulls(NEXT)
    s.passes(1e9)
    assert not s.doomed
    assert s.cache.next_deadline() is None


def test_room_is_made_as_soon_as_the_size_of_what_comes_is_known() -> None:
    s = two(max_size=100)
    s.get(NEXT.under(APP))
    assert not s.doomed
    s.fetch.offers(NEXT)
    assert s.doomed == {OLD.digest}


def test_nothing_goes_for_what_does_not_fit_at_all() -> None:
    s = two(max_size=100)
    s.get(blob("huge", 101).under(APP))
    s.fetch.answers(200, length=101)
    assert not s.doomed


def test_a_fill_of_unknown_size_counts_with_what_it_has() -> None:
    s = two(max_size=100)
    s.get(NEXT.under(APP))
    s.fetch.answers(200)
    s.fetch.brings(10)
    s.get(LATEST)
    s.fetches[1].answers(404)
    assert not s.doomed
    s.fetch.brings(11)
    s.get(LATEST.__class__(APP, "v2"))
    s.fetches[1].answers(404)
    assert s.doomed == {OLD.digest}


# By age


def test_what_is_idle_for_ttl_goes_by_itself() -> None:
    s = two(ttl=100.0)
    assert s.cache.next_deadline() == START + 80.0
    s.passes(80.0)
    assert s.deletes() == [OLD.digest]
    s.passes(10.0)
    assert s.deletes() == [NEW.digest]


def test_a_store_that_is_idle_as_a_whole_goes_in_portions() -> None:
    parts = [held(blob(f"{n}", 10), used=START - 50.0) for n in range(5)]
    limits = Limits(expiring=2)
    s = scenario(config(ttl=100.0, limits=limits), records(*parts))
    s.now += 60.0
    for gone in (2, 4, 5):
        due = s.cache.next_deadline()
        assert due is not None
        assert due <= s.now
        s.handle(Woke())
        assert len(s.doomed) == gone
    assert s.cache.next_deadline() is None


def test_what_space_demands_goes_at_once_though_it_is_more_than_a_portion() -> None:
    s = two(ttl=100.0, max_size=100, limits=Limits(expiring=1))
    s.now += 95.0
    s.pulls(blob("large", 90))
    assert s.doomed == {OLD.digest, NEW.digest}


def test_every_use_begins_the_time_anew() -> None:
    """Popular images must not expire weekly."""
    s = two(ttl=100.0)
    for _ in range(5):
        s.passes(70.0)
        s.get(OLD.under(APP)).takes_all()
    assert s.deletes() == [NEW.digest]


def test_with_deletion_switched_off_nothing_ever_goes() -> None:
    s = two(ttl=10.0, max_size=50, evict=False)
    assert s.cache.next_deadline() is None
    s.pulls(NEXT)
    s.passes(1e6)
    assert not s.doomed


# As one image


def test_a_manifest_goes_with_the_blobs_that_only_it_names() -> None:
    s = scenario(config(ttl=100.0), held(INDEX, IMAGE, LAYER, SETTINGS, tag=LATEST))
    s.passes(100.0)
    gone = s.deletes()
    assert gone[:2] == [INDEX.digest, IMAGE.digest], "parents first"
    assert set(gone[2:]) == {LAYER.digest, SETTINGS.digest}
    assert {r.digest for r in s.journalled(BlobDropped)} == set(gone)
    assert s.journalled(TagDropped) == [TagDropped(LATEST)]


def test_a_blob_that_a_living_manifest_names_stays() -> None:
    shared = manifest("shared", LAYER)
    parts = held(IMAGE, LAYER, SETTINGS), held(shared, used=START + 50.0)
    s = scenario(config(ttl=100.0), records(*parts))
    s.passes(100.0)
    assert set(s.deletes()) == {IMAGE.digest, SETTINGS.digest}
    s.passes(50.0)
    assert set(s.deletes()) == {shared.digest, LAYER.digest}


def test_a_blob_gets_its_manifest_s_place_when_that_comes_later() -> None:
    """The blob was there first, a root of its own; now it goes when the image goes."""
    s = scenario(config(ttl=100.0), held(LAYER))
    s.passes(90.0)
    s.pulls(manifest("late", LAYER))
    s.passes(90.0)
    assert not s.doomed
    s.passes(10.0)
    assert set(s.deletes()) == {manifest("late").digest, LAYER.digest}


def test_what_is_on_its_way_out_already_is_not_counted_again() -> None:
    """Its manifest goes while the blob is still being deleted."""
    shared = manifest("shared", OLD)
    s = scenario(config(ttl=100.0), records(held(OLD, used=START - 50.0)))
    s.passes(50.0)
    assert s.doomed == {OLD.digest}
    s.pulls(shared)
    s.passes(100.0)
    assert s.deletes() == [OLD.digest, shared.digest]


# What is in use


def test_what_is_being_read_stays() -> None:
    s = two(max_size=100)
    client = s.get(OLD.under(APP))
    s.now += 1.0
    s.get(NEW.under(APP)).takes_all()
    s.pulls(NEXT)
    assert s.doomed == {NEW.digest}
    client.takes_all()
    assert client.end == "finished"


def test_what_is_being_read_is_not_idle() -> None:
    s = two(ttl=100.0)
    client = s.get(NEW.under(APP))
    s.passes(150.0)
    assert s.deletes() == [OLD.digest]
    client.takes_all()
    s.passes(49.0)
    assert not s.doomed
    s.passes(1.0)
    assert s.doomed == {NEW.digest}


def test_an_image_of_which_a_part_is_being_read_stays_whole() -> None:
    s = scenario(config(ttl=100.0), held(IMAGE, LAYER, SETTINGS))
    client = s.get(LAYER.under(APP))
    s.passes(150.0)
    assert not s.doomed
    client.takes_all()
    s.passes(100.0)
    assert len(s.deletes()) == 3


def test_what_is_being_filled_stays() -> None:
    """Its bytes are here as a blob, and come again as a manifest."""
    s = scenario(config(ttl=100.0), held(blob("image", 10), used=START - 90.0))
    s.get(IMAGE.under(APP))
    s.passes(10.0)
    assert not s.doomed
    s.fetch.answers(404)
    s.passes(100.0)
    assert s.doomed == {IMAGE.digest}


def test_what_was_passed_over_keeps_its_turn() -> None:
    s = two(max_size=60)
    client = s.get(OLD.under(APP))
    s.get(NEW.under(APP)).takes_all()
    s.pulls(NEXT)
    assert s.deletes() == [NEW.digest]
    client.takes_all()
    s.now += 1.0
    s.get(NEXT.under(APP)).takes_all()
    s.pulls(blob("more", 1))
    assert s.deletes() == [OLD.digest]


# After it


def test_what_has_gone_is_fetched_again_when_asked_for() -> None:
    s = scenario(config(ttl=100.0), held(LAYER))
    s.passes(100.0)
    s.deletes()
    s.pulls(LAYER)
    assert s.get(LAYER.under(APP)).source == Stored(LAYER.digest)


def test_head_does_not_answer_from_the_size_of_what_has_gone() -> None:
    s = scenario(config(ttl=100.0), held(LAYER))
    s.passes(100.0)
    client = s.head(LAYER.under(APP))
    assert client.status is None
    assert s.asked() == (Method.HEAD, LAYER.content)


def test_what_another_repository_may_serve_goes_from_it_too_and_comes_back() -> None:
    s = scenario(config(ttl=100.0), records(held(LAYER), held(LAYER, under=OTHER)))
    s.passes(100.0)
    s.deletes()
    client = s.get(LAYER.under(OTHER))
    s.fetch.delivers(LAYER)
    client.takes_all()
    assert (client.at, client.end) == (LAYER.size, "finished")


def test_after_a_failed_deletion_there_is_a_pause() -> None:
    s = two(ttl=100.0, limits=Limits(delete_retry=60.0))
    s.passes(80.0)
    s.cannot_delete()
    s.passes(59.0)
    assert not s.doomed
    s.passes(1.0)
    assert s.doomed == {NEW.digest}


# A full disk


def test_a_full_disk_makes_room_and_the_transfer_goes_on() -> None:
    s = two(ttl=None)
    client = s.get(LAYER.under(APP))
    s.fetch.offers(LAYER)
    s.fetch.brings(50)
    s.fetch.fails(Cause.NO_SPACE)
    assert s.doomed == {OLD.digest}, "50 bytes are missing"
    s.deletes()
    s.passes(1.0)
    assert (s.fetch.request.offset, s.fetch.spool.medium) == (50, Medium.FILE)
    s.fetch.answers(206, start=50, length=50, size=100)
    s.fetch.finishes(LAYER)
    client.takes_all()
    assert client.end == "finished"


def test_a_full_disk_with_the_size_unknown_makes_much_room() -> None:
    s = two(ttl=None)
    s.get(LAYER.under(APP))
    s.fetch.fails(Cause.NO_SPACE)
    assert s.doomed == {OLD.digest, NEW.digest}


@pytest.mark.parametrize("settings", [{"evict": False}, {}])
def test_a_full_disk_with_nothing_to_give_passes_the_content_through(
    settings: dict[str, Any],
) -> None:
    kept = held(OLD) if settings else []
    s = scenario(config(**settings), kept)
    client = s.get(LAYER.under(APP))
    s.fetch.fails(Cause.NO_SPACE)
    assert s.fetch.spool.medium is Medium.WINDOW
    s.fetch.delivers(LAYER)
    client.takes_all()
    assert client.end == "finished"


def test_nor_is_room_made_during_the_pause() -> None:
    s = two(ttl=100.0)
    s.passes(80.0)
    s.cannot_delete()
    s.get(LAYER.under(APP))
    s.fetch.fails(Cause.NO_SPACE)
    assert not s.doomed
    assert s.fetch.spool.medium is Medium.WINDOW


def test_what_is_being_deleted_is_not_told_as_stored() -> None:
    s = two(max_size=100)
    s.pulls(NEXT)
    assert s.doomed == {OLD.digest}
    stats = s.cache.stats()
    assert (stats.stored_blobs, stats.stored_bytes) == (2, 50)
    s.deletes()
    assert s.cache.stats() == stats


# What an operator wants gone, or kept


def test_pruning_to_a_size_lets_the_least_recently_used_go_and_no_more_than_is_needed() -> None:
    s = two()
    s.handle(Pruned(30, None))
    assert s.deletes() == [OLD.digest]
    s.handle(Pruned(30, None))
    assert not s.doomed


def test_pruning_what_was_idle_lets_that_go_and_nothing_else() -> None:
    s = two()
    s.handle(Pruned(None, 21.0))
    assert not s.doomed
    s.handle(Pruned(None, 20.0))
    assert s.deletes() == [OLD.digest]


def test_what_is_being_deleted_counts_no_longer_when_pruned() -> None:
    s = two()
    s.handle(Pruned(89, None))
    s.handle(Pruned(30, None))
    assert s.doomed == {OLD.digest}


def test_where_nothing_is_ever_deleted_nothing_is_pruned() -> None:
    s = two(evict=False)
    s.handle(Pruned(0, 0.0))
    assert not s.doomed


def test_what_is_pinned_stays_by_its_digest_or_by_its_tag() -> None:
    parts = held(IMAGE, tag=LATEST), held(OLD), held(NEW)
    s = scenario(config(), records(*parts))
    s.handle(Pinned(LATEST, True))
    s.handle(Pinned(OLD.content, True))
    s.handle(Pruned(0, 0.0))
    assert s.deletes() == [NEW.digest]
    s.handle(Pinned(OLD.content, False))
    s.handle(Pruned(0, None))
    assert s.deletes() == [OLD.digest]


def last_uses(s: Scenario) -> dict[str, float | None]:
    return {image.reference.tag: image.used for image in s.cache.images() if image.held}


def test_pruning_is_no_use_of_what_stays() -> None:
    """Neither of what is pinned, nor of what is being read."""
    tags = {name: TagRef(APP, name) for name in ("kept", "read", "old")}
    parts = [held(manifest(n), tag=tag, used=START - 50.0) for n, tag in tags.items()]
    s = scenario(config(ttl=None), records(*parts))
    s.handle(Pinned(tags["kept"], True))
    s.get(manifest("read").under(APP))
    s.now += 10.0
    s.handle(Pruned(0, 0.0))
    assert s.doomed == {manifest("old").digest}
    assert last_uses(s) == {"kept": START - 50.0, "read": START}


def test_what_was_pinned_keeps_its_turn_when_pruned() -> None:
    s = two()
    s.handle(Pinned(OLD.content, True))
    s.handle(Pruned(0, 15.0))
    s.handle(Pinned(OLD.content, False))
    s.handle(Pruned(None, 15.0))
    assert s.doomed == {NEW.digest, OLD.digest}


def test_what_a_pinned_manifest_names_stays_with_it() -> None:
    s = scenario(config(), held(IMAGE, SETTINGS, LAYER, tag=LATEST))
    s.handle(Pinned(IMAGE.content, True))
    s.handle(Pruned(0, None))
    assert not s.doomed


def test_what_is_pinned_is_as_good_as_used_and_does_not_stand_in_the_way() -> None:
    s = two(max_size=100, ttl=None)
    s.handle(Pinned(OLD.content, True))
    s.pulls(NEXT)
    assert s.deletes() == [NEW.digest]


# Beyond the usual


@pytest.mark.parametrize("first", [1 << 26, (1 << 26) - 1])
def test_for_a_size_that_is_not_known_64_mib_are_cleared(first: int) -> None:
    many = [blob("first", first), blob("second", 1), blob("third", 1)]
    parts = [held(item, used=START + n) for n, item in enumerate(many)]
    s = scenario(config(ttl=None), records(*parts), START + 10.0)
    s.get(LAYER.under(APP))
    s.fetch.fails(Cause.NO_SPACE)
    gone = many[:1] if first == 1 << 26 else many[:2]
    assert s.doomed == {item.digest for item in gone}


def test_during_the_pause_after_a_failed_deletion_nothing_goes_whatever_happens() -> None:
    s = two(ttl=100.0, limits=Limits(delete_retry=60.0))
    s.passes(80.0)
    s.cannot_delete()
    s.passes(11.0)
    s.get(LATEST)
    s.fetch.answers(404)
    assert not s.doomed


def test_a_full_disk_makes_room_as_soon_as_the_pause_is_over() -> None:
    s = two(ttl=None, limits=Limits(delete_retry=60.0))
    s.handle(Pruned(30, None))
    s.cannot_delete()
    s.now += 60.0
    s.get(LAYER.under(APP))
    s.fetch.fails(Cause.NO_SPACE)
    assert s.doomed == {OLD.digest, NEW.digest}


def test_a_full_disk_lets_all_go_that_is_idle_whatever_is_needed() -> None:
    s = two(ttl=100.0)
    s.get(LAYER.under(APP))
    s.fetch.offers(LAYER)
    s.fetch.brings(50)
    s.now += 95.0
    s.fetch.fails(Cause.NO_SPACE)
    assert s.doomed == {OLD.digest, NEW.digest}


def test_a_single_byte_is_room() -> None:
    s = scenario(config(ttl=None), held(blob("one", 1)))
    s.get(LAYER.under(APP))
    s.fetch.fails(Cause.NO_SPACE)
    assert s.doomed == {blob("one").digest}
    s.passes(1.0)
    assert s.fetch.spool.medium is Medium.FILE


def test_what_just_fits_has_all_else_go() -> None:
    s = two(max_size=100)
    s.get(LAYER.under(APP))
    s.fetch.offers(LAYER)
    assert s.doomed == {OLD.digest, NEW.digest}


def three(**settings: Any) -> Scenario:
    parts = held(OLD, used=START - 20.0), held(NEW, used=START - 10.0), held(NEXT, used=START - 5.0)
    return scenario(config(**settings), records(*parts))


def test_what_was_pinned_when_its_turn_came_has_been_used_then() -> None:
    s = three(ttl=None, max_size=110)
    s.handle(Pinned(OLD.content, True))
    s.pulls(blob("little", 1))
    assert s.deletes() == [NEW.digest]
    s.handle(Pinned(OLD.content, False))
    s.pulls(blob("more", 40))
    assert s.deletes() == [NEXT.digest]


def test_what_was_being_read_when_its_turn_came_has_not_been_used_by_that() -> None:
    s = three(ttl=1000.0, max_size=110)
    client = s.get(OLD.under(APP))
    s.now += 10.0
    s.get(NEXT.under(APP)).takes_all()
    s.now += 10.0
    s.pulls(blob("little", 1))
    assert s.deletes() == [NEW.digest]
    client.takes_all()
    s.pulls(blob("more", 40))
    assert s.deletes() == [OLD.digest]


def test_a_blob_that_two_manifests_name_goes_with_the_second() -> None:
    other = manifest("other", LAYER)
    parts = held(IMAGE, LAYER), held(other, used=START + 50.0)
    s = scenario(config(ttl=100.0), records(*parts))
    s.passes(100.0)
    assert s.deletes() == [IMAGE.digest]
    assert s.cache.next_deadline() == START + 150.0
    s.passes(50.0)
    assert set(s.deletes()) == {other.digest, LAYER.digest}


# By the number of what is stored


class Counted(float):
    """A time that counts how often it is asked which of two is the earlier."""

    asked = 0

    def __lt__(self, other: float) -> bool:
        Counted.asked += 1
        return float(self) < float(other)


@pytest.mark.parametrize("roots", [1 << 6, 1 << 11])
def test_one_eviction_costs_the_logarithm_of_what_is_stored(roots: int) -> None:
    """Counted, not timed: comparisons of the LRU while twenty of `roots` go one by one."""
    order = [(n * 7919) % roots for n in range(roots)]
    found = [
        BlobStored(blob(f"{place}").digest, 1, Counted(START - roots + place)) for place in order
    ]
    s = scenario(config(max_size=None, ttl=None), found)
    Counted.asked = 0
    for gone in range(20):
        s.handle(Pruned(roots - gone - 1, None))
        assert s.deletes() == [blob(f"{gone}").digest]
    assert Counted.asked <= 20 * 2 * math.log2(roots)
