"""What is done about a pull that waits."""

from typing import Any

import pytest

from distcache.core.config import Limits
from distcache.core.decision import HIT, Decision, Fwd, Outcome
from distcache.core.effects import Code, Stored
from distcache.core.events import Cause, Challenge, Quota, Secret
from distcache.core.oci import Content, Kind, Repository, TagRef
from distcache.core.problems import DRAINING, OFFLINE
from distcache.core.pull import Authority, ByDigest, Catalog, Method, Ping
from tests.core.actors import Client
from tests.core.content import (
    APP,
    HUB,
    IMAGE,
    LATEST,
    LAYER,
    MOVED,
    OTHER,
    REFERRERS,
    TAGS,
    blob,
    held,
    listing,
    records,
    referring,
)
from tests.core.scenario import Scenario, config, scenario, streaming, warm

BLOB = LAYER.under(APP)
WARM = held(IMAGE, LAYER, tag=LATEST)
SIZE = LAYER.size
BEARER = Challenge(True, "https://auth.hub/token", HUB)


# What needs no upstream, and what needs only its head


def test_a_catalogue_and_a_page_of_a_list_are_answered_from_what_is_held() -> None:
    s = scenario(config(tag_ttl=60.0), records(WARM, held(listing("tags", "a", "b"), tag=TAGS)))
    assert s.get(Catalog()).answer.repositories == (APP.name,)
    assert s.get(TAGS).answer.tags == ("a", "b")
    assert not s.transfers


def test_within_its_time_a_tag_is_not_asked_about_nor_one_that_is_not_there() -> None:
    s = warm(tag_ttl=60.0, negative_ttl=60.0)
    assert s.get(LATEST).status == 200
    assert not s.transfers
    for _ in range(2):
        client = s.get(TagRef(APP, "gone"))
        for transfer in s.fetches:
            transfer.answers(404)
        assert client.status == 404
    assert len(s.transfers) == 1


def test_head_of_a_tag_that_is_not_stored_is_answered_from_upstream_s_head() -> None:
    s = scenario()
    client = s.head(LATEST)
    s.fetch.offers(IMAGE)
    assert client.answer.descriptor == IMAGE.descriptor
    assert not s.fetches


def test_a_listing_that_cannot_be_kept_is_an_honest_error_and_asked_for_again() -> None:
    s = scenario(config(tag_ttl=60.0, max_size=19))
    for _ in range(2):
        client = s.get(REFERRERS)
        s.fetch.delivers(referring("page"))
        assert (client.status, client.problem.code) == (502, Code.UNAVAILABLE)


# Upstream's own words


@pytest.mark.parametrize(("redispatch", "status"), [(1, 404), (2, None)])
def test_that_is_bounded_too(redispatch: int, status: int | None) -> None:
    s = scenario(config(limits=Limits(redispatch=redispatch)))
    third = Repository(HUB, "library/third")
    clients = [s.get(LAYER.under(repository)) for repository in (APP, OTHER, third)]
    fill, *probes = s.fetches
    for probe in probes:
        probe.offers(LAYER)
    fill.answers(404)
    s.fetch.answers(404)
    assert [c.status for c in clients] == [404, 404, status]


def test_what_cannot_even_be_asked_is_answered_at_once_or_bridged() -> None:
    """The token service has refused, and the refusal still holds."""
    s = warm()
    s.get(TagRef(APP, "v1"))
    s.fetch.answers(401, challenges=(BEARER,))
    s.token.refuses(403)
    assert s.get(TagRef(APP, "v2")).status == 403
    assert s.get(blob("unknown").under(APP)).status == 403
    assert s.head(blob("unknown").under(APP)).status == 403
    assert s.get(LATEST).status == 403, "the word was definite"
    assert not s.fetches


# Offline, and shutting down


def offline(what: Any, method: str = "get") -> tuple[Scenario, Client]:
    s = warm(offline=True)
    client = s.get(what) if method == "get" else s.head(what)
    assert not s.transfers, "upstream is never asked"
    return s, client


def test_offline_what_is_held_is_served_however_old() -> None:
    s = warm(offline=True, stale_if_error=1.0)
    s.passes(5000.0)
    for what in (LATEST, BLOB):
        assert s.get(what).status == 200
    assert s.clients[0].decision.stale_if_error
    assert s.clients[0].answer.age == 5000
    assert not s.transfers


@pytest.mark.parametrize(
    "what",
    [
        TagRef(APP, "unknown"),
        blob("unknown").under(APP),
        LAYER.under(OTHER),
        ByDigest(APP, Content(Kind.MANIFEST, LAYER.digest)),
    ],
)
def test_offline_what_is_not_held_is_503_never_404(what: Any) -> None:
    for method in ("get", "head"):
        _, client = offline(what, method)
        assert (client.status, client.problem) == (503, OFFLINE)


def test_offline_a_tag_whose_content_is_lost_is_not_held() -> None:
    _, client = offline(LATEST)
    client.loses_source(answered=False)
    assert client.problem == OFFLINE


def test_offline_a_tag_that_was_never_had_is_not_held() -> None:
    s = scenario()
    s.get(LATEST)
    s.fetch.offers(IMAGE)
    s.fetch.answers(429)
    s.cache.configure(config(offline=True))
    assert s.get(LATEST).problem == OFFLINE


def test_offline_what_is_right_but_not_stored_yet_is_held() -> None:
    s = scenario()
    first = s.get(BLOB)
    s.fetch.delivers(LAYER)
    s.cache.configure(config(offline=True))
    second = s.get(BLOB)
    for client in (first, second):
        client.takes_all()
        assert client.end == "finished"


def test_a_draining_cache_takes_no_new_work_and_ends_what_runs() -> None:
    s = streaming(10)[0]
    s.drains()
    late = s.get(BLOB)
    assert (late.status, late.problem) == (503, DRAINING)
    s.fetch.finishes(LAYER)
    s.clients[0].takes_all()
    assert s.clients[0].end == "finished"


# A store that cannot


def test_what_goes_past_a_failing_store_is_called_a_bypass() -> None:
    s = scenario()
    client = s.get(BLOB)
    s.fetch.fails(Cause.STORE)
    s.fetch.offers(LAYER)
    assert client.decision == Decision(Outcome.FWD, Fwd.BYPASS, 200)
    assert len(s.transfers) == 2, "it began where this client begins"


@pytest.mark.parametrize("by_tag", [True, False])
def test_who_waits_in_vain_finds_what_has_come_another_way(by_tag: bool) -> None:
    """Its own transfer, past a store that was failing, brings nothing in time."""
    item = IMAGE if by_tag else LAYER
    s = scenario()
    client = s.get(LATEST if by_tag else BLOB)
    if by_tag:
        s.fetch.offers(IMAGE)
    s.fetch.fails(Cause.STORE)
    s.get(item.under(APP))
    s.fetches[1].delivers(item)
    s.stores()
    s.passes(28.0)
    assert client.decision.fwd is Fwd.URI_MISS, "it was no bypass"
    assert client.source == Stored(item.digest)
    client.takes_all()
    assert client.end == "finished"


# Upstreams that limit


def test_a_tag_that_upstream_wants_not_to_be_asked_about_is_answered_and_marked() -> None:
    s = warm()
    s.get(LATEST)
    s.fetch.answers(429, retry_after=30)
    s.passes(1.0)
    client = s.get(LATEST)
    assert (client.status, client.answer.age) == (200, 1)
    assert client.decision == Decision(Outcome.HIT, ttl=-1, stale_if_error=True)
    assert not s.fetches


def test_one_that_was_confirmed_too_long_ago_is_asked_about_all_the_same() -> None:
    s = warm(limits=Limits(quota_stretch=100.0))
    s.get(LATEST)
    s.fetch.answers(digest=IMAGE.digest, quota=Quota(100, 0, 3600.0))
    s.passes(99.0)
    assert s.get(LATEST).status == 200
    assert not s.fetches
    s.passes(1.0)
    assert s.get(LATEST).status is None


# Logins that run out


def test_who_waits_when_its_login_runs_out_is_asked_about_again() -> None:
    s = scenario(config(ttl=None, limits=Limits(authority=5.0)))
    alice, what = Authority("a", Secret("a")), LAYER.under(Repository(HUB, "library/app", "a"))
    client = s.get(what, authority=alice, chunked=False)
    s.fetch.answers(200)
    s.passes(5.0)
    s.fetch.finishes(LAYER)
    assert s.asked() == (Method.GET, LAYER.content)
    s.fetch.answers(200, length=SIZE)
    s.stores()
    assert client.status == 200


# Greetings

PING = Ping(Repository(HUB, "", "a"))
NOBODY = Authority("a")


def test_who_asks_how_upstream_greets_is_told_when_upstream_has_said_it() -> None:
    s = scenario()
    client = s.get(PING, authority=NOBODY)
    assert client.head is None
    second = s.get(PING, authority=NOBODY)
    s.fetch.answers(401, challenges=(BEARER,))
    assert (client.status, client.problem.challenge) == (401, BEARER)
    assert client.decision == Decision(Outcome.FWD, Fwd.URI_MISS, 401)
    assert second.decision == Decision(Outcome.FWD, Fwd.URI_MISS, 401, collapsed=True)
    again = s.get(PING, authority=NOBODY)
    assert (again.status, again.problem.challenge, again.decision) == (401, BEARER, HIT)


def test_who_shows_something_or_meets_an_open_upstream_is_let_in() -> None:
    s = scenario()
    shown = s.get(PING, authority=Authority("a", Secret("Bearer x")))
    assert (shown.status, shown.decision, s.transfers) == (200, HIT, [])
    client = s.get(PING, authority=NOBODY)
    s.fetch.answers(200)
    assert (client.status, client.decision.fwd) == (200, Fwd.URI_MISS)
    again = s.get(PING, authority=NOBODY)
    assert (again.status, again.decision) == (200, HIT)


def test_an_upstream_that_does_not_greet_is_an_error_and_offline_there_is_none() -> None:
    s = scenario()
    client = s.get(PING, authority=NOBODY)
    s.fetch.fails(Cause.TIMEOUT)
    assert client.status == 504
    s.cache.configure(config(offline=True))
    away = s.get(PING, authority=NOBODY)
    assert away.problem == OFFLINE


def test_a_login_of_our_own_that_is_refused_is_an_error_at_once_the_second_time() -> None:
    s = scenario()
    ours = Ping(Repository(HUB, ""))
    s.get(ours)
    s.fetch.answers(401, challenges=(BEARER,))
    s.token.refuses(401)
    again = s.get(ours)
    assert (again.status, again.decision.fwd, again.decision.collapsed) == (
        401,
        Fwd.URI_MISS,
        False,
    )
    assert len(s.transfers) == 1


# Deletions that fail


def test_what_was_fetched_again_while_it_could_not_be_deleted_is_served_from_the_store() -> None:
    s = scenario(config(ttl=60.0), held(LAYER))
    s.passes(60.0)
    client = s.get(BLOB, chunked=False)
    assert client.head is None
    s.fetch.answers(200)
    s.cannot_delete()
    s.fetch.finishes(LAYER)
    assert (client.status, client.source) == (200, Stored(LAYER.digest))


# What is too new


def test_what_is_too_new_is_refused_or_what_the_tag_was_before_is_given() -> None:
    s = scenario(config(cool_down=60.0), held(IMAGE, LAYER, tag=LATEST))
    meanwhile = s.get(LATEST)
    s.fetch.offers(MOVED)
    assert meanwhile.answer.descriptor == IMAGE.descriptor
    told = meanwhile.decision
    assert (told.fwd, told.fwd_status, told.cooling) == (Fwd.STALE, 200, True)
    other = s.get(TagRef(APP, "new"))
    s.fetch.offers(MOVED)
    assert (other.status, other.decision.cooling) == (403, True)
    assert s.get(MOVED.under(APP)).status == 403
    s.passes(60.0)
    client = s.get(MOVED.under(APP))
    s.fetch.delivers(MOVED)
    assert (client.status, client.decision.cooling) == (200, False)


def test_an_upstream_that_cannot_tell_of_a_digest_is_no_loop() -> None:
    s = scenario(config(cool_down=60.0))
    client = s.get(IMAGE.under(APP))
    s.fetch.fails(Cause.UNREACHABLE)
    assert client.status == 502


@pytest.mark.parametrize("offline", [False, True])
def test_a_digest_of_unknown_age_is_asked_about_first(offline: bool) -> None:
    s = scenario(config(cool_down=60.0, offline=offline))
    client = s.get(IMAGE.under(APP))
    if offline:
        assert client.status == 503
        return
    second = s.get(IMAGE.under(APP))
    assert s.asked() == (Method.HEAD, IMAGE.content)
    s.fetch.offers(IMAGE)
    assert [c.status for c in (client, second)] == [403, 403]
    assert [c.decision.collapsed for c in (client, second)] == [False, True]


def test_what_is_too_young_is_refused_too_when_upstream_cannot_confirm_it() -> None:
    """The refusal is this cache's own word: nothing stale is in it."""
    s = scenario(config(cool_down=600.0), held(IMAGE, LAYER, under=OTHER))
    s.get(LATEST)
    s.fetch.offers(IMAGE)
    client = s.get(LATEST)
    s.fetch.fails(Cause.UNREACHABLE)
    assert client.status == 403
    assert client.decision == Decision(Outcome.FWD, Fwd.STALE, cooling=True)


def test_what_a_tag_was_before_is_given_with_its_own_age_unless_it_is_too_young_too() -> None:
    s = scenario(config(cool_down=600.0, tag_ttl=60.0), held(IMAGE, LAYER, tag=LATEST))
    s.passes(100.0)
    s.get(LATEST)
    s.fetch.offers(MOVED)
    s.passes(10.0)
    client = s.get(LATEST)
    assert (client.answer.descriptor, client.answer.age) == (IMAGE.descriptor, 110)
    assert client.decision == Decision(Outcome.HIT, ttl=-50, cooling=True)


# Who joins another's question


def test_who_joins_a_check_of_what_is_not_known_is_told_the_same() -> None:
    s = scenario(config(tag_ttl=60.0))
    first, second = s.get(LATEST), s.get(LATEST)
    s.fetch.answers(404)
    assert [c.decision for c in (first, second)] == [
        Decision(Outcome.FWD, Fwd.URI_MISS, 404),
        Decision(Outcome.FWD, Fwd.URI_MISS, 404, collapsed=True),
    ]


def test_a_check_that_runs_is_joined_although_upstream_wants_to_be_spared() -> None:
    s = warm()
    s.get(LATEST)
    running = s.fetch
    s.get(TagRef(APP, "v2"))
    s.fetches[1].answers(429, retry_after=30)
    client = s.get(LATEST)
    assert client.status is None
    running.offers(IMAGE)
    assert client.decision == Decision(Outcome.FWD, Fwd.STALE, 200, collapsed=True)


def test_offline_what_is_being_checked_for_the_first_time_is_not_held() -> None:
    s = scenario()
    s.get(LATEST)
    s.cache.configure(config(offline=True))
    assert s.get(LATEST).problem == OFFLINE


def test_offline_a_list_that_could_not_be_stored_is_not_held() -> None:
    s = scenario(config(tag_ttl=60.0))
    s.get(TAGS)
    s.fetch.delivers(listing("tags", "a"))
    s.cannot_store()
    s.cache.configure(config(offline=True))
    assert s.get(TAGS).problem == OFFLINE


def test_a_repository_that_is_not_there_is_no_unknown_manifest() -> None:
    s = scenario(config(negative_ttl=60.0))
    first = s.get(TAGS)
    s.fetch.answers(404)
    second = s.get(TAGS)
    assert [c.problem.code for c in (first, second)] == [Code.NAME_UNKNOWN] * 2
    assert len(s.transfers) == 1


@pytest.mark.parametrize("method", ["get", "head"])
def test_what_cannot_even_be_asked_would_have_been_a_miss(method: str) -> None:
    s = scenario()
    s.get(TagRef(APP, "v1"))
    s.fetch.answers(401, challenges=(BEARER,))
    s.token.refuses(403)
    for what in (TagRef(APP, "v2"), blob("unknown").under(APP)):
        client = s.get(what) if method == "get" else s.head(what)
        assert client.decision == Decision(Outcome.FWD, Fwd.URI_MISS, 403)


def test_who_joins_a_transfer_finds_a_part_of_it_there() -> None:
    s, first = streaming(10)
    second = s.get(BLOB)
    assert first.decision.fwd is Fwd.URI_MISS
    assert second.decision == Decision(Outcome.FWD, Fwd.PARTIAL, 200, collapsed=True, stored=True)


def test_content_of_a_tag_that_was_asked_about_was_stale_too() -> None:
    s = warm()
    client = s.get(LATEST)
    s.fetch.offers(MOVED)
    s.fetch.delivers(MOVED)
    assert client.decision.fwd is Fwd.STALE
    assert not client.decision.collapsed


def test_a_stranger_s_probe_of_what_comes_is_no_part_of_it() -> None:
    s = streaming(10)[0]
    client = s.get(LAYER.under(OTHER))
    s.fetches[1].offers(LAYER)
    assert client.status == 200
    assert client.decision == Decision(Outcome.FWD, Fwd.URI_MISS, 200, collapsed=True, stored=True)


def test_offline_a_login_that_is_over_lets_go_of_the_transfer_it_read_along() -> None:
    """The transfer, which nobody reads any more, ends a little later."""
    s = scenario(config(ttl=None, limits=Limits(authority=5.0)))
    alice, what = Authority("a", Secret("a")), LAYER.under(Repository(HUB, "library/app", "a"))
    client = s.get(what, authority=alice, chunked=False)
    s.fetch.answers(200)
    s.passes(5.0)
    s.cache.configure(config(offline=True, ttl=None, limits=Limits(authority=5.0)))
    s.fetch.brings(10)
    assert (client.status, client.problem) == (503, OFFLINE)
    assert s.cache.stats().readers == 0
    s.passes(60.0)
    assert not s.fetches
