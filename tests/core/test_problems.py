"""What a client is told about what went wrong: the truth, in the specification's codes."""

import pytest
from attrs import evolve

from distcache.core import problems
from distcache.core.effects import Code, Problem
from distcache.core.events import Cause, UpstreamHead
from distcache.core.oci import Content, Kind, Reference
from distcache.core.problems import (
    INCOMPLETE,
    NO_TOKEN,
    NOT_A_DOCUMENT,
    SHORT,
    TOO_SLOW,
    UNKEPT,
    WRONG_DIGEST,
    WRONG_RANGE,
    Failure,
    problem,
    refusal,
    said,
)
from tests.core.content import APP, IMAGE, LATEST, LAYER, REFERRERS, TAGS

UNAVAILABLE = Code.UNAVAILABLE


def told(failure: Failure, resource: Reference | Content = LATEST) -> Problem:
    return problem(failure, APP, resource)


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize(
    ("resource", "code"),
    [
        (LATEST, Code.MANIFEST_UNKNOWN),
        (IMAGE.content, Code.MANIFEST_UNKNOWN),
        (LAYER.content, Code.BLOB_UNKNOWN),
        (IMAGE.as_kind(Kind.LISTING), Code.MANIFEST_UNKNOWN),
        (TAGS, Code.NAME_UNKNOWN),
    ],
)
def test_absent_is_404_with_the_code_of_what_was_asked(
    status: int, resource: Reference | Content, code: Code
) -> None:
    assert (told(Failure(status), resource).status, told(Failure(status), resource).code) == (
        404,
        code,
    )


def test_absent_referrers_send_the_client_to_the_tag_schema() -> None:
    # NAME_UNKNOWN with a 404 is an error for oras; any other code means "not supported".
    absent = told(Failure(404), REFERRERS)
    assert (absent.status, absent.code) == (404, Code.UNSUPPORTED)


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (Failure(401), 401, Code.UNAUTHORIZED),
        (Failure(403), 403, Code.DENIED),
        (Failure(429), 429, Code.TOOMANYREQUESTS),
        (Failure(500), 502, UNAVAILABLE),
        (Failure(503), 502, UNAVAILABLE),
        (Failure(400), 502, UNAVAILABLE),
        (Failure(cause=Cause.TIMEOUT), 504, UNAVAILABLE),
        (problems.TOO_SLOW, 504, UNAVAILABLE),
        (Failure(cause=Cause.UNREACHABLE), 502, UNAVAILABLE),
        (Failure(cause=Cause.CUT), 502, UNAVAILABLE),
        (Failure(cause=Cause.REFUSED), 502, UNAVAILABLE),
        (Failure(cause=Cause.TOO_LARGE), 502, UNAVAILABLE),
        (problems.WRONG_DIGEST, 502, UNAVAILABLE),
        (problems.SHORT, 502, UNAVAILABLE),
        (problems.NOT_A_DOCUMENT, 502, UNAVAILABLE),
        (problems.WRONG_RANGE, 502, UNAVAILABLE),
    ],
)
def test_the_status_is_true_and_404_only_upstream_s(
    failure: Failure, status: int, code: Code
) -> None:
    answer = told(failure)
    assert (answer.status, answer.code) == (status, code)


def test_a_limited_client_is_told_how_long_to_wait() -> None:
    assert told(Failure(429, retry_after=77)).retry_after == 77
    assert told(Failure(429, retry_after=0)).retry_after == 0
    assert told(Failure(429)).retry_after == problems.RETRY_AFTER == 10
    assert told(Failure(503, retry_after=5)).retry_after == 5


def test_every_trouble_is_told_in_its_own_words() -> None:
    failures = [
        Failure(500),
        Failure(fault="nonsense"),
        *(Failure(cause=c) for c in (Cause.UNREACHABLE, Cause.REFUSED, Cause.TOO_LARGE)),
        Failure(cause=Cause.CUT),
        Failure(cause=Cause.TIMEOUT),
        *(Failure(status) for status in (401, 403, 404, 429)),
    ]
    messages = {told(failure).message for failure in failures}
    assert len(messages) == len(failures)
    assert all(APP.upstream in message for message in messages)
    assert "500" in told(Failure(500)).message
    assert "nonsense" in told(Failure(fault="nonsense")).message


@pytest.mark.parametrize(
    ("status", "definite", "absent"),
    [
        (401, True, False),
        (403, True, False),
        (404, True, True),
        (410, True, True),
        (429, False, False),
        (400, False, False),
        (500, False, False),
        (None, False, False),
    ],
)
def test_only_a_definite_answer_rules_out_an_older_one(
    status: int | None, definite: bool, absent: bool
) -> None:
    failure = Failure(status)
    assert (failure.definite, failure.absent) == (definite, absent)


def test_what_is_of_our_own_making_is_503() -> None:
    assert Problem(503, UNAVAILABLE, problems.OFFLINE.message) == problems.OFFLINE
    assert (problems.DRAINING.status, problems.DRAINING.code) == (503, UNAVAILABLE)
    assert problems.DRAINING.retry_after == 5
    assert told(problems.NOT_ASKED) == problems.OFFLINE
    elsewhere = told(evolve(problems.NOT_ASKED, elsewhere=True))
    assert elsewhere.message == "hub sent nothing, being not asked"


FAULTS = [SHORT, WRONG_DIGEST, NOT_A_DOCUMENT, NO_TOKEN, INCOMPLETE, UNKEPT, WRONG_RANGE]


@pytest.mark.parametrize("failure", FAULTS, ids=lambda failure: failure.fault)
def test_what_is_wrong_with_what_upstream_sent_is_said(failure: Failure) -> None:
    told = problem(failure, APP, LAYER.content)
    assert told.status == 502
    assert failure.fault
    assert told.message == f"hub sent {failure.fault}"


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (Cause.UNREACHABLE, "cannot be reached"),
        (Cause.REFUSED, "led to a place that this cache may not follow"),
        (Cause.TOO_LARGE, "sent a document beyond the limit"),
        (Cause.CUT, "broke off"),
    ],
)
def test_why_upstream_could_not_be_asked_is_said(cause: Cause, words: str) -> None:
    assert problem(Failure(cause=cause), APP, LAYER.content).message == f"hub {words}"


@pytest.mark.parametrize("status", [100, 204, 304, 401, 404, 429, 500])
def test_a_head_without_content_is_a_failure_of_its_status(status: int) -> None:
    head = UpstreamHead(status, retry_after=7)
    assert refusal(head, 0) == Failure(status, retry_after=7)


def test_a_head_brings_content_that_goes_on_from_what_is_there() -> None:
    assert refusal(UpstreamHead(200, 100), 0) is None
    assert refusal(UpstreamHead(200, 100), 40) is None, "the whole, again"
    assert refusal(UpstreamHead(206, 60, 40), 40) is None
    assert refusal(UpstreamHead(206, 60, 40), 39) is WRONG_RANGE
    assert refusal(UpstreamHead(206, 60, 40), 41) is WRONG_RANGE
    assert refusal(UpstreamHead(416), 40) is WRONG_RANGE


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (Failure(503), None),
        (TOO_SLOW, "did not answer in time"),
        (Failure(cause=Cause.UNREACHABLE), "cannot be reached"),
        (SHORT, f"sent {SHORT.fault}"),
    ],
)
def test_why_an_answer_is_none_is_said_where_its_status_does_not(
    failure: Failure, words: str | None
) -> None:
    assert said(failure) == words
