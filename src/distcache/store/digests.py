"""Digests: which ones the store can compute and keep (OCI image-spec, descriptor.md).

The two registered algorithms. Nothing else becomes a path or a hash here, so a digest that
reaches this module unchecked cannot name a file outside `blobs/`.
"""

import hashlib
import re
from typing import Protocol

from distcache.core.oci import Digest

from .errors import StoreError

ALGORITHMS = ("sha256", "sha512")

Data = bytes | bytearray | memoryview


class Hash(Protocol):
    """The part of hashlib's objects that is used; updates of 2 KiB and more release the GIL."""

    @property
    def name(self) -> str: ...
    def update(self, data: Data, /) -> None: ...
    def hexdigest(self) -> str: ...


def new_hash(digest: Digest | None) -> Hash:
    """A hash of the digest's algorithm, sha256 without one. StoreError: unsupported."""
    algorithm = digest.partition(":")[0] if digest else "sha256"
    if algorithm not in ALGORITHMS:
        raise StoreError(f"unsupported digest algorithm {algorithm!r}")
    return hashlib.new(algorithm)


def digest_of(running: Hash) -> Digest:
    """The digest of what the hash was given so far."""
    return Digest(f"{running.name}:{running.hexdigest()}")


def supported(digest: str) -> bool:
    """Well formed, and of an algorithm of ours."""
    return _DIGEST.fullmatch(digest) is not None


def split(digest: Digest) -> tuple[str, str]:
    """Algorithm and hexadecimal part. StoreError: not a digest that is kept here."""
    if not supported(digest):
        raise StoreError(f"not a digest that can be stored: {digest!r}")
    algorithm, _, name = digest.partition(":")
    return algorithm, name


_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
