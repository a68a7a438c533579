"""What outlives the process: the records that the core journals and is given back at start.

One vocabulary for both directions: `Cache(config, inventory)` replays what `Journal` wrote.
"""

from collections.abc import Iterable

from attrs import frozen

from .oci import (
    Content,
    Descriptor,
    Digest,
    Document,
    Listed,
    Reference,
    Repository,
    TagRef,
    Time,
)
from .pull import Client


@frozen
class BlobStored:
    """Content is on disk. `document` for manifests and listings. Replaces an earlier record of
    the same digest."""

    digest: Digest
    size: int
    used: Time
    document: Document | None = None


@frozen
class BlobUsed:
    digest: Digest
    used: Time


@frozen
class BlobDropped:
    """Content is gone; its grants, the tags that resolve to it and how it came go with it."""

    digest: Digest


@frozen
class Answer:
    """Upstream's word on what it was asked: a status, or in `error` why there was none, or what
    was wrong with it. `mirror`: which of its mirrors gave it."""

    status: int | None = None
    error: str | None = None
    mirror: int | None = None


@frozen
class TagStored:
    """What a reference resolved to when upstream last confirmed it at `checked`, with `answer`.
    `etag` is upstream's, where it names no digest; `listed` what else came with a list."""

    reference: Reference
    descriptor: Descriptor
    checked: Time
    etag: str | None = None
    listed: Listed | None = None
    answer: Answer | None = None


@frozen
class TagDropped:
    reference: Reference


@frozen
class GrantStored:
    """Upstream served, or confirmed, this content under this repository."""

    repository: Repository
    content: Content


@frozen
class GrantDropped:
    repository: Repository
    content: Content


@frozen
class PinStored:
    """An operator wants it kept: this content, or whatever the tag resolves to."""

    what: TagRef | Content


@frozen
class PinDropped:
    what: TagRef | Content


@frozen
class SeenStored:
    """Since when this manifest has been known under this repository, held or not."""

    repository: Repository
    digest: Digest
    since: Time


@frozen
class SeenDropped:
    repository: Repository
    digest: Digest


@frozen
class Filled:
    """When content came, under which repository and from which of upstream's mirrors (None:
    from upstream itself); whose pull began it, None: it was imported. `status` is upstream's."""

    at: Time
    repository: Repository
    client: Client | None
    mirror: int | None = None
    status: int | None = None


@frozen
class FillStored:
    """How stored content came."""

    digest: Digest
    filled: Filled


@frozen
class FillDropped:
    """It is not remembered any more how it came."""

    digest: Digest


Record = (
    BlobStored
    | BlobUsed
    | BlobDropped
    | TagStored
    | TagDropped
    | GrantStored
    | GrantDropped
    | PinStored
    | PinDropped
    | SeenStored
    | SeenDropped
    | FillStored
    | FillDropped
)


@frozen
class Inventory:
    """Records in any order that puts a blob before what refers to it. A record that refers to
    a blob that is not there is dropped on load."""

    records: Iterable[Record] = ()
