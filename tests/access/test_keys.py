"""Which keys a token's header can mean, and which certificates are taken."""

import base64
import json
from hashlib import sha256

import jwt
import pytest
from attrs import evolve
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from distcache.access.keys import (
    LONGEST_CHAIN,
    Keys,
    UntrustedKey,
    algorithms,
    bundle,
    key_set,
    libtrust_id,
    thumbprint,
)
from tests.access.signing import NOON, Signer, certify, days, key

KINDS = ["RS256", "ES256", "ES384", "ES512", "EdDSA"]

RFC7638 = """{"kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29", "n":
"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
}"""

OKP = """{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"""


def signed_by_root(kind: str = "ES256") -> tuple[Keys, Signer]:
    """A root that is trusted, and a signer two steps below it."""
    root = certify("root", key(kind, 1), authority=True)
    middle = certify("middle", key(kind, 2), root, authority=True)
    leaf = certify("leaf", key(kind, 3), middle)
    return bundle(root.pem), leaf


def test_the_thumbprints_of_the_rfcs() -> None:
    (rsa,) = {thumbprint(k) for k in key_set(f'{{"keys": [{RFC7638}]}}'.encode()).by_id.values()}
    assert rsa == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    (okp,) = {thumbprint(k) for k in key_set(f'{{"keys": [{OKP}]}}'.encode()).by_id.values()}
    assert okp == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificates_own_key_has_the_names_of_both_versions(kind: str) -> None:
    signer = certify("self", key(kind))
    keys = bundle(signer.pem)
    public = signer.certificate.public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    old = base64.b32encode(sha256(der).digest()[:30]).decode()
    assert len(keys.by_id) == 2
    for name in keys.by_id:
        assert keys.find({"kid": name}, NOON) == public
    assert ":".join(old[i : i + 4] for i in range(0, 48, 4)) in keys.by_id
    jwk = json.loads(jwt.get_algorithm_by_name(kind).to_jwk(public))
    (named,) = key_set(json.dumps({"keys": [jwk | {"kid": "x"}]}).encode()).by_id.values()
    assert {thumbprint(named), libtrust_id(named)} == keys.by_id.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_good_for_its_own_algorithms(kind: str) -> None:
    (public, _) = bundle(certify("self", key(kind)).pem).by_id.values()
    assert kind in algorithms(public)
    assert not any(other in algorithms(public) for other in KINDS if other != kind)
    assert "HS256" not in algorithms(public)
    assert "none" not in algorithms(public)


@pytest.mark.parametrize("kind", ["RS256", "ES256", "ES384", "ES512"])
def test_a_chain_up_to_the_bundle_is_trusted(kind: str) -> None:
    keys, leaf = signed_by_root(kind)
    public = leaf.certificate.public_key()
    assert keys.find({"x5c": leaf.x5c}, NOON) == public
    assert keys.find({"x5c": leaf.x5c[:2]}, NOON) == public
    assert keys.find({"jwk": {"x5c": leaf.x5c}}, NOON) == public


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_of_the_bundle_itself_is_trusted(kind: str) -> None:
    signer = certify("self", key(kind))
    keys = bundle(signer.pem)
    assert keys.find({"x5c": signer.x5c}, NOON) == signer.certificate.public_key()


def test_what_no_certificate_of_the_bundle_signed_is_not_trusted() -> None:
    keys, leaf = signed_by_root()
    stranger = certify("root", key("ES256", 4), authority=True)
    for chain in (leaf.x5c[:1], stranger.x5c, certify("leaf", key("ES256", 5), stranger).x5c):
        with pytest.raises(UntrustedKey, match="not trusted"):
            keys.find({"x5c": chain}, NOON)
    with pytest.raises(UntrustedKey, match="no bundle"):
        Keys().find({"x5c": leaf.x5c}, NOON)


def test_who_is_no_authority_signs_nothing() -> None:
    root = certify("root", key("ES256", 1), authority=True)
    leaf = certify("leaf", key("ES256", 2), root)
    below = certify("below", key("ES256", 3), leaf)
    with pytest.raises(UntrustedKey, match="not trusted"):
        bundle(root.pem).find({"x5c": below.x5c}, NOON)
    plain = certify("plain", key("ES256", 4))
    with pytest.raises(UntrustedKey, match="not trusted"):
        bundle(plain.pem).find({"x5c": certify("x", key("ES256", 5), plain).x5c}, NOON)


@pytest.mark.parametrize("now", [NOON - days(1), NOON + days(1)])
def test_certificates_have_their_time(now: float) -> None:
    keys, leaf = signed_by_root()
    with pytest.raises(UntrustedKey, match="not trusted"):
        keys.find({"x5c": leaf.x5c}, now)


def test_the_chain_comes_before_the_name() -> None:
    keys, leaf = signed_by_root()
    (name, _) = keys.by_id
    with pytest.raises(UntrustedKey):
        keys.find({"x5c": [], "kid": name}, NOON)
    assert keys.find({"x5c": leaf.x5c, "kid": "x"}, NOON) == leaf.certificate.public_key()


def test_a_key_in_the_header_counts_by_its_name_only() -> None:
    keys = bundle(certify("self", key("ES256")).pem)
    name = next(iter(keys.by_id))
    foreign = json.loads(jwt.get_algorithm_by_name("ES256").to_jwk(key("ES256", 9).public_key()))
    with pytest.raises(UntrustedKey):
        keys.find({"jwk": foreign}, NOON)
    assert keys.find({"jwk": foreign | {"kid": name}}, NOON) == key("ES256").public_key()


@pytest.mark.parametrize(
    "header",
    [{}, {"kid": 5}, {"kid": None}, {"kid": ["a"]}, {"jwk": "x"}, {"jwk": {}}, {"kid": "unknown"}],
)
def test_no_name_no_key(header: dict[str, object]) -> None:
    with pytest.raises(UntrustedKey, match="not known"):
        bundle(certify("self", key("ES256")).pem).find(header, NOON)


@pytest.mark.parametrize("chain", ["x", {}, [5], ["!"], ["YQ=="], [None], 7])
def test_a_chain_that_is_none(chain: object) -> None:
    with pytest.raises(UntrustedKey, match="cannot be read"):
        bundle(certify("self", key("ES256")).pem).find({"x5c": chain}, NOON)


def test_nobody_can_make_us_check_endless_chains() -> None:
    keys, leaf = signed_by_root()
    with pytest.raises(UntrustedKey, match="cannot be read"):
        keys.find({"x5c": leaf.x5c * LONGEST_CHAIN}, NOON)


def test_a_certificate_for_an_unusable_key_is_refused() -> None:
    root = certify("root", key("ES256", 1), authority=True)
    leaf = certify("leaf", key("ES256K"), root)
    with pytest.raises(UntrustedKey):
        bundle(root.pem).find({"x5c": leaf.x5c}, NOON)
    with pytest.raises(ValueError, match="neither RSA"):
        bundle(certify("self", key("ES256K")).pem)


@pytest.mark.parametrize(
    "pem", [b"", b"junk", b"-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n"]
)
def test_a_bundle_without_certificates(pem: bytes) -> None:
    with pytest.raises(ValueError, match="holds no certificates in PEM"):
        bundle(pem)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no JSON Web Key Set"),
        ("[]", "is no JSON Web Key Set"),
        ("{}", "is no JSON Web Key Set"),
        ('{"keys": {}}', "is no JSON Web Key Set"),
        ('{"keys": ["x"]}', r"keys\[0\] is no"),
        ('{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', r"keys\[0\] is no"),
        ('{"keys": [{"kty": "RSA", "n": "x"}]}', r"keys\[0\] is no"),
        ('{"keys": [' + OKP + ', {"kty": "new"}]}', r"keys\[1\] is no"),
        ("[" * 100_000, "is no JSON Web Key Set"),
    ],
)
def test_a_key_set_that_cannot_be_used(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        key_set(text.encode())
    assert "c2VjcmV0" not in str(caught.value)


def test_of_a_private_key_only_the_public_half_is_kept() -> None:
    private = json.loads(jwt.get_algorithm_by_name("EdDSA").to_jwk(key("EdDSA")))
    (kept, _) = key_set(json.dumps({"keys": [private]}).encode()).by_id.values()
    assert kept == key("EdDSA").public_key()


def test_keys_add_up() -> None:
    one = bundle(certify("self", key("ES256")).pem)
    other = key_set(f'{{"keys": [{RFC7638}]}}'.encode())
    both = one | other
    assert both.roots == one.roots
    assert both.by_id.keys() == one.by_id.keys() | {"2011-04-29"}
    assert both
    assert not Keys()
    assert evolve(both, roots=())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=5,
)


@given(st.fixed_dictionaries({}, optional={"x5c": JSON, "jwk": JSON, "kid": JSON}))
def test_no_header_is_too_odd(header: dict[str, object]) -> None:
    with pytest.raises(UntrustedKey):
        bundle(SELF.pem).find(header, NOON)


SELF = certify("self", key("EdDSA"))
