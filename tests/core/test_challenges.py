"""What upstream's 401 asks for: taken up, handed on, remembered."""

from typing import Any

from attrs import evolve

from distcache.core.config import Config, Limits, Upstream
from distcache.core.effects import Forwarded
from distcache.core.events import Cause, Challenge, Location, Secret
from distcache.core.oci import Repository
from distcache.core.pull import Authority, ByDigest
from tests.core.actors import Client, Transfer
from tests.core.content import (
    APP,
    HUB,
    IMAGE,
    LAYER,
    OTHER,
    blob,
)
from tests.core.scenario import Scenario, config, scenario

REALM = "https://auth.hub/token"
SCOPE = "repository:library/app:pull"
BEARER = Challenge(True, REALM, HUB, SCOPE)
BASIC = Challenge(False, "hub")
BLOB = LAYER.under(APP)
SECOND_ITEM = blob("second")
SECOND = SECOND_ITEM.under(APP)
ABROAD = Location("https://cdn/layer?signed", same_origin=False)
HOME = Location("https://hub/v2/elsewhere", same_origin=True)
ALICE = Authority("a", Secret("Bearer alice"))
OWN = ByDigest(Repository(HUB, "private/app", "a"), LAYER.content)


def asked(**settings: Any) -> tuple[Scenario, Client]:
    s = scenario(config(**settings))
    return s, s.get(BLOB)


def authorization(transfer: Transfer) -> object:
    return transfer.request.authorization


# Ours to answer


def test_another_origin_s_challenge_is_not_for_our_credentials() -> None:
    s, client = asked(basic=True)
    s.fetch.answers(307, location=ABROAD)
    s.fetch.answers(401, challenges=(BASIC, BEARER))
    assert client.status == 401
    assert not s.tokens


def test_a_challenge_without_scope_means_pulling_this_repository() -> None:
    s, _ = asked()
    s.fetch.answers(401, challenges=(Challenge(True, REALM),))
    assert s.token.effect.challenge.scope == SCOPE


def test_what_was_wrong_with_a_token_makes_it_no_other_one() -> None:
    s, client = asked()
    s.fetch.answers(401, challenges=(BEARER,))
    s.token.grants("t1")
    s.fetch.answers(401, challenges=(evolve(BEARER, error="invalid_token"),))
    assert s.token.effect.challenge == BEARER
    s.token.grants("t2")
    s.fetch.delivers(LAYER)
    assert client.status == 200


def test_bearer_is_taken_before_basic() -> None:
    s, _ = asked(basic=True)
    s.fetch.answers(401, challenges=(BASIC, BEARER))
    assert s.token.effect.challenge == BEARER


def test_without_a_password_basic_cannot_be_answered() -> None:
    s, client = asked(basic=False)
    s.fetch.answers(401, challenges=(BASIC,))
    assert client.status == 401


def test_names_without_number_do_not_fill_the_memory() -> None:
    s, client = asked(basic=True, limits=Limits(schemes=2))
    s.fetch.answers(401, challenges=(BASIC,))
    s.fetch.delivers(LAYER)
    assert client.status == 200
    for number in range(2):
        s.get(SECOND_ITEM.under(Repository(HUB, f"no/{number}")))
        s.fetch.answers(401, challenges=(BASIC,))
        s.fetch.answers(404)
    s.get(SECOND)
    assert authorization(s.fetch) is None, "the oldest is forgotten, and found out again"
    s.fetch.answers(404)
    s.get(SECOND_ITEM.under(Repository(HUB, "no/1")))
    assert authorization(s.fetch) is True


def test_a_401_without_challenge_is_final() -> None:
    s, client = asked(basic=True)
    s.fetch.answers(401)
    assert client.status == 401


def test_each_repository_is_authenticated_in_its_own_way() -> None:
    s, _ = asked(basic=True)
    s.fetch.answers(401, challenges=(BASIC,))
    s.get(IMAGE.under(OTHER))
    assert [authorization(t) for t in s.fetches] == [True, None]


def test_each_upstream_has_its_own_credentials() -> None:
    ups = {HUB: Upstream(basic=True), "plain": Upstream()}
    s = scenario(Config(ups))
    s.get(BLOB)
    s.fetch.answers(401, challenges=(BASIC,))
    assert authorization(s.fetch) is True
    s.fetch.fails(Cause.UNREACHABLE)
    plain = s.get(LAYER.under(type(APP)("plain", APP.name)))
    assert authorization(s.fetch) is None
    s.fetch.answers(401, challenges=(BASIC,))
    assert plain.status == 401


# The client's own authority


def test_who_logs_in_at_upstream_is_asked_for_with_what_it_shows_and_answers_challenges() -> None:
    s = scenario()
    client = s.get(OWN, authority=ALICE)
    assert authorization(s.fetch) == Forwarded(Secret("Bearer alice"))
    s.fetch.answers(401, challenges=(BASIC, Challenge(True, REALM, HUB)))
    theirs = Challenge(True, REALM, HUB, "repository:private/app:pull")
    assert (client.status, client.problem.challenge) == (401, theirs)
    assert not s.tokens


def test_a_scope_that_upstream_names_is_handed_on_as_it_is() -> None:
    s = scenario()
    client = s.get(OWN, authority=ALICE)
    s.fetch.answers(401, challenges=(BEARER,))
    assert client.problem.challenge == BEARER


def test_what_the_client_shows_stays_at_upstream_and_others_challenges_are_not_for_it() -> None:
    s = scenario()
    client = s.get(OWN, authority=ALICE)
    s.fetch.answers(307, location=HOME)
    assert authorization(s.fetch) == Forwarded(Secret("Bearer alice"))
    s.fetch.answers(307, location=ABROAD)
    assert authorization(s.fetch) is None
    s.fetch.answers(401, challenges=(BEARER,))
    assert (client.status, client.problem.challenge) == (401, None)


def test_a_scope_that_is_asked_for_is_asked_for() -> None:
    s, _ = asked()
    s.fetch.answers(401, challenges=(Challenge(True, REALM, HUB, "repository:other:pull"),))
    assert s.token.effect.challenge.scope == "repository:other:pull"


def test_within_upstream_s_own_places_its_challenge_is_handed_on() -> None:
    s = scenario()
    client = s.get(OWN, authority=ALICE)
    s.fetch.answers(307, location=HOME)
    s.fetch.answers(401, challenges=(BEARER,))
    assert client.problem.challenge == BEARER


def test_what_is_known_already_displaces_nothing() -> None:
    s, _ = asked(basic=True, limits=Limits(schemes=2))
    s.fetch.answers(401, challenges=(BASIC,))
    s.get(IMAGE.under(OTHER))
    s.fetches[1].answers(401, challenges=(BEARER,))
    s.token.grants("t1")
    s.fetches[1].answers(401, challenges=(BEARER,))
    s.get(SECOND)
    assert authorization(s.fetches[-1]) is True, "the oldest is still known"
