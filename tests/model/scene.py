"""Who and what there is in the World, and how much of it a bound lets happen.

Upstream `up` has three repositories: `a/img` with a tag that names manifest D1 (once moved,
D2), both naming blob B, with an empty blob E and a listing of its tags; `a/cousin`, which has
B as well; and `a/other`, which has nothing. Every content is SIZE bytes long, but for E; the
listing comes in pages of one byte. Its mirrors have the same, where a bound has any.

Some clients show an authority of their own: alice and bob may have `a/img`, so may carol until
her token runs out, mallory may not, nobody shows nothing.
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
    Secret,
    TagRef,
    TagsRef,
)
from distcache.core.pull import Authority, ByDigest, Catalog, Method, Page, Ping, Pull, RangeSpec

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
MANIFEST = {d: Content(Kind.MANIFEST, d) for d in (D1, D2)}
DOCUMENTS = {
    D1: Document(OCI_MANIFEST, (Descriptor(BLOB, SIZE, "layer"),)),
    D2: Document(OCI_MANIFEST, (Descriptor(BLOB, SIZE, "layer"),)),
    L: Document("application/json", (), ("latest", "other")),
}

AUTHORITIES = {
    "alice": Authority("alice", Secret("alice's")),
    "bob": Authority("bob", Secret("bob's")),
    "carol": Authority("carol", Secret("carol's"), expires=1150.0),
    "mallory": Authority("mallory", Secret("mallory's")),
    "nobody": Authority("nobody"),
}
WELCOME = ("alice", "bob", "carol")
"""Whom upstream lets have `a/img`."""


def own(name: str) -> Repository:
    """`a/img` as whoever is called so knows it."""
    return Repository("up", A.name, name)


def _own_pulls(name: str) -> dict[str, Pull]:
    authority, repository = AUTHORITIES[name], own(name)
    greeting, blob = Ping(Repository("up", "", name)), ByDigest(repository, BLOB)
    return {
        f"{name}-tag": Pull(Method.GET, TagRef(repository, TAG.tag), authority=authority),
        f"{name}-blob": Pull(Method.GET, blob, authority=authority),
        f"{name}-ping": Pull(Method.GET, greeting, authority=authority),
    }


PULLS = {
    "tag": Pull(Method.GET, TAG),
    "head-tag": Pull(Method.HEAD, TAG),
    "tags": Pull(Method.GET, TAGS),
    "few-tags": Pull(Method.GET, TAGS, page=Page(1)),
    "last-tags": Pull(Method.GET, TAGS, page=Page(None, "latest")),
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
    "manifest-stranger": Pull(Method.GET, ByDigest(OTHER, MANIFEST[D1])),
    "head-stranger": Pull(Method.HEAD, ByDigest(OTHER, BLOB)),
    **{name: pull for who in AUTHORITIES for name, pull in _own_pulls(who).items()},
}

ORDERS: dict[str, ev.Forgotten | ev.Pinned | ev.Pruned] = {
    "forget-tag": ev.Forgotten(TAG),
    "forget-repository": ev.Forgotten(A),
    "forget-blob": ev.Forgotten(B),
    "pin-tag": ev.Pinned(TAG, keep=True),
    "unpin-tag": ev.Pinned(TAG, keep=False),
    "pin-blob": ev.Pinned(BLOB, keep=True),
    "unpin-blob": ev.Pinned(BLOB, keep=False),
    "prune": ev.Pruned(0, None),
    "prune-idle": ev.Pruned(None, 60.0),
}
"""What an operator may want."""

NETWORK = ("down", "cut", "slow")
ANSWERS = ("limited", "broken", "bare", "wrong-206", "corrupt")
REDIRECTS = ("abroad", "home", "private")
REFUSALS = ("unauthorized", "denied", "unhelpful", "token")
STORE = ("full", "fault", "commit", "delete", "lost")
PAGES = ("astray", "lost-page")
MIRROR = ("absent",)
FAULTS = (*NETWORK, *ANSWERS, *REDIRECTS, *REFUSALS, *STORE, *PAGES, *MIRROR)
"""What a fault of the budget may be spent on."""


@frozen
class Bound:
    """How much of each may happen, and what the rules are.

    Budgets: `starts` of pulls, `faults` among `kinds`, `closes` by clients, `wakes` of the
    clock, `pauses` in which `pause` seconds pass and nobody wakes the core, `moves` of the tag
    (to D2, or away), `drains`, `kills`, `switches` to offline, `wishes` of the operator among
    `orders`.
    Upstream: `auth` is "", "basic" or "bearer"; `chunked`: blobs have no length and no ranges;
    `plain`: HEAD is refused, and no digest but an entity-tag given; `scarce`: it says with each
    answer that little is left of its quota; `mirrors` of it are asked first.
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
    pauses: int = 0
    wishes: int = 0
    kinds: tuple[str, ...] = FAULTS
    orders: tuple[str, ...] = tuple(ORDERS)
    pause: float = 70.0
    auth: str = ""
    chunked: bool = False
    plain: bool = False
    scarce: bool = False
    mirrors: int = 0
    stocked: bool = False
    max_size: int | None = None
    ttl: float | None = None
    tag_ttl: float = 0.0
    stale_if_error: float = 720 * 3600.0
    immutable: bool = False
    cool_down: float = 0.0
    authorities: int = 10_000

    def budgets(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in BUDGETS}


BUDGETS = (
    *("starts", "faults", "closes", "wakes", "moves", "drains", "kills", "switches"),
    *("pauses", "wishes"),
)


STOCK: tuple[Record, ...] = (
    BlobStored(B, SIZE, 900.0),
    BlobStored(D1, SIZE, 900.0, DOCUMENTS[D1]),
    TagStored(TAG, Descriptor(MANIFEST[D1], SIZE, OCI_MANIFEST), 900.0),
    GrantStored(A, MANIFEST[D1]),
)


def origin(mirror: int | None) -> str:
    """Of the upstream itself, or of one of its mirrors."""
    return "https://up" if mirror is None else f"https://mirror{mirror}"


def second_page(mirror: int | None) -> ev.Location:
    return ev.Location(f"{origin(mirror)}/tags?page=2", same_origin=True)


def challenge(repository: Repository, mirror: int | None = None) -> ev.Challenge:
    """What it wants a token for."""
    scope = f"repository:{repository.name}:pull"
    return ev.Challenge(True, f"{origin(mirror)}/token", "up", scope)


GREETING = ev.Challenge(True, f"{origin(None)}/token", "up")
"""What upstream says to who shows nothing."""

BASIC = ev.Challenge(False, "up")


def token(wanted: ev.Challenge) -> ev.Secret:
    return ev.Secret(f"token for {wanted.scope} at {wanted.realm}")
