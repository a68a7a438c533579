"""Conditional requests (RFC 9110 §13) where the entity-tag is the digest.

Content has no modification date here, so If-Modified-Since never holds and a date in
If-Range never matches.
"""

from collections.abc import Sequence

from .oci import Digest
from .pull import digest_of_etag


def not_modified(if_none_match: Sequence[str], digest: Digest) -> bool:
    """Whether the client holds it already: weak comparison, or `*` (§13.1.2)."""
    return bool(if_none_match) and any(
        tag == "*" or digest_of_etag(tag) == digest for tag in if_none_match
    )


def range_applies(if_range: str | None, digest: Digest) -> bool:
    """Whether Range is to be honoured: strong comparison (§13.1.5)."""
    return if_range is None or if_range in (f'"{digest}"', digest)
