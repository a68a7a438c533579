"""How content came and what upstream said last: told, and decided by nothing."""

import pytest

from distcache.core.config import Config, Limits, Upstream
from distcache.core.effects import Note
from distcache.core.events import Cause, Challenge, Forgotten
from distcache.core.inventory import Answer, FillDropped, Filled, FillStored
from distcache.core.oci import Content, Repository, Secret, TagRef, Time
from distcache.core.pull import Authority, ByDigest, Client, Ping
from tests.core.content import (
    APP,
    HUB,
    IMAGE,
    LATEST,
    LAYER,
    OTHER,
    START,
    WRONG,
    held,
    records,
)
from tests.core.scenario import WHOLE, Scenario, config, explained, scenario

ALICE = Client("192.0.2.7", "alice", "docker")
BOB = Client("192.0.2.8")
MIRRORED = Config({HUB: Upstream(mirrors=2)})
BASIC = Challenge(False, HUB)
OWN = Authority("a", Secret("Bearer alice"))
CAME = Filled(START, APP, ALICE, None, 200)


def asked_by(client: Client, settings: Config | None = None) -> Scenario:
    s = scenario(settings)
    s.whose = client
    return s


def answer(s: Scenario, what: TagRef | Content = LATEST) -> tuple[Time, Answer] | None:
    return explained(s, what).answered


def filled(s: Scenario, what: TagRef | Content = LATEST) -> Filled | None:
    return explained(s, what).filled


# How it came


def test_what_came_says_when_for_whom_and_from_where() -> None:
    s = asked_by(ALICE)
    s.pulls_tag(IMAGE)
    s.now += 5.0
    s.pulls(LAYER)
    assert filled(s) == filled(s, IMAGE.content) == CAME
    layer = Filled(START + 5.0, APP, ALICE, None, 200)
    assert filled(s, LAYER.content) == layer
    assert s.journalled(FillStored) == [
        FillStored(IMAGE.digest, CAME),
        FillStored(LAYER.digest, layer),
    ]


def test_a_manifest_that_came_by_its_tag_says_so_too() -> None:
    s = asked_by(ALICE)
    s.get(LATEST)
    s.fetch.answers(405)
    s.fetch.answers(media_type=IMAGE.media_type)
    s.fetch.finishes(IMAGE)
    s.stores()
    assert filled(s) == CAME


def test_of_several_who_wait_for_it_the_first_counts() -> None:
    s = asked_by(ALICE)
    s.get(LATEST)
    s.whose = BOB
    s.get(LATEST)
    s.fetch.offers(IMAGE)
    s.fetch.delivers(IMAGE)
    s.stores()
    assert filled(s) == CAME


def test_a_mirror_is_named() -> None:
    s = asked_by(ALICE, MIRRORED)
    s.get(LATEST)
    s.fetch.answers(404)
    s.fetch.offers(IMAGE)
    s.fetch.delivers(IMAGE)
    s.stores()
    assert answer(s) == (START, Answer(200, mirror=1))
    came = filled(s)
    assert came is not None
    assert came.mirror == 0


def test_a_client_s_own_authority_is_not_remembered_with_it() -> None:
    s = asked_by(ALICE)
    own = Repository(HUB, APP.name, OWN.name)
    s.get(ByDigest(own, LAYER.content), authority=OWN)
    s.fetch.delivers(LAYER)
    s.stores()
    assert s.journalled(FillStored) == [FillStored(LAYER.digest, CAME)]
    # What upstream says to it, it says to nobody else.
    s.get(ByDigest(own, IMAGE.content), authority=OWN)
    s.fetch.answers(403)
    assert answer(s, IMAGE.content) is None


def test_where_nobody_is_known_nothing_is_guessed() -> None:
    s = scenario()
    s.pulls_tag(IMAGE)
    assert filled(s) is None
    assert not s.journalled(FillStored)


def test_it_is_known_after_a_restart_while_the_content_is_there() -> None:
    known = [FillStored(IMAGE.digest, CAME), FillStored(WRONG, CAME)]
    s = scenario(config(), [*WHOLE, *known])
    assert filled(s) == CAME
    s.handle(Forgotten(IMAGE.digest))
    s.deletes()
    s.pulls_tag(IMAGE)
    assert filled(s) is None


def test_what_came_first_is_forgotten_first() -> None:
    s = asked_by(ALICE, config(limits=Limits(filled=1)))
    s.pulls_tag(IMAGE)
    s.pulls(LAYER)
    assert filled(s) is None
    assert filled(s, LAYER.content) == CAME
    assert s.journalled(FillDropped) == [FillDropped(IMAGE.digest)]
    known = [FillStored(item.digest, CAME) for item in (LAYER, IMAGE)]
    again = scenario(config(limits=Limits(filled=1)), [*WHOLE, *known])
    assert filled(again, LAYER.content) is None
    assert filled(again) == CAME


def test_what_came_again_came_last() -> None:
    """It came as a blob first, and then as a manifest."""
    s = asked_by(ALICE, config(limits=Limits(filled=2)))
    for item in (IMAGE, LAYER):
        s.get(ByDigest(APP, item.as_kind(LAYER.content.kind)))
        s.fetch.offers(item)
        s.fetch.brings(item.size)
        s.fetch.ends(item.digest)
        s.stores()
    s.whose = BOB
    s.get(LATEST)
    s.fetch.offers(IMAGE)
    s.fetch.delivers(IMAGE)
    s.stores()
    assert [record.filled.client for record in s.journalled(FillStored)] == [ALICE, ALICE, BOB]
    came = filled(s)
    assert came is not None
    assert came.client == BOB
    assert not s.journalled(FillDropped)


# What upstream said


def test_a_confirmation_is_an_answer() -> None:
    s = scenario()
    s.pulls_tag(IMAGE)
    assert answer(s) == (START, Answer(200))
    assert answer(s, IMAGE.content) == (START, Answer(200))
    assert answer(s, LAYER.content) is None


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_a_refusal_is_one(status: int) -> None:
    s = scenario(config(limits=Limits(first_attempts=1)))
    for what in (LATEST, LAYER.under(APP)):
        s.get(what)
        while s.fetches:
            # HEAD may be refused where GET is not.
            s.fetch.answers(status)
    assert answer(s) == answer(s, LAYER.content) == (START, Answer(status))


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (Cause.TIMEOUT, "did not answer in time"),
        (Cause.UNREACHABLE, "cannot be reached"),
        (Cause.REFUSED, "led to a place that this cache may not follow"),
    ],
)
def test_that_there_was_none_is_told_with_its_reason(cause: Cause, words: str) -> None:
    s = scenario()
    s.get(LATEST)
    s.fetch.fails(cause)
    assert answer(s) == (START, Answer(None, words))


def test_what_is_no_good_is_told_with_its_reason() -> None:
    s = scenario()
    s.get(LAYER.under(APP))
    s.fetch.offers(LAYER)
    s.fetch.brings(LAYER.size)
    s.fetch.ends(WRONG)
    words = "sent content that does not match its digest"
    assert answer(s, LAYER.content) == (START, Answer(None, words))


def test_the_store_s_failures_are_not_upstream_s() -> None:
    s = scenario()
    s.get(LAYER.under(APP))
    s.fetch.offers(LAYER)
    s.fetch.fails(Cause.STORE)
    assert [type(note) for note in s.notes] == [Note]
    assert answer(s, LAYER.content) == (START, Answer(200))


def test_a_token_that_is_refused_is_told_as_upstream_s_answer() -> None:
    s = scenario()
    s.get(LATEST)
    s.fetch.answers(401, challenges=(Challenge(True, "https://auth.hub/token", HUB),))
    assert answer(s) is None
    s.token.refuses(403)
    assert answer(s) == (START, Answer(403))


def test_the_later_one_counts() -> None:
    s = scenario(config(tag_ttl=0.0, stale_if_error=1000.0))
    s.pulls_tag(IMAGE)
    s.now += 10.0
    s.get(LATEST)
    s.fetch.answers(503)
    assert answer(s) == (START + 10.0, Answer(503))
    s.now += 10.0
    s.get(LATEST)
    s.fetch.offers(IMAGE)
    assert answer(s) == (START + 20.0, Answer(200))


def test_what_is_not_asked_is_not_answered() -> None:
    s = scenario(config(basic=True))
    s.get(LATEST)
    s.cache.configure(config(basic=True, offline=True))
    s.fetch.answers(401, challenges=(BASIC,))
    assert s.clients[-1].status == 503
    assert answer(s) is None


def test_it_is_kept_with_the_tag() -> None:
    s = scenario()
    s.pulls_tag(IMAGE)
    again = scenario(config(), [*held(IMAGE), *s.journal])
    assert answer(again) == (START, Answer(200))
    # An older store does not say.
    assert answer(scenario(config(), held(IMAGE, tag=LATEST))) is None


def test_how_content_came_under_another_repository_is_no_answer_here() -> None:
    known = FillStored(LAYER.digest, CAME)
    s = scenario(config(), [*WHOLE, known])
    assert answer(s, LAYER.content) == (START, Answer(200))
    found = s.cache.explain(LAYER.content, OTHER, s.now)
    assert (found.answered, found.filled) == (None, CAME)


def test_what_was_imported_was_no_answer() -> None:
    imported = Filled(START, APP, None)
    s = scenario(config(), [*WHOLE, FillStored(LAYER.digest, imported)])
    assert filled(s, LAYER.content) == imported
    assert answer(s, LAYER.content) is None


def test_a_greeting_is_about_nothing() -> None:
    s = scenario()
    s.get(Ping(Repository(HUB, "", OWN.name)), authority=Authority(OWN.name))
    s.fetch.answers(500)
    assert s.clients[-1].status == 502
    assert answer(s) is None


def test_so_many_answers_are_remembered_and_no_more() -> None:
    s = scenario(config(limits=Limits(answers=1, first_attempts=1)))
    for _ in range(2):
        s.get(LAYER.under(APP))
        s.fetch.answers(404)
    assert answer(s, LAYER.content) == (START, Answer(404))
    s.get(LATEST)
    s.fetch.answers(404)
    assert answer(s, LAYER.content) is None
    assert answer(s) == (START, Answer(404))


def test_who_comes_later_for_what_was_kept_is_not_taken_for_who_came_first() -> None:
    s = scenario(config(), records(held(LAYER)))
    s.whose = ALICE
    s.get(LAYER.under(APP)).takes_all()
    s.whose = BOB
    s.ask(s.clients[-1].pull).loses_source(answered=False)
    s.fetch.delivers(LAYER)
    s.stores()
    assert filled(s, LAYER.content) is None
