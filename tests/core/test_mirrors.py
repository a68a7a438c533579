"""Mirrors are asked in their order, the upstream itself last, and its word alone is final."""

import pytest
from attrs import evolve

from distcache.core.config import Config, Limits, Upstream
from distcache.core.events import Cause, Challenge, Location, Secret
from distcache.core.oci import TagRef
from distcache.core.pull import Method
from tests.core.content import APP, HUB, IMAGE, LATEST, LAYER, SETTINGS, held
from tests.core.scenario import Scenario, scenario

LIMITS = Limits(mirror_rest=10.0, mirror_rest_max=40.0)
TWO = Config({HUB: Upstream(mirrors=2, basic=True, negative_ttl=0)}, limits=LIMITS)
BEARER = Challenge(True, "https://auth.mirror/token", "mirror")


def asked(s: Scenario) -> int | None:
    return s.fetch.request.mirror


def test_the_first_mirror_that_has_it_gives_it() -> None:
    s = scenario(TWO)
    client = s.get(LAYER.under(APP))
    assert asked(s) == 0
    s.fetch.delivers(LAYER)
    assert client.status == 200
    assert [t.request.mirror for t in s.transfers] == [0]


@pytest.mark.parametrize("status", [404, 403, 500, 503, 405])
def test_what_one_has_not_got_the_next_is_asked_for(status: int) -> None:
    s = scenario(TWO)
    client = s.get(LAYER.under(APP))
    s.fetch.answers(status)
    assert asked(s) == 1
    s.fetch.answers(status)
    assert asked(s) is None
    assert client.status is None
    s.fetch.offers(LAYER)
    assert client.status == 200


def test_only_upstream_can_say_that_there_is_no_such_thing() -> None:
    s = scenario(TWO)
    client = s.get(LATEST)
    for _ in range(3):
        s.fetch.answers(404)
    assert client.status == 404
    assert [t.request.mirror for t in s.transfers] == [0, 1, None]


@pytest.mark.parametrize("cause", [Cause.UNREACHABLE, Cause.TIMEOUT, Cause.REFUSED])
def test_one_that_fails_is_passed_over_for_a_growing_while(cause: Cause) -> None:
    s = scenario(TWO)
    s.get(LATEST)
    s.fetch.fails(cause)
    assert asked(s) == 1
    s.fetch.answers(404)
    s.fetch.answers(404)
    s.passes(9.9)
    s.get(LATEST)
    assert asked(s) == 1, "it rests"
    s.fetch.answers(404)
    s.fetch.answers(404)
    s.passes(10.0)
    s.get(LATEST)
    assert asked(s) == 0, "it is tried again"
    s.fetch.fails(cause)
    s.fetch.answers(404)
    s.fetch.answers(404)
    s.passes(19.9)
    s.get(LATEST)
    assert asked(s) == 1, "it rests twice as long"
    s.fetch.answers(404)
    s.fetch.answers(404)
    s.passes(0.2)
    s.get(LATEST)
    assert asked(s) == 0, "and no longer"


def test_one_that_only_lacks_it_is_asked_for_the_next_thing() -> None:
    s = scenario(TWO)
    s.get(LATEST)
    s.fetch.answers(404)
    s.get(LAYER.under(APP))
    assert [t.request.mirror for t in s.fetches] == [1, 0]


def test_one_that_is_well_again_has_no_history() -> None:
    s = scenario(TWO)
    for _ in range(2):
        s.get(LATEST)
        s.fetch.fails(Cause.UNREACHABLE)
        s.fetch.answers(404)
        s.fetch.answers(404)
        s.passes(40.0)
    s.get(LATEST)
    s.fetch.answers(200, digest=IMAGE.digest, media_type=IMAGE.media_type)
    s.fetch.delivers(IMAGE)
    s.stores()
    s.passes(1.0)
    s.get(LATEST)
    s.fetch.fails(Cause.UNREACHABLE)
    s.fetch.answers(404)
    s.fetch.answers(404)
    s.passes(10.0)
    s.get(LATEST)
    assert asked(s) == 0


def test_what_it_asks_to_wait_counts_within_the_bound() -> None:
    s = scenario(TWO)
    s.get(LATEST)
    s.fetch.answers(429, retry_after=30)
    s.fetch.answers(404)
    s.fetch.answers(404)
    s.passes(29.0)
    s.get(LATEST)
    assert asked(s) == 1


def test_a_transfer_that_breaks_goes_on_elsewhere_from_where_it_was() -> None:
    s = scenario(TWO)
    client = s.get(LAYER.under(APP))
    s.fetch.offers(LAYER)
    s.fetch.brings(60)
    s.fetch.fails(Cause.CUT)
    s.passes(1.0)
    assert (asked(s), s.fetch.request.offset) == (1, 60)
    s.fetch.answers(206, start=60, size=100, length=40)
    s.fetch.brings(100)
    s.fetch.ends(LAYER.digest)
    s.stores()
    client.takes_all()
    assert client.end == "finished"


def test_one_that_lies_is_passed_over() -> None:
    s = scenario(TWO)
    client = s.get(LAYER.under(APP))
    s.fetch.offers(LAYER)
    s.fetch.brings(100)
    s.fetch.ends(SETTINGS.digest)
    assert client.end == "aborted"
    s.get(LAYER.under(APP))
    assert asked(s) == 1


def test_our_own_full_disk_is_not_the_mirror_s_fault() -> None:
    s = scenario(TWO)
    s.get(LAYER.under(APP))
    s.fetch.offers(LAYER)
    s.fetch.fails(Cause.NO_SPACE)
    assert asked(s) == 0


def test_each_place_has_its_own_tokens_and_upstream_s_password_is_not_for_mirrors() -> None:
    s = scenario(TWO)
    client = s.get(LAYER.under(APP))
    s.fetch.answers(401, challenges=(Challenge(False, "mirror"),))
    assert asked(s) == 1, "our password is not for it"
    s.fetch.answers(401, challenges=(BEARER,))
    assert s.token.effect.mirror == 1
    s.token.grants("for the mirror")
    assert (asked(s), s.fetch.request.authorization) == (1, Secret("for the mirror"))
    s.fetch.answers(404)
    assert (asked(s), s.fetch.request.authorization) == (None, None)
    s.fetch.answers(401, challenges=(Challenge(False, "hub"),))
    assert (asked(s), s.fetch.request.authorization) == (None, True)
    s.fetch.offers(LAYER)
    assert client.status == 200


def test_a_mirror_that_gives_no_token_is_left_for_the_next() -> None:
    s = scenario(Config({HUB: Upstream(mirrors=1)}, limits=LIMITS))
    s.get(LATEST)
    s.fetch.answers(401, challenges=(BEARER,))
    s.token.refuses(401)
    assert asked(s) is None
    s.fetch.answers(404)
    client = s.get(TagRef(APP, "other"))
    assert asked(s) is None, "its refusal is remembered"
    s.fetch.answers(404)
    assert client.status == 404


def test_what_is_held_needs_no_mirror() -> None:
    s = scenario(TWO, held(LAYER))
    assert s.get(LAYER.under(APP)).status == 200
    assert not s.transfers


def test_a_redirect_of_a_mirror_that_may_not_be_followed_leads_to_the_next() -> None:
    s = scenario(TWO)
    s.get(LAYER.under(APP))
    s.fetch.answers(307, location=Location("http://127.0.0.1/", False, allowed=False))
    assert asked(s) == 1
    assert s.asked() == (Method.GET, LAYER.content)


def test_a_rest_may_be_short() -> None:
    s = scenario(evolve(TWO, limits=Limits(mirror_rest=0.5)))
    s.get(LATEST)
    s.fetch.fails(Cause.UNREACHABLE)
    s.fetch.answers(404)
    s.fetch.answers(404)
    s.passes(0.5)
    s.get(LATEST)
    assert asked(s) == 0
