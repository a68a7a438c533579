"""What outlives the process: the journal's records are the next start's inventory."""

from typing import Any

import pytest

from distcache.core import inventory
from distcache.core.effects import Stored
from distcache.core.events import Cause
from distcache.core.inventory import (
    Answer,
    BlobDropped,
    BlobStored,
    BlobUsed,
    Filled,
    GrantDropped,
    GrantStored,
    Inventory,
    Record,
    TagDropped,
    TagStored,
)
from distcache.core.oci import Kind, TagRef
from tests.core.content import (
    APP,
    IMAGE,
    LATEST,
    LAYER,
    MOVED,
    OTHER,
    SETTINGS,
    START,
    Item,
    held,
    records,
)
from tests.core.scenario import Scenario, config, scenario
from tests.core.vocabulary import assert_closed, assert_frozen


def restarted(s: Scenario, **settings: Any) -> Scenario:
    """What a store that applied the whole journal gives back."""
    kept: dict[object, Record] = {}
    for record in s.journal:
        match record:
            case BlobStored(digest=digest):
                kept[digest] = record
            case BlobUsed(digest=digest, used=used):
                old = kept[digest]
                assert isinstance(old, BlobStored)
                kept[digest] = BlobStored(digest, old.size, used, old.document)
            case BlobDropped(digest=digest):
                kept = {k: r for k, r in kept.items() if digest not in repr(r)}
            case TagStored(reference=reference):
                kept[reference] = record
            case TagDropped(reference=reference):
                del kept[reference]
            case GrantStored():
                kept[record] = record
    return scenario(config(**settings), records(kept.values()), s.now)


def test_the_union_names_every_record() -> None:
    assert_closed(inventory, inventory.Record, {Answer, Filled, Inventory})
    assert_frozen(inventory)


def pulled() -> Scenario:
    s = scenario()
    s.pulls_tag(IMAGE)
    for item in (SETTINGS, LAYER):
        s.pulls(item)
    return s


def test_what_was_pulled_is_there_after_a_restart() -> None:
    s = restarted(pulled())
    for item in (IMAGE, SETTINGS, LAYER):
        assert s.get(item.under(APP)).source == Stored(item.digest)
    assert not s.transfers


def test_a_tag_is_as_old_after_a_restart_as_before_it() -> None:
    s = pulled()
    s.passes(50.0)
    s = restarted(s, tag_ttl=60.0)
    client = s.get(LATEST)
    assert (client.status, client.decision.ttl, client.answer.age) == (200, 10, 50)
    s.passes(10.0)
    assert s.get(LATEST).status is None


def test_a_tag_bridges_an_upstream_that_is_down_after_the_restart_too() -> None:
    s = restarted(pulled())
    client = s.get(LATEST)
    s.fetch.fails(Cause.UNREACHABLE)
    assert client.answer.descriptor == IMAGE.descriptor
    assert client.decision.stale_if_error


def test_rights_outlive_the_process_and_so_does_their_absence() -> None:
    s = restarted(pulled())
    assert s.get(LAYER.under(OTHER)).status is None


def test_what_was_evicted_does_not_come_back() -> None:
    s = scenario(config(ttl=100.0))
    s.pulls_tag(IMAGE)
    s.pulls(LAYER)
    s.passes(100.0)
    s.deletes()
    assert restarted(s).cache.fingerprint(s.now) == scenario().cache.fingerprint(s.now)


def test_age_goes_on_where_it_was() -> None:
    s = scenario(config(ttl=100.0))
    s.pulls(LAYER)
    s.passes(70.0)
    s.get(LAYER.under(APP)).takes_all()
    s.passes(20.0)
    s = restarted(s, ttl=100.0)
    assert s.cache.next_deadline() == START + 170.0


AS_MANIFEST = Item(LAYER.as_kind(IMAGE.content.kind), LAYER.size, IMAGE.media_type)
DAMAGED: dict[str, Record] = {
    "a tag of content that is not there": TagStored(LATEST, MOVED.descriptor, START),
    "a tag of bytes that are no manifest": TagStored(LATEST, AS_MANIFEST.descriptor, START),
    "a right to content that is not there": GrantStored(APP, MOVED.content),
    "a right to bytes that are no manifest": GrantStored(APP, AS_MANIFEST.content),
    "a tag of an upstream that is no longer configured": TagStored(
        TagRef(type(APP)("gone.example", "x"), "v1"), IMAGE.descriptor, START
    ),
    "what was dropped": BlobDropped(MOVED.digest),
    "a tag that was dropped": TagDropped(TagRef(APP, "v1")),
    "a right that was dropped": GrantDropped(OTHER, LAYER.content),
    "a use": BlobUsed(LAYER.digest, START),
}


@pytest.mark.parametrize("what", list(DAMAGED))
def test_a_record_that_means_nothing_is_passed_over(what: str) -> None:
    """A start never fails because of what the store has kept."""
    whole = held(IMAGE, LAYER, tag=TagRef(APP, "stable"))
    s = scenario(records=[*whole, DAMAGED[what]])
    s.cache.check()
    assert s.cache.fingerprint(s.now) == scenario(records=whole).cache.fingerprint(s.now)
    assert s.get(LAYER.under(APP)).status == 200


def test_a_blob_that_two_records_speak_of_is_there_once() -> None:
    """What is stored of it, and that it is a manifest, whichever record comes first."""
    bare = BlobStored(IMAGE.digest, IMAGE.size, START)
    whole = BlobStored(IMAGE.digest, IMAGE.size, START, IMAGE.document)
    for twice in ((bare, whole), (whole, bare)):
        s = scenario(None, records([*twice, GrantStored(APP, IMAGE.as_kind(Kind.MANIFEST))]))
        assert s.get(IMAGE.under(APP)).answer.status == 200
        assert s.cache.stats().stored_bytes == IMAGE.size
