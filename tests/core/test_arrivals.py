"""What upstream and its token services say reaches whom it concerns."""

from typing import Any

import pytest

from distcache.core.config import Config, Limits, Upstream
from distcache.core.decision import Fwd
from distcache.core.effects import Abort, Blame, Fetch, Level, Medium, Stored
from distcache.core.events import (
    BodySpooled,
    Cause,
    Challenge,
    FetchFailed,
    Held,
    Location,
    Secret,
)
from distcache.core.inventory import (
    BlobDropped,
)
from distcache.core.oci import Digest, Repository
from distcache.core.pull import Authority, Catalog, Ping, Span
from tests.core.content import (
    APP,
    HUB,
    IMAGE,
    LATEST,
    LAYER,
    OTHER,
    START,
    TAGS,
    WRONG,
    blob,
    held,
    records,
)
from tests.core.scenario import config, scenario, streaming

BLOB = LAYER.under(APP)
SIZE = LAYER.size
BEARER = Challenge(True, "https://auth.hub/token", HUB)


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


def test_a_manifest_may_come_by_its_tag() -> None:
    """Where upstream's HEAD says nothing, its GET brings the content."""
    s = scenario()
    client = s.get(LATEST)
    s.fetch.answers(200)
    s.fetch.answers(200, media_type=IMAGE.media_type)
    s.fetch.finishes(IMAGE)
    assert (client.status, client.answer.descriptor) == (200, IMAGE.descriptor)


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
    assert (client.end, client.blame) == ("aborted", Blame.STORE)


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
    assert (streams.end, streams.blame) == ("aborted", Blame.UPSTREAM)
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


def test_a_retry_that_cannot_be_asked_for_ends_the_fill() -> None:
    s, client = streaming()
    s.get(LATEST)
    fill, tag = s.fetches
    fill.fails(Cause.CUT)
    tag.answers(401, challenges=(BEARER,))
    s.token.refuses(403)
    s.passes(1.0)
    assert client.end == "aborted"
    assert Abort(1, "hub denies access", Blame.UPSTREAM) in s.effects


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


def test_a_token_that_a_mirror_s_service_refuses_is_not_the_end() -> None:
    s = scenario(Config({HUB: Upstream(mirrors=1)}))
    client = s.get(BLOB)
    s.fetch.answers(401, challenges=(BEARER,))
    s.token.refuses(403)
    assert (client.status, s.fetch.request.mirror) == (None, None)


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


# What becomes of readers


def test_what_a_mirror_got_wrong_is_got_elsewhere_by_who_waits() -> None:
    s = scenario(Config({HUB: Upstream(mirrors=1)}))
    client = s.get(IMAGE.under(APP))
    s.fetch.offers(IMAGE)
    s.fetch.brings(IMAGE.size)
    s.fetch.ends(WRONG, IMAGE.document)
    assert s.fetch.request.mirror is None
    s.fetch.delivers(IMAGE)
    assert client.status == 200


def test_a_fault_of_the_store_clears_nothing_and_is_told_with_its_digest() -> None:
    s = scenario(config(ttl=None), held(blob("old")))
    s.get(BLOB)
    s.fetch.fails(Cause.STORE)
    assert not s.doomed
    assert s.notes[-1].fields == (("digest", LAYER.digest), ("fault", "store"))
    assert (s.fetch.spool.medium, s.fetch.spool.digest) == (Medium.WINDOW, LAYER.digest)


@pytest.mark.parametrize("known", [False, True])
def test_who_was_sent_nothing_needs_no_other_bytes_before_its_window(known: bool) -> None:
    s = scenario()
    clients = [s.get(BLOB, chunked=False), s.get(BLOB, chunked=False)]
    s.fetch.answers(200)
    s.fetch.brings(10)
    if known:
        s.fetch.fails(Cause.STORE)
    else:
        s.handle(FetchFailed(s.fetch.effect.fetch, Cause.STORE))
        s.transfers[0].open = False
    assert [t.spool.after for t in s.fetches] == [None, None]
    for transfer in s.fetches:
        transfer.delivers(LAYER)
    for client in clients:
        assert (client.status, client.decision.collapsed) == (200, False)
        assert client.decision.fwd is Fwd.BYPASS


def test_who_was_promised_a_length_is_not_given_another() -> None:
    s, client = streaming()
    client.takes()
    s.fetch.fails(Cause.STORE)
    s.fetch.answers(200, length=SIZE - 1)
    assert client.end == "aborted"


def test_who_was_promised_nothing_takes_what_comes() -> None:
    s = scenario()
    client = s.get(BLOB, chunked=False)
    s.fetch.answers(200)
    s.fetch.fails(Cause.STORE)
    s.fetch.answers(200, length=SIZE)
    assert (client.status, client.answer.length) == (200, SIZE)


def test_a_message_that_ends_before_its_head_is_asked_for_again_with_its_token() -> None:
    s = scenario()
    client = s.get(BLOB)
    s.fetch.answers(401, challenges=(BEARER,))
    s.token.grants("t1")
    s.fetch.ends()
    assert s.fetch.request.authorization == Secret("t1")
    s.fetch.delivers(LAYER)
    assert client.status == 200


def test_a_transfer_that_has_begun_waits_when_its_token_comes_too_late() -> None:
    settings = config()
    s, client = streaming()
    s.fetch.fails()
    s.passes(1.0)
    s.fetch.answers(401, challenges=(BEARER,))
    s.cache.configure(config(offline=True))
    s.token.grants("t1")
    assert client.end == ""
    s.cache.configure(settings)
    s.passes(10.0)
    s.fetch.answers(206, start=40, size=SIZE)
    s.fetch.finishes(LAYER)
    client.takes_all()
    assert client.end == "finished"


def test_a_mirror_s_token_service_that_is_down_makes_it_rest() -> None:
    s = scenario(Config({HUB: Upstream(mirrors=1)}))
    s.get(BLOB)
    s.fetch.answers(401, challenges=(BEARER,))
    s.token.refuses(500)
    assert s.cache.reach(s.now)[0].resting == (0,)


@pytest.mark.parametrize("too_long", [False, True])
def test_a_mirror_that_is_wrong_about_the_size_rests(too_long: bool) -> None:
    s = scenario(Config({HUB: Upstream(mirrors=2)}))
    s.get(BLOB)
    s.fetch.offers(LAYER)
    if too_long:
        s.fetch.brings(SIZE + 1)
    else:
        s.fetch.brings(60)
        s.fetch.fails(Cause.TIMEOUT)
        s.passes(1.0)
        s.fetch.answers(206, start=60, size=SIZE + 1)
    assert s.cache.reach(s.now)[0].resting == ((0,) if too_long else (0, 1))
