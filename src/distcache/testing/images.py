"""Images made of dictionaries, for a registry that is only there during a test.

The same arguments give the same digests on every machine and every version of Python: archives
carry no times and no owners, and gzip's members are stored, not compressed, because what a
compressor makes differs from one version to the next.
"""

import hashlib
import io
import json
import struct
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from enum import Enum

from attrs import field, frozen

from ..core.oci import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST

Json = Mapping[str, object]

EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
"""image-spec, manifest.md, "Guidance for an Empty Descriptor"."""


class Flavor(Enum):
    """Which media types an image is made of: the OCI's, or Docker's (schema 2)."""

    OCI = "oci"
    DOCKER = "docker"


@frozen
class Blob:
    """Any bytes that a manifest names: a layer, a config, an artifact's file."""

    data: bytes = field(repr=False)
    media_type: str
    digest: str = field(init=False)

    @digest.default
    def _digest(self) -> str:
        return digest_of(self.data)

    @property
    def descriptor(self) -> dict[str, object]:
        """image-spec, descriptor.md."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.data)}


@frozen
class Manifest:
    """Made by `image`, `index` and `artifact`: the manifest's exact bytes, and all they name.

    `blobs`: config and layers, in the manifest's order. `children`: the images of an index.
    `artifact_type` and `annotations` are what a list of referrers shows (distribution-spec,
    "Listing Referrers"); `subject` the digest that this refers to."""

    body: bytes = field(repr=False)
    media_type: str
    blobs: tuple[Blob, ...] = field(default=(), repr=False)
    children: tuple["Manifest", ...] = ()
    platform: str | None = None
    subject: str | None = None
    artifact_type: str | None = None
    annotations: Mapping[str, str] = field(factory=dict, hash=False)
    digest: str = field(init=False)

    @digest.default
    def _digest(self) -> str:
        return digest_of(self.body)

    @property
    def descriptor(self) -> dict[str, object]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.body)}


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def image(
    layers: Iterable[Mapping[str, bytes]] = (),
    *,
    config: Json | None = None,
    platform: str = "linux/amd64",
    flavor: Flavor = Flavor.OCI,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """An image for one platform (`os/architecture[/variant]`). Each layer is a dictionary of
    file paths and contents; `config` is the inner one (image-spec, config.md: Cmd, Env, …)."""
    types = _TYPES[flavor]
    archives = [_archive(files) for files in layers]
    body = {
        "created": "1970-01-01T00:00:00Z",
        **_platform(platform),
        "config": dict(config or {}),
        "rootfs": {"type": "layers", "diff_ids": [digest_of(archive) for archive in archives]},
        "history": [{"created_by": "distcache.testing"} for _ in archives],
    }
    return _manifest(
        types.manifest,
        Blob(_json(body), types.config),
        [Blob(_stored_gzip(archive), types.layer) for archive in archives],
        platform=platform,
        annotations=annotations,
    )


def index(
    images: Iterable[Manifest],
    *,
    flavor: Flavor = Flavor.OCI,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """An image for several platforms: one `image` for each, in the order given. Whoever pulls
    looks for the first that fits."""
    children = tuple(images)
    entries = [
        {**child.descriptor, **({"platform": _platform(child.platform)} if child.platform else {})}
        for child in children
    ]
    media_type = _TYPES[flavor].index
    body = {"schemaVersion": 2, "mediaType": media_type, "manifests": entries}
    return Manifest(
        _json(body | _annotated(annotations)),
        media_type,
        children=children,
        annotations=annotations or {},
    )


def artifact(
    artifact_type: str,
    files: Iterable[Blob] = (),
    *,
    subject: Manifest | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """Something that is no image (image-spec, manifest.md, "Guidelines for Artifact Usage"):
    a signature, a list of parts. With a `subject` it is listed among that manifest's
    referrers."""
    empty = Blob(b"{}", EMPTY_TYPE)
    return _manifest(
        OCI_MANIFEST,
        empty,
        list(files) or [empty],
        artifact_type=artifact_type,
        subject=subject,
        annotations=annotations,
    )


@frozen
class _Types:
    manifest: str
    index: str
    config: str
    layer: str


_TYPES = {
    Flavor.OCI: _Types(
        OCI_MANIFEST,
        OCI_INDEX,
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.oci.image.layer.v1.tar+gzip",
    ),
    Flavor.DOCKER: _Types(
        DOCKER_MANIFEST,
        DOCKER_LIST,
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    ),
}


def _manifest(
    media_type: str,
    config: Blob,
    layers: list[Blob],
    *,
    platform: str | None = None,
    artifact_type: str | None = None,
    subject: Manifest | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    body: dict[str, object] = {"schemaVersion": 2, "mediaType": media_type}
    if artifact_type is not None:
        body["artifactType"] = artifact_type
    body |= {"config": config.descriptor, "layers": [layer.descriptor for layer in layers]}
    if subject is not None:
        body["subject"] = subject.descriptor
    return Manifest(
        _json(body | _annotated(annotations)),
        media_type,
        blobs=(config, *layers),
        platform=platform,
        subject=None if subject is None else subject.digest,
        artifact_type=artifact_type,
        annotations=annotations or {},
    )


def _annotated(annotations: Mapping[str, str] | None) -> dict[str, object]:
    return {"annotations": dict(annotations)} if annotations else {}


def _platform(text: str) -> dict[str, str]:
    names = ("os", "architecture", "variant")
    parts = text.split("/")
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise ValueError(f"a platform is os/architecture or os/architecture/variant: {text!r}")
    return dict(zip(names, parts, strict=False))


def _json(value: Json) -> bytes:
    # Spaced unlike any default: whoever serializes a manifest again changes its digest.
    return json.dumps(value, indent=1, separators=(",", " : ")).encode()


def _archive(files: Mapping[str, bytes]) -> bytes:
    """A tar in the order given; TarInfo's own defaults are no owner and the epoch."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, data in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def _stored_gzip(data: bytes) -> bytes:
    """One member (RFC 1952) of stored blocks (RFC 1951 section 3.2.4), without name or time."""
    pieces = [data[at : at + 0xFFFF] for at in range(0, len(data), 0xFFFF)] or [b""]
    blocks = [
        struct.pack("<BHH", number == len(pieces), len(piece), len(piece) ^ 0xFFFF) + piece
        for number, piece in enumerate(pieces, 1)
    ]
    end = struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff" + b"".join(blocks) + end
