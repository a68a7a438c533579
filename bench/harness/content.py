"""What is pulled: registry-shaped files in a directory, which any file server can serve.

Bytes are made from seeds, so every run pulls the same. Tags must be there before the origin
starts, content by digest may come at any time.
"""

import gzip
import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import define, field, frozen

KIB = 1024
MIB = 1024 * KIB

REPOSITORY = "library/bench"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"

BLOCK = random.Random("bench").randbytes(MIB)


@frozen
class Item:
    """`path` is where clients find it; `digest` of its `size` bytes."""

    path: str
    digest: str
    size: int

    @property
    def descriptor(self) -> dict[str, object]:
        return {"digest": self.digest, "size": self.size}


@define
class Shelf:
    """The origin's files, below `root`."""

    root: Path
    tags: dict[str, str] = field(factory=dict)
    """Paths of tags, and the digests that they resolve to."""

    def blob(self, seed: str, size: int) -> Item:
        """One of `size` bytes; the same seed gives the same."""
        name = f"{seed}:{size}\n".encode()
        temporary = self._directory("blobs") / "unfinished"
        hashing = hashlib.sha256()
        with temporary.open("wb") as file:
            for piece in _pieces(name, size):
                hashing.update(piece)
                file.write(piece)
        return self._blob(temporary, f"sha256:{hashing.hexdigest()}", size)

    def layer(self, seed: str, size: int) -> Item:
        """A gzip stream: clients that would compress it themselves leave it alone."""
        data = gzip.compress(b"".join(_pieces(seed.encode(), size)), compresslevel=0, mtime=0)
        temporary = self._directory("blobs") / "unfinished"
        temporary.write_bytes(data)
        return self._blob(temporary, digest_of(data), len(data))

    def image(self, tag: str, layers: Sequence[Item]) -> tuple[Item, Item]:
        """The manifest by tag and by digest."""
        content = json.dumps({"architecture": "amd64", "os": "linux", "tag": tag}).encode()
        temporary = self._directory("blobs") / "unfinished"
        temporary.write_bytes(content)
        config = self._blob(temporary, digest_of(content), len(content))
        body = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": CONFIG_TYPE, **config.descriptor},
            "layers": [{"mediaType": LAYER_TYPE, **layer.descriptor} for layer in layers],
        }
        data = json.dumps(body).encode()
        digest = digest_of(data)
        directory = self._directory("manifests")
        for name in (tag, digest):
            (directory / name).write_bytes(data)
        base = f"/v2/{REPOSITORY}/manifests"
        self.tags[f"{base}/{tag}"] = digest
        return (
            Item(f"{base}/{tag}", digest, len(data)),
            Item(f"{base}/{digest}", digest, len(data)),
        )

    def _blob(self, temporary: Path, digest: str, size: int) -> Item:
        temporary.rename(temporary.with_name(digest))
        return Item(f"/v2/{REPOSITORY}/blobs/{digest}", digest, size)

    def _directory(self, kind: str) -> Path:
        directory = self.root / "v2" / REPOSITORY / kind
        directory.mkdir(parents=True, exist_ok=True)
        return directory


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _pieces(start: bytes, size: int) -> Iterator[bytes]:
    yield start[:size]
    left = size - len(start)
    while left > 0:
        yield BLOCK[:left]
        left -= MIB
