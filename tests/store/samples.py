"""Values and helpers that the store's tests share."""

import hashlib
import os
import resource
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st

from distcache.core.effects import Medium, Spool
from distcache.core.inventory import Answer, BlobStored, Filled, FillStored, GrantStored, TagStored
from distcache.core.oci import (
    OCI_MANIFEST,
    Content,
    Descriptor,
    Digest,
    Document,
    Kind,
    Listed,
    Reference,
    ReferrersRef,
    Repository,
    TagRef,
    TagsRef,
)
from distcache.core.pull import Client
from distcache.store import Store

ALPINE = Repository("docker.io", "library/alpine")
LAYER = b"layer" * 1000


def digest_of(data: bytes, algorithm: str = "sha256") -> Digest:
    return Digest(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")


def path_of(root: Path, digest: Digest) -> Path:
    algorithm, _, name = digest.partition(":")
    return root / "blobs" / algorithm / name


def put(store: Store, data: bytes, number: int = 1) -> Digest:
    """Store `data` as a fill of known digest would, without its record."""
    digest = digest_of(data)
    body = store.create(Spool(number, Medium.FILE, digest))
    body.write(0, data)
    store.commit(body, digest)
    body.discard()
    return digest


def stored(data: bytes, document: Document | None = None) -> BlobStored:
    return BlobStored(digest_of(data), len(data), 1000.0, document)


def tag(name: str, target: Digest) -> TagStored:
    content = Content(Kind.MANIFEST, target)
    return TagStored(TagRef(ALPINE, name), Descriptor(content, 10, OCI_MANIFEST), 1000.0, '"e"')


def grant(target: Digest, kind: Kind = Kind.BLOB) -> GrantStored:
    return GrantStored(ALPINE, Content(kind, target))


def files_below(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def file_size_limit(size: int) -> AbstractContextManager[None]:
    """The kernel refuses what goes beyond so many bytes of a file, after a partial write."""
    return _limited(resource.RLIMIT_FSIZE, size)


def no_more_descriptors(one: bool = False) -> AbstractContextManager[None]:
    """The kernel lets nothing be opened any more, or one thing at a time."""
    lowest_free = os.dup(0)
    os.close(lowest_free)
    return _limited(resource.RLIMIT_NOFILE, lowest_free + one)


@contextmanager
def _limited(resource_number: int, value: int) -> Iterator[None]:
    before, hard = resource.getrlimit(resource_number)
    resource.setrlimit(resource_number, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource_number, (before, hard))


unhurried = settings(deadline=None)
"""For tests that touch the disk, or run while others keep the machine busy."""


# Any text, half surrogate pairs and NUL included: what upstream says is not ours to choose.
anything = st.text(st.characters(), max_size=8)
digests = st.binary(max_size=4).map(digest_of)
repositories = st.builds(Repository, st.sampled_from(["docker.io", "ghcr.io"]), st.just("a/b"))
contents = st.builds(Content, st.sampled_from(Kind), digests)
descriptors = st.builds(Descriptor, contents, st.none() | st.integers(0), anything)
documents = st.builds(
    Document,
    anything,
    st.lists(descriptors, max_size=3).map(tuple),
    st.none() | st.lists(anything, max_size=3).map(tuple),
)
listed = st.builds(Listed, st.none() | anything, st.none() | anything)
references: st.SearchStrategy[Reference] = st.one_of(
    st.builds(TagRef, repositories, anything, st.lists(anything, max_size=2).map(tuple)),
    st.builds(TagsRef, repositories),
    st.builds(ReferrersRef, repositories, digests, st.none() | anything, st.none() | anything),
)
times = st.floats(0, 1e10)
small = st.none() | st.integers(0, 600)
answers = st.builds(Answer, small, st.none() | anything, small)
clients = st.builds(Client, anything, st.none() | anything, st.none() | anything)
fills = st.builds(
    FillStored,
    digests,
    st.builds(Filled, times, repositories, st.none() | clients, small, small),
)
