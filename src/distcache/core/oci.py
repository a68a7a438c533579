"""Names and descriptions of registry content (OCI distribution-spec 1.1, image-spec 1.1).

Values only: whoever builds one has already checked its spelling (`wire.routes` for what a
client sent, `wire.oci_json` for what upstream sent). Bytes of content never appear here.
"""

from enum import Enum
from typing import NewType

from attrs import field, frozen

Digest = NewType("Digest", str)
"""`algorithm:hex`, the content's own name (OCI image-spec, descriptor.md)."""

Time = float
"""Seconds since the Unix epoch, never stepping back within one process."""

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPES = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)
"""Every type a tag is asked for, so that its digest never depends on one client's Accept."""


class Kind(Enum):
    """Under which endpoint content is served; a grant is for one kind."""

    MANIFEST = "manifest"
    BLOB = "blob"
    LISTING = "listing"

    # Enum hashes by name through Python code; these are dictionary keys on the hot path.
    __hash__ = object.__hash__


@frozen
class Secret:
    """A token or a header that holds one. Never shown: not in a repr, not in a log line, not in
    a counterexample."""

    value: str = field(repr=lambda _: "***")


@frozen(cache_hash=True)
class Repository:
    """One repository of one upstream; the cache never confuses equal names of two upstreams.

    `authority` names the client's own authority where that is what counts upstream: then it
    is a repository that only this authority knows of."""

    upstream: str
    name: str
    authority: str | None = None


@frozen(cache_hash=True)
class Content:
    """Something immutable: what a digest names, under one endpoint."""

    kind: Kind
    digest: Digest


@frozen(cache_hash=True)
class TagRef:
    """A tag. `accept` is empty for clients that take every manifest type, else the sorted
    types this client takes: upstream may then choose another manifest, so it is another key."""

    repository: Repository
    tag: str
    accept: tuple[str, ...] = ()


@frozen
class TagsRef:
    """All tags of a repository (distribution-spec, Listing Tags)."""

    repository: Repository


@frozen
class ReferrersRef:
    """The referrers of a manifest (distribution-spec, Listing Referrers). `page`: what else the
    query says, in upstream's own words, where they are a list's further pages."""

    repository: Repository
    digest: Digest
    artifact_type: str | None = None
    page: str | None = None


Reference = TagRef | TagsRef | ReferrersRef
"""A mutable name: what it resolves to must be asked upstream."""


@frozen
class Descriptor:
    """Content as a manifest or a HEAD describes it. `size` is in bytes, None when not said."""

    content: Content
    size: int | None
    media_type: str


@frozen
class Document:
    """A parsed manifest or listing: what the cache must know of its bytes, and no more.

    `children` are what it names (config, layers, manifests), not its `subject`. `tags` is what
    a list of tags says, each once and in order; None: it is no such list."""

    media_type: str
    children: tuple[Descriptor, ...] = ()
    tags: tuple[str, ...] | None = None


@frozen
class Listed:
    """What came with a list under one reference and is not in its bytes: the value of
    OCI-Filters-Applied, and the URL of upstream's `Link: rel="next"`."""

    filters: str | None = None
    next_page: str | None = None
