"""What upstream's transfer brings to a fill, and what becomes of one that breaks."""

import pytest

from distcache.core.config import Config, Limits, Upstream
from distcache.core.effects import Medium, Spool
from distcache.core.events import Cause, Location
from distcache.core.pull import RangeSpec, Span
from tests.core.content import APP, HUB, IMAGE, LAYER, WRONG
from tests.core.scenario import Scenario, config, scenario, streaming

BLOB = LAYER.under(APP)
SIZE = LAYER.size


# Heads


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


# Ends


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


# Windows


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


# What a mirror does wrong, and upstream has to put right


MIRRORS = Config({HUB: Upstream(mirrors=2)}, limits=Limits(mirror_rest=100.0))


def resting(s: Scenario) -> tuple[int, ...]:
    (reach,) = s.cache.reach(s.now)
    return reach.resting


def test_a_mirror_that_sends_more_than_it_announced_rests_and_is_not_asked_again() -> None:
    s = scenario(MIRRORS)
    client = s.get(BLOB)
    s.fetch.offers(LAYER)
    s.fetch.brings(SIZE + 1)
    assert resting(s) == (0,)
    assert client.end == "aborted"
    s.get(BLOB)
    assert s.fetch.request.mirror == 1


def test_so_does_one_whose_content_has_another_size() -> None:
    s = scenario(MIRRORS)
    client = s.get(BLOB)
    s.fetch.offers(LAYER)
    s.fetch.brings(60)
    s.fetch.fails(Cause.TIMEOUT)
    s.passes(1.0)
    s.fetch.answers(206, start=60, size=SIZE + 1)
    assert resting(s) == (0, 1)
    s.passes(1.0)
    assert (s.fetch.request.mirror, s.fetch.request.offset) == (None, 60)
    s.fetch.answers(206, start=60, size=SIZE)
    s.fetch.finishes(LAYER)
    client.takes_all()
    assert client.end == "finished"


def test_and_one_whose_body_ends_too_early() -> None:
    s = scenario(MIRRORS)
    s.get(BLOB)
    s.fetch.offers(LAYER)
    s.fetch.brings(60)
    s.fetch.ends(WRONG)
    assert resting(s) == (0,)
    s.passes(1.0)
    assert (s.fetch.request.mirror, s.fetch.request.offset) == (1, 60)


def test_what_a_manifest_s_client_is_told_of_one_that_ends_too_early() -> None:
    s = scenario(config(limits=Limits(attempts=1)))
    client = s.get(IMAGE.under(APP))
    s.fetch.offers(IMAGE)
    s.fetch.brings(4)
    s.fetch.ends(WRONG)
    assert (client.status, client.problem.message) == (502, "hub broke off")


@pytest.mark.parametrize("status", [200, 206])
def test_a_resumed_transfer_need_not_tell_the_size_again(status: int) -> None:
    s, client = streaming(60)
    s.fetch.fails()
    s.passes(1.0)
    s.fetch.answers(status, start=60 if status == 206 else 0)
    s.fetch.finishes(LAYER)
    client.takes_all()
    assert client.end == "finished"


def test_to_be_told_of_the_same_bytes_again_is_no_progress() -> None:
    s, client = streaming(40, limits=Limits(attempts=3))
    for _ in range(2):
        s.fetch.fails()
        s.passes(60.0)
        s.fetch.answers(206, start=40, size=SIZE)
        s.fetch.brings(40)
    s.fetch.fails()
    assert client.end == "aborted"


def test_a_window_that_begins_again_lets_go_of_what_it_held() -> None:
    s = scenario()
    client = s.get(BLOB, ranges=(RangeSpec(50, None),))
    s.fetch.fails(Cause.STORE)
    s.fetch.answers(200)
    s.fetch.brings(30)
    s.fetch.fails()
    s.passes(1.0)
    window = s.fetch.spool
    s.fetch.answers(200, length=SIZE)
    assert window.number in s.discarded
    assert (s.fetch.spool.first, s.fetch.request.offset) == (50, 0)
    s.fetch.offers(LAYER)
    s.fetch.finishes(LAYER)
    client.takes_all()
    assert client.end == "finished"
