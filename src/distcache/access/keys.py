"""The keys that sign tokens: from a bundle of certificates and from a JWK set, and which of them
a token's header means.

Sources: RFC 7515 §4.1, RFC 7517, RFC 7638; CNCF Distribution, "Token Authentication
Implementation", and registry/auth/token; libtrust's key identifiers, which version 2 of the
registry and its token services use for `kid`.
"""

import binascii
import json
from base64 import b32encode, b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import jwt
from attrs import field, frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import verification

from .rules import ALGORITHMS as ALGORITHMS
from .rules import CURVE_ALGORITHMS, RSA_ALGORITHMS

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

LONGEST_CHAIN = 8
"""Certificates in a header; each one costs a signature check that anybody can ask for."""


class UntrustedKey(Exception):
    """No trusted key signed this; the message is for the log and quotes nothing of the token."""


@frozen
class Keys:
    """`roots` may sign certificates for keys; `by_id` are trusted themselves, by `kid`."""

    roots: tuple[x509.Certificate, ...] = ()
    by_id: Mapping[str, PublicKey] = field(factory=dict)

    def __bool__(self) -> bool:
        return bool(self.roots or self.by_id)

    def __or__(self, other: "Keys") -> "Keys":
        """Both; of two keys of one name the other's."""
        return Keys(self.roots + other.roots, {**self.by_id, **other.by_id})

    def find(self, header: Mapping[str, Any], now: float) -> PublicKey:
        """The key that a token's header names, if trusted at `now`: the certificate chain in
        `x5c`, else the key in `jwk`, else the one called `kid`. Raises UntrustedKey."""
        chain, inline = header.get("x5c"), header.get("jwk")
        if chain is None and isinstance(inline, dict):
            chain, header = inline.get("x5c"), inline
        if chain is not None:
            return self._certified(chain, now)
        name = header.get("kid")
        key = self.by_id.get(name) if isinstance(name, str) else None
        if key is None:
            raise UntrustedKey("the token is signed by a key that is not known")
        return key

    def _certified(self, chain: object, now: float) -> PublicKey:
        leaf, *rest = _certificates(chain)
        if not self.roots:
            raise UntrustedKey("the token is signed by a certificate, and no bundle is set")
        policy = (
            verification.PolicyBuilder()
            .store(verification.Store(list(self.roots)))
            .time(datetime.fromtimestamp(now, UTC))
            .extension_policies(ca_policy=_AUTHORITY, ee_policy=_SIGNER)
        )
        try:
            policy.build_client_verifier().verify(leaf, rest)
            key = leaf.public_key()
        except (verification.VerificationError, UnsupportedAlgorithm, ValueError):
            raise UntrustedKey("the token's certificate is not trusted") from None
        return _usable(key)


# Certificates for token keys are often bare (`openssl req -x509`), so nothing is asked of them
# but that an authority says that it is one.
_AUTHORITY = verification.ExtensionPolicy.permit_all().require_present(
    x509.BasicConstraints, verification.Criticality.AGNOSTIC, None
)
_SIGNER = verification.ExtensionPolicy.permit_all()


def bundle(pem: bytes) -> Keys:
    """The certificates of `rootcertbundle`; each one's own key is trusted as well, by either of
    its names. Raises ValueError with a sentence for the user."""
    try:
        roots = tuple(x509.load_pem_x509_certificates(pem))
        return Keys(roots, dict(_named(root.public_key() for root in roots)))
    except UntrustedKey as error:
        raise ValueError(str(error)) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("holds no certificates in PEM") from None


def key_set(data: bytes) -> Keys:
    """The keys of a JSON Web Key Set (RFC 7517 §5), `jwks`; one without `kid` is known by its
    thumbprint. Raises ValueError with a sentence for the user."""
    try:
        listed = json.loads(data)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        listed = None
    if not isinstance(listed, list):
        raise ValueError("is no JSON Web Key Set")
    found: dict[str, PublicKey] = {}
    for place, members in enumerate(listed):
        key = _from_jwk(members)
        if key is None:
            raise ValueError(f"keys[{place}] is no RSA, EC or Ed25519 key")
        name = members.get("kid")
        found |= {name: key} if isinstance(name, str) and name else dict(_named([key]))
    return Keys(by_id=found)


def algorithms(key: PublicKey) -> frozenset[str]:
    """The algorithms of JWS that a key can be used with: a token must not choose another."""
    match key:
        case RSAPublicKey():
            return RSA_ALGORITHMS
        case EllipticCurvePublicKey():
            return frozenset(CURVE_ALGORITHMS[name] for name in {key.curve.name} & _CURVES)
    return frozenset({"EdDSA"})


_CURVES = CURVE_ALGORITHMS.keys()


def thumbprint(key: PublicKey) -> str:
    """RFC 7638 with SHA-256, RFC 8037 for Ed25519: version 3's name of a key."""
    match key:
        case RSAPublicKey():
            numbers = key.public_numbers()
            members = {"e": _number(numbers.e), "kty": "RSA", "n": _number(numbers.n)}
        case EllipticCurvePublicKey():
            point, size = key.public_numbers(), (key.curve.key_size + 7) // 8
            curve = f"P-{key.curve.key_size}"
            x, y = _number(point.x, size), _number(point.y, size)
            members = {"crv": curve, "kty": "EC", "x": x, "y": y}
        case _:
            raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
            members = {"crv": "Ed25519", "kty": "OKP", "x": _base64(raw)}
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return _base64(sha256(canonical.encode()).digest())


def libtrust_id(key: PublicKey) -> str:
    """Version 2's name of a key: 240 bits of SHA-256 over its DER, in base32, by fours."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = b32encode(sha256(der).digest()[:30]).decode()
    return ":".join(text[at : at + 4] for at in range(0, len(text), 4))


def _from_jwk(members: object) -> PublicKey | None:
    if not isinstance(members, dict):
        return None
    try:
        key = jwt.PyJWK(members).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    public = key.public_key() if hasattr(key, "public_key") else key
    try:
        return _usable(public)
    except UntrustedKey:
        return None


def _named(keys: Iterable[object]) -> Iterator[tuple[str, PublicKey]]:
    for key in keys:
        usable = _usable(key)
        yield thumbprint(usable), usable
        yield libtrust_id(usable), usable


def _usable(key: object) -> PublicKey:
    if isinstance(key, RSAPublicKey | Ed25519PublicKey):
        return key
    if isinstance(key, EllipticCurvePublicKey) and key.curve.name in CURVE_ALGORITHMS:
        return key
    raise UntrustedKey("a key is neither RSA, EC (P-256, P-384, P-521) nor Ed25519")


def _certificates(chain: object) -> list[x509.Certificate]:
    """RFC 7515 §4.1.6: DER in base64, the signer's first."""
    try:
        if not isinstance(chain, list) or not 0 < len(chain) <= LONGEST_CHAIN:
            raise ValueError
        return [x509.load_der_x509_certificate(b64decode(der, validate=True)) for der in chain]
    except (ValueError, TypeError, binascii.Error, UnsupportedAlgorithm):
        raise UntrustedKey("the token's certificate chain cannot be read") from None


def _number(value: int, size: int | None = None) -> str:
    return _base64(value.to_bytes(size or (value.bit_length() + 7) // 8))


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
