"""The one mouth: every event is taken, from whomever it comes and whenever."""

from typing import Any

import pytest

from distcache.core.config import Config, Limits, Upstream
from distcache.core.effects import Abort, Fetch, Level, Medium, Spool, Stored
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
    Held,
    Location,
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
    BlobDropped,
    BlobStored,
    PinStored,
    SeenStored,
    TagDropped,
    TagStored,
)
from distcache.core.oci import Digest, Kind, Repository, TagRef
from distcache.core.pull import Authority, ByDigest, Catalog, Method, Ping, Pull, RangeSpec, Span
from tests.core.actors import Client
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
from tests.core.scenario import Scenario, config, scenario

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


def test_new_policies_hold_from_now_on() -> None:
    s = scenario(records=held(IMAGE, tag=LATEST))
    assert s.get(LATEST).status is None
    s.cache.configure(config(tag_ttl=100.0))
    assert s.get(TagRef(APP, "latest")).status is None
    s.fetch.offers(IMAGE)
    assert s.get(LATEST).status == 200
    assert len(s.transfers) == 1


# Ends that nobody expects


@pytest.mark.parametrize(("method", "what"), [("head", LATEST), ("head", BLOB), ("get", TAGS)])
def test_a_message_that_ends_before_its_head_is_a_cut(method: str, what: Any) -> None:
    s = scenario()
    client = s.get(what) if method == "get" else s.head(what)
    s.fetch.ends()
    assert client.status is None, "it is asked once more"
    s.fetch.ends()
    assert client.status == 502


@pytest.mark.parametrize("what", [LATEST, BLOB])
def test_a_request_that_dies_before_its_head_is_sent_once_more(what: Any) -> None:
    s = scenario()
    client = s.get(what)
    s.fetch.fails(Cause.CUT)
    assert client.status is None
    s.fetch.answers(404)
    assert client.status == 404


def test_bytes_of_a_probe_are_nobody_s_affair() -> None:
    s = scenario()
    client = s.head(BLOB)
    s.fetch.answers(405)
    s.handle(BodySpooled(s.fetch.effect.fetch, 5))
    s.fetch.offers(LAYER)
    assert client.status == 200


def test_a_head_that_makes_the_fill_fail_is_told_to_who_waits() -> None:
    s = scenario()
    client = s.get(BLOB)
    s.fetch.answers(206, start=5, length=95, size=SIZE)
    assert client.status is None, "it is tried again, as a whole"
    s.passes(1.0)
    s.fetch.answers(404)
    assert client.status == 404


def test_every_machine_hears_of_a_redirect_that_is_refused() -> None:
    for what in (LATEST, BLOB):
        s = scenario(config(limits=Limits(redirects=0)))
        client = s.get(what)
        s.fetch.answers(302, location=Location("https://hub/x", same_origin=True))
        assert client.status == 502
        assert "may not follow" in client.problem.message


# Tokens, for each kind of owner


@pytest.mark.parametrize("method", ["get", "head"])
@pytest.mark.parametrize("what", [LATEST, BLOB])
def test_tags_probes_and_fills_wait_for_their_token(what: Any, method: str) -> None:
    s = scenario()
    client = s.get(what) if method == "get" else s.head(what)
    s.fetch.answers(401, challenges=(BEARER,))
    assert not s.fetches
    s.token.grants("t1")
    assert s.fetch.request.authorization == Secret("t1")
    s.fetch.answers(404)
    assert client.status == 404


@pytest.mark.parametrize("method", ["get", "head"])
@pytest.mark.parametrize("what", [LATEST, BLOB])
def test_and_fail_without(what: Any, method: str) -> None:
    s = scenario()
    client = s.get(what) if method == "get" else s.head(what)
    s.fetch.answers(401, challenges=(BEARER,))
    s.token.refuses(401)
    assert client.status == 401


@pytest.mark.parametrize("method", ["get", "head"])
@pytest.mark.parametrize("what", [LATEST, BLOB])
def test_or_when_the_cache_is_taken_offline_meanwhile(what: Any, method: str) -> None:
    s = scenario()
    client = s.get(what) if method == "get" else s.head(what)
    s.fetch.answers(401, challenges=(BEARER,))
    s.cache.configure(config(offline=True))
    s.token.grants("t1")
    assert client.status == 503


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


# Who waited for whom


def streaming(*, upto: int = 40) -> tuple[Scenario, Client]:
    s = scenario()
    client = s.get(BLOB)
    s.fetch.offers(LAYER)
    s.fetch.brings(upto)
    return s, client


def test_when_a_fill_fails_who_was_promised_bytes_is_cut_and_who_waits_is_told() -> None:
    s = scenario()
    streams, waits = s.get(BLOB), s.get(BLOB, chunked=False)
    s.fetch.answers(200)
    s.fetch.brings(50)
    s.fetch.ends(WRONG)
    assert streams.end == "aborted"
    assert waits.status == 502


def test_an_owner_of_another_name_tries_its_own() -> None:
    s = scenario()
    first, other = s.get(BLOB), s.get(LAYER.under(OTHER))
    fill, probe = s.fetches
    probe.offers(LAYER)
    fill.answers(403)
    assert (first.status, other.status) == (403, None)
    assert s.fetch.request.repository == OTHER


def test_that_is_bounded() -> None:
    s = scenario(config(limits=Limits(redispatch=0)))
    first, other = s.get(BLOB), s.get(LAYER.under(OTHER))
    fill, probe = s.fetches
    probe.offers(LAYER)
    fill.answers(403)
    assert (first.status, other.status) == (403, 403)


def test_a_catalogue_has_no_upstream_and_waits_for_nobody() -> None:
    s = scenario()
    assert s.get(Catalog()).answer.repositories == ()


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
    assert s.journalled(TagStored) == [TagStored(LATEST, IMAGE.descriptor, START)]


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


def test_a_failed_deletion_is_noted_and_the_blob_recorded_again() -> None:
    s = scenario(config(ttl=10.0), held(LAYER))
    s.passes(10.0)
    s.cannot_delete()
    assert ("digest", LAYER.digest) in s.notes[-1].fields
    assert [r.digest for r in s.journalled(BlobStored)] == [LAYER.digest]


def test_a_failing_spool_is_noted_and_each_reader_gets_a_window() -> None:
    s = scenario()
    streams, waits = s.get(BLOB), s.get(BLOB, chunked=False)
    s.fetch.answers(200)
    s.fetch.brings(41)
    streams.takes()
    s.fetch.fails(Cause.STORE)
    assert s.notes[-1].level is Level.WARNING
    windows = [t.spool for t in s.fetches]
    assert [(w.medium, w.first) for w in windows] == [(Medium.WINDOW, 40), (Medium.WINDOW, 0)]
    for transfer in s.fetches:
        transfer.delivers(LAYER)
    for client in (streams, waits):
        client.takes_all()
        assert (client.at, client.end) == (SIZE, "finished")


def test_a_window_begins_at_what_is_still_on_its_way() -> None:
    s, client = streaming()
    client.takes()
    s.fetch.brings(60)
    s.fetch.fails(Cause.NO_SPACE)
    assert client.offered == Span(40, 60)
    assert s.fetch.spool.first == 60


def test_a_window_goes_on_only_after_the_bytes_that_were_sent() -> None:
    s, client = streaming()
    client.takes()
    s.fetch.brings(60)
    number = s.fetch.effect.fetch
    held = Held(60, Digest("sha256:sixty-bytes"))
    s.handle(FetchFailed(number, Cause.STORE, held))
    window = next(e.spool for e in s.effects if isinstance(e, Fetch))
    assert window is not None
    assert window.after == held


def test_who_was_sent_what_nobody_can_tell_is_cut_off() -> None:
    s, client = streaming()
    client.takes()
    s.handle(FetchFailed(s.fetch.effect.fetch, Cause.STORE))
    assert client.end == "aborted"


def test_a_window_has_no_disk_that_could_fail() -> None:
    s, client = streaming()
    s.fetch.fails(Cause.STORE)
    s.fetch.offers(LAYER)
    s.fetch.fails(Cause.STORE)
    s.passes(8.0)
    assert s.fetch.spool.medium is Medium.WINDOW
    assert client.end == ""


def test_a_window_that_cannot_be_asked_for_ends_its_client() -> None:
    """The token service has refused since the spool was begun."""
    s, streams = streaming()
    waits = s.get(blob("second").under(APP))
    s.get(LATEST)
    fill, second, tag = s.fetches
    tag.answers(401, challenges=(BEARER,))
    s.token.refuses(403)
    fill.fails(Cause.STORE)
    assert streams.end == "aborted"
    second.fails(Cause.STORE)
    assert waits.status == 403


def test_a_full_disk_is_cleared_for_what_is_missing_a_bounded_number_of_times() -> None:
    many = [held(blob(f"old{n}", 60), used=START - n) for n in range(9)]
    s = scenario(config(ttl=None, limits=Limits(attempts=3)), records(*many))
    s.get(BLOB)
    media = []
    for _ in range(3):
        media.append(s.fetch.spool.medium)
        s.fetch.offers(LAYER)
        s.fetch.fails(Cause.NO_SPACE)
        s.deletes()
        s.passes(8.0)
    assert media == [Medium.FILE] * 3
    assert s.fetch.spool.medium is Medium.WINDOW
    assert len(s.journalled(BlobDropped)) == 4


# What the store has lost


def test_a_lost_blob_is_noted_dropped_and_fetched_again() -> None:
    s = scenario(records=held(IMAGE, tag=LATEST))
    client = s.get(IMAGE.under(APP))
    client.loses_source(answered=False)
    assert s.notes[-1].level is Level.ERROR
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
    assert client.end == "aborted"
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


# Time


def test_what_waits_too_long_is_told_so_and_let_go_of() -> None:
    s = scenario()
    client = s.get(BLOB)
    s.passes(28.0)
    assert client.status == 504
    s.passes(10.0)
    assert not s.fetches


def test_a_retry_that_cannot_be_asked_for_ends_the_fill() -> None:
    s, client = streaming()
    s.get(LATEST)
    fill, tag = s.fetches
    fill.fails(Cause.CUT)
    tag.answers(401, challenges=(BEARER,))
    s.token.refuses(403)
    s.passes(1.0)
    assert client.end == "aborted"
    assert Abort(1) in s.effects


def test_a_gone_tag_is_forgotten_in_time() -> None:
    s = scenario()
    s.get(LATEST)
    s.fetch.answers(404)
    assert s.cache.next_deadline() == START + 10.0
    s.passes(10.0)
    assert s.cache.next_deadline() is None


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


def test_how_upstream_greets_is_asked_and_told_whatever_it_says() -> None:
    s = scenario()
    ping = Ping(Repository(HUB, "", "a"))
    client = s.get(ping, authority=Authority("a"))
    s.fetch.answers(401, challenges=(BEARER,))
    assert (client.status, client.problem.challenge) == (401, BEARER)
    other = Ping(Repository(HUB, "", "b"))
    let_in = s.get(other, authority=Authority("b"))
    s.fetch.answers(200)
    assert let_in.status == 200


def test_what_upstream_accepted_is_remembered_for_a_while() -> None:
    s = scenario(config(ttl=None, limits=Limits(authority=300.0)))
    alice, what = Authority("a", Secret("a")), LAYER.under(Repository(HUB, "library/app", "a"))
    s.get(what, authority=alice)
    s.fetch.delivers(LAYER)
    s.stores()
    assert s.get(what, authority=alice).status == 200
    s.passes(300.0)
    assert s.get(what, authority=alice).status is None


def test_a_token_that_a_mirror_s_service_refuses_is_not_the_end() -> None:
    s = scenario(Config({HUB: Upstream(mirrors=1)}))
    client = s.get(BLOB)
    s.fetch.answers(401, challenges=(BEARER,))
    s.token.refuses(403)
    assert (client.status, s.fetch.request.mirror) == (None, None)


def test_a_hit_may_be_taken_whole_once_it_has_been_decided() -> None:
    s = scenario(config(), held(LAYER))
    pull = Pull(Method.GET, BLOB)
    assert s.cache.whole(pull, s.now) is None
    s._ask(pull).takes_all()
    hit = s.cache.whole(pull, s.now)
    assert hit is not None
    assert (hit.head, hit.span) == (s.clients[0].answer, Span(0, SIZE))


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


def test_a_broken_transfer_past_the_store_is_not_waited_for_when_the_content_is_there() -> None:
    s = scenario()
    client = s.get(BLOB)
    s.fetch.fails(Cause.STORE)
    relay = s.fetch
    s.get(BLOB)
    s.fetches[-1].delivers(LAYER)
    s.stores()
    relay.fails()
    s.fetch.fails()
    assert client.source == Stored(LAYER.digest)
    client.takes_all()
    assert client.end == "finished"
    assert not s.fetches
