"""What upstream is asked about a reference, and what becomes of its word."""

from typing import Any

import pytest

from distcache.core.config import Config, Limits, Upstream
from distcache.core.decision import Fwd, Outcome
from distcache.core.effects import Code, Medium, Stored
from distcache.core.events import Cause, Challenge, Location, Secret
from distcache.core.inventory import TagStored as TagStored
from distcache.core.oci import Listed, TagRef
from distcache.core.pull import Method, Page
from tests.core.actors import Transfer
from tests.core.content import (
    APP,
    HUB,
    IMAGE,
    LATEST,
    MOVED,
    REFERRERS,
    START,
    TAGS,
    WRONG,
    held,
    listing,
    referring,
)
from tests.core.scenario import Scenario, config, scenario, whole

# Asking


def test_a_mirror_s_list_that_is_none_is_asked_for_elsewhere_but_not_offline() -> None:
    places = {HUB: Upstream(mirrors=1)}
    for offline, status in ((False, None), (True, 503)):
        s = scenario(Config(places))
        client = s.get(TAGS)
        s.fetch.answers()
        s.fetch.brings(5)
        s.cache.configure(Config(places, offline=offline))
        s.fetch.ends()
        assert client.status == status
        assert [t.request.mirror for t in s.fetches] == ([] if offline else [None])


def test_a_tag_is_asked_by_head_for_every_type_and_then_fetched_by_digest() -> None:
    s = scenario()
    client = s.get(LATEST)
    assert s.asked() == (Method.HEAD, LATEST)
    assert s.fetch.effect.spool is None
    s.fetch.offers(IMAGE)
    assert s.asked() == (Method.GET, IMAGE.content)
    s.fetch.delivers(IMAGE)
    assert (client.status, client.answer.descriptor) == (200, IMAGE.descriptor)
    assert client.decision.fwd is Fwd.URI_MISS


def test_by_default_every_pull_is_checked_and_an_unchanged_tag_costs_one_head() -> None:
    s = whole()
    for _ in range(2):
        client = s.get(LATEST)
        s.fetch.offers(IMAGE)
        assert client.source == Stored(IMAGE.digest)
        assert (client.decision.fwd, client.decision.stored) == (Fwd.STALE, False)
        assert client.decision.fwd_status == 200
        client.takes_all()
    assert [t.request.method for t in s.transfers] == [Method.HEAD, Method.HEAD]


def test_simultaneous_pulls_share_one_check() -> None:
    s = whole()
    clients = [s.get(LATEST), s.head(LATEST), s.get(LATEST)]
    s.fetch.offers(IMAGE)
    assert [c.status for c in clients] == [200, 200, 200]
    assert [c.decision.collapsed for c in clients] == [False, True, True]
    assert len(s.transfers) == 1


# What upstream's HEAD does not say


@pytest.mark.parametrize("status", [400, 403, 405, 501])
def test_where_head_is_refused_the_manifest_is_got_and_hashed(status: int) -> None:
    s = scenario()
    client = s.get(LATEST)
    s.fetch.answers(status)
    assert s.asked() == (Method.GET, LATEST)
    assert s.fetch.spool.medium is Medium.MEMORY
    assert s.fetch.spool.limit == 4 << 20
    s.fetch.delivers(IMAGE)
    assert client.answer.descriptor == IMAGE.descriptor
    s.stores()
    client.takes_all()
    assert client.end == "finished"
    assert s.disk == {IMAGE.digest}


def test_a_head_without_digest_is_followed_by_a_get() -> None:
    s = scenario()
    client = s.get(LATEST)
    s.fetch.answers(200, length=IMAGE.size)
    assert s.fetch.request.method is Method.GET
    s.fetch.delivers(IMAGE)
    assert client.answer.descriptor == IMAGE.descriptor


def test_then_its_entity_tag_saves_the_second_get() -> None:
    s = scenario()
    s.get(LATEST)
    s.fetch.answers(405)
    s.fetch.answers(200, etag='"v1"')
    s.fetch.finishes(IMAGE)
    s.stores()
    assert s.journalled(TagStored)[-1].etag == '"v1"'
    client = s.get(LATEST)
    s.fetch.answers(405)
    assert s.fetch.request.etag == '"v1"'
    s.fetch.answers(304)
    assert client.source == Stored(IMAGE.digest)


def test_an_entity_tag_of_content_that_is_not_held_is_not_sent() -> None:
    s = scenario()
    s.get(LATEST)
    s.fetch.answers(405)
    s.fetch.answers(200, etag='"v1"')
    s.fetch.finishes(IMAGE)
    s.cannot_store()
    s.clients[0].takes_all()
    s.get(LATEST)
    s.fetch.answers(405)
    assert s.fetch.request.etag is None


def test_a_304_that_nobody_asked_for_confirms_nothing() -> None:
    s = scenario()
    client = s.get(LATEST)
    s.fetch.answers(304)
    assert client.status == 502
    s = whole()
    client = s.get(LATEST)
    s.fetch.answers(304)
    assert client.source == Stored(IMAGE.digest)
    assert client.decision.stale_if_error


def test_a_get_of_content_that_is_already_held_keeps_what_is_stored() -> None:
    s = whole()
    client = s.get(LATEST)
    s.fetch.answers(405)
    spool = s.fetch.spool
    s.fetch.delivers(IMAGE)
    assert client.source == Stored(IMAGE.digest)
    assert spool.number in s.discarded
    assert not s.jobs


def test_what_is_no_manifest_is_an_error_and_is_not_kept() -> None:
    s = scenario()
    client = s.get(LATEST)
    s.fetch.answers(405)
    s.fetch.answers(200)
    s.fetch.brings(7)
    spool = s.fetch.spool
    s.fetch.ends(WRONG, None)
    assert client.status == 502
    assert spool.number in s.discarded


def test_a_document_that_breaks_off_is_an_error_and_is_not_kept() -> None:
    s = scenario()
    client = s.get(LATEST)
    s.fetch.answers(405)
    s.fetch.answers(200)
    spool = s.fetch.spool
    s.fetch.fails(Cause.TOO_LARGE)
    assert client.status == 502
    assert spool.number in s.discarded


def test_a_refused_head_is_not_followed_up_without_a_token() -> None:
    """Both were asked before upstream wanted a token; then the token service refused one."""
    s = scenario()
    s.get(LATEST)
    other = s.get(TagRef(APP, "other"))
    first, second = s.fetches
    first.answers(401, challenges=(Challenge(True, "https://auth.hub/token", HUB),))
    s.token.refuses(403)
    second.answers(405)
    assert (other.status, other.problem.code) == (403, Code.DENIED)
    assert not s.fetches


def test_a_tag_is_not_asked_while_the_token_service_refuses() -> None:
    s = whole(negative_ttl=10.0)
    s.get(TagRef(APP, "other"))
    s.fetch.answers(401, challenges=(Challenge(True, "https://auth.hub/token", HUB),))
    s.token.refuses(403)
    for tag in (LATEST, TagRef(APP, "other")):
        assert s.get(tag).status == 403
    assert not s.fetches
    s.passes(10.0)
    assert s.get(LATEST).status is None


# What upstream says no to


@pytest.mark.parametrize(("status", "code"), [(401, Code.UNAUTHORIZED), (403, Code.DENIED)])
def test_a_refusal_is_passed_on_evicts_nothing_and_is_not_kept(status: int, code: Code) -> None:
    """Some registries say 401 for "not found": neither loop nor believe it for long."""
    s = whole()
    client = s.get(LATEST)
    s.fetch.answers(status)
    if status == 403:
        s.fetch.answers(status)
    assert (client.status, client.problem.code) == (status, code)
    again = s.get(LATEST)
    s.fetch.offers(IMAGE)
    assert again.source == Stored(IMAGE.digest)


def test_what_is_not_there_is_told_to_all_who_wait_and_remembered() -> None:
    s = whole(negative_ttl=10.0)
    clients = [s.get(LATEST), s.get(LATEST)]
    s.fetch.answers(404)
    assert [c.status for c in clients] == [404, 404]
    assert s.get(LATEST).decision.outcome is Outcome.HIT
    assert not s.fetches


def test_what_comes_with_a_check_and_is_too_young_is_let_go() -> None:
    s = scenario(config(cool_down=60.0))
    client = s.get(LATEST)
    s.fetch.answers(405)
    s.fetch.delivers(IMAGE)
    assert client.status == 403
    assert not s.jobs
    assert not s.undiscarded


# Who leaves, and what goes


def test_the_check_goes_on_when_who_asked_leaves() -> None:
    s = whole()
    first, second = s.get(LATEST), s.get(LATEST)
    first.leaves()
    s.fetch.offers(IMAGE)
    assert second.status == 200


# Listings


def test_a_list_of_tags_is_got_and_kept() -> None:
    s = scenario()
    client = s.get(TAGS)
    assert s.fetch.request.method is Method.GET
    assert s.fetch.spool.limit == 32 << 20
    s.fetch.delivers(listing("tags", "b", "a"))
    assert (client.answer.tags, client.decision.stored) == (("a", "b"), True)
    s.stores()
    bridged = s.get(TAGS)
    s.fetch.fails(Cause.UNREACHABLE)
    assert bridged.decision.stale_if_error
    assert bridged.answer.tags == ("a", "b")


def page(number: int, *, home: bool = True, allowed: bool = True) -> Location:
    return Location(f"https://up/v2/tags?token={number}", home, allowed)


def turns(s: Scenario, upto: int, following: Location | None, **said: Any) -> Transfer:
    """The page under way comes, its list `upto` bytes long with it; then the next is asked for."""
    transfer = s.fetch
    transfer.answers(next_page=following, **said)
    transfer.finishes(listing("so-far", "a", size=upto))
    return transfer


def test_the_pages_of_a_list_are_followed_and_kept_as_one() -> None:
    s = scenario()
    client, other = s.get(TAGS), s.get(TAGS, page=Page(1))
    first = turns(s, 10, page(1), etag='"one"')
    second = turns(s, 20, page(2))
    assert second.request.location == page(1)
    assert second.effect.spool == first.effect.spool
    assert client.status is None
    assert s.fetch.request.location == page(2)
    s.fetch.delivers(listing("whole", "a", "b", "c", size=30))
    assert client.answer.tags == ("a", "b", "c")
    assert (other.answer.tags, other.answer.more) == (("a",), True)
    s.stores()
    (record,) = s.journalled(TagStored)
    assert (record.descriptor.size, record.etag) == (30, None)
    assert s.undiscarded == set()


def test_a_list_is_asked_for_from_its_beginning_each_time() -> None:
    s = scenario()
    for _ in range(2):
        s.get(TAGS)
        assert (s.fetch.request.location, s.fetch.request.etag) == (None, None)
        turns(s, 10, page(1), etag='"one"')
        s.fetch.delivers(listing("whole", "a", "b", size=20))
        if s.jobs:
            s.stores()


@pytest.mark.parametrize(
    "following", [page(1), page(2, allowed=False)], ids=["to itself", "elsewhere"]
)
def test_a_list_whose_pages_lead_nowhere_is_no_list(following: Location) -> None:
    s = scenario()
    client = s.get(TAGS)
    turns(s, 10, page(1))
    turns(s, 20, following)
    assert (client.status, client.problem.code) == (502, Code.UNAVAILABLE)
    assert s.undiscarded == set()


def test_pages_without_end_are_not_followed_for_ever() -> None:
    s = scenario(config(limits=Limits(pages=3)))
    client = s.get(TAGS)
    for number in range(3):
        assert client.status is None
        turns(s, 10 * number + 10, page(number))
    assert client.status == 502


@pytest.mark.parametrize(("status", "told"), [(404, 502), (429, 429), (503, 502), (403, 403)])
def test_a_page_that_is_refused_fails_the_list_but_the_repository_is_there(
    status: int, told: int
) -> None:
    s = scenario(records=held(listing("old", "a"), tag=TAGS))
    client = s.get(TAGS)
    turns(s, 10, page(1))
    s.fetch.answers(status)
    definite = status == 403
    assert client.status == (told if definite else 200)
    assert client.decision.stale_if_error is not definite
    bare = scenario()
    client = bare.get(TAGS)
    turns(bare, 10, page(1))
    bare.fetch.answers(status)
    assert client.status == told
    assert bare.get(TAGS).status is None, "asked again"


def test_a_page_is_asked_for_with_a_token_and_again_when_that_has_run_out() -> None:
    s = scenario()
    client = s.get(TAGS)
    turns(s, 10, page(1))
    s.fetch.answers(401, challenges=(Challenge(True, "https://auth/token", "up"),))
    s.token.grants("first")
    assert s.fetch.request.location == page(1)
    assert s.fetch.request.authorization == Secret("first")
    turns(s, 20, page(2, home=False))
    assert s.fetch.request.authorization is None, "a list that was redirected"
    s.fetch.delivers(listing("whole", "a", size=30))
    assert client.status == 200


def test_only_the_mirror_that_gave_a_page_has_the_next_and_a_list_that_breaks_begins_anew() -> None:
    s = scenario(config(mirrors=1))
    client = s.get(TAGS)
    assert turns(s, 10, page(1)).request.mirror == 0
    assert s.fetch.request.mirror == 0
    s.fetch.fails(Cause.UNREACHABLE)
    assert s.fetch.request.mirror is None
    assert s.fetch.request.location is None
    s.fetch.delivers(listing("whole", "a", size=30))
    assert client.status == 200


def test_an_entity_tag_counts_when_what_it_belongs_to_has_come() -> None:
    s = scenario()
    s.get(TAGS)
    s.fetch.delivers(listing("one", "a"), etag='"one"')
    s.stores()
    s.get(TAGS)
    s.fetch.answers(etag='"two"')
    s.fetch.fails()
    client = s.get(TAGS)
    assert s.fetch.request.etag == '"one"'
    s.fetch.answers(304)
    assert client.answer.tags == ("a",)


def test_a_list_may_go_while_a_newer_one_comes() -> None:
    s = scenario(config(ttl=20.0), held(listing("old", "a"), tag=TAGS))
    s.passes(10.0)
    client = s.get(TAGS)
    s.fetch.answers(next_page=page(1))
    s.fetch.brings(10)
    s.passes(10.0)
    assert s.deletes()
    s.fetch.ends(WRONG, listing("so-far", "a").document)
    s.fetch.delivers(listing("whole", "a", "b", size=20))
    assert client.answer.tags == ("a", "b")


def test_a_digest_counts_only_with_a_200() -> None:
    s = whole()
    client = s.get(LATEST)
    s.fetch.answers(404, digest=IMAGE.digest)
    assert client.status == 404


def test_an_entity_tag_stays_while_the_digest_does() -> None:
    s = scenario(records=[*held(IMAGE), TagStored(LATEST, IMAGE.descriptor, START, etag='"e"')])
    for item, etag in ((IMAGE, '"e"'), (MOVED, None)):
        s.get(LATEST)
        s.fetch.offers(item)
        for transfer in s.fetches:
            transfer.delivers(item)
        s.stores()
        s.get(LATEST)
        s.fetch.answers(405)
        assert s.fetch.request.etag == etag
        s.fetch.fails(Cause.UNREACHABLE)


def test_a_conditional_get_may_still_be_told_no() -> None:
    names = listing("tags", "a")
    s = scenario(records=[*held(names), TagStored(TAGS, names.descriptor, START, etag='"e"')])
    client = s.get(TAGS)
    assert s.fetch.request.etag == '"e"'
    s.fetch.answers(404)
    assert client.status == 404


def test_nothing_has_changed_says_nothing_of_what_has_gone_meanwhile() -> None:
    names = listing("tags", "a")
    known = [*held(names), TagStored(TAGS, names.descriptor, START, etag='"e"')]
    s = scenario(config(ttl=20.0), known)
    s.passes(10.0)
    client = s.get(TAGS)
    s.passes(10.0)
    assert s.deletes()
    s.fetch.answers(304)
    assert client.status == 502


def test_nothing_has_changed_keeps_what_came_with_a_list() -> None:
    s = scenario()
    s.get(REFERRERS)
    s.fetch.delivers(referring("page"), etag='"e"', filters="artifactType")
    s.stores()
    for _ in range(2):
        client = s.get(REFERRERS)
        assert s.fetch.request.etag == '"e"'
        s.fetch.answers(304)
        assert client.answer.listed == Listed("artifactType", None)
        assert client.decision.fwd_status == 304


def test_a_get_tells_upstream_s_status() -> None:
    s = scenario()
    client = s.get(LATEST)
    s.fetch.answers(405)
    s.fetch.delivers(IMAGE)
    assert client.decision.fwd_status == 200


def test_a_page_that_is_gone_is_no_absence() -> None:
    s = scenario()
    client = s.get(TAGS)
    turns(s, 10, page(1))
    s.fetch.answers(410)
    assert client.status == 502


def test_the_next_page_is_asked_of_the_same_reference() -> None:
    s = scenario()
    s.get(TAGS)
    turns(s, 10, page(1))
    assert s.fetch.request.resource == TAGS
