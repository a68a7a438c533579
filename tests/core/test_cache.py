"""The one mouth: every event is taken, from whomever it comes and whenever."""

import pytest

from distcache.core.config import Limits
from distcache.core.effects import Stored
from distcache.core.events import (
    BlobCommitted,
    BlobDeleted,
    BodySent,
    BodySpooled,
    Cause,
    Challenge,
    ClientClosed,
    Event,
    FetchEnded,
    FetchFailed,
    Forgotten,
    HeadReceived,
    Pinned,
    Pruned,
    PullRequested,
    Secret,
    SourceLost,
    StoreFailed,
    StoreFault,
    StoreOperation,
    TokenGranted,
    TokenRefused,
    UpstreamHead,
    Woke,
)
from distcache.core.inventory import (
    Filled,
    FillStored,
    PinStored,
    SeenStored,
    TagDropped,
    TagStored,
)
from distcache.core.oci import Digest, Kind, Repository, TagRef
from distcache.core.pull import Authority, ByDigest, Method, Pull, RangeSpec, Span
from tests.core.content import (
    APP,
    HUB,
    IMAGE,
    LATEST,
    LAYER,
    MOVED,
    OTHER,
    START,
    TAGS,
    WRONG,
    blob,
    held,
    listing,
    records,
)
from tests.core.scenario import config, explained, scenario, streaming, warm

BLOB = LAYER.under(APP)
SIZE = LAYER.size
BEARER = Challenge(True, "https://auth.hub/token", HUB)
COMMIT, DELETE = StoreOperation.COMMIT, StoreOperation.DELETE


# Late events

LATE: list[Event] = [
    BodySent(7, 1),
    ClientClosed(7),
    SourceLost(7, LAYER.digest, answered=True),
    HeadReceived(7, UpstreamHead(200)),
    BodySpooled(7, 1),
    FetchEnded(7, LAYER.digest),
    FetchFailed(7, Cause.CUT),
    TokenGranted(7, Secret("t"), 60.0),
    TokenRefused(7, 401),
    BlobCommitted(WRONG),
    BlobDeleted(WRONG, 1),
    StoreFailed(COMMIT, WRONG, StoreFault.FAULT),
    StoreFailed(DELETE, WRONG, StoreFault.FAULT),
    BodySent(1, 1),
    SourceLost(2, LAYER.digest, answered=True),
    BlobCommitted(LAYER.digest),
    BlobDeleted(LAYER.digest, SIZE),
    StoreFailed(DELETE, LAYER.digest, StoreFault.FAULT),
]


@pytest.mark.parametrize("event", LATE, ids=repr)
def test_an_event_for_what_has_ended_changes_nothing_and_is_counted(event: Event) -> None:
    s = scenario(records=held(LAYER))
    s.get(BLOB)
    s.get(LATEST)
    before = s.cache.fingerprint(s.now)
    assert s.handle(event) == []
    assert s.cache.late == 1
    assert s.cache.fingerprint(s.now) == before


def test_after_its_end_a_fetch_is_not_heard_any_more() -> None:
    s = scenario()
    s.get(BLOB)
    fetch = s.fetch.effect.fetch
    s.fetch.answers(404)
    assert s.handle(BodySpooled(fetch, 1)) == []
    assert s.handle(FetchFailed(fetch, Cause.CANCELLED)) == []
    assert s.cache.late == 2


def test_an_exchange_s_number_is_used_once_at_a_time() -> None:
    s = scenario()
    s.get(LATEST)
    with pytest.raises(AssertionError):
        s.cache.handle(PullRequested(1, Pull(Method.GET, LATEST)), s.now)


def test_waking_early_does_nothing() -> None:
    s = scenario(records=held(LAYER))
    s.get(LATEST)
    assert s.cache.handle(Woke(), s.now) == []


def test_with_nothing_pending_there_is_no_deadline() -> None:
    assert scenario().cache.next_deadline() is None


def test_the_nearest_deadline_is_named() -> None:
    s = scenario(config(ttl=20.0), held(LAYER))
    s.get(LATEST)
    assert s.cache.next_deadline() == START + 20.0
    s.get(BLOB)
    s.passes(20.0)
    assert s.cache.next_deadline() == START + 28.0


def test_a_hit_that_was_kept_ends_with_the_policies_that_it_came_by() -> None:
    s = warm(tag_ttl=60.0)
    s.passes(0.5)
    pull = Pull(Method.GET, LATEST)
    s.ask(pull).takes_all()
    assert s.cache.whole(pull, s.now)
    s.cache.configure(config())
    assert s.cache.whole(pull, s.now) is None
    assert s.ask(pull).status is None


def test_a_hit_that_was_kept_does_not_come_back_with_a_change_of_policies() -> None:
    s = warm(tag_ttl=60.0)
    s.passes(0.5)
    pull = Pull(Method.GET, LATEST)
    s.ask(pull).takes_all()
    assert s.cache.whole(pull, s.now)
    s.handle(Forgotten(IMAGE.digest))
    s.cache.configure(config(tag_ttl=60.0))
    assert s.cache.whole(pull, s.now) is None


def test_new_policies_bring_new_deadlines() -> None:
    s = scenario(config(ttl=20.0), held(LAYER))
    assert s.cache.next_deadline() == START + 20.0
    s.cache.configure(config(ttl=30.0))
    assert s.cache.next_deadline() == START + 30.0


def test_new_policies_hold_from_now_on() -> None:
    s = scenario(records=held(IMAGE, tag=LATEST))
    assert s.get(LATEST).status is None
    s.cache.configure(config(tag_ttl=100.0))
    assert s.get(TagRef(APP, "latest")).status is None
    s.fetch.offers(IMAGE)
    assert s.get(LATEST).status == 200
    assert len(s.transfers) == 1


# Time


def test_what_waits_too_long_is_told_so_and_let_go_of() -> None:
    s = scenario()
    client = s.get(BLOB)
    s.passes(28.0)
    assert client.status == 504
    s.passes(10.0)
    assert not s.fetches


def test_a_gone_tag_is_forgotten_in_time() -> None:
    s = scenario()
    s.get(LATEST)
    s.fetch.answers(404)
    assert s.cache.next_deadline() == START + 10.0
    s.passes(10.0)
    assert s.cache.next_deadline() is None


def test_a_token_s_end_is_kept_as_a_deadline() -> None:
    s = scenario()
    s.get(BLOB)
    s.fetch.answers(401, challenges=(BEARER,))
    s.token.grants("t1", 60.0)
    s.fetch.delivers(LAYER)
    s.stores()
    s.clients[0].takes_all()
    assert s.cache.next_deadline() == START + 55.0
    s.passes(55.0)
    s.get(blob("second").under(APP))
    assert s.token.open


def test_how_long_a_token_that_has_ended_was_good_does_not_matter() -> None:
    marks = set()
    for seconds in (30.0, 60.0):
        s = scenario(config(negative_ttl=0.0))
        s.get(BLOB)
        s.fetch.answers(401, challenges=(BEARER,))
        s.token.grants("t1", seconds)
        s.fetch.answers(404)
        s.passes(100.0)
        marks.add(s.cache.fingerprint(s.now))
    assert len(marks) == 1


def test_who_has_all_of_a_range_leaves_the_transfer_to_wait_for_others() -> None:
    s = scenario()
    client = s.get(BLOB, ranges=(RangeSpec(0, 9),))
    s.fetch.offers(LAYER)
    s.fetch.brings(40)
    s.now += 1.0
    client.takes()
    assert client.end == "finished"
    assert s.cache.next_deadline() == START + 11.0


def test_of_what_is_due_at_once_each_has_its_consequences_before_the_next() -> None:
    """Waking was late: the transfer, which may not be tried again, fails who waits for it just
    before its patience would end."""
    s = scenario()
    client = s.get(BLOB)
    s.fetch.fails(Cause.CUT)
    s.fetch.fails(Cause.CUT)
    s.cache.configure(config(offline=True))
    s.now += 30.0
    s.handle(Woke())
    assert client.status == 503


# The start


def test_what_the_store_held_is_served_at_once() -> None:
    s = scenario(config(tag_ttl=60.0), held(IMAGE, LAYER, tag=LATEST))
    for what in (LATEST, IMAGE.under(APP), BLOB):
        assert isinstance(s.get(what).source, Stored)
    assert s.cache.late == 0


def test_records_that_refer_to_nothing_are_dropped() -> None:
    strange = TagStored(TagRef(type(APP)("gone.example", "x"), "v1"), IMAGE.descriptor, START)
    s = scenario(
        records=[
            *held(IMAGE, tag=LATEST),
            TagStored(TagRef(APP, "v1"), MOVED.descriptor, START),
            *held(MOVED)[1:],
            strange,
            TagDropped(TagRef(APP, "v2")),
        ]
    )
    assert s.cache.fingerprint(START) == scenario(
        records=held(IMAGE, tag=LATEST)
    ).cache.fingerprint(START)


# Shutting down


def test_draining_lets_running_answers_end_and_drops_what_nobody_reads() -> None:
    s, client = streaming()
    other = s.get(blob("other").under(APP))
    other.leaves()
    s.drains()
    assert len(s.fetches) == 1
    assert s.get(BLOB).status == 503
    s.fetch.finishes(LAYER)
    s.stores()
    client.takes_all()
    assert client.end == "finished"


def test_a_range_of_a_listing_is_not_a_thing() -> None:
    s = scenario()
    client = s.get(TAGS, ranges=(RangeSpec(1, 2),))
    s.fetch.delivers(listing("page"))
    assert client.status == 200


def test_time_brings_the_next_try_of_a_probe() -> None:
    s = scenario(records=held(LAYER))
    client = s.get(LAYER.under(OTHER))
    s.fetch.answers(503)
    s.passes(1.0)
    s.fetch.offers(LAYER)
    assert client.status == 200


def test_a_fork_goes_on_by_itself() -> None:
    s, _ = streaming()
    fork = s.cache.fork()
    fork.handle(ClientClosed(1), s.now)
    fork.check()
    assert fork.next_deadline() == START + 10.0
    assert s.cache.next_deadline() is None


def test_a_check_of_a_broken_cache_says_so() -> None:
    s, _ = streaming()
    s.cache._state.stored += 1
    with pytest.raises(AssertionError):
        s.cache.check()


def test_equal_caches_do_the_same() -> None:
    """Deterministic: no clock, no entropy, no order of hashing."""
    stories = []
    for _ in range(2):
        s, client = streaming()
        s.fetch.fails(Cause.CUT)
        s.passes(20.0)
        s.fetch.answers(206, start=40, length=60, size=SIZE)
        s.fetch.finishes(LAYER)
        s.stores()
        client.takes_all()
        stories.append((s.journal, s.effects, s.now, s.cache.fingerprint(s.now)))
    assert stories[0] == stories[1]


def test_a_digest_of_any_name_is_a_name_like_any_other() -> None:
    odd = ByDigest(APP, blob("x").content.__class__(Kind.BLOB, Digest("sha512+b64:-._")))
    s = scenario()
    assert s.get(odd).status is None


# Operators


def test_an_operator_may_look_and_nothing_changes() -> None:
    s = scenario(records=held(IMAGE, LAYER, tag=LATEST))
    s.get(blob("coming").under(APP))
    before = s.cache.fingerprint(s.now)
    assert (s.cache.stats().stored_blobs, s.cache.stats().fills) == (2, 1)
    assert [image.reference for image in s.cache.images()] == [LATEST]
    assert [filling.content for filling in s.cache.fillings()] == [blob("coming").content]
    assert [upstream.upstream for upstream in s.cache.reach(s.now)] == [HUB]
    assert s.cache.explain(LATEST, APP, s.now).held
    assert s.cache.would_free(Pruned(0, None), s.now) == (2, IMAGE.size + SIZE)
    assert s.cache.fingerprint(s.now) == before


def test_an_operator_may_let_go_and_keep() -> None:
    s = scenario(records=[PinStored(LATEST), *held(IMAGE, blob("idle"), tag=LATEST)])
    s.handle(Pruned(0, None))
    assert s.deletes() == [blob("idle").digest]
    s.handle(Pinned(LATEST, False))
    s.handle(Forgotten(IMAGE.digest))
    assert s.deletes() == [IMAGE.digest]


# Clients that log in at upstream


def test_what_upstream_accepted_is_remembered_for_a_while() -> None:
    s = scenario(config(ttl=None, limits=Limits(authority=300.0)))
    alice, what = Authority("a", Secret("a")), LAYER.under(Repository(HUB, "library/app", "a"))
    s.get(what, authority=alice)
    s.fetch.delivers(LAYER)
    s.stores()
    assert s.get(what, authority=alice).status == 200
    s.passes(300.0)
    assert s.get(what, authority=alice).status is None


def test_a_hit_may_be_taken_whole_once_it_has_been_decided() -> None:
    s = scenario(config(), held(LAYER))
    pull = Pull(Method.GET, BLOB)
    assert s.cache.whole(pull, s.now) is None
    s.ask(pull).takes_all()
    hit = s.cache.whole(pull, s.now)
    assert hit is not None
    assert (hit.head, hit.span) == (s.clients[0].answer, Span(0, SIZE))


def test_a_part_may_be_taken_whole_or_be_begun_in_the_same_moment() -> None:
    s = scenario(config(), held(LAYER))
    pull, specs = Pull(Method.GET, BLOB), (RangeSpec(1, 2),)
    assert s.cache.part(pull, specs, s.now) is None
    s.ask(pull).takes_all()
    found = s.cache.part(pull, specs, s.now)
    assert found is not None
    assert found[1] == Span(1, 3)
    begun = s.cache.begin(9, Pull(Method.GET, BLOB, specs), s.now)
    assert begun is not None
    assert (begun.digest, begun.span) == (found[0].digest, found[1])


def test_since_when_a_manifest_is_known_is_told_to_the_next_process() -> None:
    known = [SeenStored(r, IMAGE.digest, START - 60.0) for r in (APP, Repository("gone", "a"))]
    s = scenario(config(cool_down=60.0), known)
    assert s.get(IMAGE.under(APP)).status is None, "it is fetched"
    assert s.asked() == (Method.GET, IMAGE.content)


def test_a_cool_down_can_begin_while_the_cache_runs() -> None:
    s = scenario(records=held(IMAGE, LAYER, tag=LATEST))
    s.cache.configure(config(cool_down=60.0))
    assert s.get(IMAGE.under(APP)).status == 200
    client = s.get(LATEST)
    s.fetch.offers(MOVED)
    assert client.answer.descriptor == IMAGE.descriptor


def test_each_repository_that_had_content_may_serve_it_after_a_restart() -> None:
    third = Repository(HUB, "library/third")
    s = scenario(records=records(held(LAYER), held(LAYER, under=OTHER)))
    assert s.get(LAYER.under(APP)).source == Stored(LAYER.digest)
    assert s.get(LAYER.under(OTHER)).source == Stored(LAYER.digest)
    assert s.get(LAYER.under(third)).status is None


def test_what_is_stored_is_known_by_its_size() -> None:
    s = warm()
    sizes = s.cache.sizes()
    assert sizes[IMAGE.digest] == IMAGE.size
    assert sum(sizes.values()) == s.cache.stats().stored_bytes


def test_what_can_be_forgotten_is_known() -> None:
    s = warm()
    assert s.cache.knows(IMAGE.digest)
    s.handle(Forgotten(IMAGE.digest))
    assert not s.cache.knows(IMAGE.digest)


def test_a_pull_begun_at_once_goes_on_as_one_that_began_with_effects() -> None:
    s = warm()
    pull = Pull(Method.GET, LAYER.under(APP), ranges=(RangeSpec(0, 2),))
    assert s.cache.begin(9, pull, s.now) is None, "it was not decided before"
    s.ask(pull).takes_all()
    hit = s.cache.begin(9, pull, s.now)
    assert hit is not None
    assert hit.digest == LAYER.digest
    s.handle(ClientClosed(9))
    assert s.cache.late == 0, "the client was known"


def test_how_content_came_is_told_to_the_next_process() -> None:
    came = FillStored(LAYER.digest, Filled(START, APP, None))
    s = scenario(config(), records(held(LAYER), [came]))
    assert explained(s, LAYER.content).filled == came.filled
