"""What the store says: there now, gone, or not to be read."""

import pytest

from distcache.core.config import Limits
from distcache.core.effects import Blame, Level, Spool
from distcache.core.events import (
    BlobCommitted,
    BlobDeleted,
    Event,
    Forgotten,
    SourceLost,
    StoreFailed,
    StoreFault,
    StoreOperation,
)
from distcache.core.inventory import (
    Answer,
    BlobDropped,
    BlobStored,
    Filled,
    FillStored,
    TagDropped,
    TagStored,
)
from distcache.core.oci import Kind
from distcache.core.pull import ByDigest, Client
from tests.core.content import (
    APP,
    IMAGE,
    LATEST,
    LAYER,
    OTHER,
    START,
    WRONG,
    blob,
    held,
)
from tests.core.scenario import config, scenario, streaming

BLOB = LAYER.under(APP)
SIZE = LAYER.size


def test_when_it_is_stored_all_who_read_or_wait_are_served_from_the_store() -> None:
    s, client = streaming()
    head = s.head(BLOB)
    s.fetches[1].offers(LAYER)
    assert head.status == 200
    s.fetches[0].finishes(LAYER)
    s.stores()
    late = s.get(BLOB)
    for c in (client, late):
        c.takes_all()
        assert c.end == "finished"
    assert late.decision.fwd is None


def test_a_tag_is_recorded_when_what_it_resolves_to_is_stored() -> None:
    s = scenario()
    s.get(LATEST)
    s.fetch.offers(IMAGE)
    s.fetch.delivers(IMAGE)
    assert not s.journal
    s.stores()
    assert s.journalled(TagStored) == [
        TagStored(LATEST, IMAGE.descriptor, START, answer=Answer(200))
    ]


def test_how_it_came_is_recorded_when_it_is_stored() -> None:
    s = scenario()
    s.whose = Client("192.0.2.7")
    s.get(BLOB)
    s.fetch.delivers(LAYER)
    assert not s.journal
    s.stores()
    assert s.journalled(FillStored) == [
        FillStored(LAYER.digest, Filled(START, APP, s.whose, None, 200))
    ]


def test_who_waits_for_a_manifest_while_it_is_stored_is_told_then() -> None:
    """It came as a blob and is asked for as a manifest: the fills are two."""
    s = scenario()
    s.get(ByDigest(APP, IMAGE.as_kind(Kind.BLOB)))
    s.get(IMAGE.under(APP))
    as_blob, as_manifest = s.fetches
    as_blob.delivers(IMAGE)
    as_manifest.delivers(IMAGE)
    s.stores()
    assert [c.answer.length for c in s.clients] == [IMAGE.size] * 2
    assert s.disk == {IMAGE.digest}


# The store


@pytest.mark.parametrize("fault", list(StoreFault))
def test_a_failed_commit_is_noted_and_nothing_is_recorded(fault: StoreFault) -> None:
    s, client = streaming()
    s.fetch.finishes(LAYER)
    s.cannot_store(fault)
    assert s.notes[-1].level is Level.WARNING
    assert ("fault", fault.value) in s.notes[-1].fields
    client.takes_all()
    assert client.end == "finished"
    assert not s.journalled(BlobStored)


@pytest.mark.parametrize("fault", list(StoreFault))
def test_where_a_full_disk_stops_a_commit_the_next_one_finds_room(fault: StoreFault) -> None:
    s = scenario(None, held(blob("older")))
    s.get(BLOB)
    s.fetch.delivers(LAYER)
    s.cannot_store(fault)
    assert bool(s.journalled(BlobDropped)) == (fault is StoreFault.NO_SPACE)


def test_a_failed_deletion_is_noted_and_the_blob_recorded_again() -> None:
    s = scenario(config(ttl=10.0), held(LAYER))
    s.passes(10.0)
    s.cannot_delete()
    assert ("digest", LAYER.digest) in s.notes[-1].fields
    assert [r.digest for r in s.journalled(BlobStored)] == [LAYER.digest]


@pytest.mark.parametrize(
    "event",
    [
        BlobCommitted(WRONG),
        StoreFailed(StoreOperation.COMMIT, WRONG, StoreFault.FAULT),
        BlobDeleted(LAYER.digest, SIZE),
        SourceLost(7, LAYER.digest, answered=True),
    ],
    ids=repr,
)
def test_what_comes_too_late_changes_nothing(event: Event) -> None:
    s = scenario(records=held(LAYER))
    assert s.handle(event) == []
    assert s.cache.late == 1


def test_what_was_deleted_is_gone() -> None:
    s = scenario(config(ttl=10.0), held(LAYER))
    s.passes(10.0)
    assert s.deletes() == [LAYER.digest]
    assert s.journalled(BlobDropped) == [BlobDropped(LAYER.digest)]
    s.get(BLOB)
    assert s.fetch.request.resource == LAYER.content


# What the store has lost


def test_a_lost_blob_is_noted_dropped_and_fetched_again() -> None:
    s = scenario(records=held(IMAGE, tag=LATEST))
    client = s.get(IMAGE.under(APP))
    client.loses_source(answered=False)
    assert s.notes[-1].level is Level.ERROR
    assert s.notes[-1].fields == (("digest", IMAGE.digest),)
    assert s.journalled(BlobDropped) == [BlobDropped(IMAGE.digest)]
    assert s.journalled(TagDropped) == [TagDropped(LATEST)]
    s.fetch.delivers(IMAGE)
    assert client.status == 200


def test_of_two_who_lose_it_the_second_finds_it_gone_already() -> None:
    s = scenario(records=held(LAYER))
    first, second = s.get(BLOB), s.get(BLOB)
    first.loses_source(answered=True)
    second.loses_source(answered=False)
    assert len(s.journalled(BlobDropped)) == 1
    s.fetch.delivers(LAYER)
    second.takes_all()
    assert second.end == "finished"


def test_a_spool_that_cannot_be_read_takes_nothing_from_the_store() -> None:
    s, client = streaming()
    assert isinstance(client.source, Spool)
    client.loses_source(answered=True)
    assert (client.end, client.blame) == ("aborted", Blame.STORE)
    assert not s.journalled(BlobDropped)


def test_a_blob_stored_again_since_is_not_dropped_for_an_old_loss() -> None:
    """Two readers; the first has lost it, and it has come back meanwhile."""
    s = scenario(records=held(LAYER))
    first, second = s.get(BLOB), s.get(BLOB)
    first.loses_source(answered=False)
    s.fetch.delivers(LAYER)
    s.stores()
    second.loses_source(answered=True, gone=False)
    first.takes_all()
    assert first.end == "finished"
    assert len(s.journalled(BlobDropped)) == 1


def test_a_loss_that_comes_back_too_often_is_an_error() -> None:
    s = scenario(config(limits=Limits(redispatch=0)), held(LAYER))
    client = s.get(BLOB)
    client.loses_source(answered=False)
    assert client.status == 502
    assert "cannot be kept" in client.problem.message


def test_a_loss_is_nothing_to_who_reads_something_else() -> None:
    s = scenario(records=held(IMAGE, LAYER))
    other, client = s.get(BLOB), s.get(IMAGE.under(APP))
    client.loses_source(answered=True)
    other.takes_all()
    assert other.end == "finished"
    s.handle(Forgotten(LAYER.digest))
    assert s.deletes() == [LAYER.digest], "nobody reads it any more"


def test_a_spool_that_could_not_be_read_is_read_again() -> None:
    s, client = streaming()
    client.loses_source(answered=False)
    s.fetch.finishes(LAYER)
    client.takes_all()
    assert client.end == "finished"


@pytest.mark.parametrize("first", list(Kind)[:2])
def test_what_is_durable_is_what_was_to_be_stored(first: Kind) -> None:
    """The same bytes come as a manifest and as a blob; the other transfer goes on."""
    s = scenario()
    s.get(ByDigest(APP, IMAGE.as_kind(first)))
    s.fetch.delivers(IMAGE)
    (second,) = [kind for kind in list(Kind)[:2] if kind is not first]
    s.get(ByDigest(OTHER, IMAGE.as_kind(second)))
    s.stores()
    s.clients[0].takes_all()
    assert s.clients[0].end == "finished"
    s.fetch.delivers(IMAGE)
    assert s.clients[1].status == 200
