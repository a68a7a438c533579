"""What is stored: accounted until it is gone, used, named, lost and found again."""

from distcache.core.blobs import TRANSITIONS, BlobInput, BlobState
from distcache.core.effects import Level, Stored
from distcache.core.events import Woke
from distcache.core.inventory import BlobDropped, BlobStored, BlobUsed, GrantStored
from distcache.core.oci import Document, Kind
from distcache.core.pull import ByDigest
from tests.core.content import (
    APP,
    IMAGE,
    INDEX,
    LATEST,
    LAYER,
    OTHER,
    SETTINGS,
    START,
    Item,
    blob,
    held,
    manifest,
    records,
)
from tests.core.drawing import assert_drawn
from tests.core.scenario import config, scenario

BLOB = LAYER.under(APP)


def test_the_table() -> None:
    assert_drawn(
        TRANSITIONS,
        BlobState,
        BlobInput,
        """
        STORED EVICTED DOOMED
        DOOMED KEPT    STORED
        """,
    )


def test_what_is_committed_is_journalled_with_its_size_and_served_from_the_store() -> None:
    s = scenario()
    s.pulls(LAYER)
    assert s.journalled(BlobStored) == [BlobStored(LAYER.digest, LAYER.size, START)]
    assert s.get(BLOB).source == Stored(LAYER.digest)


def test_a_manifest_is_stored_with_what_it_names_and_its_type() -> None:
    s = scenario()
    s.pulls(IMAGE)
    (record,) = s.journalled(BlobStored)
    assert record.document == IMAGE.document
    descriptor = s.get(IMAGE.under(APP)).answer.descriptor
    assert descriptor is not None
    assert descriptor.media_type == IMAGE.media_type


def test_bytes_alone_are_no_manifest() -> None:
    """The same digest was fetched as a blob; as a manifest it must be parsed first."""
    as_blob = ByDigest(APP, IMAGE.as_kind(Kind.BLOB))
    s = scenario()
    s.get(as_blob)
    s.fetch.answers(200, length=IMAGE.size)
    s.fetch.brings(IMAGE.size)
    s.fetch.ends(IMAGE.digest)
    s.stores()
    client = s.get(IMAGE.under(APP))
    assert client.status is None
    s.fetch.delivers(IMAGE)
    s.stores()
    client.takes_all()
    assert s.get(IMAGE.under(APP)).source == Stored(IMAGE.digest)
    assert s.journalled(BlobStored)[-1].document == IMAGE.document


def test_bytes_that_a_manifest_brought_are_served_as_a_blob_once_upstream_agrees() -> None:
    s = scenario()
    s.pulls(IMAGE)
    client = s.get(ByDigest(APP, IMAGE.as_kind(Kind.BLOB)))
    s.fetch.offers(IMAGE)
    assert client.source == Stored(IMAGE.digest)
    descriptor = client.answer.descriptor
    assert descriptor is not None
    assert descriptor.media_type == "application/octet-stream"


def test_the_same_bytes_on_two_ways_are_stored_and_accounted_once() -> None:
    s = scenario(config(max_size=2 * IMAGE.size - 1))
    s.get(IMAGE.under(APP))
    s.get(ByDigest(APP, IMAGE.as_kind(Kind.BLOB)))
    for transfer in s.fetches:
        transfer.delivers(IMAGE)
    s.stores()
    assert not s.doomed
    for client in s.clients:
        client.takes_all()
        assert client.end == "finished"
    s.pulls(blob("next", IMAGE.size - 1))
    assert not s.doomed, "the two just fit"


def test_uses_close_together_are_journalled_once() -> None:
    s = scenario(records=held(LAYER))
    for _ in range(7):
        s.passes(20.0)
        s.get(BLOB).takes_all()
    assert [r.used for r in s.journalled(BlobUsed)] == [START + 60.0, START + 120.0]


def test_a_use_before_the_recorded_one_does_not_make_it_older() -> None:
    """The clock may have been set back between two runs."""
    s = scenario(config(ttl=100.0), held(LAYER, used=START + 50.0))
    s.get(BLOB).takes_all()
    s.passes(149.0)
    assert not s.doomed
    s.passes(1.0)
    assert s.doomed == {LAYER.digest}


def test_it_stays_in_the_accounting_until_the_store_says_that_it_is_gone() -> None:
    s = scenario(config(max_size=150), held(LAYER, used=START - 9.0))
    s.pulls(blob("next", 90))
    assert s.doomed == {LAYER.digest}
    s.pulls(blob("third", 40))
    assert s.doomed == {LAYER.digest}, "what is going already counts as gone"
    s.deletes()
    s.pulls(blob("fourth", 30))
    assert s.doomed == {blob("next").digest}


def test_what_is_going_is_not_served_and_fetched_again() -> None:
    s = scenario(config(ttl=10.0), held(LAYER))
    s.passes(10.0)
    assert s.doomed == {LAYER.digest}
    assert s.get(BLOB).status is None
    assert s.fetch.effect.spool is not None


def test_what_cannot_be_deleted_is_as_good_as_used_just_now() -> None:
    s = scenario(config(ttl=10.0), held(LAYER))
    s.passes(10.0)
    s.cannot_delete()
    assert s.notes[-1].level is Level.WARNING
    assert s.journalled(BlobStored) == [BlobStored(LAYER.digest, LAYER.size, START + 10.0)]
    client = s.get(BLOB)
    assert client.status is None, "its grants are gone"
    s.fetch.offers(LAYER)
    assert client.source == Stored(LAYER.digest)


def test_what_cannot_be_deleted_while_fetched_again_waits_for_upstream_s_word() -> None:
    s = scenario(config(ttl=10.0), held(LAYER))
    s.passes(10.0)
    early = s.get(LAYER.under(OTHER))
    s.cannot_delete()
    late = s.get(LAYER.under(OTHER))
    assert (early.status, late.status) == (None, None), "stored, but not granted to that one"
    for transfer in s.fetches:
        transfer.answers(404)
    assert (early.status, late.status) == (404, 404)


def test_what_cannot_be_deleted_while_fetched_again_is_read_to_its_end() -> None:
    s = scenario(config(ttl=10.0), held(LAYER))
    s.passes(10.0)
    client = s.get(BLOB, chunked=False)
    again = s.fetch
    again.answers(200)
    assert client.status is None, "its client has to be told a length"
    s.cannot_delete()
    s.get(BLOB).takes_all()
    again.brings(LAYER.size)
    again.ends(LAYER.digest)
    s.stores()
    client.takes_all()
    assert client.end == "finished"
    assert s.get(BLOB).source == Stored(LAYER.digest)


def test_a_manifest_that_cannot_be_deleted_names_its_blobs_again() -> None:
    s = scenario(config(ttl=10.0), held(IMAGE, LAYER))
    s.passes(10.0)
    assert s.doomed == {IMAGE.digest, LAYER.digest}
    s.cannot_delete()
    s.cannot_delete()
    s.get(LATEST)
    s.fetch.offers(IMAGE)
    assert s.get(BLOB).status == 200


def test_what_the_store_has_lost_is_dropped_and_fetched_again_unnoticed() -> None:
    s = scenario(records=held(LAYER))
    client = s.get(BLOB)
    client.loses_source(answered=False)
    assert s.journalled(BlobDropped) == [BlobDropped(LAYER.digest)]
    assert s.notes[-1].level is Level.ERROR
    s.fetch.delivers(LAYER)
    s.stores()
    client.takes_all()
    assert client.end == "finished"
    assert s.journalled(GrantStored) == [GrantStored(APP, LAYER.content)]


def test_the_children_of_a_lost_manifest_are_on_their_own() -> None:
    image = manifest("image", LAYER, blob("never had"))
    s = scenario(config(ttl=100.0), held(INDEX, image, LAYER))
    s.passes(10.0)
    s.get(image.under(APP)).loses_source(answered=False)
    s.passes(90.0)
    assert s.doomed == {INDEX.digest, LAYER.digest}


def test_a_child_that_another_still_names_stays_with_that() -> None:
    other = manifest("other", LAYER)
    s = scenario(config(ttl=100.0), records(held(IMAGE, LAYER), held(other, used=START + 50.0)))
    s.passes(100.0)
    assert s.deletes() == [IMAGE.digest]
    s.passes(50.0)
    assert set(s.deletes()) == {other.digest, LAYER.digest}


def test_a_manifest_may_name_one_blob_twice() -> None:
    twice = manifest("twice", SETTINGS, SETTINGS)
    s = scenario(config(ttl=10.0), held(twice, SETTINGS))
    s.passes(10.0)
    assert set(s.deletes()) == {twice.digest, SETTINGS.digest}


def test_a_document_without_children_is_a_root_like_a_blob() -> None:
    bare = Item(blob("bare").content, 1, "text", Document("text"))
    s = scenario(config(ttl=10.0), held(bare))
    s.passes(10.0)
    assert s.deletes() == [bare.digest]


def test_what_is_restored_is_listed_as_what_comes_one_by_one() -> None:
    """What a stored manifest names goes with it, whichever of the two the inventory has first;
    what only a lost manifest named goes by itself."""
    items = [BlobStored(item.digest, item.size, START, item.document) for item in (LAYER, IMAGE)]
    for order in (items, items[::-1]):
        s = scenario(config(max_size=1), records([*order]), START)
        s.handle(Woke())
        assert s.journalled(BlobDropped) == [BlobDropped(IMAGE.digest), BlobDropped(LAYER.digest)]
    s = scenario(config(max_size=1), records(items[:1]), START)
    s.handle(Woke())
    assert s.journalled(BlobDropped) == [BlobDropped(LAYER.digest)]


def test_bytes_that_come_again_without_their_document_stay_a_manifest() -> None:
    s = scenario()
    s.get(IMAGE.under(APP))
    s.get(ByDigest(APP, IMAGE.as_kind(Kind.BLOB)))
    as_manifest, as_blob = s.fetches
    as_manifest.delivers(IMAGE)
    as_blob.answers(200, length=IMAGE.size)
    as_blob.brings(IMAGE.size)
    as_blob.ends(IMAGE.digest)
    s.stores()
    assert s.journalled(BlobStored)[-1].document == IMAGE.document
    assert s.get(IMAGE.under(APP)).source == Stored(IMAGE.digest)


def test_what_could_not_be_deleted_goes_when_it_has_been_idle_again() -> None:
    s = scenario(config(ttl=100.0), held(LAYER))
    s.passes(100.0)
    s.cannot_delete()
    s.passes(99.0)
    assert not s.doomed
    s.passes(1.0)
    assert s.deletes() == [LAYER.digest]


def test_so_does_what_a_manifest_named_that_went_meanwhile() -> None:
    shared = manifest("shared", LAYER)
    s = scenario(config(ttl=100.0), held(LAYER, used=START - 50.0))
    s.passes(50.0)
    s.pulls(shared)
    s.passes(100.0)
    assert s.doomed == {LAYER.digest, shared.digest}
    s.cannot_delete()
    s.passes(100.0)
    assert s.doomed == {LAYER.digest, shared.digest}


def test_what_another_still_names_has_no_time_of_its_own() -> None:
    """Of two manifests that name an old blob one is lost."""
    other = manifest("other", LAYER)
    parts = held(IMAGE, other), held(LAYER, used=START - 50.0)
    s = scenario(config(ttl=100.0), records(*parts))
    s.get(IMAGE.under(APP)).loses_source(answered=True)
    assert s.cache.next_deadline() == START + 100.0


def test_of_bytes_that_the_inventory_has_twice_the_document_counts_and_the_size_once() -> None:
    twice = [BlobStored(IMAGE.digest, IMAGE.size, START), *held(IMAGE)]
    for order in (twice, [twice[1], twice[0], *twice[2:]]):
        s = scenario(records=order)
        assert s.get(IMAGE.under(APP)).source == Stored(IMAGE.digest)
        assert s.cache.stats().stored_bytes == IMAGE.size
