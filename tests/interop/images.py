"""Images made of seeded bytes, built without a container engine and pushed over raw HTTP.

Layers are real tar archives, one file each: podman, containerd and docker unpack them. The
same seed gives the same digests on every run (of one zlib and zstd version).
"""

import gzip
import hashlib
import http.client
import io
import json
import platform
import random
import subprocess
import tarfile
from collections.abc import Callable, Iterable

from attrs import frozen

from distcache.core.oci import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST

KIB = 1024
MIB = 1024 * KIB

OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
HOST = ARCHITECTURES.get(platform.machine(), "amd64")


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@frozen
class Blob:
    """`diff_id`: the digest of a layer's uncompressed tar; the config's own digest."""

    data: bytes
    media_type: str
    diff_id: str

    @property
    def digest(self) -> str:
        return digest_of(self.data)

    @property
    def descriptor(self) -> dict[str, object]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.data)}


@frozen
class Manifest:
    """A manifest's exact bytes and type; what it names stands beside it, in order.

    `config` and `layers` for images and artifacts, `children` for indexes."""

    body: bytes
    media_type: str
    config: Blob | None = None
    layers: tuple[Blob, ...] = ()
    children: tuple["Manifest", ...] = ()

    @property
    def digest(self) -> str:
        return digest_of(self.body)

    @property
    def blobs(self) -> tuple[Blob, ...]:
        own = (self.config, *self.layers) if self.config else ()
        return (*own, *(blob for child in self.children for blob in child.blobs))

    @property
    def everything(self) -> frozenset[str]:
        """Every digest below, and this one."""
        inner = {digest for child in self.children for digest in child.everything}
        return frozenset({self.digest} | inner | {blob.digest for blob in self.blobs})

    @property
    def descriptor(self) -> dict[str, object]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.body)}


@frozen
class Packing:
    """How a tar becomes a layer, and what the manifest around it is called."""

    manifest: str
    config: str
    layer: str
    compress: Callable[[bytes], bytes]


def gzipped(data: bytes) -> bytes:
    # Level 1: the content is random, effort would buy nothing.
    return gzip.compress(data, compresslevel=1, mtime=0)


def zstandard(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-1", "-c"], input=data, capture_output=True, check=True).stdout


OCI = Packing(OCI_MANIFEST, OCI_CONFIG, OCI_LAYER + "+gzip", gzipped)
OCI_ZSTD = Packing(OCI_MANIFEST, OCI_CONFIG, OCI_LAYER + "+zstd", zstandard)
DOCKER = Packing(DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER, gzipped)


def layer(seed: str, size: int, packing: Packing) -> Blob:
    """A tar with one file of `size` random bytes."""
    entry = tarfile.TarInfo(f"data/{seed}.bin")
    entry.size = size
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(entry, io.BytesIO(random.Random(seed).randbytes(size)))
    raw = archive.getvalue()
    return Blob(packing.compress(raw), packing.layer, digest_of(raw))


def image(seed: str, sizes: Iterable[int], packing: Packing, architecture: str = HOST) -> Manifest:
    layers = tuple(layer(f"{seed}-{place}", size, packing) for place, size in enumerate(sizes))
    content = {
        "architecture": architecture,
        "os": "linux",
        "created": "2024-01-01T00:00:00Z",
        "config": {"Cmd": ["/nothing"], "Labels": {"seed": seed}},
        "rootfs": {"type": "layers", "diff_ids": [blob.diff_id for blob in layers]},
        "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "seed"}] * len(layers),
    }
    data = json.dumps(content).encode()
    config = Blob(data, packing.config, digest_of(data))
    body = {
        "schemaVersion": 2,
        "mediaType": packing.manifest,
        "config": config.descriptor,
        "layers": [blob.descriptor for blob in layers],
    }
    # Odd spacing: whoever serializes a manifest again changes its digest, and is found out.
    text = json.dumps(body, indent=3, separators=(" , ", " : "))
    return Manifest(text.encode(), packing.manifest, config, layers)


def index(media_type: str, children: dict[str, Manifest]) -> Manifest:
    """`children` by architecture."""
    entries = [
        {**child.descriptor, "platform": {"architecture": name, "os": "linux"}}
        for name, child in children.items()
    ]
    body = {"schemaVersion": 2, "mediaType": media_type, "manifests": entries}
    return Manifest(
        json.dumps(body, indent=1).encode(), media_type, None, (), tuple(children.values())
    )


def artifact(subject: Manifest) -> Manifest:
    """A signature-like artifact that refers to `subject` (image-spec 1.1, `subject`)."""
    config = Blob(b"{}", "application/vnd.oci.empty.v1+json", digest_of(b"{}"))
    data = random.Random("signature").randbytes(2 * KIB)
    payload = Blob(data, "application/vnd.example.signature", digest_of(data))
    body = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": "application/vnd.example.signature",
        "config": config.descriptor,
        "layers": [payload.descriptor],
        "subject": subject.descriptor,
    }
    return Manifest(json.dumps(body).encode(), OCI_MANIFEST, config, (payload,))


def fallback_tag(subject: Manifest) -> str:
    """distribution-spec, Referrers Tag Schema."""
    return subject.digest.replace(":", "-")


def fallback_index(referrer: Manifest) -> Manifest:
    entry = {**referrer.descriptor, "artifactType": "application/vnd.example.signature"}
    body = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
    return Manifest(json.dumps(body).encode(), OCI_INDEX, children=(referrer,))


def push(port: int, repository: str, tag: str, manifest: Manifest) -> None:
    """Push everything `manifest` names, then itself, by digest and under `tag`."""
    for child in manifest.children:
        push(port, repository, child.digest, child)
    own = manifest.config, *manifest.layers
    for blob in own:
        if blob is not None:
            push_blob(port, repository, blob)
    write(port, f"/v2/{repository}/manifests/{tag}", "PUT", manifest.body, manifest.media_type)


def push_blob(port: int, repository: str, blob: Blob) -> None:
    location = write(port, f"/v2/{repository}/blobs/uploads/", "POST", b"", "")
    path = location.partition(f":{port}")[2] or location
    write(port, f"{path}&digest={blob.digest}", "PUT", blob.data, "application/octet-stream")


def write(port: int, path: str, method: str, body: bytes, media_type: str) -> str:
    """The answer's Location."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, {"Content-Type": media_type})
        with connection.getresponse() as response:
            text = response.read()
            assert response.status in (201, 202), (response.status, path, text)
            return response.getheader("Location") or ""
    finally:
        connection.close()
