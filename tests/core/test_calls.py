"""One thing asked of upstream: through challenges and redirects, a bounded number of times."""

from typing import Any

import pytest

from distcache.core.calls import TRANSITIONS, CallInput, CallState
from distcache.core.config import Config, Limits, Upstream
from distcache.core.effects import CancelFetch, Forwarded
from distcache.core.events import Cause, Challenge, Location, Quota, Secret
from distcache.core.inventory import Answer, TagStored
from distcache.core.oci import Repository
from distcache.core.problems import OFFLINE
from distcache.core.pull import Authority, ByDigest, Method
from tests.core.actors import Client, Transfer
from tests.core.content import (
    APP,
    HUB,
    IMAGE,
    LATEST,
    LAYER,
    START,
    TAGS,
    WRONG,
    blob,
    held,
    listing,
)
from tests.core.drawing import assert_drawn
from tests.core.scenario import Scenario, config, explained, scenario

REALM = "https://auth.hub/token"
SCOPE = "repository:library/app:pull"
BEARER = Challenge(True, REALM, HUB, SCOPE)
BASIC = Challenge(False, "hub")
BLOB = LAYER.under(APP)
SECOND_ITEM = blob("second")
SECOND = SECOND_ITEM.under(APP)
ABROAD = Location("https://cdn/layer?signed", same_origin=False)
HOME = Location("https://hub/v2/elsewhere", same_origin=True)


def asked(**settings: Any) -> tuple[Scenario, Client]:
    s = scenario(config(**settings))
    return s, s.get(BLOB)


def authorized() -> tuple[Scenario, Client]:
    """The token `t1` has been sent along."""
    s, client = asked()
    s.fetch.answers(401, challenges=(BEARER,))
    s.token.grants("t1")
    return s, client


def authorization(transfer: Transfer) -> object:
    return transfer.request.authorization


def test_the_table() -> None:
    assert_drawn(
        TRANSITIONS,
        CallState,
        CallInput,
        """
        PREPARED    SENT         ASKED
        PREPARED    TOKEN_WANTED AUTHORIZING
        AUTHORIZING SENT         ASKED
        ASKED       DETOUR       PREPARED
        ASKED       ANSWERED     ANSWERED
        """,
    )


def test_nothing_is_sent_along_before_it_is_asked_for() -> None:
    s, _ = asked(basic=True)
    assert authorization(s.fetch) is None


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_with_the_same_method(status: int) -> None:
    s, client = asked()
    first = s.fetch
    s.fetch.answers(status, location=ABROAD)
    assert s.effects[0] == CancelFetch(first.effect.fetch)
    assert s.asked() == (Method.GET, LAYER.content)
    assert s.fetch.request.location == ABROAD
    s.fetch.delivers(LAYER)
    assert client.status == 200


def test_authorization_does_not_follow_to_another_origin() -> None:
    """S3 refuses two kinds of authentication, and a stranger must not see the first."""
    s, _ = authorized()
    assert authorization(s.fetch) == Secret("t1")
    s.fetch.answers(307, location=ABROAD)
    assert authorization(s.fetch) is None


def test_nor_back_home_nor_within_the_other_origin() -> None:
    s, _ = authorized()
    s.fetch.answers(307, location=ABROAD)
    s.fetch.answers(302, location=Location("https://cdn/other", same_origin=True))
    assert authorization(s.fetch) is None
    s.fetch.answers(401, challenges=(BEARER,))
    assert s.clients[0].status == 401


def test_basic_credentials_do_not_follow_either() -> None:
    s, _ = asked(basic=True)
    s.fetch.answers(401, challenges=(BASIC,))
    assert authorization(s.fetch) is True
    s.fetch.answers(307, location=ABROAD)
    assert authorization(s.fetch) is None


def test_authorization_does_follow_within_the_origin() -> None:
    s, _ = authorized()
    s.fetch.answers(307, location=HOME)
    assert (authorization(s.fetch), s.fetch.request.location) == (Secret("t1"), HOME)


def test_the_next_request_goes_to_the_origin_with_authorization() -> None:
    s, _ = authorized()
    s.fetch.answers(307, location=ABROAD)
    s.fetch.delivers(LAYER)
    s.get(SECOND)
    assert authorization(s.fetch) == Secret("t1")
    assert s.fetch.request.location is None


def test_redirects_are_bounded() -> None:
    s, client = asked(limits=Limits(redirects=3))
    for _ in range(3):
        s.fetch.answers(302, location=HOME)
    s.fetch.answers(302, location=HOME)
    assert client.status == 502
    assert not s.fetches


def test_a_redirect_to_where_policy_forbids_is_not_followed() -> None:
    s, client = asked()
    s.fetch.answers(307, location=Location("http://127.0.0.1/", same_origin=False, allowed=False))
    assert client.status == 502
    assert not s.fetches


def test_a_redirect_without_a_place_is_an_error() -> None:
    s, client = asked()
    s.fetch.answers(307)
    assert client.status == 502
    assert "307" in client.problem.message


# Challenges


def test_a_challenge_after_a_redirect_at_home_is_answered_at_the_origin() -> None:
    s, _ = asked()
    s.fetch.answers(307, location=HOME)
    s.fetch.answers(401, challenges=(BEARER,))
    s.token.grants("t1")
    assert (authorization(s.fetch), s.fetch.request.location) == (Secret("t1"), None)


def test_basic_is_answered_with_what_is_configured_and_then_sent_the_first_time() -> None:
    s, client = asked(basic=True)
    s.fetch.answers(401, challenges=(BASIC,))
    assert authorization(s.fetch) is True
    s.fetch.delivers(LAYER)
    assert client.status == 200
    s.get(SECOND)
    assert authorization(s.fetch) is True


def test_a_password_that_is_refused_is_not_tried_again() -> None:
    s, client = asked(basic=True)
    s.fetch.answers(401, challenges=(BASIC,))
    s.fetch.answers(401, challenges=(BASIC,))
    assert client.status == 401
    assert len(s.transfers) == 2


def test_challenges_are_bounded() -> None:
    s, client = asked(limits=Limits(challenges=3))
    for n in range(3):
        s.fetch.answers(401, challenges=(BEARER,))
        s.token.grants(f"t{n}")
    s.fetch.answers(401, challenges=(BEARER,))
    assert client.status == 401
    assert len(s.tokens) == 3


def test_a_403_after_a_fresh_token_is_passed_on_and_ends_there() -> None:
    """Denied or absent, who knows: no loop, and the next pull may ask again."""
    s, client = authorized()
    s.fetch.answers(403)
    assert client.status == 403
    assert not s.fetches
    s.get(BLOB)
    assert s.fetch.open


# Connections that break


def test_a_request_that_dies_before_its_head_is_sent_once_more_at_once() -> None:
    """It may have met a connection that upstream was just closing."""
    s = scenario()
    client = s.get(LATEST)
    s.fetch.fails(Cause.CUT)
    s.fetch.offers(IMAGE)
    assert s.asked() == (Method.GET, IMAGE.content)
    assert client.status is None


def test_and_only_once() -> None:
    s = scenario()
    client = s.get(LATEST)
    s.fetch.fails(Cause.CUT)
    s.fetch.fails(Cause.CUT)
    assert client.status == 502


@pytest.mark.parametrize("cause", [Cause.TIMEOUT, Cause.UNREACHABLE, Cause.REFUSED])
def test_other_failures_are_not_sent_again_at_once(cause: Cause) -> None:
    s = scenario()
    client = s.get(LATEST)
    s.fetch.fails(cause)
    assert client.status in (502, 504)
    assert not s.fetches


def test_a_request_that_dies_again_while_its_token_is_refused_fails_with_that() -> None:
    s = scenario()
    s.get(LATEST)
    client = s.get(BLOB)
    tag, layer = s.fetches
    tag.answers(401, challenges=(BEARER,))
    s.token.refuses(401)
    layer.fails(Cause.CUT)
    assert client.status == 401
    assert not s.fetches


def test_a_request_for_which_a_token_was_just_refused_is_not_begun() -> None:
    s, _ = asked()
    s.fetch.answers(401, challenges=(BEARER,))
    s.token.refuses(403)
    assert s.get(SECOND).status == 403
    assert not s.fetches


# Taken offline meanwhile


def test_a_token_that_comes_when_the_cache_is_offline_is_not_used() -> None:
    s, client = asked()
    s.fetch.answers(401, challenges=(BEARER,))
    s.cache.configure(config(offline=True))
    s.token.grants("t1")
    assert client.problem == OFFLINE
    assert not s.fetches


def test_offline_a_request_under_way_may_be_answered_but_none_is_sent_after_it() -> None:
    s, client = asked()
    s.cache.configure(config(offline=True))
    s.fetch.answers(307, location=ABROAD)
    assert client.problem == OFFLINE
    assert not s.fetches
    s, client = asked()
    s.cache.configure(config(offline=True))
    s.fetch.delivers(LAYER)
    assert client.status == 200


# The client's own authority


def test_who_logs_in_at_upstream_is_asked_for_with_what_it_shows_and_answers_challenges() -> None:
    s = scenario()
    own = ByDigest(Repository(HUB, "private/app", "a"), LAYER.content)
    client = s.get(own, authority=Authority("a", Secret("Bearer alice")))
    assert authorization(s.fetch) == Forwarded(Secret("Bearer alice"))
    s.fetch.answers(307, location=ABROAD)
    assert authorization(s.fetch) is None
    s.fetch.answers(401, challenges=(BEARER,))
    assert client.status == 401
    assert not s.fetches
    assert not s.tokens


# Mirrors

MIRRORED = Config({HUB: Upstream(mirrors=1)}, limits=Limits(mirror_rest=10.0))


def mirrored() -> tuple[Scenario, Client]:
    """The mirror has been asked."""
    s = scenario(MIRRORED)
    client = s.get(BLOB)
    assert s.fetch.request.mirror == 0
    return s, client


def next_asked(s: Scenario) -> int | None:
    s.get(SECOND)
    return s.fetches[-1].request.mirror


@pytest.mark.parametrize(("status", "rests"), [(404, False), (403, False), (500, True)])
def test_a_mirror_s_no_is_not_the_last_word(status: int, rests: bool) -> None:
    s, client = mirrored()
    s.fetch.answers(status)
    assert (s.fetch.request.mirror, client.status) == (None, None)
    assert CancelFetch(s.transfers[0].effect.fetch) in s.effects
    s.fetch.offers(LAYER)
    assert client.status == 200
    assert next_asked(s) == (None if rests else 0)


def test_a_mirror_that_cannot_be_reached_is_not_the_last_word_either() -> None:
    s, client = mirrored()
    s.fetch.fails(Cause.UNREACHABLE)
    s.fetch.answers(404)
    assert client.status == 404


def test_a_mirror_may_say_that_nothing_has_changed_only_when_it_was_asked_that() -> None:
    names = listing("tags", "a")
    known = TagStored(TAGS, names.descriptor, START, etag='"e"')
    s = scenario(MIRRORED, [*held(names), known])
    client = s.get(TAGS)
    assert (s.fetch.request.mirror, s.fetch.request.etag) == (0, '"e"')
    s.fetch.answers(304)
    assert client.answer.tags == ("a",)
    s.get(BLOB)
    s.fetch.answers(304)
    assert s.fetch.request.mirror is None


def test_a_mirror_s_redirect_that_is_refused_leads_to_the_next_place() -> None:
    s, _ = mirrored()
    s.fetch.answers(307, location=Location("http://127.0.0.1/", False, allowed=False))
    assert (s.fetch.request.mirror, s.fetch.request.location) == (None, None)


def test_a_mirror_whose_body_breaks_off_rests_and_the_rest_comes_from_elsewhere() -> None:
    s, client = mirrored()
    s.fetch.offers(LAYER)
    s.fetch.brings(60)
    s.fetch.fails(Cause.UNREACHABLE)
    s.passes(1.0)
    assert (s.fetch.request.mirror, s.fetch.request.offset) == (None, 60)
    assert client.status == 200


def test_a_mirror_that_gave_wrong_bytes_rests() -> None:
    s, _ = mirrored()
    s.fetch.offers(LAYER)
    s.fetch.brings(LAYER.size)
    s.fetch.ends(WRONG)
    assert next_asked(s) is None


def test_a_mirror_that_answers_is_well_again() -> None:
    s, _ = mirrored()
    s.fetch.fails(Cause.UNREACHABLE)
    s.passes(10.0)
    assert next_asked(s) == 0
    s.fetches[-1].offers(LAYER)
    s.fetches[-1].fails(Cause.CUT)
    s.passes(10.0)
    s.get(blob("third").under(APP))
    assert s.fetches[-1].request.mirror == 0, "ten seconds, not twice that"


def test_a_mirror_s_token_that_is_refused_leads_to_the_next_place_now_and_later() -> None:
    s, _ = mirrored()
    s.fetch.answers(401, challenges=(BEARER,))
    s.token.refuses(401)
    assert s.fetch.request.mirror is None
    assert next_asked(s) is None
    assert len(s.tokens) == 1


def test_a_mirror_that_cannot_give_the_next_page_is_left_and_the_list_begins_anew() -> None:
    """Another place's pages need not go on where these ended."""
    s = scenario(MIRRORED)
    client = s.get(TAGS)
    following = Location("https://mirror/v2/library/app/tags/list?last=b", same_origin=True)
    s.fetch.answers(next_page=following)
    s.fetch.brings(10)
    s.fetch.ends(listing("page").digest, listing("page", "a", "b").document)
    assert (s.fetch.request.mirror, s.fetch.request.location) == (0, following)
    s.fetch.answers(500)
    assert client.status is None
    assert (s.fetch.request.mirror, s.fetch.request.location) == (None, None)


def test_upstream_itself_is_asked_again_whatever_it_gave() -> None:
    s, client = asked()
    s.fetch.offers(LAYER)
    s.fetch.brings(LAYER.size)
    s.fetch.ends(WRONG)
    assert client.end == "aborted"
    s.get(SECOND)
    assert s.fetch.request.repository == APP


def test_only_a_redirect_leads_elsewhere_whatever_place_is_named() -> None:
    s, client = asked()
    s.fetch.answers(200, location=ABROAD, length=LAYER.size)
    assert client.status == 200
    assert s.fetch.request.location is None


def test_what_is_left_of_a_quota_is_upstream_s_own_word_about_us() -> None:
    quota = Quota(100, 50, 60.0)
    s, _ = mirrored()
    s.fetch.offers(LAYER, quota=quota)
    assert s.cache.reach(s.now)[0].remaining is None, "a mirror's"
    s = scenario()
    own = ByDigest(Repository(HUB, "private/app", "a"), LAYER.content)
    s.get(own, authority=Authority("a", Secret("Bearer alice")))
    s.fetch.offers(LAYER, quota=quota)
    assert s.cache.reach(s.now)[0].remaining is None, "a client's"
    s, _ = asked()
    s.fetch.offers(LAYER, quota=quota)
    assert s.cache.reach(s.now)[0].remaining == 50


def test_a_mirror_must_give_what_was_asked_for() -> None:
    s, _ = mirrored()
    s.fetch.answers(206, start=0, size=LAYER.size)
    assert s.fetch.request.mirror is None, "no range was asked for"
    s, _ = mirrored()
    s.fetch.answers(416)
    assert s.fetch.request.mirror is None


@pytest.mark.parametrize("status", [206, 416, 417])
def test_a_mirror_may_go_on_or_say_that_it_cannot_where_a_rest_is_wanted(status: int) -> None:
    s = scenario(Config({HUB: Upstream(mirrors=2)}, limits=Limits(mirror_rest=100.0)))
    client = s.get(BLOB)
    s.fetch.offers(LAYER)
    s.fetch.brings(60)
    s.fetch.fails(Cause.TIMEOUT)
    s.passes(1.0)
    assert (s.fetch.request.mirror, s.fetch.request.offset) == (1, 60)
    spool = s.fetch.spool
    if status == 206:
        s.fetch.answers(206, start=60, size=LAYER.size)
        s.fetch.finishes(LAYER)
        client.takes_all()
        assert client.end == "finished"
        return
    s.fetch.answers(status)
    if status == 416:
        assert not s.fetches, "a later try begins from the start"
        return
    assert (s.fetch.request.mirror, s.fetch.request.offset) == (None, 60)
    assert s.fetch.spool == spool


def test_the_next_place_is_asked_the_same_question() -> None:
    names = listing("tags", "a")
    known = TagStored(TAGS, names.descriptor, START, etag='"e"')
    s = scenario(MIRRORED, [*held(names), known])
    s.get(TAGS)
    first = s.fetch
    first.answers(500)
    assert (s.fetch.request.mirror, s.fetch.request.etag) == (None, '"e"')
    assert s.fetch.spool == first.spool


def test_a_mirror_that_rests_is_passed_over_on_the_way_from_another() -> None:
    s = scenario(Config({HUB: Upstream(mirrors=2)}, limits=Limits(mirror_rest=100.0)))
    s.get(BLOB)
    s.fetch.answers(404)
    s.fetch.answers(500)
    assert s.fetch.request.mirror is None
    s.get(SECOND)
    assert s.fetches[-1].request.mirror == 0
    s.fetches[-1].answers(404)
    assert s.fetches[-1].request.mirror is None


def test_a_mirror_that_asks_for_time_at_a_later_page_is_given_it() -> None:
    s = scenario(MIRRORED)
    s.get(TAGS)
    following = Location("https://mirror/v2/library/app/tags/list?last=b", same_origin=True)
    s.fetch.answers(next_page=following)
    s.fetch.brings(10)
    s.fetch.ends(listing("page").digest, listing("page", "a", "b").document)
    s.fetch.answers(429, retry_after=200)
    s.passes(100.0)
    assert next_asked(s) is None
    s.passes(100.0)
    s.get(blob("third").under(APP))
    assert s.fetches[-1].request.mirror == 0


def test_a_mirror_s_token_service_that_fails_makes_the_mirror_rest() -> None:
    s, _ = mirrored()
    s.fetch.answers(401, challenges=(BEARER,))
    s.token.refuses(500)
    assert s.fetch.request.mirror is None
    assert next_asked(s) is None
    assert [r.resting for r in s.cache.reach(s.now)] == [(0,)]


def test_who_no_longer_waits_for_a_token_hears_nothing_of_it() -> None:
    s, client = asked(limits=Limits(linger=0.0))
    s.fetch.answers(401, challenges=(BEARER,))
    client.leaves()
    s.passes(0.0)
    s.token.grants("t1")
    assert not s.fetches


def test_the_next_page_is_asked_of_who_gave_the_one_before_not_of_the_first_mirror() -> None:
    s = scenario(Config({HUB: Upstream(mirrors=2)}))
    s.get(TAGS)
    s.fetch.answers(404)
    following = Location("https://mirror/v2/library/app/tags/list?last=b", same_origin=True)
    s.fetch.answers(next_page=following)
    s.fetch.brings(10)
    s.fetch.ends(listing("page").digest, listing("page", "a", "b").document)
    assert (s.fetch.request.mirror, s.fetch.request.location) == (1, following)


def test_a_mirror_that_rests_is_passed_over_when_another_wants_a_login() -> None:
    s = scenario(Config({HUB: Upstream(mirrors=2)}, limits=Limits(mirror_rest=100.0)))
    s.get(BLOB)
    s.fetch.answers(404)
    s.fetch.answers(500)
    s.get(SECOND)
    s.fetches[-1].answers(401)
    assert s.fetches[-1].request.mirror is None


def test_a_token_is_done_with_when_a_password_is_wanted_instead() -> None:
    s, client = asked(basic=True)
    s.fetch.answers(401, challenges=(BEARER,))
    s.token.grants("t1")
    s.fetch.answers(401, challenges=(BASIC,))
    assert authorization(s.fetch) is True
    s.fetch.answers(401, challenges=(BASIC,))
    assert client.status == 401


def test_a_token_is_done_with_where_a_redirect_leads_abroad() -> None:
    s, client = authorized()
    s.fetch.answers(307, location=ABROAD)
    assert authorization(s.fetch) is None
    s.fetch.answers(401, challenges=(BEARER,))
    assert client.status == 401


def test_authorization_follows_every_redirect_within_the_origin() -> None:
    s, _ = authorized()
    for number in range(2):
        place = Location(f"https://hub/v2/elsewhere/{number}", same_origin=True)
        s.fetch.answers(307, location=place)
        assert (s.fetch.request.location, authorization(s.fetch)) == (place, Secret("t1"))


def test_what_is_asked_for_from_its_beginning_has_no_offset() -> None:
    s = scenario()
    s.get(LATEST)
    assert s.fetch.request.offset == 0
    s.fetch.answers(405)
    assert s.fetch.request.offset == 0


def test_a_mirror_whose_token_is_refused_has_the_next_asked_with_what_is_known_of_it() -> None:
    s = scenario(Config({HUB: Upstream(mirrors=1)}))
    s.get(BLOB)
    s.fetch.answers(401, challenges=(BEARER,))
    s.token.refuses(403)
    s.fetch.answers(401, challenges=(BEARER,))
    s.token.grants("t1")
    s.get(SECOND)
    assert (s.fetches[-1].request.mirror, authorization(s.fetches[-1])) == (None, Secret("t1"))


def test_a_store_that_fails_is_not_upstream_s_fault() -> None:
    s = scenario(Config({HUB: Upstream(mirrors=1)}))
    s.get(BLOB)
    s.fetch.offers(LAYER)
    s.fetch.fails(Cause.STORE)
    assert s.fetch.request.mirror == 0, "it is asked again"
    assert explained(s, LAYER.content).answered == (START, Answer(200, mirror=0))
