"""What the target holds: found by asking, or known because this run made it."""

import json
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import quote

from attrs import define, field, frozen

from .client import ACCEPT, Client
from .digests import digest_of, is_digest, matches
from .messages import Answer, Broken

REPOSITORIES = 12
"""Repositories that are looked at when none is named."""

TAGS = 6
"""Tags of each whose manifests are pulled."""

CHILDREN = 8
"""Manifests of an index that are pulled."""

LARGEST = 16 * 1024 * 1024
"""Bytes of the largest blob that checks download whole."""


@frozen
class Manifest:
    """One manifest and where it was found; `tag` is None when only a digest named it."""

    repository: str
    digest: str
    body: bytes
    media_type: str
    tag: str | None = None

    @property
    def path(self) -> str:
        return f"/v2/{self.repository}/manifests/{self.digest}"

    @property
    def tag_path(self) -> str:
        return f"/v2/{self.repository}/manifests/{self.tag}"

    @property
    def document(self) -> dict[str, object]:
        return as_object(self.body)

    @property
    def children(self) -> list[dict[str, object]]:
        """Descriptors of an index; empty for other manifests."""
        return objects(self.document.get("manifests"))


@frozen
class Blob:
    repository: str
    digest: str
    size: int

    @property
    def path(self) -> str:
        return f"/v2/{self.repository}/blobs/{self.digest}"


@define
class Content:
    """`tags`: those of each repository, sorted, where they could be listed."""

    manifests: list[Manifest] = field(factory=list)
    blobs: list[Blob] = field(factory=list)
    tags: dict[str, tuple[str, ...]] = field(factory=dict)

    @property
    def tagged(self) -> list[Manifest]:
        return [manifest for manifest in self.manifests if manifest.tag is not None]

    def add(self, manifest: Manifest) -> bool:
        """Whether it is new; its blobs are added with it."""
        if any(_place(one) == _place(manifest) for one in self.manifests):
            return False
        self.manifests.append(manifest)
        for blob in blobs_of(manifest):
            if blob not in self.blobs:
                self.blobs.append(blob)
        return True


def blobs_of(manifest: Manifest) -> Iterator[Blob]:
    """Config and layers, without those that lie elsewhere (`urls`)."""
    document = manifest.document
    named = objects([document.get("config")]) + objects(document.get("layers"))
    for descriptor in named:
        digest, size = descriptor.get("digest"), descriptor.get("size")
        if is_digest(digest) and isinstance(size, int) and not descriptor.get("urls"):
            yield Blob(manifest.repository, str(digest), size)


def find(client: Client, repository: str | None, tag: str | None, digest: str | None) -> Content:
    """Ask the target what it has; with `repository` (then `tag` or `digest`), only that. Raises
    OSError when nobody answers at all."""
    content = Content()
    for name in [repository] if repository else _catalog(client):
        content.tags |= _tags(client, name)
        references = [wanted for wanted in (tag, digest) if wanted]
        for reference in references or content.tags.get(name, ())[:TAGS]:
            _add(client, content, name, reference)
        if digest and not any(m.digest == digest for m in content.manifests):
            with suppress(Broken):
                answer = client.head(f"/v2/{name}/blobs/{digest}")
                if answer.status == 200 and answer.length is not None:
                    content.blobs.append(Blob(name, digest, answer.length))
    return content


def as_object(data: bytes) -> dict[str, object]:
    """Empty for what is no JSON object."""
    try:
        said = json.loads(data)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def objects(value: object) -> list[dict[str, object]]:
    """The JSON objects in a list; empty for anything else."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def strings(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _place(manifest: Manifest) -> tuple[str, str, str | None]:
    return manifest.repository, manifest.digest, manifest.tag


def _catalog(client: Client) -> list[str]:
    answer = _asked(client, f"/v2/_catalog?n={REPOSITORIES}")
    return strings(as_object(answer.body).get("repositories"))[:REPOSITORIES] if answer else []


def _tags(client: Client, repository: str) -> dict[str, tuple[str, ...]]:
    answer = _asked(client, f"/v2/{repository}/tags/list")
    if answer is None:
        return {}
    return {repository: tuple(sorted(strings(as_object(answer.body).get("tags"))))}


def _add(client: Client, content: Content, repository: str, reference: str) -> None:
    path = f"/v2/{repository}/manifests/{quote(reference, safe=':')}"
    answer = _asked(client, path, ACCEPT)
    if answer is None:
        return
    by_digest = is_digest(reference)
    digest = reference if by_digest else answer.get("docker-content-digest")
    if digest is None or not matches(digest, answer.body):
        digest = digest_of(answer.body)
    tag = None if by_digest else reference
    manifest = Manifest(repository, digest, answer.body, answer.media_type, tag)
    if content.add(manifest):
        for child in manifest.children[:CHILDREN]:
            if is_digest(child.get("digest")):
                _add(client, content, repository, str(child["digest"]))


def _asked(client: Client, path: str, *fields: tuple[str, str]) -> Answer | None:
    """None for anything but a 200: the checks will say what is wrong."""
    try:
        answer = client.get(path, *fields)
    except Broken:
        return None
    return answer if answer.status == 200 else None
