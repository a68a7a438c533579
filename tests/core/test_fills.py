"""Content on its way into the store: once for all readers, and never wrong."""

import pytest

from distcache.core.config import Config, Limits, Upstream
from distcache.core.decision import HIT
from distcache.core.effects import CancelFetch, Code, DiscardSpool, Medium, SendBody, Spool, Stored
from distcache.core.events import Cause, Challenge, Location
from distcache.core.fills import TRANSITIONS, FillInput, FillState
from distcache.core.inventory import BlobStored
from distcache.core.oci import Content, Digest, Kind
from distcache.core.pull import ByDigest, RangeSpec, Span
from tests.core.actors import Client
from tests.core.content import APP, HUB, IMAGE, LATEST, LAYER, OTHER, WRONG, Item, blob
from tests.core.drawing import assert_drawn
from tests.core.scenario import Scenario, config, scenario, streaming

BLOB = LAYER.under(APP)
SIZE = LAYER.size


def test_the_table() -> None:
    assert_drawn(
        TRANSITIONS,
        FillState,
        FillInput,
        """
        REQUESTING HEAD          STREAMING
        REQUESTING CUT           BACKOFF
        STREAMING  PROGRESS      STREAMING
        STREAMING  ALL_IN        VERIFYING
        STREAMING  RIGHT         COMMITTING
        STREAMING  RIGHT_UNKEPT  KEEPING
        STREAMING  CUT           BACKOFF
        STREAMING  REWIND        REQUESTING
        VERIFYING  RIGHT         COMMITTING
        VERIFYING  RIGHT_UNKEPT  KEEPING
        VERIFYING  CUT           BACKOFF
        BACKOFF    RETRY         REQUESTING
        COMMITTING COMMIT_FAILED KEEPING
        """,
    )


# One transfer for all


def test_one_transfer_serves_all_and_each_reads_at_its_own_offset() -> None:
    s, first = streaming(40)
    first.takes()
    second = s.get(BLOB)
    assert second.offered == Span(0, 40)
    s.fetch.brings(70)
    assert [c.offered for c in (first, second)] == [Span(40, 70), Span(0, 40)]
    s.fetch.finishes(LAYER)
    for client in (first, second):
        client.takes_all()
        assert (client.at, client.end) == (SIZE, "finished")
    assert len(s.transfers) == 1
    assert [c.decision.collapsed for c in (first, second)] == [False, True]


def test_clients_are_answered_as_soon_as_upstream_s_head_is_there() -> None:
    s = scenario()
    clients = [s.get(BLOB), s.get(BLOB)]
    assert [c.status for c in clients] == [None, None]
    s.fetch.offers(LAYER)
    assert [(c.status, c.answer.length) for c in clients] == [(200, SIZE)] * 2


def test_a_manifest_is_answered_only_when_it_is_right() -> None:
    s = scenario()
    client = s.get(IMAGE.under(APP))
    s.fetch.offers(IMAGE)
    s.fetch.brings(IMAGE.size)
    assert client.status is None
    s.fetch.ends(IMAGE.digest, IMAGE.document)
    assert client.answer.status == 200
    assert client.offered == Span(0, IMAGE.size)


def test_a_slow_client_slows_nobody() -> None:
    s, slow = streaming(10)
    quick = s.get(BLOB)
    for upto in (20, 60, SIZE):
        quick.takes_all()
        s.fetch.brings(upto)
    s.fetch.ends(LAYER.digest)
    s.stores()
    quick.takes_all()
    assert quick.end == "finished"
    assert slow.offered == Span(0, 10)
    slow.takes_all()
    assert (slow.at, slow.end) == (SIZE, "finished")


def test_the_client_that_came_first_may_leave() -> None:
    s, first = streaming(10)
    second = s.get(BLOB)
    first.leaves()
    s.fetch.finishes(LAYER)
    second.takes_all()
    assert second.end == "finished"
    assert len(s.transfers) == 1


def test_every_waiter_hears_of_a_failure_and_nothing_is_poisoned() -> None:
    s = scenario()
    clients = [s.get(BLOB), s.get(BLOB), s.head(BLOB)]
    s.fetches[0].answers(404)
    assert [c.status for c in clients[:2]] == [404, 404]
    assert clients[0].problem.code is Code.BLOB_UNKNOWN
    s.fetch.offers(LAYER)
    assert clients[2].status == 200
    s.pulls(LAYER)


def test_a_digest_of_another_algorithm_is_computed_by_that() -> None:
    digest = Digest("sha512:layer")
    s = scenario()
    s.get(ByDigest(APP, Content(Kind.BLOB, digest)))
    assert s.fetch.spool.digest == digest


# Withheld until it is right


def test_the_last_byte_is_withheld_until_the_digest_is_right() -> None:
    s, client = streaming(SIZE)
    assert client.offered == Span(0, SIZE - 1)
    client.takes()
    assert client.offered is None
    s.fetch.ends(LAYER.digest)
    assert client.offered == Span(SIZE - 1, SIZE)


def test_a_wrong_digest_cuts_the_connections_and_publishes_nothing() -> None:
    s, first = streaming(SIZE)
    second = s.get(BLOB)
    first.takes()
    spool = s.fetch.spool
    s.fetch.ends(WRONG)
    assert (first.end, second.end) == ("aborted", "aborted")
    assert first.at == SIZE - 1
    assert not s.jobs
    assert not s.journal
    assert spool.number in s.discarded


def test_what_upstream_says_the_digest_is_proves_nothing() -> None:
    s = scenario()
    client = s.get(IMAGE.under(APP))
    s.fetch.offers(IMAGE)
    s.fetch.brings(IMAGE.size)
    s.fetch.ends(WRONG, IMAGE.document)
    assert client.status == 502


def test_right_bytes_that_are_no_manifest_are_not_served_as_one() -> None:
    s = scenario()
    client = s.get(IMAGE.under(APP))
    s.fetch.offers(IMAGE)
    s.fetch.brings(IMAGE.size)
    s.fetch.ends(IMAGE.digest, None)
    assert client.status == 502


def test_with_the_length_unknown_any_byte_may_be_the_last() -> None:
    s = scenario()
    client = s.get(BLOB)
    s.fetch.answers(200)
    assert (client.status, client.answer.length) == (200, None)
    s.fetch.brings(1)
    assert client.offered is None
    s.fetch.brings(60)
    assert client.offered == Span(0, 59)
    client.takes()
    s.fetch.ends(LAYER.digest)
    client.takes_all()
    assert (client.at, client.end) == (60, "finished")


def test_with_the_length_unknown_a_wrong_end_is_no_success() -> None:
    s = scenario()
    client = s.get(BLOB)
    s.fetch.answers(200)
    s.fetch.brings(60)
    client.takes_all()
    s.fetch.ends(WRONG)
    assert client.end == "aborted"


def test_a_body_longer_than_announced_is_not_passed_on() -> None:
    s, client = streaming(SIZE, limits=Limits(attempts=1))
    s.fetch.brings(SIZE + 1)
    assert client.end == "aborted"
    assert not s.jobs


def test_news_of_nothing_new_changes_nothing() -> None:
    s, client = streaming(40)
    client.takes()
    s.fetch.brings(40)
    assert client.offered is None


# Broken transfers


def test_a_mirror_s_failures_are_not_counted_as_tries() -> None:
    limits = Limits(attempts=1, first_attempts=1, mirror_rest=100.0)
    s = scenario(Config({HUB: Upstream(mirrors=2)}, limits=limits))
    client = s.get(BLOB)
    for number, have in enumerate((30, 60)):
        assert (s.fetch.request.mirror, s.fetch.request.offset) == (number, 30 * number)
        s.fetch.answers(206 if number else 200, start=30 * number, size=SIZE)
        s.fetch.brings(have)
        s.fetch.fails(Cause.TIMEOUT)
        s.passes(1.0)
    assert (s.fetch.request.mirror, s.fetch.request.offset) == (None, 60)
    assert client.status == 200


def test_a_cut_body_is_resumed_from_the_watermark_unnoticed() -> None:
    s, client = streaming(40)
    client.takes_all()
    spool = s.fetch.spool
    s.fetch.fails(Cause.CUT)
    assert not s.fetches
    s.passes(1.0)
    assert (s.fetch.request.offset, s.fetch.spool) == (40, spool)
    s.fetch.answers(206, length=SIZE - 40, start=40, size=SIZE)
    s.fetch.finishes(LAYER)
    s.stores()
    client.takes_all()
    assert (client.at, client.end) == (SIZE, "finished")


@pytest.mark.parametrize("cause", [Cause.CUT, Cause.TIMEOUT, Cause.UNREACHABLE])
def test_once_begun_any_break_is_worth_another_try(cause: Cause) -> None:
    s, client = streaming(40)
    s.fetch.fails(cause)
    s.passes(1.0)
    assert s.fetch.request.offset == 40
    assert client.end == ""


def test_a_body_shorter_than_announced_is_a_break_not_an_end() -> None:
    s, client = streaming(40)
    s.fetch.ends(WRONG)
    assert client.end == ""
    s.passes(1.0)
    assert s.fetch.request.offset == 40


def test_a_206_at_a_wrong_offset_is_refused_and_the_whole_asked_for() -> None:
    s, client = streaming(40)
    s.fetch.fails()
    s.passes(1.0)
    s.fetch.answers(206, length=60, start=41, size=SIZE)
    assert not s.fetches
    s.passes(2.0)
    assert s.fetch.request.offset == 0
    s.fetch.offers(LAYER)
    s.fetch.finishes(LAYER)
    client.takes_all()
    assert client.end == "finished"


def test_a_416_to_a_resumed_transfer_asks_for_the_whole() -> None:
    s, client = streaming(40)
    s.fetch.fails()
    s.passes(1.0)
    s.fetch.answers(416)
    s.passes(2.0)
    assert (s.fetch.request.offset, client.end) == (0, "")


def test_a_200_to_a_resumed_transfer_goes_on_in_the_same_spool() -> None:
    """The spool passes over what it has, so its digest covers what readers were sent."""
    s, client = streaming(40)
    client.takes()
    spool = s.fetch.spool
    s.fetch.fails()
    s.passes(1.0)
    s.fetch.offers(LAYER)
    assert s.fetch.spool == spool
    s.fetch.brings(40)
    assert client.offered is None
    s.fetch.brings(50)
    assert client.offered == Span(40, 50)


def test_content_that_changes_its_size_between_tries_is_not_pieced_together() -> None:
    s, client = streaming(40, limits=Limits(attempts=2))
    s.fetch.fails()
    s.passes(1.0)
    s.fetch.answers(206, length=70, start=40, size=110)
    assert client.end == "aborted"


def test_all_bytes_without_an_end_are_asked_for_again_as_a_whole() -> None:
    """A range that starts at the end is a 416: it could not bring the end."""
    s, client = streaming(SIZE)
    s.fetch.fails()
    s.passes(1.0)
    assert s.fetch.request.offset == 0
    s.fetch.offers(LAYER)
    s.fetch.ends(LAYER.digest)
    client.takes_all()
    assert client.end == "finished"


def test_without_progress_the_tries_are_bounded_and_the_waits_grow() -> None:
    s, client = streaming(40, limits=Limits(attempts=4))
    waits = []
    while client.end == "":
        s.fetch.fails(Cause.UNREACHABLE)
        due = s.cache.next_deadline()
        if client.end == "":
            assert due is not None
            waits.append(due - s.now)
            s.passes(waits[-1])
    assert client.end == "aborted"
    assert len(waits) == 3
    assert waits[0] < waits[1] < waits[2]


def test_with_progress_they_are_not() -> None:
    s, client = streaming(10, limits=Limits(attempts=2))
    for upto in (30, 50, 70, 90):
        s.fetch.fails()
        s.passes(8.0)
        at = s.fetch.request.offset
        s.fetch.answers(206, length=SIZE - at, start=at, size=SIZE)
        s.fetch.brings(upto)
    assert client.end == ""


def test_a_resumed_transfer_asks_the_origin_not_the_signed_address() -> None:
    """A signed URL may have run out."""
    s = scenario()
    s.get(BLOB)
    abroad = Location("https://cdn/layer?sig=x", same_origin=False)
    s.fetch.answers(307, location=abroad)
    assert s.fetch.request.location == abroad
    s.fetch.offers(LAYER)
    s.fetch.brings(40)
    s.fetch.fails()
    s.passes(1.0)
    assert s.fetch.request.offset == 40
    assert not s.fetch.request.location


def test_absent_on_resumption_is_an_end() -> None:
    s, client = streaming(40)
    s.fetch.fails()
    s.passes(1.0)
    s.fetch.answers(404)
    assert client.end == "aborted"


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_passing_5xx_is_tried_again_a_few_times(status: int) -> None:
    s = scenario(config(limits=Limits(first_attempts=2)))
    client = s.get(BLOB)
    s.fetch.answers(status)
    assert client.status is None
    s.passes(1.0)
    s.fetch.answers(status)
    assert client.status == 502


def test_an_upstream_that_asks_for_time_is_given_it_within_bounds() -> None:
    s = scenario()
    s.get(BLOB)
    s.fetch.answers(503, retry_after=4)
    s.passes(3.9)
    assert not s.fetches
    s.passes(0.1)
    assert s.fetches


@pytest.mark.parametrize(
    ("cause", "status"),
    [(Cause.UNREACHABLE, 502), (Cause.TIMEOUT, 504), (Cause.REFUSED, 502)],
)
def test_before_anything_came_an_honest_error_now_beats_a_late_one(
    cause: Cause, status: int
) -> None:
    s = scenario()
    client = s.get(BLOB)
    s.fetch.fails(cause)
    assert client.status == status


def test_a_manifest_beyond_the_limit_is_not_tried_again() -> None:
    s = scenario()
    client = s.get(IMAGE.under(APP))
    number = s.fetch.spool.number
    assert s.fetch.spool == Spool(number, Medium.MEMORY, IMAGE.digest, limit=4 << 20)
    s.fetch.answers(200)
    s.fetch.fails(Cause.TOO_LARGE)
    assert client.status == 502
    assert s.cache.next_deadline() is None


def test_a_manifest_in_memory_is_asked_for_as_a_whole_again() -> None:
    s = scenario()
    client = s.get(IMAGE.under(APP))
    s.fetch.offers(IMAGE)
    s.fetch.brings(4)
    s.fetch.fails()
    s.passes(1.0)
    assert s.fetch.request.offset == 0
    s.fetch.delivers(IMAGE)
    assert client.status == 200


# Without readers


def test_far_along_it_goes_on_without_a_reader_and_is_stored() -> None:
    s, client = streaming(SIZE // 2)
    client.leaves()
    s.passes(3600.0)
    s.fetch.finishes(LAYER)
    s.stores()
    assert s.disk == {LAYER.digest}


def test_not_far_along_it_waits_a_little_for_a_reader() -> None:
    s, client = streaming(SIZE // 2 - 1)
    client.leaves()
    s.passes(9.0)
    second = s.get(BLOB)
    s.passes(60.0)
    s.fetch.finishes(LAYER)
    second.takes_all()
    assert second.end == "finished"


@pytest.mark.parametrize("known", [True, False])
def test_then_it_is_cancelled_and_nothing_stays(known: bool) -> None:
    s = scenario()
    empty = s.cache.fingerprint(s.now)
    client = s.get(BLOB)
    if known:
        s.fetch.offers(LAYER)
    transfer = s.fetch
    client.leaves()
    s.passes(10.0)
    assert s.effects == [CancelFetch(transfer.effect.fetch), DiscardSpool(transfer.spool)]
    assert s.cache.fingerprint(s.now) == empty


def test_one_that_gets_right_meanwhile_is_stored() -> None:
    s, client = streaming(10)
    client.leaves()
    s.fetch.finishes(LAYER)
    s.stores()
    s.passes(60.0)
    assert s.disk == {LAYER.digest}


def test_one_that_is_being_stored_needs_no_reader() -> None:
    s, client = streaming(SIZE)
    s.fetch.ends(LAYER.digest)
    client.leaves()
    s.drains()
    s.stores()
    assert [r.digest for r in s.journalled(BlobStored)] == [LAYER.digest]


def test_a_draining_cache_starts_nothing_for_nobody() -> None:
    s, client = streaming(90)
    other = s.get(blob("other").under(APP))
    second = s.fetches[1]
    other.leaves()
    s.drains()
    assert not second.open
    client.leaves()
    assert not s.fetches


def test_one_that_waits_for_its_next_try_is_dropped_with_the_wait() -> None:
    s, client = streaming(10)
    s.fetch.fails()
    s.drains()
    client.leaves()
    assert s.cache.next_deadline() is None
    assert not s.undiscarded


# Right, but not to be stored


def test_what_is_larger_than_the_whole_cache_is_served_and_not_kept() -> None:
    s, client = streaming(40, max_size=SIZE - 1)
    second = s.get(BLOB)
    s.fetch.finishes(LAYER)
    assert not s.jobs
    client.takes_all()
    second.takes_all()
    assert (client.end, second.end) == ("finished", "finished")
    assert s.transfers[0].spool.number in s.discarded
    assert not s.journal


def test_what_cannot_be_committed_is_served_all_the_same() -> None:
    s, client = streaming(40)
    s.fetch.finishes(LAYER)
    s.cannot_store()
    assert s.notes[-1].message == "content could not be stored"
    late = s.get(BLOB)
    for c in (client, late):
        c.takes_all()
        assert c.end == "finished"
    assert s.get(BLOB).status is None, "nothing is kept"


def test_what_cannot_be_committed_and_nobody_reads_goes_at_once() -> None:
    s, client = streaming(SIZE)
    s.fetch.ends(LAYER.digest)
    client.leaves()
    s.cannot_store()
    assert s.transfers[0].spool.number in s.discarded


# By way of a tag


def by_get(s: Scenario, item: Item = IMAGE) -> Client:
    client = s.get(LATEST)
    s.fetch.answers(405)
    s.fetch.delivers(item)
    return client


def test_a_manifest_that_came_by_its_tag_is_stored_and_served() -> None:
    s = scenario()
    client = by_get(s)
    assert isinstance(client.source, Spool)
    s.stores()
    client.takes_all()
    assert s.disk == {IMAGE.digest}


def test_one_that_is_on_its_way_or_there_already_is_not_stored_twice() -> None:
    s = scenario()
    first, second = by_get(s), by_get(s)
    s.stores()
    third = by_get(s)
    for client in (first, second, third):
        client.takes_all()
        assert client.end == "finished"
    assert len(s.journalled(BlobStored)) == 1
    assert not s.undiscarded


def test_one_that_nobody_waits_for_and_does_not_fit_leaves_nothing() -> None:
    s = scenario(config(max_size=5))
    client = s.get(LATEST)
    s.fetch.answers(405)
    client.leaves()
    s.fetch.delivers(IMAGE)
    assert s.transfers[-1].spool.number in s.discarded
    assert not s.jobs


def test_what_is_right_is_held_although_it_is_not_stored_yet() -> None:
    s = scenario()
    first = by_get(s)
    second = s.get(LATEST)
    s.fetch.fails(Cause.UNREACHABLE)
    assert second.decision.stale_if_error
    third = s.get(IMAGE.under(APP))
    assert third.decision == HIT
    for client in (first, second, third):
        client.takes_all()
        assert client.end == "finished"


# When the store cannot


def test_when_the_store_fails_each_reader_gets_its_own_transfer() -> None:
    s, first = streaming(40)
    second = s.get(BLOB)
    first.takes()
    s.fetch.fails(Cause.STORE)
    one, two = s.fetches
    assert [t.spool.medium for t in (one, two)] == [Medium.WINDOW, Medium.WINDOW]
    assert [t.spool.first for t in (one, two)] == [40, 40]
    for transfer, client in ((one, first), (two, second)):
        transfer.offers(LAYER)
        transfer.finishes(LAYER)
        client.takes_all()
        assert client.end == "finished"
    assert not s.disk
    assert not s.jobs


def test_a_range_through_a_window_begins_again_where_the_range_does() -> None:
    s = scenario()
    client = s.get(BLOB, ranges=(RangeSpec(50, None),))
    s.fetch.fails(Cause.STORE)
    assert s.fetch.spool.first == 0
    s.fetch.offers(LAYER)
    assert (client.status, client.answer.span) == (206, Span(50, SIZE))
    assert s.fetch.spool.first == 50
    s.fetch.offers(LAYER)
    s.fetch.finishes(LAYER)
    client.takes_all()
    assert client.end == "finished"


def test_a_range_through_a_window_of_unknown_length_is_answered_at_its_end() -> None:
    s = scenario()
    client = s.get(BLOB, ranges=(RangeSpec(50, None),))
    s.fetch.fails(Cause.STORE)
    s.fetch.answers(200)
    s.fetch.finishes(LAYER)
    assert (client.status, client.answer.span) == (206, Span(50, SIZE))


def test_a_window_goes_with_its_reader() -> None:
    s = scenario()
    client = s.get(BLOB)
    s.fetch.fails(Cause.STORE)
    s.fetch.offers(LAYER)
    window = s.fetch
    client.leaves()
    assert not window.open
    assert s.effects[-1] == DiscardSpool(window.spool)


def test_a_transfer_that_may_not_even_be_asked_for_fails_at_once() -> None:
    """The token service has refused, and the refusal still holds."""
    s = scenario()
    first = s.get(BLOB)
    s.fetch.answers(401, challenges=(Challenge(True, "https://auth.hub/token", HUB),))
    s.token.refuses(403)
    assert first.status == 403
    second = s.get(BLOB)
    assert second.status == 403
    assert not [e for e in s.effects if isinstance(e, SendBody)]
    assert s.get(LAYER.under(OTHER)).status is None


def test_once_stored_it_is_read_from_the_store() -> None:
    s, client = streaming(SIZE)
    s.fetch.ends(LAYER.digest)
    s.stores()
    client.takes()
    assert client.source == Stored(LAYER.digest)
