"""The registry that the core's tests tell of: one image, its index, and names for them."""

from collections.abc import Iterable

from attrs import frozen

from distcache.core.inventory import BlobStored, GrantStored, Record, TagStored
from distcache.core.oci import (
    OCI_INDEX,
    OCI_MANIFEST,
    Content,
    Descriptor,
    Digest,
    Document,
    Kind,
    Reference,
    ReferrersRef,
    Repository,
    TagRef,
    TagsRef,
)
from distcache.core.pull import ByDigest

START = 1_000_000.0
"""When a story begins."""

HUB = "hub"
APP = Repository(HUB, "library/app")
OTHER = Repository(HUB, "library/other")
LATEST = TagRef(APP, "latest")
TAGS = TagsRef(APP)
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
WRONG = Digest("sha256:wrong")


@frozen
class Item:
    """Something that upstream has. `document` is what its bytes say, for all but blobs."""

    content: Content
    size: int
    media_type: str
    document: Document | None = None

    @property
    def digest(self) -> Digest:
        return self.content.digest

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.content, self.size, self.media_type)

    def under(self, repository: Repository) -> ByDigest:
        return ByDigest(repository, self.content)

    def as_kind(self, kind: Kind) -> Content:
        return Content(kind, self.digest)


def blob(name: str, size: int = 100) -> Item:
    return Item(Content(Kind.BLOB, Digest(f"sha256:{name}")), size, LAYER_TYPE)


def manifest(name: str, *children: Item, size: int = 10) -> Item:
    """An index when it names manifests."""
    index = any(c.content.kind is Kind.MANIFEST for c in children)
    media_type = OCI_INDEX if index else OCI_MANIFEST
    document = Document(media_type, tuple(c.descriptor for c in children))
    return Item(Content(Kind.MANIFEST, Digest(f"sha256:{name}")), size, media_type, document)


def listing(name: str, *tags: str, size: int = 20) -> Item:
    """A list of tags."""
    content = Content(Kind.LISTING, Digest(f"sha256:{name}"))
    document = Document("application/json", tags=tuple(sorted(tags)))
    return Item(content, size, "application/json", document)


def referring(name: str, *items: Item) -> Item:
    """A list of referrers."""
    document = Document(OCI_INDEX, tuple(item.descriptor for item in items))
    return Item(Content(Kind.LISTING, Digest(f"sha256:{name}")), 20, OCI_INDEX, document)


LAYER = blob("layer")
SETTINGS = blob("settings", 5)
IMAGE = manifest("image", SETTINGS, LAYER)
MOVED = manifest("moved", LAYER)
INDEX = manifest("index", IMAGE)
REFERRERS = ReferrersRef(APP, IMAGE.digest)


def held(
    *items: Item,
    used: float = START,
    under: Repository | None = APP,
    tag: Reference | None = None,
    checked: float = START,
) -> list[Record]:
    """The records of a store that has `items`, granted to `under`; `tag` names the first."""
    records: list[Record] = [BlobStored(i.digest, i.size, used, i.document) for i in items]
    if under is not None:
        records += [GrantStored(under, i.content) for i in items]
    if tag is not None:
        records.append(TagStored(tag, items[0].descriptor, checked))
    return records


def records(*parts: Iterable[Record]) -> list[Record]:
    """Blobs first, as an inventory wants them."""
    whole = [record for part in parts for record in part]
    return sorted(whole, key=lambda record: not isinstance(record, BlobStored))
