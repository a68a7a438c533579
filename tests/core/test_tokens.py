"""One token for all who need it, for as long as it lasts, and for nobody else."""

from typing import Any

import pytest

from distcache.core.config import Limits
from distcache.core.effects import AcquireToken, Code
from distcache.core.events import Cause, Challenge, Secret
from distcache.core.oci import TagRef
from distcache.core.tokens import TRANSITIONS, TokenInput, TokenState
from tests.core.actors import Client, Transfer
from tests.core.content import APP, HUB, IMAGE, LATEST, LAYER, OTHER, START, blob
from tests.core.drawing import assert_drawn
from tests.core.scenario import Scenario, config, scenario

REALM = "https://auth.hub/token"
CHALLENGE = Challenge(True, REALM, HUB, "repository:library/app:pull")
BLOB = LAYER.under(APP)
SECOND = blob("second").under(APP)


def challenged(**settings: Any) -> tuple[Scenario, Client]:
    s = scenario(config(**settings))
    client = s.get(BLOB)
    s.fetch.answers(401, challenges=(CHALLENGE,))
    return s, client


def token_of(transfer: Transfer) -> object:
    authorization = transfer.request.authorization
    return authorization.value if isinstance(authorization, Secret) else authorization


def test_the_table() -> None:
    assert_drawn(
        TRANSITIONS,
        TokenState,
        TokenInput,
        """
        ABSENT    WANTED     REQUESTED
        REQUESTED WANTED     REQUESTED
        REQUESTED GRANTED    VALID
        REQUESTED DENIED     REFUSED
        REQUESTED FAILED     ABSENT
        VALID     WANTED     VALID
        VALID     EXPIRED    ABSENT
        VALID     DISTRUSTED ABSENT
        REFUSED   WANTED     REFUSED
        REFUSED   EXPIRED    ABSENT
        """,
    )


def test_a_challenge_is_answered_with_a_token_of_that_realm() -> None:
    s, client = challenged()
    assert s.token.effect == AcquireToken(s.token.effect.request, HUB, CHALLENGE)
    s.token.grants("t1")
    assert token_of(s.fetch) == "t1"
    s.fetch.delivers(LAYER)
    assert client.status == 200


@pytest.mark.parametrize("trusted", [True, False])
def test_whether_the_realm_may_see_the_password_is_passed_on(trusted: bool) -> None:
    s = scenario()
    s.get(BLOB)
    s.fetch.answers(401, challenges=(Challenge(True, REALM, trusted=trusted),))
    assert s.token.effect.challenge.trusted is trusted


def test_one_request_serves_all_who_wait() -> None:
    s, _ = challenged()
    s.get(SECOND)
    s.get(LATEST)
    assert len(s.tokens) == 1
    assert not s.fetches
    s.token.grants("t1")
    assert [token_of(t) for t in s.fetches] == ["t1"] * 3


def test_a_token_is_sent_the_first_time_and_used_until_near_its_end() -> None:
    s, _ = challenged(limits=Limits(token_margin=5.0))
    s.token.grants("t1", expires_in=60.0)
    s.fetch.delivers(LAYER)
    s.passes(54.9)
    s.get(SECOND)
    assert token_of(s.fetch) == "t1"
    assert len(s.tokens) == 1


def test_a_token_near_its_end_is_replaced() -> None:
    s, _ = challenged(limits=Limits(token_margin=5.0))
    s.token.grants("t1", expires_in=60.0)
    s.fetch.delivers(LAYER)
    s.passes(55.0)
    s.get(SECOND)
    s.token.grants("t2")
    assert token_of(s.fetch) == "t2"


def test_so_is_one_whose_end_nobody_was_woken_for() -> None:
    s, _ = challenged()
    s.token.grants("t1", expires_in=60.0)
    s.fetch.delivers(LAYER)
    s.now += 55.0
    s.get(SECOND)
    s.token.grants("t2")
    assert token_of(s.fetch) == "t2"


def test_a_token_that_is_over_at_once_is_still_used_once() -> None:
    s, client = challenged()
    s.token.grants("t1", expires_in=1.0)
    assert token_of(s.fetch) == "t1"
    s.fetch.delivers(LAYER)
    client.takes_all()
    s.get(SECOND)
    assert s.token.effect.challenge == CHALLENGE


def test_an_expired_token_leaves_no_trace() -> None:
    s, client = challenged()
    s.token.grants("t1")
    s.fetch.answers(404)
    assert client.status == 404
    before = s.cache.fingerprint(s.now)
    s.passes(60.0)
    assert s.cache.fingerprint(s.now) != before
    assert s.cache.next_deadline() is None


def test_a_token_that_upstream_refuses_is_replaced_but_not_for_ever() -> None:
    s, client = challenged()
    s.token.grants("t1")
    s.fetch.answers(401, challenges=(CHALLENGE,))
    s.token.grants("t2")
    assert token_of(s.fetch) == "t2"
    s.fetch.answers(401, challenges=(CHALLENGE,))
    assert (client.status, client.problem.code) == (401, Code.UNAUTHORIZED)
    assert not s.fetches
    assert len(s.tokens) == 2


def test_two_refusals_of_one_token_do_not_drop_its_successor() -> None:
    s, _ = challenged()
    s.token.grants("t1")
    s.fetch.delivers(LAYER)
    s.get(SECOND)
    s.get(blob("third").under(APP))
    first, second = s.fetches
    first.answers(401, challenges=(CHALLENGE,))
    s.token.grants("t2")
    second.answers(401, challenges=(CHALLENGE,))
    assert len(s.tokens) == 2
    assert [token_of(t) for t in s.fetches] == ["t2", "t2"]


def test_nor_does_a_refusal_while_the_successor_is_being_asked_for() -> None:
    s, _ = challenged()
    s.token.grants("t1")
    s.fetch.delivers(LAYER)
    s.get(SECOND)
    s.get(blob("third").under(APP))
    first, second = s.fetches
    first.answers(401, challenges=(CHALLENGE,))
    second.answers(401, challenges=(CHALLENGE,))
    assert len(s.tokens) == 2
    s.token.grants("t2")
    assert [token_of(t) for t in s.fetches] == ["t2", "t2"]


def test_a_token_never_serves_another_repository() -> None:
    s, _ = challenged()
    s.token.grants("t1")
    s.fetch.delivers(LAYER)
    s.get(IMAGE.under(OTHER))
    assert token_of(s.fetch) is None
    other = Challenge(True, REALM, HUB, "repository:library/other:pull")
    s.fetch.answers(401, challenges=(other,))
    assert s.token.effect.challenge == other


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_fails_all_who_wait_and_is_remembered_for_a_while(status: int) -> None:
    """A wrong password must not hammer the token service."""
    s, first = challenged(negative_ttl=10.0)
    second = s.get(SECOND)
    s.token.refuses(status)
    assert (first.status, second.status) == (status, status)
    s.passes(9.0)
    assert s.get(TagRef(APP, "v1")).status == status
    assert len(s.tokens) == 1
    s.passes(1.0)
    assert s.get(TagRef(APP, "v1")).status is None
    assert len(s.tokens) == 2


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ((None, Cause.UNREACHABLE), 502),
        ((None, Cause.TIMEOUT), 504),
        ((429, None), 429),
        ((404, None), 502),
    ],
)
def test_a_failing_token_service_fails_who_waits_and_is_asked_again(
    answer: tuple[int | None, Cause | None], status: int
) -> None:
    s, client = challenged()
    s.token.refuses(*answer, retry_after=3)
    assert client.status == status
    s.get(SECOND)
    assert len(s.tokens) == 2


def test_a_token_service_s_passing_fault_is_waited_out() -> None:
    s, client = challenged()
    s.token.refuses(503)
    assert client.status is None
    s.passes(1.0)
    s.token.grants("t1")
    s.fetch.delivers(LAYER)
    assert client.status == 200


def test_who_left_is_not_asked_for_but_the_token_is_kept() -> None:
    s, client = challenged()
    client.leaves()
    s.passes(10.0)
    s.token.grants("t1")
    assert not s.fetches
    s.get(SECOND)
    assert token_of(s.fetch) == "t1"


def test_a_token_whose_time_is_up_is_not_used_although_nothing_woke_the_cache() -> None:
    s, _ = challenged(limits=Limits(token_margin=5.0))
    s.token.grants("t1", expires_in=60.0)
    s.now += 55.0
    s.get(SECOND)
    assert s.token.effect.challenge == CHALLENGE
    s.token.grants("t2")
    assert token_of(s.fetches[-1]) == "t2"


def test_a_mirror_s_token_is_asked_for_the_mirror() -> None:
    s, _ = challenged(mirrors=1)
    assert s.token.effect.mirror == 0


def test_a_token_and_a_refusal_leave_no_trace_when_their_time_is_up() -> None:
    for refused in (False, True):
        s, client = challenged(negative_ttl=10.0, limits=Limits(linger=0.0))
        before = scenario(config(negative_ttl=10.0, limits=Limits(linger=0.0)))
        if refused:
            s.token.refuses(403)
            due = s.now + 10.0
        else:
            s.token.grants("t1", expires_in=60.0)
            client.leaves()
            s.passes(0.0)
            due = s.now + 55.0
        assert s.cache.next_deadline() == due
        s.passes(due - s.now)
        assert s.cache.next_deadline() == before.cache.next_deadline()


@pytest.mark.parametrize("status", [500, 503])
def test_a_token_service_that_fails_is_passed_on_with_its_wish(status: int) -> None:
    s = scenario()
    client = s.get(LATEST)
    s.fetch.answers(401, challenges=(CHALLENGE,))
    s.token.refuses(status, retry_after=7)
    assert (client.status, client.problem.retry_after) == (502, 7)
    assert str(status) in client.problem.message


def test_a_token_that_has_run_out_before_it_is_refused_is_refused_all_the_same() -> None:
    s, client = challenged()
    s.token.grants("t1", expires_in=10.0)
    s.passes(5.0)
    s.fetch.answers(401, challenges=(CHALLENGE,))
    s.token.grants("t2")
    s.fetch.delivers(LAYER)
    assert client.status == 200


def test_a_token_that_ran_out_unnoticed_has_no_second_end() -> None:
    s, _ = challenged()
    s.token.grants("t1", expires_in=60.0)
    s.fetch.delivers(LAYER)
    s.now += 55.0
    s.get(SECOND)
    s.passes(0.0)
    s.token.grants("t2")
    assert token_of(s.fetch) == "t2"


def test_nor_has_one_that_upstream_refused_before() -> None:
    s, _ = challenged()
    s.token.grants("t1", expires_in=20.0)
    s.fetch.answers(401, challenges=(CHALLENGE,))
    s.passes(15.0)
    s.token.grants("t2")
    assert token_of(s.fetch) == "t2"


@pytest.mark.parametrize("refused", [False, True])
def test_when_its_time_is_up_it_is_as_if_it_had_never_been(refused: bool) -> None:
    prints = []
    for wait in (1.0, 2.0):
        s, client = challenged(negative_ttl=10.0, limits=Limits(linger=0.0))
        if refused:
            s.token.refuses(403)
        else:
            s.token.grants("t1", expires_in=15.0)
            client.leaves()
        s.passes(10.0 + wait)
        prints.append(s.cache.fingerprint(s.now))
        assert s.cache.next_deadline() is None
    assert prints[0] == prints[1]


def test_it_does_not_matter_when_a_token_was_asked_for() -> None:
    prints = []
    for start in (START, START + 5.0):
        s = scenario(now=start)
        s.get(BLOB)
        s.fetch.answers(401, challenges=(CHALLENGE,))
        prints.append(s.cache.fingerprint(s.now))
    assert prints[0] == prints[1]
