import json
from typing import Any
from urllib.parse import parse_qs

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from distcache.core.events import Cause, Challenge, Secret
from distcache.wire.challenge import (
    DEFAULT_LIFE,
    LONGEST_LIFE,
    Credentials,
    Grant,
    Refusal,
    challenges,
    token_answer,
    token_request,
    trusted,
)
from distcache.wire.outgoing import IdentityToken
from distcache.wire.urls import Url, parse
from tests.wire.samples import GHCR, HUB, LOCAL, NOON

CREDENTIALS = Credentials("alice", "s3cret")
REALM = "https://auth.docker.io/token"
PULL = "repository:library/alpine:pull"


def parsed(*lines: str) -> tuple[Challenge, ...]:
    return challenges(HUB, [(b"WWW-Authenticate", line.encode("latin-1")) for line in lines])


def bearer(realm: str = REALM, service: str = "", scope: str = "") -> Challenge:
    return Challenge(True, realm, service, scope, trusted=True)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            [f'Bearer realm="{REALM}",service="registry.docker.io",scope="{PULL}"'],
            [bearer(REALM, "registry.docker.io", PULL)],
        ),
        ([f'bearer  REALM = "{REALM}" , scope="r:a:pull,push"'], [bearer(scope="r:a:pull,push")]),
        ([f"Bearer realm={REALM},service=x"], [bearer(service="x")]),
        ([f'Bearer realm="{REALM}",service="a\\"b"'], [bearer(service='a"b')]),
        ([f'Bearer realm="{REALM}",realm="https://evil.docker.io/"'], [bearer()]),
        ([f'Bearer error="invalid_token", realm="{REALM}", x=y'],
         [evolve(bearer(), error="invalid_token")]),
        (['Basic realm="a, b"'], [Challenge(False, "a, b")]),
        (["Basic"], [Challenge(False, "")]),
        ([f'Basic realm="a", Bearer realm="{REALM}"'], [Challenge(False, "a"), bearer()]),
        (['Basic realm="a"', f'Bearer realm="{REALM}"'], [Challenge(False, "a"), bearer()]),
        ([f'Negotiate, NTLM dG9rZW4=, Bearer realm="{REALM}"'], [bearer()]),
        ([f'Negotiate YQ==,Basic realm="a",Digest qop="x,y",nonce=z, Bearer realm="{REALM}"'],
         [Challenge(False, "a"), bearer()]),
        ([f'@@@ ;;, ,,Bearer realm="{REALM}"'], [bearer()]),
        (['Bearer realm="/token"', "Bearer", 'Bearer realm="ftp://x/"', ""], []),
        (['Bearer realm="https://never.closed/'], []),
        (["Custom a=b"], []),
    ],
)  # fmt: skip
def test_challenges_are_taken_apart(lines: list[str], expected: list[Challenge]) -> None:
    assert list(parsed(*lines)) == expected


@pytest.mark.parametrize(
    ("home", "realm", "expected"),
    [
        ("https://registry-1.docker.io", "https://auth.docker.io/token", True),
        ("https://ghcr.io", "https://ghcr.io/token", True),
        ("https://ghcr.io", "https://ghcr.io:8443/token", True),
        ("https://ghcr.io", "http://ghcr.io/token", False),
        ("https://registry-1.docker.io", "https://auth.docker.io.evil.com/", False),
        ("https://registry-1.docker.io", "https://evildocker.io/", False),
        ("https://registry-1.docker.io", "https://example.com/", False),
        ("https://registry.gitlab.example.co.uk", "https://gitlab.example.co.uk/jwt/auth", True),
        ("https://a.co.uk", "https://b.co.uk/", False),
        ("https://a.github.io", "https://b.github.io/", False),
        ("http://registry.example.com", "http://auth.example.com/", True),
        ("http://registry.example.com", "https://auth.example.com/", True),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token", True),
        ("http://127.0.0.1:5000", "http://127.0.0.2:5001/token", False),
        ("http://10.0.0.1", "http://10.0.1.1/", False),
        ("http://192.168.0.1", "http://10.9.0.1/", False),
        ("http://localhost:5000", "http://localhost:5001/token", True),
        ("http://localhost:5000", "http://auth.localhost/token", False),
        ("http://[::1]:5000", "http://[::1]/token", True),
        ("http://[fd00::1]", "http://[fd00::2]/token", False),
        ("http://registry:5000", "http://registry/token", True),
        ("http://registry:5000", "http://auth/token", False),
    ],
)
def test_the_password_is_shown_to_the_same_domain_only(
    home: str, realm: str, expected: bool
) -> None:
    here, there = parse(home), parse(realm)
    assert here is not None
    assert there is not None
    assert trusted(here, there) is expected


def test_a_foreign_realm_is_asked_without_password() -> None:
    (challenge,) = parsed('Bearer realm="https://example.com/token",service="x"')
    assert not challenge.trusted
    request = token_request(challenge, CREDENTIALS)
    assert b"Authorization" not in dict(request.headers)
    assert request.url == Url("https", "example.com", 443, "/token?service=x")


@pytest.mark.parametrize("realm", ["http://127.0.0.1/", "https://169.254.169.254/", "http://db/"])
def test_a_public_upstream_names_no_realm_on_a_private_address(realm: str) -> None:
    header = [(b"www-authenticate", f'Bearer realm="{realm}"'.encode())]
    assert challenges(GHCR, header) == ()
    allowed = challenges(evolve(GHCR, allow_private_redirects=True), header)
    assert [c.trusted for c in allowed] == [False]


def test_a_local_upstream_may_have_a_local_realm() -> None:
    header = [(b"www-authenticate", b'Bearer realm="http://127.0.0.1:5100/token"')]
    assert challenges(LOCAL, header) == (bearer("http://127.0.0.1:5100/token"),)


def test_a_token_is_asked_for_with_service_scopes_account_and_basic() -> None:
    request = token_request(bearer(REALM, "registry.docker.io", f"{PULL} r:b:pull"), CREDENTIALS)
    assert request.method == "GET"
    assert request.url == Url(
        "https",
        "auth.docker.io",
        443,
        f"/token?service=registry.docker.io&scope={PULL}&scope=r:b:pull&account=alice",
    )
    assert dict(request.headers)[b"Authorization"] == CREDENTIALS.basic().encode()


def test_without_credentials_a_token_is_asked_for_anonymously() -> None:
    request = token_request(bearer(scope=PULL), None)
    assert request.url.target == f"/token?scope={PULL}"
    assert b"Authorization" not in dict(request.headers)


def test_the_realms_own_query_is_kept_and_values_are_encoded() -> None:
    request = token_request(bearer("https://auth.docker.io/t?a=b", 'A & "B"\r\n', ""), None)
    assert request.url.target == "/t?a=b&service=A%20%26%20%22B%22%0D%0A"


IDENTITY = IdentityToken(Secret("refresh+/="))


def test_an_identity_token_is_changed_for_an_access_token_by_post() -> None:
    challenge = bearer(REALM, "registry.docker.io", f"{PULL} r:b:pull")
    request = token_request(challenge, IDENTITY)
    assert (request.method, request.url) == ("POST", Url("https", "auth.docker.io", 443, "/token"))
    assert parse_qs(request.body.decode(), strict_parsing=True) == {
        "grant_type": ["refresh_token"],
        "client_id": ["distcache"],
        "service": ["registry.docker.io"],
        "scope": [f"{PULL} r:b:pull"],
        "refresh_token": ["refresh+/="],
    }
    fields = dict(request.headers)
    assert fields[b"Content-Type"] == b"application/x-www-form-urlencoded"
    assert fields[b"Content-Length"] == str(len(request.body)).encode()
    assert b"Authorization" not in fields


def test_a_scope_and_a_service_that_upstream_did_not_name_are_not_sent() -> None:
    body = token_request(bearer(REALM), IDENTITY).body
    assert b"scope" not in body
    assert b"service" not in body


def test_a_foreign_realm_sees_no_identity_token() -> None:
    (challenge,) = parsed('Bearer realm="https://example.com/token",service="x"')
    request = token_request(challenge, IDENTITY)
    assert (request.method, request.body) == ("GET", b"")
    assert request == token_request(challenge, None)


def test_an_identity_token_is_not_shown() -> None:
    request = token_request(bearer(REALM, "s", PULL), IDENTITY)
    for value in (request, IDENTITY):
        assert "refresh+" not in repr(value)
        assert "refresh%2B" not in repr(value)


def answered(answer: Any, status: int = 200) -> Grant | Refusal:
    return token_answer(status, [], json.dumps(answer).encode(), NOON)


def test_the_token_has_one_of_two_names() -> None:
    assert answered({"token": "a.b"}) == Grant(Secret("a.b"), DEFAULT_LIFE)
    assert answered({"access_token": "c"}) == Grant(Secret("c"), DEFAULT_LIFE)
    assert answered({"token": "a", "access_token": "c"}) == Grant(Secret("a"), DEFAULT_LIFE)
    assert answered({"token": "", "access_token": "c"}) == Grant(Secret("c"), DEFAULT_LIFE)


@pytest.mark.parametrize(
    ("expires_in", "expected"),
    [
        (300, 300.0),
        (30, 30.0),
        (0.5, 1.0),
        (0, 1.0),
        (-5, 1.0),
        (10**400, LONGEST_LIFE),
        ("300", DEFAULT_LIFE),
        (None, DEFAULT_LIFE),
        (True, DEFAULT_LIFE),
        ([], DEFAULT_LIFE),
    ],
)
def test_a_token_lives_as_long_as_said_and_60_seconds_by_default(
    expires_in: Any, expected: float
) -> None:
    assert answered({"token": "a", "expires_in": expires_in}) == Grant(Secret("a"), expected)


def test_a_number_that_is_none_is_garbage() -> None:
    said = token_answer(200, [], b'{"token":"a","expires_in":1e999}', NOON)
    assert said == Grant(Secret("a"), DEFAULT_LIFE)


@pytest.mark.parametrize(
    "answer",
    [{}, [], "x", {"token": 5}, {"token": "a\r\nX: y"}, {"token": "a b"}, {"token": "\u00e9"}],
)
def test_an_answer_without_a_token_is_no_answer(answer: Any) -> None:
    assert answered(answer) == Refusal(None, Cause.CUT)


def test_big_tokens_are_taken() -> None:
    assert answered({"token": "x" * 40_000}) == Grant(Secret("x" * 40_000), DEFAULT_LIFE)


@pytest.mark.parametrize("status", [201, 302, 400, 401, 403, 404, 500])
def test_any_other_status_refuses(status: int) -> None:
    assert answered({"token": "a"}, status) == Refusal(status)


def test_token_services_limit_too() -> None:
    headers = [(b"Retry-After", b"7")]
    assert token_answer(429, headers, b"slow down", NOON) == Refusal(429, retry_after=7)


def test_a_token_is_not_shown() -> None:
    assert "a.b" not in repr(answered({"token": "a.b"}))


WORDS = ["Bearer", "Basic", " ", ",", "=", '"', "\\", "realm", REALM, "scope", "x", "==", "\t"]


@given(st.lists(st.sampled_from(WORDS), max_size=14).map("".join) | st.text('\x00\xff=," aB\\'))
def test_no_challenge_is_too_odd(line: str) -> None:
    for challenge in parsed(line):
        if challenge.bearer:
            token_request(challenge, CREDENTIALS)


@given(st.binary(max_size=40), st.integers(100, 599))
def test_no_token_answer_is_too_odd(body: bytes, status: int) -> None:
    token_answer(status, [(b"retry-after", body)], body, NOON)
