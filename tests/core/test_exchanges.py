"""One client's pull: one credit at a time, from the first byte to the last, or cut."""

from typing import Any

import pytest

from distcache.core.config import Limits
from distcache.core.decision import Decision, Fwd, Outcome
from distcache.core.effects import Abort, Blame, Finish, Respond, SendBody, Spool, Stored
from distcache.core.events import Cause, Forgotten
from distcache.core.exchanges import TRANSITIONS, ExchangeInput, ExchangeState
from distcache.core.oci import Repository
from distcache.core.pull import Authority, Ping, RangeSpec, Span
from tests.core.content import APP, HUB, IMAGE, LATEST, LAYER, OTHER, WRONG, blob, held
from tests.core.drawing import assert_drawn
from tests.core.scenario import config, scenario, warm

BLOB = LAYER.under(APP)
SIZE = LAYER.size
EMPTY = blob("empty", 0)


def test_the_table() -> None:
    assert_drawn(
        TRANSITIONS,
        ExchangeState,
        ExchangeInput,
        """
        WAITING ANSWERED IDLE
        WAITING END      CLOSED
        IDLE    SEND     SENDING
        IDLE    END      CLOSED
        SENDING SENT     IDLE
        SENDING END      CLOSED
        SENDING UNSENT   WAITING
        """,
    )


# What is sent


def test_a_stored_blob_is_one_answer_one_body_and_an_end() -> None:
    s = warm()
    client = s.get(BLOB)
    kinds = [type(e) for e in s.effects]
    assert kinds[-2:] == [Respond, SendBody]
    assert (client.answer.length, client.offered) == (SIZE, Span(0, SIZE))
    client.takes()
    assert s.effects == [Finish(1)]


def test_an_empty_body_is_answered_and_ended_at_once() -> None:
    s = scenario(records=held(EMPTY))
    client = s.get(EMPTY.under(APP))
    assert (client.status, client.answer.length, client.end) == (200, 0, "finished")


def test_there_is_one_credit_at_a_time() -> None:
    s = scenario()
    client = s.get(BLOB)
    s.fetch.offers(LAYER)
    for upto in (10, 20, 30):
        s.fetch.brings(upto)
    assert client.offered == Span(0, 10)
    client.takes()
    assert client.offered == Span(10, 30)


def test_a_range_is_sent_and_nothing_beside_it() -> None:
    s = scenario()
    client = s.get(BLOB, ranges=(RangeSpec(20, 39),))
    s.fetch.offers(LAYER)
    assert (client.status, client.answer.length) == (206, 20)
    s.fetch.brings(15)
    assert client.offered is None
    s.fetch.brings(30)
    assert client.offered == Span(20, 30)
    client.takes()
    s.fetch.brings(90)
    client.takes()
    assert (client.at, client.end) == (40, "finished")
    assert s.fetches, "the fill goes on"


def test_a_range_to_the_end_gets_the_last_byte_when_the_digest_is_right() -> None:
    s = scenario()
    client = s.get(BLOB, ranges=(RangeSpec(None, 1),))
    s.fetch.offers(LAYER)
    s.fetch.brings(SIZE)
    assert client.offered is None
    s.fetch.ends(LAYER.digest)
    assert client.offered == Span(SIZE - 1, SIZE)


def test_when_it_becomes_a_stored_blob_what_is_on_its_way_goes_out_first() -> None:
    s = scenario()
    client = s.get(BLOB)
    s.fetch.offers(LAYER)
    s.fetch.finishes(LAYER)
    first = client.offered
    s.stores()
    assert client.offered == first
    client.takes()
    assert client.source == Stored(LAYER.digest)
    client.takes()
    assert client.end == "finished"


def test_a_body_of_unknown_length_ends_where_the_stored_blob_does() -> None:
    s = scenario()
    client = s.get(BLOB)
    s.fetch.answers(200)
    s.fetch.brings(60)
    s.fetch.ends(LAYER.digest)
    s.stores()
    client.takes_all()
    assert (client.at, client.end) == (60, "finished")


# Who cannot be served to the end


def test_a_body_that_must_stop_short_is_cut_never_ended_politely() -> None:
    s = scenario()
    client = s.get(BLOB)
    s.fetch.offers(LAYER)
    s.fetch.brings(SIZE)
    client.takes()
    s.fetch.ends(WRONG)
    assert Abort(1, "hub sent content that does not match its digest", Blame.UPSTREAM) in s.effects
    assert Finish(1) not in s.effects


def test_a_credit_that_is_out_does_not_keep_it_from_being_cut() -> None:
    s = scenario()
    client = s.get(BLOB)
    s.fetch.offers(LAYER)
    s.fetch.brings(SIZE)
    assert client.offered
    s.fetch.ends(WRONG)
    assert client.end == "aborted"


def test_an_answer_of_which_nothing_went_out_is_decided_anew() -> None:
    s = warm()
    client = s.get(BLOB)
    client.loses_source(answered=False)
    assert client.head is None
    s.fetch.delivers(LAYER)
    client.takes_all()
    assert (client.status, client.end) == (200, "finished")


def test_one_of_which_something_went_out_is_cut() -> None:
    s = warm()
    client = s.get(BLOB)
    client.loses_source(answered=True)
    assert (client.end, client.blame) == ("aborted", Blame.STORE)


def test_a_store_that_loses_everything_it_is_given_ends_in_an_error() -> None:
    s = warm()
    s.cache.configure(config(limits=Limits(redispatch=2)))
    client = s.get(BLOB)
    for _ in range(2):
        client.loses_source(answered=False)
        s.fetch.delivers(LAYER)
        s.stores()
    client.loses_source(answered=False)
    assert client.status == 502


def test_other_readers_of_a_lost_blob_get_what_is_on_its_way() -> None:
    """They hold the file open: what they were promised comes out of it."""
    s = warm()
    whole, part = s.get(BLOB), s.get(BLOB)
    part.loses_source(answered=True)
    whole.takes()
    assert whole.end == "finished"


def test_but_no_more_than_that() -> None:
    s = scenario()
    first, second = s.get(BLOB), s.get(BLOB)
    s.fetch.offers(LAYER)
    s.fetch.brings(50)
    s.fetch.finishes(LAYER)
    s.stores()
    second.takes()
    assert isinstance(first.source, Spool)
    second.loses_source(answered=True)
    first.takes()
    assert (first.end, first.blame) == ("aborted", Blame.STORE)


# Who waits past a failing store


@pytest.mark.parametrize("item", [LAYER, IMAGE])
def test_what_has_come_into_the_store_is_not_waited_for_elsewhere(item: Any) -> None:
    """Its own transfer, past a store that was failing, rests until its next try."""
    s = scenario()
    client = s.get(item.under(APP))
    s.fetch.fails(Cause.STORE)
    s.fetch.fails()
    s.fetch.fails()  # asked again at once the first time, not the second
    s.get(item.under(APP))
    transfer = s.fetch
    unrelated = s.get(blob("other").under(APP))
    for _ in range(2):
        s.fetches[-1].fails()
    transfer.delivers(item)
    assert client.head is None
    s.stores()
    assert client.source == Stored(item.digest)
    assert client.decision == Decision(Outcome.FWD, Fwd.URI_MISS)
    client.takes_all()
    assert client.end == "finished"
    assert unrelated.head is None


@pytest.mark.parametrize("length", [None, SIZE])
@pytest.mark.parametrize("rests_first", [True, False])
def test_nor_by_who_has_the_head_and_no_byte_yet(length: int | None, rests_first: bool) -> None:
    s = scenario()
    client = s.get(BLOB)
    s.fetch.fails(Cause.STORE)
    s.fetch.answers(200, length=length)
    past = s.fetch
    if rests_first:
        past.fails()
    s.get(BLOB)
    s.fetches[-1].delivers(LAYER)
    s.stores()
    if not rests_first:
        past.fails()
    assert client.source == Stored(LAYER.digest)
    client.takes_all()
    assert client.end == "finished"
    assert not s.fetches


def test_but_by_who_was_promised_another_length() -> None:
    s = scenario()
    client = s.get(BLOB)
    s.fetch.fails(Cause.STORE)
    s.fetch.answers(200, length=SIZE + 1)
    s.fetch.fails()
    s.get(BLOB)
    s.fetch.delivers(LAYER)
    s.stores()
    assert client.turn is None
    s.passes(2.0)
    assert s.fetch.request.resource == BLOB.content


def test_who_was_sent_something_goes_on_past_the_store() -> None:
    s = scenario()
    client = s.get(BLOB)
    s.fetch.fails(Cause.STORE)
    s.fetch.offers(LAYER)
    s.fetch.brings(10)
    client.takes()
    s.fetch.fails()
    s.get(BLOB)
    s.fetch.delivers(LAYER)
    s.stores()
    assert client.end != "aborted"
    s.passes(2.0)
    assert s.fetch.request.offset == 10
    s.fetch.answers(206, start=10, size=SIZE)
    s.fetch.finishes(LAYER)
    client.takes_all()
    assert client.end == "finished"


# Who leaves


def test_who_leaves_while_sending_lets_go_of_the_blob() -> None:
    s = scenario(config(ttl=50.0), held(LAYER))
    s.get(BLOB).leaves()
    s.passes(50.0)
    assert s.doomed == {LAYER.digest}


@pytest.mark.parametrize("what", [LATEST, BLOB])
def test_who_leaves_while_waiting_is_not_answered(what: Any) -> None:
    s = scenario()
    client = s.get(what)
    client.leaves()
    s.passes(60.0)
    for transfer in s.fetches:
        transfer.fails(Cause.UNREACHABLE)
    assert client.head is None


def test_a_client_that_takes_the_head_and_leaves_costs_the_others_nothing() -> None:
    """ollama aborts its first GET after the head and then asks for parts."""
    s = scenario()
    leader = s.get(BLOB)
    s.fetch.offers(LAYER)
    leader.leaves()
    parts = [s.get(BLOB, ranges=(RangeSpec(at, at + 49),)) for at in (0, 50)]
    s.fetch.finishes(LAYER)
    for part in parts:
        part.takes_all()
    assert [p.at for p in parts] == [50, SIZE]
    assert len(s.transfers) == 1


def test_who_leaves_a_probe_is_not_answered() -> None:
    s = scenario(records=held(LAYER, under=OTHER))
    client = s.get(BLOB)
    client.leaves()
    s.fetch.offers(LAYER)
    assert client.head is None


@pytest.mark.parametrize("method", ["get", "head"])
@pytest.mark.parametrize("what", [LATEST, BLOB])
def test_an_error_is_an_answer_with_an_end(what: Any, method: str) -> None:
    s = scenario()
    client = s.get(what) if method == "get" else s.head(what)
    s.fetch.fails(Cause.UNREACHABLE)
    assert (client.status, client.end, client.turn) == (502, "finished", None)
    assert s.effects[-2:] == [Respond(1, client.answer), Finish(1)]


# Who waits too long


@pytest.mark.parametrize("what", [LATEST, BLOB, IMAGE.under(APP)])
def test_within_28_s_there_is_a_head_or_an_honest_error(what: Any) -> None:
    """containerd gives up on a mirror's head after 30 s."""
    s = scenario()
    client = s.get(what)
    s.passes(27.9)
    assert client.status is None
    s.passes(0.1)
    assert client.status == 504


def test_one_probe_s_client_too() -> None:
    s = scenario()
    client = s.head(BLOB)
    s.passes(28.0)
    assert client.status == 504


def test_a_stored_answer_is_used_when_upstream_is_too_slow_to_confirm_it() -> None:
    s = warm()
    client = s.get(LATEST)
    s.passes(28.0)
    assert client.source == Stored(IMAGE.digest)
    assert client.decision.stale_if_error


def test_the_time_is_counted_from_the_question_through_every_step() -> None:
    s = scenario()
    client = s.get(LATEST)
    s.passes(20.0)
    s.fetch.offers(IMAGE)
    s.passes(7.9)
    assert client.status is None
    s.passes(0.1)
    assert client.status == 504


def test_once_the_head_is_out_a_body_may_take_its_time() -> None:
    s = scenario()
    client = s.get(BLOB)
    s.fetch.offers(LAYER)
    s.passes(3600.0)
    assert client.end == ""
    s.fetch.finishes(LAYER)
    client.takes_all()
    assert client.end == "finished"


def test_who_leaves_while_upstream_is_asked_how_it_greets_is_not_told() -> None:
    s = scenario()
    ping = Ping(Repository(HUB, "", "a"))
    leaver, other = (s.get(ping, authority=Authority("a")) for _ in range(2))
    leaver.leaves()
    s.fetch.answers(200)
    assert (leaver.status, other.status) == (None, 200)


def test_who_waited_for_a_greeting_that_never_came_is_told() -> None:
    s = scenario()
    client = s.get(Ping(Repository(HUB, "", "a")), authority=Authority("a"))
    s.fetch.answers(503)
    assert (client.status, client.end) == (502, "finished")
    s.passes(100.0)


def test_the_last_of_a_body_without_a_length_may_be_out_when_its_blob_is_lost() -> None:
    """It has had all that there is: its end is an end, and no cut."""
    s = scenario()
    first, second = s.get(BLOB), s.get(BLOB)
    s.fetch.answers(200)
    s.fetch.brings(60)
    s.fetch.ends(LAYER.digest)
    s.stores()
    for client in (first, second):
        client.takes()
        assert client.source == Stored(LAYER.digest)
    second.loses_source(answered=True)
    first.takes()
    assert (first.at, first.end, second.end) == (60, "finished", "aborted")


def test_a_part_out_of_a_transfer_that_becomes_a_stored_blob_stays_that_part() -> None:
    s = scenario()
    client = s.get(BLOB, ranges=(RangeSpec(0, 39),))
    s.fetch.offers(LAYER)
    s.fetch.brings(20)
    s.fetch.finishes(LAYER)
    s.stores()
    client.takes_all()
    assert (client.at, client.end) == (40, "finished")


@pytest.mark.parametrize("gone", [False, True])
def test_a_transfer_that_its_last_reader_has_the_end_of_lingers_and_goes(gone: bool) -> None:
    s = scenario()
    client = s.get(BLOB, ranges=(RangeSpec(0, 9),))
    s.fetch.offers(LAYER)
    s.fetch.brings(20)
    client.takes()
    assert client.end == "finished"
    assert s.cache.stats().readers == 0
    s.passes(s.cache.next_deadline() - s.now - (0.0 if gone else 0.5))  # type: ignore[operator]
    assert s.cache.stats().fills == (0 if gone else 1)


def test_whose_spool_cannot_be_read_reads_along_once_more_and_once_only() -> None:
    s = scenario()
    client = s.get(BLOB)
    s.fetch.offers(LAYER)
    s.fetch.brings(20)
    client.loses_source(answered=False)
    assert (client.status, s.cache.stats().readers) == (200, 1)
    client.leaves()
    assert s.cache.stats().readers == 0
    s.passes(60.0)
    assert s.cache.stats().fills == 0


def test_who_has_it_all_and_lost_it_lets_go_of_the_blob_that_comes_again() -> None:
    """The count of its readers is that of those who read."""
    s = scenario(config(ttl=50.0), held(LAYER))
    client = s.get(BLOB)
    client.loses_source(answered=False)
    s.fetch.delivers(LAYER)
    s.stores()
    client.takes_all()
    s.passes(50.0)
    assert s.doomed == {LAYER.digest}


def test_who_waited_too_long_for_what_is_too_young_is_not_let_through() -> None:
    s = scenario(config(cool_down=600.0), held(IMAGE, under=OTHER))
    s.get(LATEST)
    s.fetch.offers(IMAGE)
    client = s.get(LATEST)
    s.passes(28.0)
    assert (client.status, client.decision.cooling) == (403, True)


def test_only_what_has_come_is_not_waited_for() -> None:
    """Another transfer past the store goes on resting."""
    s = scenario()
    other = blob("other")
    waiting = s.get(other.under(APP))
    s.fetch.fails(Cause.STORE)
    s.fetch.fails()
    s.fetch.fails()
    client = s.get(BLOB)
    s.fetch.fails(Cause.STORE)
    s.fetch.fails()
    s.fetch.fails()
    s.get(BLOB)
    s.fetch.delivers(LAYER)
    s.stores()
    assert (client.source, waiting.head) == (Stored(LAYER.digest), None)
    s.passes(2.0)
    assert s.fetch.request.resource == other.content


def test_who_waited_for_a_greeting_that_counts_no_longer_is_told_when_offline() -> None:
    s = scenario(config(limits=Limits(greeting=0.0)))
    client = s.get(Ping(Repository(HUB, "", "a")), authority=Authority("a"))
    s.cache.configure(config(offline=True, limits=Limits(greeting=0.0)))
    s.fetch.answers(200)
    assert (client.status, client.end) == (503, "finished")


# Shutting down, and what nobody came for


def test_nothing_goes_on_that_nobody_waits_for_when_the_cache_shuts_down() -> None:
    s = scenario()
    waits = [s.get(BLOB), s.head(IMAGE.under(APP))]
    for item in (blob("other"), IMAGE):
        s.get(item.under(OTHER)).leaves()
        s.head(item.under(OTHER)).leaves()
    s.drains()
    assert [f.request.repository for f in s.fetches] == [APP, APP]
    assert not any(client.end for client in waits)


def test_nor_does_it_once_it_has_waited_long_enough() -> None:
    s = scenario()
    s.get(BLOB).leaves()
    s.head(IMAGE.under(APP)).leaves()
    s.passes(Limits().linger)
    assert not s.fetches
    assert not s.undiscarded


def test_who_has_been_handed_out_all_is_no_reader_of_what_is_forgotten() -> None:
    s = warm()
    whole, part = s.get(BLOB), s.get(BLOB, ranges=(RangeSpec(3, 9),))
    s.handle(Forgotten(LAYER.digest))
    assert s.doomed == {LAYER.digest}
    for client in (whole, part):
        client.takes()
        assert client.end == "finished"


def test_who_wants_more_of_what_is_forgotten_reads_on() -> None:
    """Beside one that reads something else."""
    other = blob("other")
    s = scenario(records=held(other))
    client = s.get(BLOB)
    s.fetch.offers(LAYER)
    s.fetch.brings(40)
    s.fetch.finishes(LAYER)
    s.stores()
    s.get(other.under(APP))
    s.handle(Forgotten(LAYER.digest))
    assert not s.doomed
    client.takes_all()
    assert client.end == "finished"
    s.handle(Forgotten(other.digest))
    assert s.doomed == {other.digest}
