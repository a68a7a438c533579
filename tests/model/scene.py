"""Who and what there is in the World, and how much of it a bound lets happen.

Upstream `up` has three repositories: `a/img` with a tag that names manifest D1 (once moved,
D2), both naming blob B, with an empty blob E and a listing of its tags; `a/cousin`, which has
B as well; and `a/other`, which has nothing. Every content is SIZE bytes long, but for E; the
listing comes in pages of one byte.
"""

from __future__ import annotations

from attrs import frozen

from distcache.core import events as ev
from distcache.core.inventory import BlobStored, GrantStored, Record, TagStored
from distcache.core.oci import (
    OCI_MANIFEST,
    Content,
    Descriptor,
    Digest,
    Document,
    Kind,
    Repository,
    TagRef,
    TagsRef,
)
from distcache.core.pull import ByDigest, Catalog, Method, Ping, Pull, RangeSpec

A = Repository("up", "a/img")
COUSIN = Repository("up", "a/cousin")
OTHER = Repository("up", "a/other")
TAG = TagRef(A, "latest")
TAGS = TagsRef(A)
D1, D2 = Digest("sha256:d1"), Digest("sha256:d2")
B, E, L = Digest("sha256:b"), Digest("sha256:e"), Digest("sha256:l")
SIZE = 2
SIZES = {D1: SIZE, D2: SIZE, B: SIZE, E: 0, L: SIZE}
BLOB, EMPTY = Content(Kind.BLOB, B), Content(Kind.BLOB, E)
SECOND_PAGE = ev.Location("https://up/tags?page=2", same_origin=True)
MANIFEST = {d: Content(Kind.MANIFEST, d) for d in (D1, D2)}
DOCUMENTS = {
    D1: Document(OCI_MANIFEST, (Descriptor(BLOB, SIZE, "layer"),)),
    D2: Document(OCI_MANIFEST, (Descriptor(BLOB, SIZE, "layer"),)),
    L: Document("application/json", (), ("latest", "other")),
}

PULLS = {
    "tag": Pull(Method.GET, TAG),
    "head-tag": Pull(Method.HEAD, TAG),
    "tags": Pull(Method.GET, TAGS),
    "ping": Pull(Method.GET, Ping(Repository("up", ""))),
    "catalog": Pull(Method.GET, Catalog()),
    "manifest": Pull(Method.GET, ByDigest(A, MANIFEST[D1])),
    "blob": Pull(Method.GET, ByDigest(A, BLOB)),
    "old-client": Pull(Method.GET, ByDigest(A, BLOB), chunked=False),
    "head-blob": Pull(Method.HEAD, ByDigest(A, BLOB)),
    "have-blob": Pull(Method.GET, ByDigest(A, BLOB), if_none_match=(f'"{B}"',)),
    "range": Pull(Method.GET, ByDigest(A, BLOB), (RangeSpec(1, None),)),
    "beyond": Pull(Method.GET, ByDigest(A, BLOB), (RangeSpec(7, None),)),
    "empty": Pull(Method.GET, ByDigest(A, EMPTY)),
    "cousin": Pull(Method.GET, ByDigest(COUSIN, BLOB)),
    "stranger": Pull(Method.GET, ByDigest(OTHER, BLOB)),
    "head-stranger": Pull(Method.HEAD, ByDigest(OTHER, BLOB)),
}

NETWORK = ("down", "cut", "slow")
ANSWERS = ("limited", "broken", "bare", "wrong-206", "corrupt")
REDIRECTS = ("abroad", "home", "private")
REFUSALS = ("unauthorized", "denied", "unhelpful", "token")
STORE = ("full", "fault", "commit", "delete", "lost")
FAULTS = (*NETWORK, *ANSWERS, *REDIRECTS, *REFUSALS, *STORE)
"""What a fault of the budget may be spent on."""


@frozen
class Bound:
    """How much of each may happen, and what the rules are.

    Budgets: `starts` of pulls, `faults` among `kinds`, `closes` by clients, `wakes` of the
    clock, `moves` of the tag (to D2, or away), `drains`, `kills`, `switches` to offline.
    Upstream: `auth` is "", "basic" or "bearer"; `chunked`: blobs have no length and no ranges;
    `plain`: HEAD is refused, and no digest but an entity-tag given.
    `stocked`: the cache starts with D1, B and the tag. The rest is the core's configuration."""

    pulls: tuple[str, ...] = ("tag", "blob")
    clients: int = 2
    starts: int = 2
    faults: int = 1
    closes: int = 0
    wakes: int = 1
    moves: int = 0
    drains: int = 0
    kills: int = 0
    switches: int = 0
    kinds: tuple[str, ...] = FAULTS
    auth: str = ""
    chunked: bool = False
    plain: bool = False
    stocked: bool = False
    max_size: int | None = None
    ttl: float | None = None
    tag_ttl: float = 0.0

    def budgets(self) -> dict[str, int]:
        names = ("starts", "faults", "closes", "wakes", "moves", "drains", "kills", "switches")
        return {name: getattr(self, name) for name in names}


STOCK: tuple[Record, ...] = (
    BlobStored(B, SIZE, 900.0),
    BlobStored(D1, SIZE, 900.0, DOCUMENTS[D1]),
    TagStored(TAG, Descriptor(MANIFEST[D1], SIZE, OCI_MANIFEST), 900.0),
    GrantStored(A, MANIFEST[D1]),
)


def challenge(repository: Repository) -> ev.Challenge:
    """What upstream wants a token for."""
    return ev.Challenge(True, "https://auth/token", "up", f"repository:{repository.name}:pull")


BASIC = ev.Challenge(False, "up")


def token(wanted: ev.Challenge) -> ev.Secret:
    return ev.Secret(f"token for {wanted.scope}")
