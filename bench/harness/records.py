"""A store with as many index rows as wanted, written by the store's own code."""

import os
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from distcache.core.inventory import BlobStored, GrantStored, Record, TagStored
from distcache.core.oci import Content, Descriptor, Digest, Document, Kind, Repository, TagRef
from distcache.store import open_store

from .content import KIB, MANIFEST_TYPE

LAYERS = 7
"""Blobs of an image besides its manifest."""

PIECE = 4 * KIB
"""Bytes of each."""

ROWS = 2 * (LAYERS + 1) + 1
"""Of an image: its blobs, a grant for each, the tag."""

BATCH = 20_000
DAY = 86_400.0


def write_store(root: Path, rows: int, upstream: str) -> int:
    """Whole images, at least one, of about so many rows; files are sparse. Returns the bytes
    that the store counts. `upstream`: the key of the upstream in the configuration."""
    held = 0
    yesterday = time.time() - DAY
    store = open_store(root)
    try:
        batch: list[Record] = []
        for number in range(max(1, rows // ROWS)):
            # One after the other since yesterday: nothing is so old that it would go by itself.
            for record in _image(number, upstream, yesterday + number / 100):
                batch.append(record)
                if isinstance(record, BlobStored):
                    held += record.size
                    _file(root, record)
            if len(batch) >= BATCH:
                store.write(batch)
                batch = []
        store.write(batch)
    finally:
        store.close()
    return held


def _image(number: int, upstream: str, used: float) -> Iterator[Record]:
    repository = Repository(upstream, f"library/image-{number % 1000}")
    layers = [Content(Kind.BLOB, _digest(f"{number}-{place}")) for place in range(LAYERS)]
    document = Document(
        MANIFEST_TYPE,
        tuple(Descriptor(layer, PIECE, "application/octet-stream") for layer in layers),
    )
    manifest = Content(Kind.MANIFEST, _digest(f"{number}"))
    for layer in layers:
        yield BlobStored(layer.digest, PIECE, used)
    yield BlobStored(manifest.digest, KIB, used, document)
    for content in (*layers, manifest):
        yield GrantStored(repository, content)
    reference = TagRef(repository, f"v{number}")
    yield TagStored(reference, Descriptor(manifest, KIB, MANIFEST_TYPE), used)


def _digest(seed: str) -> Digest:
    return Digest(f"sha256:{sha256(seed.encode()).hexdigest()}")


def _file(root: Path, blob: BlobStored) -> None:
    algorithm, _, name = blob.digest.partition(":")
    fd = os.open(root / "blobs" / algorithm / name, os.O_CREAT | os.O_WRONLY, 0o644)
    os.ftruncate(fd, blob.size)
    os.close(fd)
