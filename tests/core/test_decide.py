"""What is done about a pull: the one Decision, and the head that goes with it."""

from typing import Any

import pytest

from distcache.core.config import Config, Limits, Upstream
from distcache.core.decision import HIT, Decision, Fwd, Outcome
from distcache.core.effects import Code, Stored
from distcache.core.events import Cause, Challenge, Location, Quota, Secret
from distcache.core.oci import Content, Kind, Listed, ReferrersRef, Repository, TagRef
from distcache.core.problems import DRAINING, OFFLINE
from distcache.core.pull import Authority, ByDigest, Catalog, Method, Page, Ping, RangeSpec, Span
from tests.core.actors import Client
from tests.core.content import (
    APP,
    HUB,
    IMAGE,
    LATEST,
    LAYER,
    MOVED,
    OTHER,
    REFERRERS,
    START,
    TAGS,
    blob,
    held,
    listing,
    records,
    referring,
)
from tests.core.scenario import Scenario, config, scenario

BLOB = LAYER.under(APP)
SIZE = LAYER.size
ETAG = f'"{LAYER.digest}"'
WARM = held(IMAGE, LAYER, tag=LATEST)
EMPTY = blob("empty", 0)
BEARER = Challenge(True, "https://auth.hub/token", HUB)


def warm(**settings: Any) -> Scenario:
    return scenario(config(**settings), WARM)


def filling(upto: int = 10) -> Scenario:
    s = scenario()
    s.get(BLOB)
    s.fetch.offers(LAYER)
    s.fetch.brings(upto)
    return s


# Hits and misses in the words of RFC 9211


def test_what_is_stored_and_granted_is_a_hit() -> None:
    assert warm().get(BLOB).decision == HIT


def test_a_miss_is_forwarded_and_stored() -> None:
    s = scenario()
    first, second = s.get(BLOB), s.get(BLOB)
    s.fetch.offers(LAYER)
    miss = Decision(Outcome.FWD, Fwd.URI_MISS, 200, stored=True)
    assert first.decision == miss
    assert second.decision == Decision(Outcome.FWD, Fwd.URI_MISS, 200, collapsed=True, stored=True)


def test_a_confirmed_tag_was_stale_and_says_what_upstream_said() -> None:
    s = warm()
    client = s.get(LATEST)
    s.fetch.offers(IMAGE)
    assert client.decision == Decision(Outcome.FWD, Fwd.STALE, 200)


def test_a_fresh_tag_is_a_hit_with_its_time_to_live() -> None:
    s = warm(tag_ttl=100.0)
    s.passes(30.0)
    client = s.get(LATEST)
    assert client.decision == Decision(Outcome.HIT, ttl=70)
    assert client.answer.age == 30


def test_a_bridged_tag_has_a_negative_time_to_live_and_is_marked() -> None:
    s = warm(tag_ttl=10.0)
    s.passes(30.0)
    client = s.get(LATEST)
    s.fetch.answers(503)
    assert client.decision == Decision(Outcome.FWD, Fwd.STALE, 503, ttl=-20, stale_if_error=True)


def test_an_error_says_what_upstream_said() -> None:
    s = scenario()
    client = s.get(LATEST)
    s.fetch.answers(404)
    assert client.decision == Decision(Outcome.FWD, Fwd.URI_MISS, 404)
    again = s.get(LATEST)
    assert again.decision == HIT, "the negative answer is a stored one"
    assert (again.status, again.problem.code) == (404, Code.MANIFEST_UNKNOWN)


def test_an_error_after_a_bridged_tag_is_not_marked() -> None:
    """Its manifest was held, but the head of it is all upstream would have had to give."""
    s = scenario(records=held(IMAGE, tag=LATEST))
    client = s.get(LATEST)
    client.scenario.fetch.fails(Cause.UNREACHABLE)
    client.loses_source(answered=False)
    s.fetch.fails(Cause.UNREACHABLE)
    assert client.status == 502
    assert not client.decision.stale_if_error


def test_the_type_is_the_content_s_own_whatever_upstream_calls_it() -> None:
    s = warm()
    client = s.get(LATEST)
    s.fetch.answers(200, digest=IMAGE.digest, media_type="application/octet-stream")
    assert client.answer.descriptor == IMAGE.descriptor


# HEAD, and conditions


def test_head_of_what_is_stored_has_its_size_digest_and_type_and_no_body() -> None:
    s = warm()
    client = s.head(IMAGE.under(APP))
    assert (client.answer.length, client.answer.descriptor) == (IMAGE.size, IMAGE.descriptor)
    assert (client.turn, client.end) == (None, "finished")


def test_head_of_a_tag_that_is_not_stored_is_answered_from_upstream_s_head() -> None:
    s = scenario()
    client = s.head(LATEST)
    s.fetch.offers(IMAGE)
    assert client.answer.descriptor == IMAGE.descriptor
    assert not s.fetches


def test_head_of_a_tag_whose_head_says_too_little_is_answered_from_the_manifest() -> None:
    s = scenario()
    client = s.head(LATEST)
    s.fetch.answers(200, digest=IMAGE.digest)
    assert s.asked() == (Method.GET, IMAGE.content)
    s.fetch.delivers(IMAGE)
    assert (client.answer.descriptor, client.end) == (IMAGE.descriptor, "finished")


def test_two_heads_share_one_question_and_tell_no_age() -> None:
    """What a digest names does not age."""
    s = scenario()
    clients = [s.head(BLOB), s.head(BLOB)]
    s.fetch.offers(LAYER)
    for client in clients:
        assert (client.status, client.answer.length, client.answer.age) == (200, SIZE, None)


def test_head_of_what_is_being_filled_does_not_wait_for_it() -> None:
    s = filling()
    client = s.head(BLOB)
    s.fetches[-1].offers(LAYER)
    assert (client.answer.length, client.end) == (SIZE, "finished")


@pytest.mark.parametrize("what", ["stored", "absent"])
def test_who_has_it_already_gets_304_and_nothing_is_fetched_for_it(what: str) -> None:
    s = warm() if what == "stored" else scenario()
    client = s.get(BLOB, if_none_match=('"other"', ETAG))
    if what == "absent":
        assert s.asked() == (Method.HEAD, LAYER.content)
        s.fetch.offers(LAYER)
    assert (client.status, client.answer.length, client.end) == (304, 0, "finished")
    assert not s.fetches


def test_who_has_the_tag_s_manifest_already_gets_304_after_the_check() -> None:
    s = scenario()
    client = s.get(LATEST, if_none_match=(f'"{IMAGE.digest}"',))
    s.fetch.offers(IMAGE)
    assert client.status == 304
    assert not s.fetches


# Ranges


@pytest.mark.parametrize("state", ["stored", "filling", "absent"])
@pytest.mark.parametrize(
    ("spec", "span"),
    [
        (RangeSpec(0, None), Span(0, SIZE)),
        (RangeSpec(10, 19), Span(10, 20)),
        (RangeSpec(90, 5000), Span(90, SIZE)),
        (RangeSpec(None, 30), Span(70, SIZE)),
    ],
)
def test_a_range_is_206_whether_stored_filling_or_absent(
    state: str, spec: RangeSpec, span: Span
) -> None:
    """containerd checks no offsets: one 200 among its 206 corrupts the layer."""
    s = filling() if state == "filling" else warm() if state == "stored" else scenario()
    client = s.get(BLOB, ranges=(spec,))
    if state == "absent":
        s.fetch.offers(LAYER)
    head = client.answer
    assert (head.status, head.span, head.size) == (206, span, SIZE)
    assert head.length == span.stop - span.start


def test_with_the_length_unknown_a_range_waits_for_it() -> None:
    s = scenario()
    client = s.get(BLOB, ranges=(RangeSpec(10, None),))
    s.fetch.answers(200)
    s.fetch.brings(60)
    assert client.head is None
    s.fetch.ends(LAYER.digest)
    assert (client.status, client.answer.span) == (206, Span(10, 60))


@pytest.mark.parametrize("state", ["stored", "filling"])
def test_a_range_beyond_the_end_is_416_with_the_size(state: str) -> None:
    s = warm() if state == "stored" else filling()
    client = s.get(BLOB, ranges=(RangeSpec(SIZE, None),))
    assert (client.status, client.answer.size, client.answer.length) == (416, SIZE, 0)
    assert client.answer.span is None
    assert client.problem.code is Code.SIZE_INVALID


def test_several_ranges_in_one_header_get_the_whole_never_416() -> None:
    """containers/image fails the pull on 416 and 501, and takes a 200."""
    s = warm()
    client = s.get(BLOB, ranges=(RangeSpec(0, 1), RangeSpec(SIZE + 5, None)))
    assert (client.status, client.answer.length) == (200, SIZE)


@pytest.mark.parametrize(("if_range", "status"), [(ETAG, 206), ('"other"', 200)])
def test_if_range_decides_whether_the_range_is_honoured(if_range: str, status: int) -> None:
    client = warm().get(BLOB, ranges=(RangeSpec(1, 2),), if_range=if_range)
    assert client.status == status


def test_a_manifest_has_no_ranges() -> None:
    client = warm().get(IMAGE.under(APP), ranges=(RangeSpec(1, 2),))
    assert (client.status, client.answer.length) == (200, IMAGE.size)


def test_head_is_answered_as_a_whole_whatever_the_range() -> None:
    client = warm().head(BLOB, ranges=(RangeSpec(1, 2),))
    assert (client.status, client.answer.length) == (200, SIZE)


# What a client cannot take


def test_without_chunked_coding_an_answer_waits_for_its_length() -> None:
    """HTTP/1.0: the end of the connection would be the only sign of the end."""
    s = scenario()
    old, new = s.get(BLOB, chunked=False), s.get(BLOB)
    s.fetch.answers(200)
    assert [old.status, new.status] == [None, 200]
    s.fetch.brings(60)
    s.fetch.ends(LAYER.digest)
    assert (old.status, old.answer.length) == (200, 60)


def test_an_empty_blob_is_answered_only_when_it_is_right() -> None:
    """Its head alone would be a complete answer."""
    s = scenario()
    client = s.get(EMPTY.under(APP))
    s.fetch.answers(200, length=0)
    assert client.head is None
    s.fetch.ends(EMPTY.digest)
    assert (client.status, client.end) == (200, "finished")


# Upstream's own words


def test_a_stranger_waits_for_a_fill_that_fails_and_then_asks_under_its_own_name() -> None:
    s = scenario()
    first = s.get(BLOB)
    second = s.get(LAYER.under(OTHER))
    fill, probe = s.fetches
    probe.offers(LAYER)
    fill.answers(404)
    assert (first.status, second.status) == (404, None)
    assert s.fetch.request.repository == OTHER
    s.fetch.delivers(LAYER)
    assert second.status == 200


@pytest.mark.parametrize(("redispatch", "status"), [(1, 404), (2, None)])
def test_that_is_bounded_too(redispatch: int, status: int | None) -> None:
    s = scenario(config(limits=Limits(redispatch=redispatch)))
    third = Repository(HUB, "library/third")
    clients = [s.get(LAYER.under(repository)) for repository in (APP, OTHER, third)]
    fill, *probes = s.fetches
    for probe in probes:
        probe.offers(LAYER)
    fill.answers(404)
    s.fetch.answers(404)
    assert [c.status for c in clients] == [404, 404, status]


def test_what_cannot_even_be_asked_is_answered_at_once_or_bridged() -> None:
    """The token service has refused, and the refusal still holds."""
    s = warm()
    s.get(TagRef(APP, "v1"))
    s.fetch.answers(401, challenges=(BEARER,))
    s.token.refuses(403)
    assert s.get(TagRef(APP, "v2")).status == 403
    assert s.get(blob("unknown").under(APP)).status == 403
    assert s.head(blob("unknown").under(APP)).status == 403
    assert s.get(LATEST).status == 403, "the word was definite"
    assert not s.fetches


# Offline, and shutting down


def offline(what: Any, method: str = "get") -> tuple[Scenario, Client]:
    s = warm(offline=True)
    client = s.get(what) if method == "get" else s.head(what)
    assert not s.transfers, "upstream is never asked"
    return s, client


def test_offline_what_is_held_is_served_however_old() -> None:
    s = warm(offline=True, stale_if_error=1.0)
    s.passes(5000.0)
    for what in (LATEST, BLOB):
        assert s.get(what).status == 200
    assert s.clients[0].decision.stale_if_error
    assert s.clients[0].answer.age == 5000
    assert not s.transfers


@pytest.mark.parametrize(
    "what",
    [
        TagRef(APP, "unknown"),
        blob("unknown").under(APP),
        LAYER.under(OTHER),
        ByDigest(APP, Content(Kind.MANIFEST, LAYER.digest)),
    ],
)
def test_offline_what_is_not_held_is_503_never_404(what: Any) -> None:
    for method in ("get", "head"):
        _, client = offline(what, method)
        assert (client.status, client.problem) == (503, OFFLINE)


def test_offline_a_tag_whose_content_is_lost_is_not_held() -> None:
    _, client = offline(LATEST)
    client.loses_source(answered=False)
    assert client.problem == OFFLINE


def test_offline_a_tag_that_was_never_had_is_not_held() -> None:
    s = scenario()
    s.get(LATEST)
    s.fetch.offers(IMAGE)
    s.fetch.answers(429)
    s.cache.configure(config(offline=True))
    assert s.get(LATEST).problem == OFFLINE


def test_offline_what_is_right_but_not_stored_yet_is_held() -> None:
    s = scenario()
    first = s.get(BLOB)
    s.fetch.delivers(LAYER)
    s.cache.configure(config(offline=True))
    second = s.get(BLOB)
    for client in (first, second):
        client.takes_all()
        assert client.end == "finished"


def test_a_draining_cache_takes_no_new_work_and_ends_what_runs() -> None:
    s = filling()
    s.drains()
    late = s.get(BLOB)
    assert (late.status, late.problem) == (503, DRAINING)
    s.fetch.finishes(LAYER)
    s.clients[0].takes_all()
    assert s.clients[0].end == "finished"


# Listings and the catalogue


def test_what_was_said_with_a_listing_is_said_again_and_its_type_kept() -> None:
    page = referring("page", MOVED)
    s = scenario()
    client = s.get(REFERRERS)
    s.fetch.delivers(page, filters="artifactType", next_page=Location("https://up/r?p=2", True))
    said = Listed("artifactType", "https://up/r?p=2")
    assert client.answer.listed == said
    assert client.answer.descriptor == page.descriptor
    s.stores()
    client.takes_all()
    bridged = s.get(REFERRERS)
    s.fetch.fails(Cause.UNREACHABLE)
    assert bridged.answer.listed == said


def test_listings_of_equal_bytes_say_each_what_was_said_with_it() -> None:
    empty = referring("empty")
    filtered = ReferrersRef(APP, IMAGE.digest, "application/spdx+json")
    s = scenario(config(tag_ttl=60.0))
    for reference, said in ((REFERRERS, {}), (filtered, {"filters": "artifactType"})):
        s.get(reference)
        s.fetch.delivers(empty, **said)
    s.stores()
    assert s.get(REFERRERS).answer.listed is None
    assert s.get(filtered).answer.listed == Listed("artifactType")


def test_a_manifest_s_answer_says_nothing_of_a_listing() -> None:
    assert warm().get(IMAGE.under(APP)).answer.listed is None


@pytest.mark.parametrize(
    ("page", "tags", "more"),
    [
        (Page(), ("a", "b", "c"), False),
        (Page(2), ("a", "b"), True),
        (Page(3), ("a", "b", "c"), False),
        (Page(2, "a"), ("b", "c"), False),
        (Page(1, "a"), ("b",), True),
        (Page(0), (), False),
        (Page(None, "aa"), ("b", "c"), False),
        (Page(5, "zz"), (), False),
    ],
)
def test_a_page_of_tags_is_the_part_that_is_asked_for(
    page: Page, tags: tuple[str, ...], more: bool
) -> None:
    s = scenario(config(tag_ttl=60.0))
    for pull in (s.get, s.head):
        client = pull(TAGS, page=page)
        if client.status is None:
            s.fetch.delivers(listing("tags", "c", "a", "b"))
        assert (client.status, client.answer.tags, client.answer.more) == (200, tags, more)
        assert (client.end, client.answer.descriptor) == ("finished", None)


def test_a_listing_that_cannot_be_kept_is_an_honest_error_and_asked_for_again() -> None:
    s = scenario(config(tag_ttl=60.0, max_size=19))
    for reference, item in ((TAGS, listing("tags", "a")), (REFERRERS, referring("page"))) * 2:
        client = s.get(reference)
        s.fetch.delivers(item)
        assert (client.status, client.problem.code) == (502, Code.UNAVAILABLE)


def test_a_page_of_a_list_that_is_stored_is_a_hit_and_a_use_of_it() -> None:
    names = listing("tags", "a", "b")
    s = scenario(config(tag_ttl=300.0, ttl=100.0), held(names, tag=TAGS))
    s.passes(90.0)
    client = s.get(TAGS, page=Page(1))
    assert (client.answer.tags, client.decision.outcome) == (("a",), Outcome.HIT)
    s.passes(90.0)
    assert names.digest not in s.deletes()


def test_a_listing_that_could_not_be_stored_is_asked_for_again() -> None:
    s = scenario(config(tag_ttl=60.0))
    for _ in range(2):
        client = s.get(TAGS)
        s.fetch.delivers(listing("tags", "a"))
        assert client.answer.tags == ("a",)
        s.cannot_store()


REPOSITORIES = records(
    *(held(blob(name), under=Repository(HUB, name)) for name in ("c", "a", "b", "d"))
)


@pytest.mark.parametrize(
    ("page", "names", "more"),
    [
        (Catalog(), ("a", "b", "c", "d"), False),
        (Catalog(2), ("a", "b"), True),
        (Catalog(2, "b"), ("c", "d"), False),
        (Catalog(1, "b"), ("c",), True),
        (Catalog(0), (), False),
        (Catalog(None, "zz"), (), False),
    ],
)
def test_the_catalogue_lists_what_is_held(
    page: Catalog, names: tuple[str, ...], more: bool
) -> None:
    client = scenario(records=REPOSITORIES).get(page)
    assert (client.answer.repositories, client.answer.more) == (names, more)
    assert (client.status, client.end) == (200, "finished")


def test_with_several_upstreams_the_catalogue_names_them() -> None:
    parts = held(LAYER), held(MOVED, under=Repository("quay", "x"))
    settings = Config({HUB: Upstream(), "quay": Upstream()})
    client = scenario(settings, records(*parts)).get(Catalog())
    assert client.answer.repositories == ("hub/library/app", "quay/x")


def test_a_long_catalogue_comes_in_pages_although_none_were_asked_for() -> None:
    many = (held(blob(f"{n:04}"), under=Repository(HUB, f"{n:04}")) for n in range(1001))
    client = scenario(records=records(*many)).get(Catalog())
    assert client.answer.repositories is not None
    assert len(client.answer.repositories) == 1000
    assert client.answer.more


# A store that cannot


def test_what_goes_past_a_failing_store_is_called_a_bypass() -> None:
    s = scenario()
    client = s.get(BLOB)
    s.fetch.fails(Cause.STORE)
    s.fetch.offers(LAYER)
    assert client.decision == Decision(Outcome.FWD, Fwd.BYPASS, 200)
    assert len(s.transfers) == 2, "it began where this client begins"


@pytest.mark.parametrize("by_tag", [True, False])
def test_who_waits_in_vain_finds_what_has_come_another_way(by_tag: bool) -> None:
    """Its own transfer, past a store that was failing, brings nothing in time."""
    item = IMAGE if by_tag else LAYER
    s = scenario()
    client = s.get(LATEST if by_tag else BLOB)
    if by_tag:
        s.fetch.offers(IMAGE)
    s.fetch.fails(Cause.STORE)
    s.get(item.under(APP))
    s.fetches[1].delivers(item)
    s.stores()
    s.passes(28.0)
    assert client.source == Stored(item.digest)
    client.takes_all()
    assert client.end == "finished"


def range_through_a_window() -> tuple[Scenario, Client]:
    s = scenario()
    client = s.get(BLOB, ranges=(RangeSpec(50, None),))
    s.fetch.fails(Cause.STORE)
    return s, client


def test_a_range_through_a_window_begins_again_where_the_range_does() -> None:
    s, client = range_through_a_window()
    s.fetch.offers(LAYER)
    assert (client.status, client.answer.span) == (206, Span(50, SIZE))
    assert s.fetch.spool.first == 50
    s.fetch.delivers(LAYER)
    client.takes_all()
    assert client.end == "finished"


def test_a_range_beyond_the_end_ends_the_window() -> None:
    s, client = range_through_a_window()
    s.fetch.offers(blob("layer", 40))
    assert (client.status, client.answer.size) == (416, 40)
    assert not s.fetches


def test_a_window_that_cannot_begin_again_ends_its_client() -> None:
    """The token service has refused between the two."""
    s, client = range_through_a_window()
    s.get(LATEST)
    window, tag = s.fetches
    tag.answers(401, challenges=(BEARER,))
    s.token.refuses(401)
    window.offers(LAYER)
    assert client.end == "aborted"


def test_a_clock_that_was_set_back_gives_no_negative_age() -> None:
    s = scenario(config(), held(IMAGE, tag=LATEST, checked=START + 50.0))
    client = s.get(LATEST)
    s.fetch.fails(Cause.UNREACHABLE)
    assert client.source == Stored(IMAGE.digest)
    assert client.answer.age == 0


# Upstreams that limit


def test_a_tag_that_upstream_wants_not_to_be_asked_about_is_answered_and_marked() -> None:
    s = warm()
    s.get(LATEST)
    s.fetch.answers(429, retry_after=30)
    s.passes(1.0)
    client = s.get(LATEST)
    assert (client.status, client.answer.age) == (200, 1)
    assert client.decision == Decision(Outcome.HIT, ttl=-1, stale_if_error=True)
    assert not s.fetches


def test_one_that_was_confirmed_too_long_ago_is_asked_about_all_the_same() -> None:
    s = warm(limits=Limits(quota_stretch=100.0))
    s.get(LATEST)
    s.fetch.answers(digest=IMAGE.digest, quota=Quota(100, 0, 3600.0))
    s.passes(99.0)
    assert s.get(LATEST).status == 200
    assert not s.fetches
    s.passes(1.0)
    assert s.get(LATEST).status is None


# Logins that run out


def test_who_waits_when_its_login_runs_out_is_asked_about_again() -> None:
    s = scenario(config(ttl=None, limits=Limits(authority=5.0)))
    alice, what = Authority("a", Secret("a")), LAYER.under(Repository(HUB, "library/app", "a"))
    client = s.get(what, authority=alice, chunked=False)
    s.fetch.answers(200)
    s.passes(5.0)
    s.fetch.finishes(LAYER)
    assert s.asked() == (Method.HEAD, LAYER.content)
    s.fetch.answers(200, length=SIZE)
    s.stores()
    assert client.status == 200


# Greetings

PING = Ping(Repository(HUB, "", "a"))
NOBODY = Authority("a")


def test_who_asks_how_upstream_greets_is_told_when_upstream_has_said_it() -> None:
    s = scenario()
    client = s.get(PING, authority=NOBODY)
    assert client.head is None
    second = s.get(PING, authority=NOBODY)
    s.fetch.answers(401, challenges=(BEARER,))
    assert (client.status, client.problem.challenge) == (401, BEARER)
    assert client.decision == Decision(Outcome.FWD, Fwd.URI_MISS)
    assert second.decision == Decision(Outcome.FWD, Fwd.URI_MISS, collapsed=True)
    again = s.get(PING, authority=NOBODY)
    assert (again.status, again.problem.challenge, again.decision) == (401, BEARER, HIT)


def test_who_shows_something_or_meets_an_open_upstream_is_let_in() -> None:
    s = scenario()
    shown = s.get(PING, authority=Authority("a", Secret("Bearer x")))
    assert (shown.status, shown.decision, s.transfers) == (200, HIT, [])
    client = s.get(PING, authority=NOBODY)
    s.fetch.answers(200)
    assert (client.status, client.decision.fwd) == (200, Fwd.URI_MISS)
    again = s.get(PING, authority=NOBODY)
    assert (again.status, again.decision) == (200, HIT)


def test_an_upstream_that_does_not_greet_is_an_error_and_offline_there_is_none() -> None:
    s = scenario()
    client = s.get(PING, authority=NOBODY)
    s.fetch.fails(Cause.TIMEOUT)
    assert client.status == 504
    s.cache.configure(config(offline=True))
    away = s.get(PING, authority=NOBODY)
    assert away.problem == OFFLINE


def test_a_login_of_our_own_that_is_refused_is_an_error_at_once_the_second_time() -> None:
    s = scenario()
    ours = Ping(Repository(HUB, ""))
    s.get(ours)
    s.fetch.answers(401, challenges=(BEARER,))
    s.token.refuses(401)
    again = s.get(ours)
    assert (again.status, again.decision.fwd, again.decision.collapsed) == (
        401,
        Fwd.URI_MISS,
        False,
    )
    assert len(s.transfers) == 1


# Deletions that fail


def test_what_was_fetched_again_while_it_could_not_be_deleted_is_served_from_the_store() -> None:
    s = scenario(config(ttl=60.0), held(LAYER))
    s.passes(60.0)
    client = s.get(BLOB, chunked=False)
    assert client.head is None
    s.fetch.answers(200)
    s.cannot_delete()
    s.fetch.finishes(LAYER)
    assert (client.status, client.source) == (200, Stored(LAYER.digest))


# What is too new


def test_what_is_too_new_is_refused_or_what_the_tag_was_before_is_given() -> None:
    s = scenario(config(cool_down=60.0), held(IMAGE, LAYER, tag=LATEST))
    meanwhile = s.get(LATEST)
    s.fetch.offers(MOVED)
    assert meanwhile.answer.descriptor == IMAGE.descriptor
    told = meanwhile.decision
    assert (told.fwd, told.fwd_status, told.cooling) == (Fwd.STALE, 200, True)
    other = s.get(TagRef(APP, "new"))
    s.fetch.offers(MOVED)
    assert (other.status, other.decision.cooling) == (403, True)
    assert s.get(MOVED.under(APP)).status == 403
    s.passes(60.0)
    client = s.get(MOVED.under(APP))
    s.fetch.delivers(MOVED)
    assert (client.status, client.decision.cooling) == (200, False)


@pytest.mark.parametrize("offline", [False, True])
def test_a_digest_of_unknown_age_is_asked_about_first(offline: bool) -> None:
    s = scenario(config(cool_down=60.0, offline=offline))
    client = s.get(IMAGE.under(APP))
    if offline:
        assert client.status == 503
        return
    second = s.get(IMAGE.under(APP))
    assert s.asked() == (Method.HEAD, IMAGE.content)
    s.fetch.offers(IMAGE)
    assert [c.status for c in (client, second)] == [403, 403]
    assert [c.decision.collapsed for c in (client, second)] == [False, True]


def test_an_upstream_that_cannot_tell_of_a_digest_is_no_loop() -> None:
    s = scenario(config(cool_down=60.0))
    client = s.get(IMAGE.under(APP))
    s.fetch.fails(Cause.UNREACHABLE)
    assert client.status == 502
