"""Where clients log in at upstream themselves: one client's access is never another's."""

import pytest
from attrs import evolve

from distcache.core.config import Config, Limits, Upstream
from distcache.core.effects import Forwarded
from distcache.core.events import Cause, Challenge, Forgotten, Location
from distcache.core.inventory import GrantStored, TagStored
from distcache.core.oci import Repository, Secret, TagRef
from distcache.core.pull import Authority, ByDigest, Catalog
from tests.core.actors import Client
from tests.core.content import HUB, IMAGE, LAYER, SETTINGS, START, Item
from tests.core.scenario import Scenario, scenario

LIMITS = Limits(authority=300.0, authorities=3)
OPEN = Config({HUB: Upstream(tag_ttl=1000.0)}, ttl=None, limits=LIMITS)
ALICE = Authority("a", Secret("Bearer alice"))
BOB = Authority("b", Secret("Bearer bob"))
NOBODY = Authority("anonymous")
BEARER = Challenge(True, "https://auth.hub/token", "hub")


def own(authority: Authority) -> Repository:
    return Repository(HUB, "private/app", authority.name)


def pull(s: Scenario, authority: Authority, item: Item = LAYER) -> Client:
    return s.get(ByDigest(own(authority), item.content), authority=authority)


def pull_tag(s: Scenario, authority: Authority) -> Client:
    return s.get(TagRef(own(authority), "1"), authority=authority)


def stored_by_alice(item: Item = LAYER) -> Scenario:
    s = scenario(OPEN)
    client = pull(s, ALICE, item)
    s.fetch.delivers(item)
    s.stores()
    client.takes_all()
    return s


def test_upstream_is_asked_with_what_the_client_shows() -> None:
    s = scenario(OPEN)
    pull(s, ALICE)
    assert s.fetch.request.authorization == Forwarded(Secret("Bearer alice"))
    assert "alice" not in repr(s.fetch.request)


def test_who_shows_nothing_is_asked_for_without() -> None:
    s = scenario(OPEN)
    pull(s, NOBODY)
    assert s.fetch.request.authorization is None


def test_stored_content_is_another_s_only_when_upstream_says_so() -> None:
    s = stored_by_alice()
    client = pull(s, BOB)
    assert client.status is None
    assert s.fetch.request.authorization == Forwarded(Secret("Bearer bob"))
    s.fetch.answers(200, length=LAYER.size)
    assert client.status == 200
    assert pull(s, BOB).status == 200, "and is remembered"


@pytest.mark.parametrize("item", [LAYER, SETTINGS], ids=["held", "not held"])
def test_who_is_refused_cannot_tell_what_is_held(item: Item) -> None:
    s = stored_by_alice()
    client = pull(s, BOB, item)
    s.fetch.answers(401, challenges=(BEARER,))
    assert client.status == 401
    assert client.problem.challenge == evolve(BEARER, scope="repository:private/app:pull")
    assert client.problem.message == "hub asks for authentication"


def test_upstream_s_own_scope_is_handed_on() -> None:
    s = scenario(OPEN)
    client = pull(s, NOBODY)
    s.fetch.answers(401, challenges=(Challenge(False, "basic"), evolve(BEARER, scope="s")))
    assert client.problem.challenge == evolve(BEARER, scope="s")


def test_a_challenge_for_a_password_is_not_handed_on() -> None:
    s = scenario(OPEN)
    client = pull(s, NOBODY)
    s.fetch.answers(401, challenges=(Challenge(False, "basic"),))
    assert (client.status, client.problem.challenge) == (401, None)


def test_403_is_403() -> None:
    s = stored_by_alice()
    client = pull(s, BOB)
    s.fetch.answers(403)
    assert client.status == 403


def test_a_running_transfer_is_joined_only_by_who_may() -> None:
    s = scenario(OPEN)
    pull(s, ALICE)
    s.fetch.offers(LAYER)
    client = pull(s, BOB)
    probe = s.fetches[-1]
    assert probe.request.authorization == Forwarded(Secret("Bearer bob"))
    probe.answers(401, challenges=(BEARER,))
    assert client.status == 401


def test_an_authority_s_refusal_does_not_end_another_s_wait() -> None:
    s = scenario(OPEN)
    alice, bob = pull(s, ALICE), pull(s, BOB)
    first = s.fetches[0]
    first.answers(401, challenges=(BEARER,))
    assert alice.status == 401
    assert bob.status is None
    s.fetches[-1].answers(200, length=LAYER.size)
    s.fetches[-1].delivers(LAYER)
    assert bob.status == 200


def test_tags_are_each_authority_s_own() -> None:
    s = scenario(OPEN)
    client = pull_tag(s, ALICE)
    s.fetch.offers(IMAGE)
    s.fetch.delivers(IMAGE)
    s.stores()
    client.takes_all()
    assert pull_tag(s, ALICE).status == 200
    assert pull_tag(s, BOB).status is None
    s.fetch.answers(404)


def test_what_a_manifest_names_is_for_who_may_have_the_manifest() -> None:
    s = stored_by_alice()
    client = pull_tag(s, ALICE)
    s.fetch.offers(IMAGE)
    s.fetch.delivers(IMAGE)
    s.stores()
    client.takes_all()
    bob = pull_tag(s, BOB)
    s.fetch.offers(IMAGE)
    assert bob.status == 200
    bob.takes_all()
    assert pull(s, BOB).status == 200


def test_acceptance_is_forgotten_in_time() -> None:
    s = stored_by_alice()
    s.passes(299.0)
    assert pull(s, ALICE).status == 200
    s.passes(1.0)
    assert pull(s, ALICE).status is None
    s.fetch.answers(401, challenges=(BEARER,))


def test_acceptance_ends_with_the_token_when_that_ends_before() -> None:
    s = scenario(OPEN)
    brief = Authority("c", Secret("Bearer brief"), s.now + 60.0)
    pull(s, brief)
    s.fetch.delivers(LAYER)
    s.stores()
    s.passes(59.0)
    assert pull(s, brief).status == 200
    s.passes(1.0)
    assert pull(s, brief).status is None


def test_a_tag_is_forgotten_with_its_authority() -> None:
    s = scenario(OPEN)
    client = pull_tag(s, ALICE)
    s.fetch.offers(IMAGE)
    s.fetch.delivers(IMAGE)
    s.stores()
    client.takes_all()
    gone = s.get(TagRef(own(ALICE), "gone"), authority=ALICE)
    s.fetch.answers(404)
    assert gone.status == 404
    s.passes(300.0)
    assert pull_tag(s, ALICE).status is None
    s.fetch.fails(Cause.UNREACHABLE)
    assert s.clients[-1].status == 502, "nothing older may be given"


def test_what_is_under_way_keeps_its_authority() -> None:
    s = scenario(OPEN)
    client = pull(s, ALICE)
    s.fetch.offers(LAYER)
    s.fetch.brings(50)
    s.passes(300.0)
    s.fetch.fails(Cause.CUT)
    s.passes(1.0)
    assert s.fetch.request.authorization == Forwarded(Secret("Bearer alice"))
    s.fetch.answers(206, start=50, size=100, length=50)
    s.fetch.finishes(LAYER)
    s.stores()
    client.takes_all()
    assert client.end == "finished"


def test_what_is_over_is_over_before_anybody_has_woken() -> None:
    s = stored_by_alice()
    s.now += 300.0
    assert pull(s, ALICE).status is None


def test_what_ends_for_one_goes_on_for_another() -> None:
    s = stored_by_alice()
    s.passes(299.0)
    client = pull(s, BOB, SETTINGS)
    s.fetch.offers(SETTINGS)
    s.passes(1.0)
    s.fetch.finishes(SETTINGS)
    s.stores()
    client.takes_all()
    assert client.end == "finished"
    assert pull(s, BOB, SETTINGS).status == 200


def test_no_more_are_remembered_than_the_bound() -> None:
    s = stored_by_alice()
    for name in ("_last", "_first", "_middle"):
        s.passes(1.0)
        pull(s, Authority(name, Secret("Bearer x")))
        s.fetches[-1].answers(404)
    assert pull(s, ALICE).status is None, "the oldest made room"


def test_what_comes_too_late_grants_nothing() -> None:
    s = scenario(OPEN)
    pull(s, ALICE)
    s.fetch.offers(LAYER)
    s.fetch.brings(LAYER.size)
    s.fetch.ends(LAYER.digest)
    s.passes(300.0)
    s.stores()
    assert pull(s, ALICE).status is None


def test_nothing_of_it_outlives_the_process() -> None:
    s = stored_by_alice()
    client = pull_tag(s, ALICE)
    s.fetch.offers(IMAGE)
    s.fetch.delivers(IMAGE)
    s.stores()
    client.takes_all()
    assert not s.journalled(GrantStored)
    assert not s.journalled(TagStored)
    assert s.get(Catalog()).answer.repositories == ()


def test_a_redirect_abroad_is_followed_without_it() -> None:
    s = scenario(OPEN)
    client = pull(s, ALICE)
    s.fetch.answers(307, location=Location("https://cdn/blob", same_origin=False))
    assert s.fetch.request.authorization is None
    s.fetch.answers(401, challenges=(BEARER,))
    assert (client.status, client.problem.challenge) == (401, None)


def test_mirrors_see_nobody_s_token() -> None:
    s = scenario(evolve(OPEN, upstreams={HUB: Upstream(mirrors=2)}))
    pull(s, ALICE)
    assert s.fetch.request.mirror is None


def test_what_one_may_no_longer_have_another_still_may() -> None:
    s = stored_by_alice()
    s.passes(1.0)
    pull(s, BOB)
    s.fetch.answers(200, length=LAYER.size)
    s.passes(299.0)
    assert pull(s, BOB).status == 200
    assert pull(s, ALICE).status is None


def test_an_authority_ends_although_its_tag_was_forgotten_before() -> None:
    s = scenario(OPEN)
    client = pull_tag(s, ALICE)
    s.fetch.offers(IMAGE)
    s.fetch.delivers(IMAGE)
    s.stores()
    client.takes_all()
    s.handle(Forgotten(TagRef(own(ALICE), "1")))
    s.passes(300.0)
    assert pull_tag(s, ALICE).status is None


def test_who_comes_back_while_its_old_pull_goes_on_is_known_anew() -> None:
    s = scenario(evolve(OPEN, limits=evolve(LIMITS, answer=1000.0)))
    pull(s, ALICE)
    s.now += 300.0
    again = pull(s, ALICE, SETTINGS)
    for transfer in s.fetches:
        transfer.delivers(SETTINGS if transfer.request.resource == SETTINGS.content else LAYER)
    s.stores()
    assert [c.status for c in s.clients] == [200, 200]
    again.takes_all()
    s.passes(200.0)
    assert pull(s, ALICE, SETTINGS).status == 200, "its time began anew"


def test_what_upstream_answers_after_that_is_its_word_anew() -> None:
    s = scenario(evolve(OPEN, limits=evolve(LIMITS, answer=1000.0)))
    client = pull(s, ALICE)
    s.passes(300.0)
    s.fetch.delivers(LAYER)
    s.stores()
    client.takes_all()
    assert client.end == "finished"
    assert pull(s, ALICE).status == 200


def test_who_made_room_for_another_has_no_end_any_more() -> None:
    s = stored_by_alice()
    for name in ("b", "c", "d"):
        s.passes(1.0)
        client = pull(s, Authority(name, Secret("Bearer x")))
        s.fetches[-1].answers(404)
        assert client.status == 404
    assert s.cache.next_deadline() == START + 301.0
    s.passes(400.0)
    assert s.cache.next_deadline() is None


def test_what_it_was_accepted_for_may_have_gone_before_it_ends() -> None:
    s = stored_by_alice()
    s.handle(Forgotten(LAYER.digest))
    assert s.deletes() == [LAYER.digest]
    s.passes(300.0)
    assert pull(s, ALICE).status is None


def test_a_tag_that_is_gone_ends_with_its_authority_too() -> None:
    s = scenario(Config({HUB: Upstream(negative_ttl=1000.0)}, ttl=None, limits=LIMITS))
    client = pull_tag(s, ALICE)
    s.fetch.offers(IMAGE)
    s.fetch.delivers(IMAGE)
    s.stores()
    client.takes_all()
    s.passes(1.0)
    pull_tag(s, ALICE)
    s.fetch.answers(404)
    assert pull_tag(s, ALICE).status == 404
    s.passes(299.0)
    assert pull_tag(s, ALICE).status is None
