"""The storage directory of a registry that is replaced, as CNCF Distribution writes it."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from distcache.core.oci import OCI_MANIFEST
from tests.support.origin import BLOB_TYPE, Item


class Old:
    def __init__(self, root: Path) -> None:
        self.root = root
        self._base = root / "docker" / "registry" / "v2"

    def image(self, repository: str, tag: str, layers: Sequence[bytes]) -> None:
        blobs = [Item(data, BLOB_TYPE) for data in (b"{}", *layers)]
        body = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": blobs[0].descriptor,
            "layers": [blob.descriptor for blob in blobs[1:]],
        }
        manifest = Item(json.dumps(body).encode(), OCI_MANIFEST)
        for blob in (*blobs, manifest):
            self.path(blob.digest).parent.mkdir(parents=True, exist_ok=True)
            self.path(blob.digest).write_bytes(blob.body)
        for blob in blobs:
            self._link(repository, f"_layers/{blob.digest.replace(':', '/')}", blob.digest)
        revision = f"_manifests/revisions/{manifest.digest.replace(':', '/')}"
        self._link(repository, revision, manifest.digest)
        self._link(repository, f"_manifests/tags/{tag}/current", manifest.digest)

    def path(self, digest: str) -> Path:
        algorithm, _, name = digest.partition(":")
        return self._base / "blobs" / algorithm / name[:2] / name / "data"

    def _link(self, repository: str, place: str, digest: str) -> None:
        path = self._base / "repositories" / repository / place / "link"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(digest)
        os.utime(path, (1000, 1000))
