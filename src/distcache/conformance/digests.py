"""Digests of content (OCI image-spec, descriptor.md "Digests")."""

import hashlib
import re

ALGORITHMS = ("sha256", "sha512")
"""The registered ones; content under any other cannot be judged."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def is_digest(text: object) -> bool:
    """Well formed, and of a registered algorithm."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def matches(digest: str | None, data: bytes) -> bool:
    """Whether `data` is what `digest` names; False for what is not a digest."""
    return (
        digest is not None
        and is_digest(digest)
        and digest_of(data, digest.partition(":")[0]) == digest
    )


def absent(algorithm: str = "sha256") -> str:
    """A digest that nothing has."""
    return digest_of(b"distcache conformance: the content that nobody has", algorithm)
