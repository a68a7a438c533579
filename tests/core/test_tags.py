"""What a reference resolves to, and when upstream must be asked again."""

from typing import Any

import pytest
from attrs import evolve

from distcache.core.config import Config, Limits, Upstream
from distcache.core.decision import Fwd, Outcome
from distcache.core.effects import Code, Medium, Stored
from distcache.core.events import Cause, Challenge, Forgotten, Location, Secret
from distcache.core.inventory import TagDropped, TagStored
from distcache.core.oci import DOCKER_MANIFEST, Repository, TagRef
from distcache.core.pull import Authority, Method, Page
from distcache.core.tags import TRANSITIONS, TagInput, TagState
from tests.core.actors import Transfer
from tests.core.content import (
    APP,
    HUB,
    IMAGE,
    INDEX,
    LATEST,
    LAYER,
    MOVED,
    OTHER,
    REFERRERS,
    SETTINGS,
    START,
    TAGS,
    WRONG,
    held,
    listing,
    manifest,
    records,
    referring,
)
from tests.core.drawing import assert_drawn
from tests.core.scenario import Scenario, config, scenario

WARM = held(IMAGE, SETTINGS, LAYER, tag=LATEST)


def warm(now: float = START, **policy: Any) -> Scenario:
    return scenario(config(**policy), WARM, now)


def test_the_table() -> None:
    assert_drawn(
        TRANSITIONS,
        TagState,
        TagInput,
        """
        UNKNOWN      CHECK       REVALIDATING
        STALE        CHECK       REVALIDATING
        REVALIDATING CHECK       REVALIDATING
        REVALIDATING CONFIRMED   FRESH
        REVALIDATING ABSENT      GONE
        REVALIDATING FAILED_HELD STALE
        REVALIDATING FAILED_BARE UNKNOWN
        FRESH        LAPSED      STALE
        GONE         LAPSED      UNKNOWN
        FRESH        EVICTED     UNKNOWN
        STALE        EVICTED     UNKNOWN
        REVALIDATING EVICTED     REVALIDATING
        """,
    )


# Asking


def test_what_a_login_that_is_over_resolved_to_is_for_who_waited_alone() -> None:
    s = scenario(config(tag_ttl=1000.0, ttl=None))
    own = TagRef(Repository(HUB, "library/app", "a"), "latest")
    client = s.get(own, authority=Authority("a", Secret("a"), s.now + 5.0))
    s.passes(5.0)
    s.fetch.offers(IMAGE)
    s.fetch.delivers(IMAGE)
    assert client.status == 200
    assert s.cache.stats().tags == 0


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


def test_a_tag_of_one_login_is_kept_for_it_alone_and_never_recorded() -> None:
    s = scenario(config(tag_ttl=1000.0, ttl=None))
    alice, own = Authority("a", Secret("a")), TagRef(Repository(HUB, "library/app", "a"), "latest")
    client = s.get(own, authority=alice)
    s.fetch.offers(IMAGE)
    s.fetch.delivers(IMAGE)
    s.stores()
    client.takes_all()
    again = s.get(own, authority=alice)
    assert (again.status, again.decision.outcome) == (200, Outcome.HIT)
    assert not s.journalled(TagStored)
    s.passes(300.0)
    assert s.get(own, authority=alice).status is None, "nothing outlives the login"


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
    s = warm()
    for _ in range(2):
        client = s.get(LATEST)
        s.fetch.offers(IMAGE)
        assert client.source == Stored(IMAGE.digest)
        assert (client.decision.fwd, client.decision.stored) == (Fwd.STALE, False)
        assert client.decision.fwd_status == 200
        client.takes_all()
    assert [t.request.method for t in s.transfers] == [Method.HEAD, Method.HEAD]


def test_simultaneous_pulls_share_one_check() -> None:
    s = warm()
    clients = [s.get(LATEST), s.head(LATEST), s.get(LATEST)]
    s.fetch.offers(IMAGE)
    assert [c.status for c in clients] == [200, 200, 200]
    assert [c.decision.collapsed for c in clients] == [False, True, True]
    assert len(s.transfers) == 1


def test_an_answer_younger_than_tag_ttl_is_not_checked() -> None:
    s = warm(tag_ttl=60.0)
    s.passes(59.0)
    client = s.get(LATEST)
    assert (client.status, client.decision.outcome) == (200, Outcome.HIT)
    assert (client.decision.ttl, client.answer.age) == (1, 59)
    s.passes(1.0)
    assert s.get(LATEST).status is None
    assert s.fetch.request.method is Method.HEAD


def test_a_moved_tag_gets_the_new_manifest() -> None:
    s = warm()
    client = s.get(LATEST)
    s.fetch.offers(MOVED)
    s.fetch.delivers(MOVED)
    assert client.answer.descriptor == MOVED.descriptor
    s.stores()
    assert s.journalled(TagStored)[-1] == TagStored(LATEST, MOVED.descriptor, START)


def test_a_client_of_one_type_has_a_key_of_its_own() -> None:
    """ollama takes one type only: what upstream chooses for it must not become the tag."""
    s = warm(tag_ttl=60.0)
    picky = TagRef(APP, "latest", (DOCKER_MANIFEST,))
    s.pulls_tag(MOVED, picky)
    client = s.get(LATEST)
    assert client.decision.outcome is Outcome.HIT
    assert client.answer.descriptor == IMAGE.descriptor


def test_a_manifest_is_served_before_its_blobs_are_there() -> None:
    s = scenario()
    s.pulls_tag(IMAGE)
    s.get(LATEST)
    s.fetch.offers(IMAGE)
    assert s.clients[-1].status == 200


def test_a_check_is_journalled_once_a_minute_and_at_once_when_moved() -> None:
    s = warm()
    for _ in range(4):
        s.passes(20.0)
        s.get(LATEST)
        s.fetch.offers(IMAGE)
    assert [r.checked for r in s.journalled(TagStored)] == [START + 60.0]


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
    s = warm()
    client = s.get(LATEST)
    s.fetch.answers(304)
    assert client.source == Stored(IMAGE.digest)
    assert client.decision.stale_if_error


def test_a_get_of_content_that_is_already_held_keeps_what_is_stored() -> None:
    s = warm()
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
    s = warm(negative_ttl=10.0)
    s.get(TagRef(APP, "other"))
    s.fetch.answers(401, challenges=(Challenge(True, "https://auth.hub/token", HUB),))
    s.token.refuses(403)
    for tag in (LATEST, TagRef(APP, "other")):
        assert s.get(tag).status == 403
    assert not s.fetches
    s.passes(10.0)
    assert s.get(LATEST).status is None


# What upstream says no to


def test_404_is_404_and_the_tag_is_forgotten() -> None:
    s = warm()
    client = s.get(LATEST)
    s.fetch.answers(404)
    assert (client.status, client.problem.code) == (404, Code.MANIFEST_UNKNOWN)
    assert s.journalled(TagDropped) == [TagDropped(LATEST)]


def test_a_404_is_remembered_for_negative_ttl_and_no_longer() -> None:
    s = warm(negative_ttl=10.0)
    s.get(LATEST)
    s.fetch.answers(404)
    s.passes(9.9)
    assert s.get(LATEST).status == 404
    assert not s.fetches
    s.now += 0.1
    client = s.get(LATEST)
    s.fetch.offers(IMAGE)
    assert client.status == 200


def test_a_gone_tag_leaves_no_trace_when_its_time_is_up() -> None:
    s = scenario()
    empty = s.cache.fingerprint(s.now)
    s.get(LATEST)
    s.fetch.answers(404)
    s.passes(10.0)
    assert s.cache.fingerprint(s.now) == empty


@pytest.mark.parametrize(("status", "code"), [(401, Code.UNAUTHORIZED), (403, Code.DENIED)])
def test_a_refusal_is_passed_on_evicts_nothing_and_is_not_kept(status: int, code: Code) -> None:
    """Some registries say 401 for "not found": neither loop nor believe it for long."""
    s = warm()
    client = s.get(LATEST)
    s.fetch.answers(status)
    if status == 403:
        s.fetch.answers(status)
    assert (client.status, client.problem.code) == (status, code)
    again = s.get(LATEST)
    s.fetch.offers(IMAGE)
    assert again.source == Stored(IMAGE.digest)


# What upstream cannot say

FAILURES = [
    (Cause.UNREACHABLE, 502),
    (Cause.TIMEOUT, 504),
    (Cause.CUT, 502),
    (429, 429),
    (500, 502),
    (503, 502),
]


def fail(s: Scenario, failure: Cause | int) -> None:
    if isinstance(failure, int):
        s.fetch.answers(failure, retry_after=7)
        return
    s.fetch.fails(failure)
    if failure is Cause.CUT:
        s.fetch.fails(failure)


@pytest.mark.parametrize(("failure", "status"), FAILURES)
def test_a_failing_upstream_is_bridged_by_the_stored_answer_marked(
    failure: Cause | int, status: int
) -> None:
    s = warm(stale_if_error=1000.0)
    s.passes(1000.0)
    client = s.get(LATEST)
    fail(s, failure)
    assert client.source == Stored(IMAGE.digest)
    assert client.decision.stale_if_error
    assert client.answer.age == 1000
    assert client.decision.fwd_status == (failure if isinstance(failure, int) else None)


@pytest.mark.parametrize(("failure", "status"), FAILURES)
def test_beyond_stale_if_error_it_is_an_honest_error(failure: Cause | int, status: int) -> None:
    s = warm(stale_if_error=1000.0)
    s.passes(1001.0)
    client = s.get(LATEST)
    fail(s, failure)
    assert client.status == status


@pytest.mark.parametrize(("failure", "status"), FAILURES)
def test_with_nothing_stored_it_is_an_honest_error_for_all_who_wait(
    failure: Cause | int, status: int
) -> None:
    s = scenario()
    clients = [s.get(LATEST), s.get(LATEST)]
    fail(s, failure)
    assert [c.status for c in clients] == [status, status]
    if status == 429:
        assert clients[1].problem.retry_after == 7
        assert clients[1].problem.code is Code.TOOMANYREQUESTS
    assert s.get(LATEST).status is None
    assert s.fetch.request.method is Method.HEAD, "an error is not kept"


def test_upstream_may_refuse_what_it_has_moved_the_tag_to() -> None:
    """HEAD is free of Docker Hub's limit, the GET that follows is not."""
    s = warm()
    client = s.get(LATEST)
    s.fetch.offers(MOVED)
    s.fetch.answers(429)
    assert client.source == Stored(IMAGE.digest)
    assert client.decision.stale_if_error


def test_and_may_move_it_again_before_it_gives_anything() -> None:
    s = warm()
    for item in (MOVED, manifest("third", LAYER)):
        client = s.get(LATEST)
        s.fetch.offers(item)
        s.fetch.answers(429)
        assert client.answer.descriptor == IMAGE.descriptor


def test_what_a_tag_resolved_to_is_no_answer_while_it_was_never_had() -> None:
    s = scenario()
    s.get(LATEST)
    s.fetch.offers(IMAGE)
    s.fetch.answers(429)
    client = s.get(LATEST)
    s.fetch.fails(Cause.UNREACHABLE)
    assert client.status == 502


# Who leaves, and what goes


def test_the_check_goes_on_when_who_asked_leaves() -> None:
    s = warm()
    first, second = s.get(LATEST), s.get(LATEST)
    first.leaves()
    s.fetch.offers(IMAGE)
    assert second.status == 200


def test_when_the_content_goes_the_tag_goes_with_it() -> None:
    s = scenario(config(ttl=50.0), WARM)
    s.passes(50.0)
    assert IMAGE.digest in s.deletes()
    assert s.journalled(TagDropped) == [TagDropped(LATEST)]
    client = s.get(LATEST)
    assert client.status is None
    s.fetch.offers(IMAGE)
    s.fetch.delivers(IMAGE)
    assert client.decision.fwd is Fwd.URI_MISS


def test_content_may_go_while_its_tag_is_being_checked() -> None:
    s = scenario(config(ttl=20.0), WARM)
    s.passes(10.0)
    client = s.get(LATEST)
    s.passes(10.0)
    assert IMAGE.digest in s.deletes()
    s.fetch.offers(IMAGE)
    s.fetch.delivers(IMAGE)
    assert client.answer.descriptor == IMAGE.descriptor


def test_two_tags_of_one_manifest_go_each_its_way() -> None:
    stable = TagRef(APP, "stable")
    s = scenario(records=[*WARM, TagStored(stable, IMAGE.descriptor, START)])
    s.get(LATEST)
    s.fetch.answers(404)
    client = s.get(stable)
    s.fetch.offers(IMAGE)
    assert client.source == Stored(IMAGE.digest)


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


def test_referrers_that_upstream_does_not_know_send_the_client_to_the_tag_schema() -> None:
    s = scenario()
    client = s.get(REFERRERS)
    s.fetch.answers(404)
    assert (client.status, client.problem.code) == (404, Code.UNSUPPORTED)


def test_questions_without_number_that_have_one_answer_do_not_fill_the_memory() -> None:
    s = scenario(config(tag_ttl=60.0, limits=Limits(questions=2)))
    nothing = referring("none")
    asked = [evolve(REFERRERS, page=f"x={number}") for number in range(3)]
    for one in asked:
        s.get(one)
        s.fetch.delivers(nothing)
        s.stores()
        s.passes(1.0)
    for one in asked[1:]:
        assert s.get(one).status == 200
    assert s.get(asked[0]).status is None
    assert TagDropped(asked[0]) in s.journal


def test_the_question_that_was_just_answered_is_never_the_one_to_be_forgotten() -> None:
    s = scenario(config(tag_ttl=60.0, limits=Limits(questions=0)))
    client = s.get(REFERRERS)
    s.fetch.delivers(referring("none"))
    s.stores()
    assert client.status == 200
    assert s.get(REFERRERS).decision.outcome is Outcome.HIT


def test_a_signature_that_was_absent_is_found_soon_after_it_is_made() -> None:
    s = scenario(config(negative_ttl=10.0))
    signature = TagRef(APP, "sha256-image.sig")
    s.get(signature)
    s.fetch.answers(404)
    s.passes(10.0)
    assert s.pulls_tag(MOVED, signature).status == 200


def test_a_clock_set_back_does_not_freeze_the_check() -> None:
    s = scenario(config(tag_ttl=60.0), held(IMAGE, tag=LATEST, checked=START + 5000.0))
    assert s.get(LATEST).status is None
    assert s.fetch.request.method is Method.HEAD


@pytest.mark.parametrize("again", [False, True])
def test_of_a_tag_that_is_not_to_move_eviction_leaves_what_it_was(again: bool) -> None:
    s = scenario(config(immutable=("*",), ttl=1000.0), held(IMAGE, LAYER, tag=LATEST))
    s.passes(2000.0)
    assert s.deletes()
    assert s.journalled(TagDropped) == [TagDropped(LATEST)]
    if again:
        # By its digest, meanwhile.
        s.pulls(IMAGE)
        s.passes(2000.0)
        assert s.deletes()
    client = s.get(LATEST)
    assert s.asked() == (Method.HEAD, LATEST)
    s.fetch.offers(IMAGE)
    s.fetch.delivers(IMAGE)
    s.stores()
    client.takes_all()
    assert client.status == 200
    s.passes(500.0)
    assert s.get(LATEST).decision.outcome is Outcome.HIT, "held again, it stays"


YOUNG = manifest("young", SETTINGS)


def test_while_new_content_is_too_young_what_a_tag_was_is_kept() -> None:
    """Where HEAD is refused, new content comes with the check; another repository has it too."""
    other = held(INDEX, IMAGE, under=OTHER)
    s = scenario(config(cool_down=60.0), records(held(MOVED, LAYER, tag=LATEST), other))
    for item in (IMAGE, INDEX, YOUNG):
        client = s.get(LATEST)
        s.fetch.answers(405)
        s.fetch.delivers(item)
        s.stores()
        assert client.answer.descriptor == MOVED.descriptor
        assert s.journalled(TagStored) == []
    assert YOUNG.digest not in s.disk
    s.passes(60.0)
    s.get(LATEST)
    s.fetch.answers(405)
    s.fetch.delivers(YOUNG)
    s.stores()
    assert [r.descriptor for r in s.journalled(TagStored)] == [YOUNG.descriptor]


def test_what_a_tag_was_must_be_there_to_stand_in() -> None:
    s = scenario(config(cool_down=60.0, ttl=None), held(IMAGE, LAYER, tag=LATEST))
    meanwhile = s.get(LATEST)
    s.fetch.offers(MOVED)
    meanwhile.takes_all()
    s.handle(Forgotten(IMAGE.digest))
    assert s.deletes()
    client = s.get(LATEST)
    s.fetch.offers(MOVED)
    assert client.status == 403
