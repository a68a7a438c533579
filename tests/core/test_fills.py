"""Content on its way into the store: once for all readers, and never wrong."""

import pytest

from distcache.core.config import Limits
from distcache.core.decision import HIT
from distcache.core.effects import CancelFetch, Code, DiscardSpool, Medium, SendBody, Spool, Stored
from distcache.core.events import Cause, Challenge
from distcache.core.fills import TRANSITIONS, FillInput, FillState
from distcache.core.inventory import BlobStored
from distcache.core.oci import Content, Digest, Kind
from distcache.core.pull import ByDigest, Span
from tests.core.actors import Client
from tests.core.content import APP, HUB, IMAGE, LATEST, LAYER, OTHER, Item, blob
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


def test_a_manifest_comes_into_memory_within_its_limit_and_a_blob_into_a_file() -> None:
    s = scenario(config(limits=Limits(manifest=99)))
    s.get(IMAGE.under(APP))
    number = s.fetch.spool.number
    assert s.fetch.spool == Spool(number, Medium.MEMORY, IMAGE.digest, limit=99)
    s.get(BLOB)
    assert s.fetches[1].spool == Spool(number + 2, Medium.FILE, LAYER.digest)


# Withheld until it is right


def test_the_last_byte_is_withheld_until_the_digest_is_right() -> None:
    s, client = streaming(SIZE)
    assert client.offered == Span(0, SIZE - 1)
    client.takes()
    assert client.offered is None
    s.fetch.ends(LAYER.digest)
    assert client.offered == Span(SIZE - 1, SIZE)


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


def along(s: Scenario) -> Client:
    """Somebody who may have it for another repository reads along with a fill of APP's."""
    reader = s.get(LAYER.under(OTHER))
    s.fetches[-1].offers(LAYER)
    assert reader.status is None
    return reader


@pytest.mark.parametrize("comes", ["before", "after"])
def test_before_upstream_s_word_others_do_not_keep_it_going(comes: str) -> None:
    """That would show who left, and comes again, that others want the same."""
    s = scenario()
    client = s.get(BLOB)
    reader = None if comes == "after" else along(s)
    client.leaves()
    reader = reader or along(s)
    first = s.fetch
    s.passes(10.0)
    assert not first.open
    assert s.fetch.request.repository == OTHER, "who read along has one of its own"
    s.fetch.finishes(LAYER) if s.fetch.effect.spool is None else s.fetch.delivers(LAYER)
    s.stores()
    reader.takes_all()
    assert reader.end == "finished"


def test_who_comes_again_in_time_keeps_it_going_for_all() -> None:
    s = scenario()
    s.get(BLOB).leaves()
    reader = along(s)
    again = s.get(BLOB)
    s.passes(20.0)
    s.fetch.delivers(LAYER)
    assert [reader.status, again.status] == [200, 200]


def test_after_upstream_s_word_whoever_reads_it_keeps_it_going() -> None:
    s = scenario()
    client = s.get(BLOB)
    reader = along(s)
    client.leaves()
    s.fetch.offers(LAYER)
    s.passes(20.0)
    s.fetch.finishes(LAYER)
    assert reader.status == 200
    late = s.get(LAYER.under(OTHER))
    assert late.status == 200


def test_who_joins_after_it_keeps_it_going() -> None:
    s = scenario()
    client = s.get(BLOB)
    s.fetch.offers(LAYER)
    client.leaves()
    reader = s.get(LAYER.under(OTHER))
    s.fetches[-1].offers(LAYER)
    s.passes(20.0)
    s.fetch.finishes(LAYER)
    assert reader.status == 200


def test_a_cache_that_shuts_down_asks_nothing_anew_for_who_reads_along() -> None:
    s = scenario()
    client = s.get(BLOB)
    reader = along(s)
    s.drains()
    assert s.fetches
    client.leaves()
    assert reader.status == 503
    assert not s.fetches


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


# How long it goes on


def test_a_reader_that_came_in_time_ends_the_wait_for_one() -> None:
    s, client = streaming(40)
    client.leaves()
    second = s.get(BLOB)
    s.fetch.brings(60)
    second.leaves()
    s.passes(60.0)
    s.fetch.finishes(LAYER)
    s.stores()
    assert s.disk == {LAYER.digest}


def test_what_fails_while_nobody_reads_it_is_over() -> None:
    s, client = streaming(40, limits=Limits(attempts=1))
    client.leaves()
    s.fetch.fails()
    assert not s.undiscarded
    s.passes(5.0)
    second = s.get(BLOB)
    s.passes(5.0)
    s.fetch.delivers(LAYER)
    assert second.status == 200


def test_one_that_is_being_stored_when_the_cache_drains_may_lose_its_reader() -> None:
    s, client = streaming(SIZE)
    s.fetch.ends(LAYER.digest)
    s.drains()
    client.leaves()
    s.stores()
    assert [r.digest for r in s.journalled(BlobStored)] == [LAYER.digest]


# Whether it is kept


@pytest.mark.parametrize(("size", "kept"), [(SIZE, True), (SIZE - 1, False)])
def test_it_is_kept_up_to_the_size_of_the_whole_cache(size: int, kept: bool) -> None:
    s, client = streaming(SIZE, max_size=size)
    assert client.decision.stored is kept
    s.fetch.ends(LAYER.digest)
    assert bool(s.jobs) is kept


def test_of_unknown_length_it_is_to_be_kept_until_more_is_known() -> None:
    s = scenario(config(max_size=SIZE))
    client = s.get(BLOB)
    s.fetch.answers(200)
    assert client.decision.stored


def test_a_manifest_that_could_not_be_stored_is_not_told_as_kept() -> None:
    s = scenario()
    by_get(s)
    s.cannot_store()
    late = by_get(s)
    assert (late.status, late.decision.stored) == (200, False)
