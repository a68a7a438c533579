"""What a reference resolves to, and when upstream must be asked again."""

import pytest
from attrs import evolve

from distcache.core.config import Limits
from distcache.core.decision import Fwd, Outcome
from distcache.core.effects import Code, Stored
from distcache.core.events import Cause, Forgotten, Secret
from distcache.core.inventory import Answer, TagDropped, TagStored
from distcache.core.oci import DOCKER_MANIFEST, OCI_INDEX, Kind, Listed, Repository, TagRef
from distcache.core.pull import Authority, Method
from distcache.core.tags import TRANSITIONS, TagInput, TagState
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
    Item,
    held,
    listing,
    manifest,
    records,
    referring,
)
from tests.core.drawing import assert_drawn
from tests.core.scenario import WHOLE, Scenario, config, scenario, whole


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


def test_an_answer_younger_than_tag_ttl_is_not_checked() -> None:
    s = whole(tag_ttl=60.0)
    s.passes(59.0)
    client = s.get(LATEST)
    assert (client.status, client.decision.outcome) == (200, Outcome.HIT)
    assert (client.decision.ttl, client.answer.age) == (1, 59)
    s.passes(1.0)
    assert s.get(LATEST).status is None
    assert s.fetch.request.method is Method.HEAD


def test_a_moved_tag_gets_the_new_manifest() -> None:
    s = whole()
    client = s.get(LATEST)
    s.fetch.offers(MOVED)
    s.fetch.delivers(MOVED)
    assert client.answer.descriptor == MOVED.descriptor
    s.stores()
    assert s.journalled(TagStored)[-1] == TagStored(
        LATEST, MOVED.descriptor, START, answer=Answer(200)
    )


def test_a_client_of_one_type_has_a_key_of_its_own() -> None:
    """ollama takes one type only: what upstream chooses for it must not become the tag."""
    s = whole(tag_ttl=60.0)
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
    s = whole()
    for _ in range(4):
        s.passes(20.0)
        s.get(LATEST)
        s.fetch.offers(IMAGE)
    assert [r.checked for r in s.journalled(TagStored)] == [START + 60.0]


# What upstream says no to


def test_404_is_404_and_the_tag_is_forgotten() -> None:
    s = whole()
    client = s.get(LATEST)
    s.fetch.answers(404)
    assert (client.status, client.problem.code) == (404, Code.MANIFEST_UNKNOWN)
    assert s.journalled(TagDropped) == [TagDropped(LATEST)]


def test_a_404_is_remembered_for_negative_ttl_and_no_longer() -> None:
    s = whole(negative_ttl=10.0)
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
    s = whole(stale_if_error=1000.0)
    s.passes(1000.0)
    client = s.get(LATEST)
    fail(s, failure)
    assert client.source == Stored(IMAGE.digest)
    assert client.decision.stale_if_error
    assert client.answer.age == 1000
    assert client.decision.fwd_status == (failure if isinstance(failure, int) else None)


@pytest.mark.parametrize(("failure", "status"), FAILURES)
def test_beyond_stale_if_error_it_is_an_honest_error(failure: Cause | int, status: int) -> None:
    s = whole(stale_if_error=1000.0)
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
    s = whole()
    client = s.get(LATEST)
    s.fetch.offers(MOVED)
    s.fetch.answers(429)
    assert client.source == Stored(IMAGE.digest)
    assert client.decision.stale_if_error


def test_and_may_move_it_again_before_it_gives_anything() -> None:
    s = whole()
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


def test_when_the_content_goes_the_tag_goes_with_it() -> None:
    s = scenario(config(ttl=50.0), WHOLE)
    s.passes(50.0)
    assert IMAGE.digest in s.deletes()
    assert s.journalled(TagDropped) == [TagDropped(LATEST)]
    client = s.get(LATEST)
    assert client.status is None
    s.fetch.offers(IMAGE)
    s.fetch.delivers(IMAGE)
    assert client.decision.fwd is Fwd.URI_MISS


def test_content_may_go_while_its_tag_is_being_checked() -> None:
    s = scenario(config(ttl=20.0), WHOLE)
    s.passes(10.0)
    client = s.get(LATEST)
    s.passes(10.0)
    assert IMAGE.digest in s.deletes()
    s.fetch.offers(IMAGE)
    s.fetch.delivers(IMAGE)
    assert client.answer.descriptor == IMAGE.descriptor


def test_two_tags_of_one_manifest_go_each_its_way() -> None:
    stable = TagRef(APP, "stable")
    s = scenario(records=[*WHOLE, TagStored(stable, IMAGE.descriptor, START)])
    s.get(LATEST)
    s.fetch.answers(404)
    client = s.get(stable)
    s.fetch.offers(IMAGE)
    assert client.source == Stored(IMAGE.digest)


# Listings


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


# What is recorded, and when


def listed_referrers(s: Scenario) -> None:
    s.get(REFERRERS)
    s.fetch.delivers(referring("page"), etag='"e"', filters="artifactType")
    s.stores()


def test_what_came_with_a_list_is_recorded_and_known_to_the_next_process() -> None:
    s = scenario()
    listed_referrers(s)
    (record,) = s.journalled(TagStored)
    assert (record.etag, record.listed) == ('"e"', Listed("artifactType", None))
    s = scenario(config(), records(held(referring("page")), [record]))
    client = s.get(REFERRERS)
    assert s.fetch.request.etag == '"e"'
    s.fetch.answers(304)
    assert client.answer.listed == record.listed


def test_a_list_that_is_the_same_with_another_entity_tag_is_recorded_at_once() -> None:
    s = scenario()
    listed_referrers(s)
    s.get(REFERRERS)
    s.fetch.delivers(referring("page"), etag='"f"', filters="artifactType")
    assert [record.etag for record in s.journalled(TagStored)] == ['"e"', '"f"']


def test_a_tag_that_moves_to_what_is_held_already_is_recorded_at_once() -> None:
    s = scenario(records=records(WHOLE, held(MOVED)))
    s.get(LATEST)
    s.fetch.offers(MOVED)
    assert [record.descriptor for record in s.journalled(TagStored)] == [MOVED.descriptor]


def test_all_tags_of_one_manifest_are_recorded_with_it_and_go_with_it() -> None:
    stable = TagRef(APP, "stable")
    s = scenario(config(ttl=100.0))
    first, second = s.get(LATEST), s.get(stable)
    for transfer in s.fetches:
        transfer.offers(IMAGE)
    s.fetch.delivers(IMAGE)
    s.stores()
    assert [record.reference for record in s.journalled(TagStored)] == [LATEST, stable]
    first.takes_all()
    second.takes_all()
    s.passes(100.0)
    assert s.journalled(TagDropped) == [TagDropped(LATEST), TagDropped(stable)]


def test_a_tag_whose_record_was_dropped_gets_another_when_its_content_stayed() -> None:
    """The store could not delete it; the tag is one that is not to move."""
    s = scenario(config(immutable=("*",), ttl=50.0), held(IMAGE, tag=LATEST))
    s.passes(50.0)
    assert s.journalled(TagDropped) == [TagDropped(LATEST)]
    client = s.get(LATEST)
    s.cannot_delete()
    s.fetch.offers(IMAGE)
    assert client.source == Stored(IMAGE.digest)
    assert [record.checked for record in s.journalled(TagStored)] == [START + 50.0]


# What is not there


def test_a_list_that_could_not_be_stored_is_asked_for_again_however_fresh_it_is() -> None:
    s = scenario(config(tag_ttl=1000.0))
    client = s.get(TAGS)
    s.fetch.delivers(listing("names", "a"))
    s.cannot_store()
    assert client.answer.tags == ("a",)
    assert s.get(TAGS).status is None
    assert s.asked() == (Method.GET, TAGS)


def test_a_tag_whose_manifest_could_not_be_had_is_not_checked_again_while_it_is_fresh() -> None:
    s = scenario(config(tag_ttl=1000.0))
    s.get(LATEST)
    s.fetch.offers(IMAGE)
    s.fetch.answers(429)
    s.get(LATEST)
    assert s.asked() == (Method.GET, IMAGE.content)


def test_who_waits_for_what_a_tag_was_is_told_of_its_failure_though_the_tag_is_gone() -> None:
    s = scenario()
    client = s.get(LATEST)
    s.fetch.offers(IMAGE)
    fill = s.fetch
    later = s.get(LATEST)
    s.fetches[-1].answers(404)
    fill.answers(429)
    assert (client.status, later.status) == (429, 404)


def test_what_a_tag_was_stands_in_although_it_came_only_after_the_tag_had_moved() -> None:
    s = scenario()
    s.get(LATEST)
    s.fetch.offers(IMAGE)
    first = s.fetch
    client = s.get(LATEST)
    s.fetches[-1].offers(MOVED)
    second = s.fetches[-1]
    first.delivers(IMAGE)
    s.stores()
    second.answers(429)
    assert client.source == Stored(IMAGE.digest)
    assert client.decision.stale_if_error


def test_what_was_too_young_stands_in_for_what_is_younger_still() -> None:
    other = held(INDEX, IMAGE, under=OTHER)
    s = scenario(config(cool_down=60.0), records(held(MOVED, LAYER, tag=LATEST), other))
    for item, given in ((IMAGE, MOVED), (INDEX, IMAGE)):
        client = s.get(LATEST)
        s.fetch.answers(405)
        s.fetch.delivers(item)
        assert client.answer.descriptor == given.descriptor
        s.passes(60.0)


def test_what_a_tag_was_is_given_up_once_what_it_is_has_been_stored() -> None:
    s = scenario(config(immutable=("*",)), held(IMAGE, tag=LATEST))
    s.handle(Forgotten(IMAGE.digest))
    s.deletes()
    s.pulls_tag(MOVED)
    s.pulls(IMAGE)
    s.handle(Forgotten(MOVED.digest))
    s.deletes()
    client = s.get(LATEST)
    s.fetch.fails(Cause.UNREACHABLE)
    assert client.status == 502


def test_a_gone_tag_that_an_operator_forgets_has_no_end_any_more() -> None:
    s = scenario()
    s.get(LATEST)
    s.fetch.answers(404)
    s.handle(Forgotten(LATEST))
    assert s.cache.next_deadline() is None


def test_it_does_not_matter_when_the_first_check_began() -> None:
    prints = []
    for start in (START, START + 5.0):
        s = scenario(now=start)
        s.get(LATEST)
        prints.append(s.cache.fingerprint(s.now))
    assert prints[0] == prints[1]


# Tags and questions that have one answer


@pytest.mark.parametrize("tag_first", [False, True])
def test_a_tag_is_no_question_though_it_has_the_bytes_of_an_answer(tag_first: bool) -> None:
    """The tag schema's fallback is an index like the list of referrers."""
    answer = referring("one")
    index = Item(answer.as_kind(Kind.MANIFEST), answer.size, OCI_INDEX, answer.document)
    s = scenario(config(tag_ttl=60.0, limits=Limits(questions=1)))
    fallback = TagRef(APP, "sha256-image")
    for by_tag in (tag_first, not tag_first):
        if by_tag:
            s.get(fallback)
            s.fetch.offers(index)
            for transfer in s.fetches:
                transfer.delivers(index)
        else:
            s.get(REFERRERS)
            s.fetch.delivers(answer)
        s.stores()
        s.passes(1.0)
    for reference in (fallback, REFERRERS):
        assert s.get(reference).decision.outcome is Outcome.HIT
