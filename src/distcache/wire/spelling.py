"""How names, tags and digests are spelled (OCI distribution-spec 1.1, "Pulling manifests";
image-spec 1.1, descriptor.md "Digests")."""

import re

from ..core.oci import Digest

NAME_LIMIT = 255
"""Characters; clients limit the host and the name together to so many."""

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


def is_name(text: str) -> bool:
    """Any depth; `blobs`, `manifests` and `tags` are parts like any other."""
    return len(text) <= NAME_LIMIT and _NAME.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    return _TAG.fullmatch(text) is not None


def digest(text: str) -> Digest | None:
    """None when malformed, or of an algorithm that is not registered in the image-spec: what
    cannot be verified is not stored."""
    return Digest(text) if _DIGEST.fullmatch(text) else None
