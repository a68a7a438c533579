"""An issuer of tokens: keys, certificates and the JWTs that they sign, good and bad."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import jwt
from attrs import evolve, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from distcache.access import TokenRule
from distcache.access.keys import Keys

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp()
ISSUER = "https://issuer.example"
SERVICE = "cache.example"
REALM = "https://issuer.example/token"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@cache
def key(kind: str, number: int = 0) -> PrivateKey:
    """`number` tells several keys of one kind apart."""
    match kind:
        case "RS256":
            return rsa.generate_private_key(65537, 2048)
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "ES384":
            return ec.generate_private_key(ec.SECP384R1())
        case "ES512":
            return ec.generate_private_key(ec.SECP521R1())
        case "ES256K":
            return ec.generate_private_key(ec.SECP256K1())
    return ed25519.Ed25519PrivateKey.generate()


@frozen
class Signer:
    """A certificate with its key and those above it, itself first."""

    key: PrivateKey
    chain: tuple[x509.Certificate, ...]

    @property
    def certificate(self) -> x509.Certificate:
        return self.chain[0]

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def x5c(self) -> list[str]:
        ders = (certificate.public_bytes(Encoding.DER) for certificate in self.chain)
        return [base64.b64encode(der).decode() for der in ders]


def certify(
    name: str,
    own: PrivateKey,
    by: Signer | None = None,
    *,
    authority: bool = False,
    address: str | None = None,
    begins: float = NOON - 3600,
    ends: float = NOON + 3600,
) -> Signer:
    """Signed by `by`, or by itself; of a server at `address`, an IP address."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(begins, UTC))
        .not_valid_after(datetime.fromtimestamp(ends, UTC))
    )
    if authority:
        builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
    if address is not None:
        names = [x509.IPAddress(ip_address(address))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    signing = by.key if by else own
    plain = isinstance(signing, ed25519.Ed25519PrivateKey)
    certificate = builder.sign(signing, None if plain else hashes.SHA256())
    return Signer(own, (certificate, *(by.chain if by else ())))


lasting = partial(certify, begins=946684800.0, ends=4102444800.0)
"""The clock of `ssl` cannot be chosen: good from 2000 to 2100."""


def write(path: Path, signer: Signer) -> Path:
    """Its key and its certificates, in one file."""
    pem = signer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(pem + b"".join(c.public_bytes(Encoding.PEM) for c in signer.chain))
    return path


def claims(**changes: object) -> dict[str, object]:
    """Good at NOON for pulling `library/alpine`; a change to None leaves one out."""
    good: dict[str, object] = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": SERVICE,
        "exp": int(NOON) + 300,
        "nbf": int(NOON) - 10,
        "iat": int(NOON),
        "jti": "1",
        "access": [{"type": "repository", "name": "library/alpine", "actions": ["pull"]}],
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def sign(
    said: Mapping[str, object] | bytes,
    own: PrivateKey | bytes,
    algorithm: str = "ES256",
    **header: Any,
) -> str:
    payload = said if isinstance(said, bytes) else json.dumps(said).encode()
    return jwt.PyJWS().encode(payload, own, algorithm, headers=header)


def rule(keys: Keys, **changes: Any) -> TokenRule:
    return evolve(TokenRule(REALM, SERVICE, ISSUER, keys), **changes)


def days(count: float) -> float:
    return timedelta(days=count).total_seconds()
