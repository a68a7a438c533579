"""Whatever a bearer token says, it is refused with a reason, or the trusted key signed it and its
claims give exactly what is granted.

The first byte chooses: the rest is the token itself; or claims, or a header and claims in two
lines, that the trusted key signs.
"""

import json

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from distcache.access.keys import Keys
from distcache.access.token import LEEWAY, InvalidToken, TokenGrant, TokenRule, verify
from distcache.core.events import Secret

WORDS = (
    b'{"alg":"EdDSA","kid":"k"}',
    b'"alg":"none"',
    b'"alg":"HS256"',
    b'"x5c":["MIIB"]',
    b'"jwk":{"kty":"OKP","crv":"Ed25519","x":""}',
    b'"b64":false,"crit":["b64"]',
    b'"iss":"issuer"',
    b'"aud":"cache"',
    b'"aud":["cache"]',
    b'"exp":1800000300',
    b'"nbf":1799999990',
    b'"sub":"alice"',
    b'"access":[{"type":"repository","name":"a","actions":["pull"]}]',
    b'"actions":["*"]',
    b"1e999",
    b".",
)
NOW = 1_800_000_000.0
_key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
RULE = TokenRule("https://issuer/token", "cache", "issuer", Keys(by_id={"k": _key.public_key()}))


def one_input(data: bytes) -> None:
    way, rest = (data[:1] or b"\0")[0] % 3, data[1:]
    if way == 0:
        assert refused(rest.decode("latin-1")), "nobody signed this"
        return
    header, _, claims = rest.partition(b"\n") if way == 2 else (b"{}", b"", rest)
    token = signed(header, claims)
    if token is not None and not refused(token):
        check(verify(RULE, Secret(token), NOW), json.loads(claims.decode()))


def refused(token: str) -> bool:
    try:
        verify(RULE, Secret(token), NOW)
    except InvalidToken as reason:
        check_reason(str(reason))
        return True
    return False


def check_reason(said: str) -> None:
    assert said.startswith("the token"), said


def signed(header: bytes, claims: bytes) -> str | None:
    """None: no such header can be."""
    try:
        members = json.loads(header)
        if not isinstance(members, dict):
            return None
        members = {"kid": "k"} | members | {"alg": "EdDSA"}
        return jwt.PyJWS().encode(claims, _key, "EdDSA", headers=members)
    except (ValueError, TypeError, RecursionError, jwt.PyJWTError):
        return None


def check(grant: TokenGrant, claims: object) -> None:
    assert isinstance(claims, dict)
    assert claims["iss"] == "issuer", claims
    audience = claims["aud"]
    assert audience == "cache" or (isinstance(audience, list) and "cache" in audience), claims
    assert grant.until == claims["exp"] + LEEWAY, claims
    assert grant.until > NOW, claims
    assert claims.get("nbf") is None or claims["nbf"] - LEEWAY <= NOW, claims
    assert grant.subject == claims.get("sub", ""), claims
    listed = claims.get("access") or []
    assert len(grant.access) <= sum(len(entry.get("actions") or ()) for entry in listed), claims
    for kind, name, action in grant.access:
        entry = {"type": kind, "name": name}
        allowing = [e for e in listed if entry.items() <= e.items() and action in e["actions"]]
        assert allowing, (grant, claims)
