"""What a repository may serve, and how upstream is asked when that is not known."""

import pytest

from distcache.core.config import Limits
from distcache.core.decision import Outcome
from distcache.core.effects import Code, Stored
from distcache.core.events import Cause, Challenge, Secret
from distcache.core.grants import TRANSITIONS, ProbeInput, ProbeState
from distcache.core.inventory import GrantStored, Record
from distcache.core.oci import Document, Kind, Repository
from distcache.core.pull import Authority, ByDigest, Method, Pull
from tests.core.actors import Client
from tests.core.content import (
    APP,
    HUB,
    IMAGE,
    INDEX,
    LATEST,
    LAYER,
    OTHER,
    SETTINGS,
    Item,
    blob,
    held,
    manifest,
    records,
)
from tests.core.drawing import assert_drawn
from tests.core.scenario import config, scenario

WARM = held(IMAGE, SETTINGS, LAYER)
BEARER = Challenge(True, "https://auth.hub/token", HUB)


def test_the_table() -> None:
    assert_drawn(
        TRANSITIONS,
        ProbeState,
        ProbeInput,
        """
        NONE    ASKED     HEAD
        NONE    WANTED    GET
        HEAD    ASKED     HEAD
        HEAD    UNHELPFUL GET
        GET     ASKED     GET
        GET     CUT       BACKOFF
        BACKOFF ASKED     BACKOFF
        BACKOFF RETRY     GET
        """,
    )


# Rights


def test_what_is_granted_is_never_asked_for() -> None:
    s = scenario(records=WARM)
    for item in (IMAGE, LAYER):
        client = s.get(item.under(APP))
        assert client.source == Stored(item.digest)
    assert not s.transfers


def test_a_manifest_grants_what_it_names() -> None:
    s = scenario(records=records(held(LAYER, SETTINGS, under=None), held(IMAGE)))
    assert s.get(LAYER.under(APP)).status == 200
    assert not s.transfers


def test_an_index_grants_what_its_manifests_name() -> None:
    s = scenario(records=records(held(IMAGE, LAYER, under=None), held(INDEX)))
    assert s.get(LAYER.under(APP)).status == 200
    assert s.get(IMAGE.under(APP)).status == 200


def test_a_manifest_of_another_repository_grants_nothing_here() -> None:
    s = scenario(records=WARM)
    client = s.get(LAYER.under(OTHER))
    assert client.status is None
    assert s.asked() == (Method.GET, LAYER.content)
    s.fetch.answers(404)
    assert client.answer.status == 404
    assert client.problem.code is Code.BLOB_UNKNOWN
    assert s.get(LAYER.under(OTHER)).status is None, "asked again: nothing was learnt"


def test_a_manifest_grants_a_digest_only_under_the_endpoint_it_names_it_for() -> None:
    as_blob = Item(LAYER.content, LAYER.size, LAYER.media_type, Document("text"))
    s = scenario(records=records(held(as_blob, under=None), held(IMAGE)))
    s.get(ByDigest(APP, as_blob.as_kind(Kind.MANIFEST)))
    assert s.asked() == (Method.GET, as_blob.as_kind(Kind.MANIFEST))


def test_upstream_s_word_under_that_name_is_a_grant() -> None:
    s = scenario(records=WARM)
    client = s.get(LAYER.under(OTHER))
    s.fetch.offers(LAYER)
    assert client.source == Stored(LAYER.digest)
    assert s.journalled(GrantStored) == [GrantStored(OTHER, LAYER.content)]
    assert s.get(LAYER.under(OTHER)).status == 200
    assert len(s.transfers) == 1


def test_a_grant_is_recorded_once() -> None:
    s = scenario(records=WARM)
    clients = [s.get(LAYER.under(OTHER)), s.get(LAYER.under(OTHER))]
    s.fetch.offers(LAYER)
    assert [c.status for c in clients] == [200, 200]
    s.get(LATEST)
    s.fetch.offers(IMAGE)
    assert len(s.journalled(GrantStored)) == 1


def test_a_stranger_s_fill_gives_no_right_to_it() -> None:
    """Who knows the digest of what another repository is fetching gains nothing by it."""
    s = scenario()
    s.get(LAYER.under(APP))
    s.fetch.offers(LAYER)
    client = s.get(LAYER.under(OTHER))
    assert client.status is None
    probe = s.fetches[1]
    assert (probe.request.method, probe.effect.spool) == (Method.GET, None)
    assert probe.request.repository == OTHER
    probe.offers(LAYER)
    assert client.status == 200
    s.fetches[0].finishes(LAYER)
    s.stores()
    assert s.journalled(GrantStored) == [
        GrantStored(APP, LAYER.content),
        GrantStored(OTHER, LAYER.content),
    ]


def test_a_digest_pinned_first_pull_works_without_any_tag() -> None:
    s = scenario()
    for item in (INDEX, IMAGE, LAYER):
        assert s.pulls(item).status == 200
    assert [t.request.method for t in s.transfers] == [Method.GET] * 3


OURS = (Cause.NO_SPACE, Cause.STORE)


@pytest.mark.parametrize("item", [LAYER, IMAGE], ids=["blob", "manifest"])
@pytest.mark.parametrize("order", [(Method.GET,), (Method.HEAD,), (Method.HEAD, Method.GET)])
@pytest.mark.parametrize("retry_after", [None, 3, 60])
@pytest.mark.parametrize(
    "said", [400, 401, 403, 404, 405, 416, 429, 500, 501, 503, *(c for c in Cause if c not in OURS)]
)
def test_a_refusal_costs_as_much_whether_others_have_it_or_not(
    item: Item, order: tuple[Method, ...], said: int | Cause, retry_after: int | None
) -> None:
    """Else how long it takes would tell, or what it says; also who comes while others wait."""

    def told(*records: Record) -> list[object]:
        s = scenario(config(ttl=None), records)
        story: list[object] = []
        for method in order:
            s.ask(Pull(method, item.under(OTHER)))
        while any(client.status is None for client in s.clients):
            asked = [fetch.request for fetch in s.fetches]
            story.append((s.now, asked, [client.head for client in s.clients]))
            for fetch in list(s.fetches):
                if isinstance(said, Cause):
                    fetch.fails(said)
                else:
                    fetch.answers(said, retry_after=retry_after)
            if not s.fetches and (due := s.cache.next_deadline()):
                if len(s.clients) < 4:
                    s.ask(Pull(order[-1], item.under(OTHER)))
                s.passes(due - s.now)
        assert not s.cache.next_deadline(), "nothing is left of it"
        return [*story, s.now, [client.head for client in s.clients]]

    assert told(*WARM) == told()


@pytest.mark.parametrize("seconds", [5, 15])
def test_it_does_whoever_leaves_and_comes_again(seconds: int) -> None:
    def told(*records: Record) -> list[object]:
        s = scenario(config(ttl=None), records)
        s.get(LAYER.under(OTHER)).leaves()
        s.passes(seconds)
        client = s.get(LAYER.under(OTHER))
        s.fetch.answers(404)
        return [len(s.transfers), client.head]

    assert told(*WARM) == told()
    assert told()[0] == (1 if seconds < Limits().linger else 2)


def test_what_others_lose_meanwhile_is_asked_for_no_more_often() -> None:
    """Who asks again waits for the probe that is under way, though nobody has it any more."""
    s = scenario()
    s.get(LAYER.under(APP))
    client = s.get(LAYER.under(OTHER))
    s.transfers[0].answers(404)
    again = s.get(LAYER.under(OTHER))
    assert s.fetch.request.repository == OTHER
    s.fetch.answers(404)
    assert (client.status, again.status, again.decision.collapsed) == (404, 404, True)


# A probe that fails in passing


def test_a_passing_failure_is_asked_about_again_as_a_transfer_would() -> None:
    s = scenario(records=WARM)
    client = s.get(LAYER.under(OTHER))
    s.fetch.answers(503)
    assert not s.fetches
    s.passes(Limits().backoff / 2 - 0.001)
    assert not s.fetches, "not at once"
    s.passes(Limits().backoff)
    s.fetch.offers(LAYER)
    assert client.source == Stored(LAYER.digest)


def test_who_asks_while_it_waits_waits_along() -> None:
    s = scenario(records=WARM)
    clients = [s.get(LAYER.under(OTHER))]
    s.fetch.answers(503)
    clients.append(s.get(LAYER.under(OTHER)))
    assert not s.fetches
    for _ in range(Limits().first_attempts - 1):
        s.passes(Limits().backoff * 2)
        s.fetch.answers(503)
    assert [c.status for c in clients] == [502, 502]
    assert len(s.transfers) == Limits().first_attempts


def test_a_head_that_fails_is_not_asked_again() -> None:
    """An honest error now is better than a late one."""
    s = scenario()
    client = s.head(LAYER.under(APP))
    s.fetch.answers(503)
    assert client.status == 502
    assert not s.cache.next_deadline()


def test_a_probe_that_waits_ends_when_the_cache_is_taken_offline() -> None:
    s = scenario(config(ttl=None), WARM)
    client = s.get(LAYER.under(OTHER))
    s.fetch.answers(503)
    s.cache.configure(config(ttl=None, offline=True))
    s.passes(1)
    assert client.status == 503
    assert not s.cache.next_deadline()


def test_a_part_that_begins_at_the_beginning_confirms_the_whole() -> None:
    """A transfer would take it, too."""
    s = scenario()
    client = s.head(LAYER.under(APP))
    s.fetch.answers(405)
    s.fetch.answers(206, length=40, start=0, size=LAYER.size)
    assert (client.status, client.answer.length) == (200, LAYER.size)


# HEAD of what is not there


def test_head_of_absent_content_is_a_head_and_starts_no_fill() -> None:
    """Chained caches size their stores by it."""
    s = scenario()
    client = s.head(LAYER.under(APP))
    assert s.asked() == (Method.HEAD, LAYER.content)
    s.fetch.offers(LAYER)
    descriptor = client.answer.descriptor
    assert descriptor is not None
    assert (client.status, client.answer.length, client.end) == (200, LAYER.size, "finished")
    assert descriptor.content == LAYER.content
    assert not s.fetches
    assert s.cache.next_deadline() is None


def test_the_head_of_a_manifest_has_upstream_s_type() -> None:
    s = scenario()
    client = s.head(IMAGE.under(APP))
    s.fetch.offers(IMAGE)
    assert client.answer.descriptor == IMAGE.descriptor


def test_a_manifest_s_head_without_a_type_is_looked_into() -> None:
    s = scenario()
    client = s.head(IMAGE.under(APP))
    s.fetch.answers(200, length=IMAGE.size)
    assert s.asked() == (Method.GET, IMAGE.content)
    s.fetch.delivers(IMAGE)
    assert client.answer.descriptor == IMAGE.descriptor


def test_one_probe_serves_all_who_wait() -> None:
    s = scenario()
    clients = [s.head(LAYER.under(APP)), s.head(LAYER.under(APP))]
    s.fetch.offers(LAYER)
    assert [c.status for c in clients] == [200, 200]
    assert [c.decision.collapsed for c in clients] == [False, True]


@pytest.mark.parametrize("status", [400, 403, 405, 501])
def test_where_head_is_refused_a_get_without_a_body_tells_as_much(status: int) -> None:
    s = scenario()
    clients = [s.head(LAYER.under(APP))]
    s.fetch.answers(status)
    assert s.asked() == (Method.GET, LAYER.content)
    assert s.fetch.effect.spool is None
    clients.append(s.head(LAYER.under(APP)))
    get = s.fetch
    get.offers(LAYER)
    assert not get.open
    assert [c.answer.length for c in clients] == [LAYER.size] * 2


def test_a_head_without_a_length_is_followed_by_a_get() -> None:
    """ollama's registry tells none."""
    s = scenario()
    client = s.head(LAYER.under(APP))
    s.fetch.answers(200)
    s.fetch.answers(200, length=LAYER.size)
    assert client.answer.length == LAYER.size


def test_where_even_the_get_tells_no_length_the_content_is_fetched_to_count_it() -> None:
    s = scenario()
    client = s.head(LAYER.under(APP))
    s.fetch.answers(200)
    s.fetch.answers(200)
    assert client.status is None
    assert s.fetch.spool.digest == LAYER.digest
    s.fetch.answers(200)
    s.fetch.finishes(LAYER)
    assert client.answer.length == LAYER.size
    assert client.end == "finished"


def test_a_get_that_needs_a_refused_token_ends_the_probe() -> None:
    s = scenario()
    client = s.head(LAYER.under(APP))
    s.get(LATEST)
    probe, tag = s.fetches
    tag.answers(401, challenges=(BEARER,))
    s.token.refuses(401)
    probe.answers(405)
    assert client.status == 401


def test_a_probe_that_needs_a_refused_token_is_not_begun() -> None:
    s = scenario()
    s.get(LATEST)
    s.fetch.answers(401, challenges=(BEARER,))
    s.token.refuses(401)
    assert s.head(LAYER.under(APP)).status == 401
    assert not s.fetches


@pytest.mark.parametrize(
    ("cause", "status"), [(Cause.UNREACHABLE, 502), (Cause.TIMEOUT, 504), (Cause.REFUSED, 502)]
)
def test_a_failed_probe_is_told_to_all_who_wait(cause: Cause, status: int) -> None:
    s = scenario()
    clients = [s.head(LAYER.under(APP)), s.head(LAYER.under(APP))]
    s.fetch.fails(cause)
    assert [c.status for c in clients] == [status, status]
    assert s.head(LAYER.under(APP)).status is None, "nothing is poisoned"


def test_a_limited_probe_says_how_long_to_wait() -> None:
    s = scenario()
    client = s.head(LAYER.under(APP))
    s.fetch.answers(429, retry_after=33)
    assert (client.status, client.problem.retry_after) == (429, 33)


def test_a_probe_goes_on_when_who_asked_leaves() -> None:
    s = scenario()
    first, second = s.head(LAYER.under(APP)), s.head(LAYER.under(APP))
    first.leaves()
    s.fetch.offers(LAYER)
    assert second.status == 200


def test_a_probe_that_nobody_waits_for_ends_after_a_while() -> None:
    s = scenario()
    s.head(LAYER.under(APP)).leaves()
    s.passes(Limits().linger - 0.001)
    assert s.fetches
    s.passes(0.001)
    assert not s.fetches
    assert not s.cache.next_deadline()


def test_who_comes_in_time_keeps_it_going() -> None:
    s = scenario()
    s.head(LAYER.under(APP)).leaves()
    client = s.head(LAYER.under(APP))
    s.passes(Limits().linger)
    s.fetch.offers(LAYER)
    assert client.status == 200


def test_an_answer_that_nobody_waits_for_ends_it_whole() -> None:
    s = scenario()
    s.head(LAYER.under(APP)).leaves()
    s.fetch.answers(404)
    assert s.cache.next_deadline() is None


def test_one_that_waits_for_its_next_try_is_dropped_with_the_wait() -> None:
    s = scenario(config(ttl=None), WARM)
    client = s.get(LAYER.under(OTHER))
    s.fetch.answers(503)
    s.drains()
    client.leaves()
    assert s.cache.next_deadline() is None


def test_it_is_not_waited_for_when_the_cache_shuts_down() -> None:
    s = scenario()
    client = s.head(LAYER.under(APP))
    s.drains()
    assert s.fetches
    client.leaves()
    assert not s.fetches


def test_a_grant_for_what_is_not_stored_waits_for_the_fill() -> None:
    s = scenario()
    s.head(LAYER.under(APP))
    s.fetch.offers(LAYER)
    assert not s.journal


def test_a_manifest_that_goes_takes_the_rights_it_gave_along() -> None:
    shared = held(manifest("shared", LAYER), under=OTHER)
    idle = held(IMAGE, used=0.0)
    s = scenario(records=records(held(LAYER, under=None), shared, idle))
    s.passes(0.0)
    assert s.deletes() == [IMAGE.digest]
    assert s.get(LAYER.under(APP)).status is None
    assert s.get(LAYER.under(OTHER)).status == 200


def test_a_document_that_names_nothing_grants_nothing() -> None:
    bare = Item(blob("bare").content, 1, "text", Document("text"))
    s = scenario(records=records(held(LAYER, under=None), held(bare)))
    assert s.get(LAYER.under(APP)).status is None


def test_what_upstream_confirms_for_one_login_is_no_other_s() -> None:
    s = scenario(config(), held(LAYER, under=OTHER))

    def head(name: str) -> Client:
        what = LAYER.under(Repository(HUB, "library/app", name))
        return s.head(what, authority=Authority(name, Secret(name)))

    client = head("a")
    s.fetch.answers(200, length=LAYER.size)
    assert client.status == 200
    assert not s.journalled(GrantStored), "and nothing of it is recorded"
    assert head("a").decision.outcome is Outcome.HIT
    assert head("b").status is None


def test_what_is_confirmed_when_the_login_counts_no_longer_is_not_remembered() -> None:
    limits = Limits(authority=5.0, authorities=1)
    s = scenario(config(limits=limits), held(LAYER, under=OTHER))
    what = LAYER.under(Repository(HUB, "library/app", "a"))
    client = s.head(what, authority=Authority("a", Secret("a")))
    s.get(LATEST, authority=Authority("b", Secret("b")))
    s.transfers[0].answers(200, length=LAYER.size)
    assert client.status == 200
    s.head(what, authority=Authority("a", Secret("a")))
    assert len(s.transfers) == 3
