"""`/v2/` where clients log in at upstream: they are given upstream's own challenge."""

import pytest
from attrs import evolve

from distcache.core.config import Config, Limits, Upstream
from distcache.core.events import Cause, Challenge
from distcache.core.oci import Repository, Secret
from distcache.core.pings import TRANSITIONS, PingInput, PingState
from distcache.core.pull import Authority, Method, Ping
from tests.core.actors import Client
from tests.core.content import HUB
from tests.core.drawing import assert_drawn
from tests.core.scenario import Scenario, scenario

OPEN = Config({HUB: Upstream()}, limits=Limits(greeting=3600.0))
NOBODY = Authority("anonymous")
ALICE = Authority("a", Secret("Bearer alice"))
BEARER = Challenge(True, "https://auth.hub/token", "hub")


def ping(s: Scenario, authority: Authority = NOBODY) -> Client:
    return s.get(Ping(Repository(HUB, "", authority.name)), authority=authority)


def test_the_table() -> None:
    assert_drawn(
        TRANSITIONS,
        PingState,
        PingInput,
        """
        UNKNOWN ASK    ASKED
        ASKED   ASK    ASKED
        ASKED   TOLD   KNOWN
        ASKED   FAILED UNKNOWN
        KNOWN   LAPSED UNKNOWN
        """,
    )


def test_upstream_s_challenge_is_handed_on_and_remembered() -> None:
    s = scenario(OPEN)
    client = ping(s)
    assert s.fetch.request.method is Method.GET
    assert isinstance(s.fetch.request.resource, Ping)
    s.fetch.answers(401, challenges=(BEARER,))
    assert (client.status, client.problem.challenge) == (401, BEARER)
    again = ping(s)
    assert (again.status, again.problem.challenge) == (401, BEARER)
    s.passes(3600.0)
    assert ping(s).status is None, "asked anew"


def test_an_open_upstream_is_open_here() -> None:
    s = scenario(OPEN)
    client = ping(s)
    s.fetch.answers(200)
    assert (client.status, client.answer.problem) == (200, None)
    assert ping(s).status == 200


def test_who_shows_something_is_let_through_to_be_judged_by_upstream() -> None:
    s = scenario(OPEN)
    assert ping(s, ALICE).status == 200
    assert not s.transfers


def test_one_question_serves_all() -> None:
    s = scenario(OPEN)
    clients = [ping(s) for _ in range(3)]
    clients[1].leaves()
    s.fetch.answers(401, challenges=(BEARER,))
    assert [client.status for client in clients] == [401, None, 401]
    assert clients[2].decision.collapsed


@pytest.mark.parametrize(
    ("status", "told"), [(503, 502), (404, 404), (429, 429), (401, 401)], ids=str
)
def test_an_upstream_that_does_not_greet_is_told_as_it_is(status: int, told: int) -> None:
    s = scenario(OPEN)
    client = ping(s)
    s.fetch.answers(status)
    assert client.status == told
    assert ping(s).status is None, "nothing was learnt"


def test_one_that_cannot_be_reached_is_a_502_and_one_that_says_nothing_a_504() -> None:
    s = scenario(OPEN)
    client = ping(s)
    s.fetch.fails(Cause.UNREACHABLE)
    assert client.status == 502
    waiting = ping(s)
    s.passes(evolve(OPEN.limits).answer)
    assert waiting.status == 504


def test_offline_nothing_is_known() -> None:
    s = scenario(evolve(OPEN, offline=True))
    assert ping(s).status == 503


def test_where_a_login_of_our_own_is_refused_it_is_not_tried_again() -> None:
    s = scenario(OPEN)
    ours = Ping(Repository(HUB, ""))
    first = s.get(ours)
    s.fetch.answers(401, challenges=(BEARER,))
    s.token.refuses(401)
    assert first.status == 401
    again = s.get(ours)
    assert (again.status, len(s.transfers), len(s.tokens)) == (401, 1, 1)


def test_one_that_limits_says_how_long_to_wait() -> None:
    s = scenario(OPEN)
    client = ping(s)
    s.fetch.answers(429, retry_after=77)
    assert (client.status, client.problem.retry_after) == (429, 77)
