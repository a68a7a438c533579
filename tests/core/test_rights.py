"""What a pull may be given, and what is held back from it."""

from distcache.core.config import Limits
from distcache.core.effects import Stored
from distcache.core.events import Cause, Secret
from distcache.core.oci import Repository
from distcache.core.pull import Authority, Ping
from tests.core.content import (
    APP,
    HUB,
    IMAGE,
    LATEST,
    LAYER,
    OTHER,
    held,
)
from tests.core.scenario import config, scenario

BLOB = LAYER.under(APP)
SIZE = LAYER.size


def test_a_stranger_waits_for_a_fill_that_fails_and_then_asks_under_its_own_name() -> None:
    s = scenario()
    first = s.get(BLOB)
    second = s.get(LAYER.under(OTHER))
    fill, probe = s.fetches
    probe.offers(LAYER)
    fill.answers(404)
    assert (first.status, second.status) == (404, None)
    assert s.fetch.request.repository == OTHER
    s.fetch.delivers(LAYER)
    assert second.status == 200


def test_a_login_that_is_over_may_have_no_more_of_what_it_reads_along() -> None:
    s = scenario(config(ttl=None, limits=Limits(authority=5.0)))
    alice, what = Authority("a", Secret("a")), LAYER.under(Repository(HUB, "library/app", "a"))
    client = s.get(what, authority=alice, chunked=False)
    s.fetch.answers(200)
    s.passes(5.0)
    s.fetch.finishes(LAYER)
    s.fetch.answers(404)
    assert client.status == 404


def test_what_it_has_waited_for_in_vain_may_have_come_another_way() -> None:
    s = scenario()
    blob, tag = s.get(BLOB), s.get(LATEST)
    s.fetches[1].offers(IMAGE)
    for item in (LAYER, IMAGE):
        s.fetches[0].fails(Cause.STORE)
        s.get(item.under(APP))
        s.fetches[-1].delivers(item)
        s.stores()
    s.passes(28.0)
    assert [blob.source, tag.source] == [Stored(LAYER.digest), Stored(IMAGE.digest)]


def test_a_tag_that_resolved_to_nothing_waits_for_no_content() -> None:
    s = scenario(records=held(IMAGE, LAYER))
    client = s.get(LATEST)
    s.fetch.fails(Cause.UNREACHABLE)
    assert client.status == 502


def test_a_resolved_tag_may_have_what_it_resolved_to_unless_that_is_too_young() -> None:
    for cool_down, status in ((0.0, 200), (60.0, 403)):
        s = scenario(config(cool_down=cool_down), held(IMAGE, LAYER, under=OTHER))
        client = s.get(LATEST)
        s.fetch.offers(IMAGE)
        assert client.status == status


def test_for_a_greeting_there_is_no_content_to_come() -> None:
    s = scenario(records=held(IMAGE, LAYER))
    client = s.get(Ping(Repository(HUB, "", "a")), authority=Authority("a"))
    s.fetch.fails(Cause.UNREACHABLE)
    assert client.status == 502


def test_a_transfer_that_upstream_has_not_answered_gives_no_right_to_what_is_stored() -> None:
    s = scenario(config(ttl=60.0), held(LAYER, under=OTHER))
    s.passes(60.0)
    first = s.get(LAYER.under(APP))
    s.cannot_delete()
    second = s.get(LAYER.under(APP))
    assert (first.status, second.status) == (None, None)
    for transfer in s.fetches:
        transfer.answers(404)
    assert (first.status, second.status) == (404, 404)
