"""The head of an answer, and the one Decision that goes with it."""

import pytest
from attrs import evolve

from distcache.core.config import Config, Upstream
from distcache.core.cooldown import HELD_BACK
from distcache.core.decision import HIT, Decision, Fwd, Outcome
from distcache.core.effects import Blame, Code, Stored
from distcache.core.events import Cause, Challenge, Location, Secret
from distcache.core.oci import Listed, ReferrersRef, Repository
from distcache.core.pull import Authority, Catalog, Method, Page, Ping, RangeSpec, Span
from tests.core.actors import Client
from tests.core.content import (
    APP,
    HUB,
    IMAGE,
    LATEST,
    LAYER,
    MOVED,
    REFERRERS,
    START,
    TAGS,
    blob,
    held,
    listing,
    records,
    referring,
)
from tests.core.scenario import Scenario, config, scenario, streaming, warm

BLOB = LAYER.under(APP)
SIZE = LAYER.size
ETAG = f'"{LAYER.digest}"'
EMPTY = blob("empty", 0)
BEARER = Challenge(True, "https://auth.hub/token", HUB)


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
    s = streaming(10)[0]
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
    s = streaming(10)[0] if state == "filling" else warm() if state == "stored" else scenario()
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
    s = warm() if state == "stored" else streaming(10)[0]
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
    assert (client.end, client.blame) == ("aborted", Blame.UPSTREAM)


def test_a_clock_that_was_set_back_gives_no_negative_age() -> None:
    s = scenario(config(), held(IMAGE, tag=LATEST, checked=START + 50.0))
    client = s.get(LATEST)
    s.fetch.fails(Cause.UNREACHABLE)
    assert client.source == Stored(IMAGE.digest)
    assert client.answer.age == 0


def test_a_list_of_tags_that_cannot_be_kept_is_an_honest_error_and_asked_for_again() -> None:
    s = scenario(config(tag_ttl=60.0, max_size=19))
    for _ in range(2):
        client = s.get(TAGS)
        s.fetch.delivers(listing("tags", "a"))
        assert (client.status, client.problem.code) == (502, Code.UNAVAILABLE)


# Greetings


def test_who_is_let_in_is_told_so_without_content() -> None:
    s = scenario()
    client = s.get(Ping(Repository(HUB, "", "a")), authority=Authority("a", Secret("Bearer x")))
    assert (client.status, client.decision, client.turn, client.end) == (200, HIT, None, "finished")


def test_what_is_too_young_is_refused_and_marked() -> None:
    s = scenario(config(cool_down=60.0))
    client = s.get(LATEST)
    s.fetch.offers(IMAGE)
    assert (client.status, client.decision.cooling) == (403, True)
    assert client.problem.code is Code.DENIED
    assert [note.message for note in s.notes] == [HELD_BACK]


def test_a_list_that_is_none_of_tags_cannot_be_given_in_pages() -> None:
    s = scenario(config(tag_ttl=60.0), held(referring("page"), tag=TAGS))
    client = s.get(TAGS)
    assert (client.status, client.problem.code) == (502, Code.UNAVAILABLE)


def test_a_page_of_a_list_that_has_just_come_is_stored_and_of_its_age() -> None:
    s = scenario(config(tag_ttl=60.0))
    first = s.get(TAGS)
    s.fetch.delivers(listing("tags", "a"))
    assert first.decision == Decision(Outcome.FWD, Fwd.URI_MISS, 200, stored=True, ttl=60)
    s.passes(20.0)
    second = s.get(TAGS)
    assert (second.decision, second.answer.age) == (Decision(Outcome.HIT, ttl=40), 20)


@pytest.mark.parametrize("kept", [True, False])
def test_a_page_that_could_not_be_confirmed_is_not_stored_by_that(kept: bool) -> None:
    s = scenario()
    reader = s.get(TAGS)
    s.fetch.delivers(listing("tags", "a"))
    if kept:
        s.stores()
    bridged = s.get(TAGS)
    s.fetch.answers(503)
    assert (reader.status, bridged.answer.tags) == (200, ("a",))
    assert bridged.decision == Decision(Outcome.FWD, Fwd.STALE, 503, ttl=0, stale_if_error=True)


def test_a_page_of_a_list_that_is_the_same_as_before_is_not_stored_again() -> None:
    names = listing("tags", "a")
    s = scenario(records=held(names, tag=TAGS))
    client = s.get(TAGS)
    s.fetch.delivers(names)
    assert client.decision == Decision(Outcome.FWD, Fwd.STALE, 200)


def test_a_range_beyond_the_end_names_the_content_and_stores_nothing_by_that() -> None:
    for s, told in ((warm(), HIT), (streaming(10)[0], Decision(Outcome.FWD, Fwd.PARTIAL, 200))):
        client = s.get(BLOB, ranges=(RangeSpec(SIZE, None),))
        assert client.status == 416
        assert client.answer.descriptor is not None
        assert client.answer.descriptor.content == LAYER.content
        assert evolve(client.decision, collapsed=False) == told


def test_a_transfer_whose_only_client_wanted_what_is_beyond_the_end_lingers_and_goes() -> None:
    s = scenario()
    client = s.get(BLOB, ranges=(RangeSpec(SIZE, None),))
    s.fetch.offers(LAYER)
    assert (client.status, s.cache.stats().readers, len(s.fetches)) == (416, 0, 1)
    s.passes(60.0)
    assert not s.fetches


def test_a_range_beyond_the_end_is_told_the_size_in_words_too() -> None:
    client = warm().get(BLOB, ranges=(RangeSpec(SIZE, None),))
    assert client.problem.status == 416
    assert str(SIZE) in client.problem.message


def test_a_list_s_answer_is_a_hit_whatever_is_held() -> None:
    assert scenario(records=REPOSITORIES).get(Catalog()).decision == HIT


def test_a_blob_s_type_is_none_of_its_own_although_a_manifest_is_stored_under_its_digest() -> None:
    client = warm().head(IMAGE.under(APP))
    assert client.answer.descriptor is not None
    assert client.answer.descriptor.media_type == IMAGE.media_type


def test_a_length_that_is_not_known_is_none_of_a_manifest_s_head() -> None:
    """A HEAD that tells no type, or no length, is answered from the manifest itself."""
    for said in ({"length": IMAGE.size}, {"media_type": IMAGE.media_type}):
        s = scenario()
        client = s.head(LATEST)
        s.fetch.answers(200, digest=IMAGE.digest, **said)
        assert client.status is None
        s.fetch.delivers(IMAGE)
        assert client.answer.descriptor == IMAGE.descriptor
