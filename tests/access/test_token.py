"""Tokens as the registry takes them, and everything that makes one worthless."""

import base64
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcache.access.keys import bundle
from distcache.access.token import LEEWAY, InvalidToken, TokenGrant, Tokens, verify
from distcache.core.events import Secret
from tests.access.signing import NOON, certify, claims, key, rule, sign

SIGNER = certify("signer", key("ES256"))
KEYS = bundle(SIGNER.pem)
RULE = rule(KEYS)
PULL = ("repository", "library/alpine", "pull")


def signed(**changes: object) -> Secret:
    return Secret(sign(claims(**changes), SIGNER.key, x5c=SIGNER.x5c))


def judged(token: Secret, now: float = NOON) -> TokenGrant:
    return verify(RULE, token, now)


@pytest.mark.parametrize("kind", ["RS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_every_kind_of_key(kind: str) -> None:
    signer = certify("signer", key(kind))
    keys = bundle(signer.pem)
    tokens = [sign(claims(), signer.key, kind, x5c=signer.x5c)]
    tokens += [sign(claims(), signer.key, kind, kid=name) for name in keys.by_id]
    for token in tokens:
        grant = verify(rule(keys), Secret(token), NOON)
        assert grant == TokenGrant("alice", frozenset({PULL}), NOON + 300 + LEEWAY)


def test_probabilistic_rsa() -> None:
    signer = certify("signer", key("RS256"))
    token = Secret(sign(claims(), signer.key, "PS256", x5c=signer.x5c))
    assert verify(rule(bundle(signer.pem)), token, NOON).subject == "alice"
    narrow = rule(bundle(signer.pem), allowed=frozenset({"RS256"}))
    with pytest.raises(InvalidToken):
        verify(narrow, token, NOON)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"iss": "somebody"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"iss": ["https://issuer.example"]}, "issuer"),
        ({"aud": "other"}, "service"),
        ({"aud": ["other"]}, "service"),
        ({"aud": None}, "service"),
        ({"exp": None}, "run out"),
        ({"exp": NOON - LEEWAY}, "run out"),
        ({"exp": "tomorrow"}, "time"),
        ({"exp": True}, "time"),
        ({"exp": 10**400}, "time"),
        ({"nbf": NOON + LEEWAY + 1}, "not valid yet"),
        ({"nbf": [1]}, "time"),
        ({"sub": 5}, "subject"),
        ({"access": "all"}, "access"),
        ({"access": ["x"]}, "access"),
        ({"access": [{"type": "repository", "actions": ["pull"]}]}, "access"),
    ],
)
def test_claims_that_do_not_fit(changes: dict[str, object], why: str) -> None:
    with pytest.raises(InvalidToken, match=why):
        judged(signed(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["other", "cache.example"]},
        {"exp": NOON - LEEWAY + 1},
        {"exp": NOON + 0.5},
        {"nbf": NOON + LEEWAY},
        {"nbf": None, "iat": None, "jti": None},
        {"iat": "whenever"},
    ],
)
def test_claims_that_do(changes: dict[str, object]) -> None:
    assert judged(signed(**changes)).pull(["library/alpine"])


def test_clocks_may_differ_by_a_minute() -> None:
    token = signed(exp=NOON)
    assert judged(token, NOON + LEEWAY - 1)
    with pytest.raises(InvalidToken, match="run out"):
        judged(token, NOON + LEEWAY)


def test_a_token_without_access_lets_in_and_opens_nothing() -> None:
    absent: tuple[object, ...] = (None, [])
    for access in absent:
        grant = judged(signed(access=access, sub=None))
        assert grant == TokenGrant("", frozenset(), NOON + 300 + LEEWAY)
        assert not grant.pull(["library/alpine"])
        assert not grant.catalog()


@pytest.mark.parametrize(
    ("entry", "pull", "catalog"),
    [
        ({"type": "repository", "name": "a/b", "actions": ["pull"]}, True, False),
        ({"type": "repository", "name": "a/b", "actions": ["push", "pull"]}, True, False),
        ({"type": "repository", "name": "a/b", "actions": ["*"]}, True, False),
        ({"type": "repository", "name": "a/b", "actions": ["push"]}, False, False),
        ({"type": "repository", "name": "a/b", "actions": []}, False, False),
        ({"type": "repository", "name": "a/b", "actions": "pull"}, False, False),
        ({"type": "repository", "name": "a/b", "actions": [["pull"]]}, False, False),
        ({"type": "repository", "name": "a/b"}, False, False),
        ({"type": "repository", "name": "a/*", "actions": ["pull"]}, False, False),
        ({"type": "repository", "name": "a/b2", "actions": ["pull"]}, False, False),
        ({"type": "registry", "name": "a/b", "actions": ["pull"]}, False, False),
        ({"type": "registry", "name": "catalog", "actions": ["*"]}, False, True),
        ({"type": "registry", "name": "catalog", "actions": ["pull"]}, False, False),
        ({"type": "repository", "name": "catalog", "actions": ["*"]}, False, False),
    ],
)
def test_what_a_token_opens(entry: dict[str, object], pull: bool, catalog: bool) -> None:
    grant = judged(signed(access=[entry]))
    assert grant.pull(["x/y", "a/b"]) is pull
    assert grant.catalog() is catalog


def test_a_changed_token_is_worthless() -> None:
    head, _, signature = signed().value.split(".")
    richer = [{"type": "registry", "name": "catalog", "actions": ["*"]}]
    body = base64.urlsafe_b64encode(json.dumps(claims(access=richer)).encode()).decode()
    with pytest.raises(InvalidToken, match="malformed"):
        judged(Secret(f"{head}.{body.rstrip('=')}.{signature}"))


def test_a_token_of_another_key_is_worthless() -> None:
    stranger = key("ES256", 7)
    for header in ({"x5c": SIGNER.x5c}, {"kid": next(iter(KEYS.by_id))}):
        with pytest.raises(InvalidToken):
            judged(Secret(sign(claims(), stranger, **header)))


@pytest.mark.parametrize("header", [{}, {"kid": "unknown"}, {"x5c": ["YQ=="]}])
def test_a_token_of_no_known_key_is_worthless(header: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken, match=r"not known|cannot be read"):
        judged(Secret(sign(claims(), SIGNER.key, **header)))


def test_a_token_cannot_choose_no_algorithm_or_a_shared_secret() -> None:
    unsigned = jwt.PyJWS().encode(b"{}", "", "none", headers={"kid": next(iter(KEYS.by_id))})
    with pytest.raises(InvalidToken, match="malformed"):
        judged(Secret(unsigned))
    # The public key, which anybody has, in a secret's place.
    public = b"0" * 32 + SIGNER.certificate.tbs_certificate_bytes
    with pytest.raises(InvalidToken, match="malformed"):
        judged(Secret(sign(claims(), public, "HS256", x5c=SIGNER.x5c)))


@pytest.mark.parametrize("payload", [b"", b"[]", b"x", b"5", b'{"exp": NaN}'])
def test_a_payload_that_is_no_claims(payload: bytes) -> None:
    with pytest.raises(InvalidToken, match="no claims"):
        judged(Secret(sign(payload, SIGNER.key, x5c=SIGNER.x5c)))


@given(st.text(st.sampled_from("abAB01.-_=e{}"), max_size=30))
def test_no_token_is_too_odd(text: str) -> None:
    with pytest.raises(InvalidToken):
        judged(Secret(text))


@given(st.binary(max_size=40))
def test_no_header_is_too_odd(header: bytes) -> None:
    first = base64.urlsafe_b64encode(header).rstrip(b"=").decode()
    with pytest.raises(InvalidToken):
        judged(Secret(f"{first}.e30.AAAA"))


def test_reasons_quote_nothing() -> None:
    with pytest.raises(InvalidToken) as caught:
        judged(signed(iss="hunter2", sub="hunter2"))
    assert "hunter2" not in str(caught.value)


def test_a_token_is_verified_once_and_remembered_until_it_runs_out() -> None:
    tokens = Tokens(RULE)
    token = signed()
    assert tokens.cached(token, NOON) is None
    grant = tokens.check(token, NOON)
    assert tokens.cached(token, NOON) == grant
    assert tokens.check(token, NOON) == grant
    assert tokens.cached(token, grant.until - 1) == grant
    assert tokens.cached(token, grant.until) is None
    with pytest.raises(InvalidToken, match="run out"):
        tokens.check(token, grant.until)


def test_what_was_refused_is_not_remembered_as_right() -> None:
    tokens = Tokens(RULE)
    early = signed(nbf=NOON + 3600, exp=NOON + 7200)
    with pytest.raises(InvalidToken, match="not valid yet"):
        tokens.check(early, NOON)
    assert tokens.cached(early, NOON) is None
