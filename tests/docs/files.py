"""Files that the examples name, made for real: certificates, users, Docker's config.json."""

import datetime
import json
from pathlib import Path

import bcrypt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PREFIX = "/etc/distcache/"
"""Under it lies what the examples name."""


def make(root: Path) -> None:
    """Everything there, as `root/NAME`."""
    cert, key = _pair()
    (root / "docker").mkdir(parents=True)
    for name in ("cert.pem", "clients-ca.pem", "corporate-ca.pem", "token-ca.pem", "client.pem"):
        (root / name).write_bytes(cert)
    for name in ("key.pem", "client.key"):
        (root / name).write_bytes(key)
    for name in ("hub-password", "ghcr-password"):
        (root / name).write_text("secret\n")
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    (root / "htpasswd").write_text(f"alice:{hashed}\n")
    (root / "docker" / "config.json").write_text(json.dumps({"auths": {}}))
    for path in root.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)


def _pair() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "cache.example")])
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=3))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return cert.public_bytes(serialization.Encoding.PEM), pem
