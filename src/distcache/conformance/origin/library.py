"""Generated content: what the scripted upstream serves.

Everything is made from a seed: the same seed gives the same digests. Bytes of layers are random,
not archives, because nobody unpacks them here.
"""

import json
from random import Random

from attrs import define, field, frozen

from ..content import Content, Manifest, objects
from ..digests import digest_of

INDEX = "application/vnd.oci.image.index.v1+json"
IMAGE = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
SIGNATURE = "application/vnd.example.signature"
SBOM = "application/vnd.example.sbom"

Descriptor = dict[str, object]


@frozen
class Stored:
    """A manifest's bytes and type."""

    body: bytes
    media_type: str


@define
class Shelf:
    """One repository; manifests and blobs by digest. `referrers`: whether the API is offered
    for it, else only the fallback tag tells of them."""

    tags: dict[str, str] = field(factory=dict)
    manifests: dict[str, Stored] = field(factory=dict)
    blobs: dict[str, bytes] = field(factory=dict)
    referrers: bool = True


@define
class Library:
    seed: str
    shelves: dict[str, Shelf] = field(factory=dict)

    def name(self, *parts: str) -> str:
        """A repository's name that no other seed has."""
        return "/".join((f"conformance-{self.seed}", *parts))

    def shelf(self, repository: str) -> Shelf:
        return self.shelves.setdefault(repository, Shelf())

    def random(self, label: str, size: int) -> bytes:
        return Random(f"{self.seed}/{label}").randbytes(size)

    def add_blob(
        self, repository: str, data: bytes, media_type: str = LAYER, algorithm: str = "sha256"
    ) -> Descriptor:
        digest = digest_of(data, algorithm)
        self.shelf(repository).blobs[digest] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def add_manifest(
        self,
        repository: str,
        media_type: str,
        document: dict[str, object],
        tag: str | None = None,
        algorithm: str = "sha256",
    ) -> Descriptor:
        # Odd spacing: whoever serializes a manifest again is found out by its digest.
        whole = {"schemaVersion": 2, "mediaType": media_type, **document}
        body = json.dumps(whole, indent=3, separators=(" , ", " : ")).encode()
        digest = digest_of(body, algorithm)
        self.shelf(repository).manifests[digest] = Stored(body, media_type)
        if tag is not None:
            self.shelf(repository).tags[tag] = digest
        return {"mediaType": media_type, "digest": digest, "size": len(body)}

    def add_image(
        self,
        repository: str,
        tag: str | None,
        *layers: bytes,
        media_type: str = IMAGE,
        algorithm: str = "sha256",
    ) -> Descriptor:
        """An image of these layers; its descriptor."""
        config = json.dumps({"architecture": "amd64", "os": "linux", "seed": self.seed, "t": tag})
        document: dict[str, object] = {
            "config": self.add_blob(repository, config.encode(), CONFIG, algorithm),
            "layers": [self.add_blob(repository, data, LAYER, algorithm) for data in layers],
        }
        return self.add_manifest(repository, media_type, document, tag, algorithm)

    def add_artifact(self, repository: str, subject: Descriptor, kind: str) -> Descriptor:
        """Something that refers to `subject` (image-spec 1.1, "subject")."""
        document: dict[str, object] = {
            "artifactType": kind,
            "config": self.add_blob(repository, b"{}", EMPTY),
            "layers": [self.add_blob(repository, self.random(f"{repository}/{kind}", 700), kind)],
            "subject": subject,
            "annotations": {"org.example.made-by": kind},
        }
        return self.add_manifest(repository, IMAGE, document)

    def referrers(self, repository: str, digest: str) -> list[Descriptor]:
        """Descriptors as the referrers API lists them."""
        listed: list[Descriptor] = []
        for own, stored in sorted(self.shelf(repository).manifests.items()):
            document = json.loads(stored.body)
            if (document.get("subject") or {}).get("digest") != digest:
                continue
            entry: Descriptor = {"mediaType": stored.media_type, "digest": own}
            entry |= {"size": len(stored.body), "artifactType": document["artifactType"]}
            listed.append(entry | {"annotations": document["annotations"]})
        return listed

    def content(self) -> Content:
        """All of it, as checks see it."""
        content = Content()
        for name, shelf in self.shelves.items():
            content.tags[name] = tuple(sorted(shelf.tags))
            named = {digest: tag for tag, digest in shelf.tags.items()}
            for digest, stored in shelf.manifests.items():
                tag = named.get(digest)
                content.add(Manifest(name, digest, stored.body, stored.media_type, tag))
        return content


def stock(library: Library) -> None:
    """What a registry may hold: small and odd content, deep and misleading names, every manifest
    type, both algorithms, referrers with the API and with the fallback tag."""
    app = library.name("app")
    for number, tag in enumerate(("v1", "v2", "1.0_rc-1", "V10", "latest", "edge")):
        big = library.random(tag, 70_000 + number)
        odd = (b"", b"\x07", library.random(f"{tag}-small", 300)) if tag == "latest" else ()
        library.add_image(app, tag, big, *odd)
    deep = library.name("a", "b", "c", "d", "e", "f", "g", "h-i.j__k")
    library.add_image(deep, "latest", library.random("deep", 5000))
    misleading = library.name("blobs", "manifests", "tags", "list", "referrers", "x")
    library.add_image(misleading, "latest", library.random("misleading", 5000))
    for kind, listing, repository in (
        (IMAGE, INDEX, library.name("multi")),
        (DOCKER_IMAGE, DOCKER_LIST, library.name("docker")),
    ):
        entries: list[Descriptor] = []
        for architecture in ("amd64", "arm64"):
            data = library.random(f"{kind}/{architecture}", 9000)
            child = library.add_image(repository, None, data, media_type=kind)
            platform = {"architecture": architecture, "os": "linux"}
            entries.append({**child, "platform": platform})
        library.add_manifest(repository, listing, {"manifests": entries}, "latest")
    single = library.random("one", 900)
    library.add_image(library.name("docker"), "one", single, media_type=DOCKER_IMAGE)
    sha512 = library.name("sha512")
    library.add_image(sha512, "latest", library.random("512", 4000), b"", algorithm="sha512")
    _refer(library, library.name("app"))
    fallback = library.name("fallback")
    library.add_image(fallback, "latest", library.random("fallback", 2000))
    digest = _refer(library, fallback)
    library.shelf(fallback).referrers = False
    listed = library.referrers(fallback, digest)
    library.add_manifest(fallback, INDEX, {"manifests": listed}, digest.replace(":", "-"))


def _refer(library: Library, repository: str) -> str:
    """Two artifacts that refer to the repository's `latest`, whose digest it returns."""
    digest = library.shelf(repository).tags["latest"]
    size = len(library.shelf(repository).manifests[digest].body)
    subject: Descriptor = {"mediaType": IMAGE, "digest": digest, "size": size}
    for kind in (SIGNATURE, SBOM):
        library.add_artifact(repository, subject, kind)
    return digest


def layer_digests(stored: Stored) -> list[str]:
    """In the order of the manifest."""
    return [str(one["digest"]) for one in objects(json.loads(stored.body)["layers"])]
