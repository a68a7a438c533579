"""What clients that are not on this machine send, step by step, as their code does."""

import http.client
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import sha256
from typing import Any
from urllib.parse import urljoin, urlsplit

from attrs import define, field

from distcache.testing import Blob, Manifest
from tests.support.raw import TIMEOUT, Answer, ask

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
EVERY_TYPE = ", ".join(
    (
        DOCKER_MANIFEST,
        "application/vnd.docker.distribution.manifest.list.v2+json",
        OCI_MANIFEST,
        "application/vnd.oci.image.index.v1+json",
        "*/*",
    )
)


def packed(
    media_type: str,
    config: Blob,
    layers: list[Blob],
    annotations: Mapping[str, str] | None = None,
    of_layer: Mapping[str, str] | None = None,
) -> Manifest:
    """Of any types; `of_layer` are the first layer's annotations."""
    entries = [layer.descriptor for layer in layers]
    if of_layer:
        entries[0] = entries[0] | {"annotations": dict(of_layer)}
    body: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": config.descriptor,
        "layers": entries,
    }
    if annotations:
        body["annotations"] = dict(annotations)
    text = json.dumps(body).encode()
    return Manifest(text, media_type, (config, *layers), annotations=annotations or {})


@define
class Ollama:
    """`ollama pull`: for each blob a HEAD for its size, a GET of which only the head is read, for
    where it is to be had, and then parts of it, side by side, each as a range."""

    port: int
    part: int
    parallel: int = 16
    statuses: set[int] = field(factory=set)
    """Of the parts: it does not look at them itself."""

    def manifest(self, name: str, tag: str) -> dict[str, Any]:
        answer = ask(self.port, f"/v2/{name}/manifests/{tag}", headers={"Accept": DOCKER_MANIFEST})
        assert answer.status == 200
        tree: dict[str, Any] = json.loads(answer.body)
        return tree

    def blob(self, name: str, digest: str, have: bytes = b"") -> bytes:
        """`have`: what an earlier, interrupted pull has of it."""
        path = f"/v2/{name}/blobs/{digest}"
        head = ask(self.port, path, "HEAD")
        assert head.status == 200
        size = int(head.headers["content-length"])
        place = self._place(path)
        starts = range(len(have), size, self.part)
        with ThreadPoolExecutor(self.parallel) as threads:
            parts = threads.map(lambda at: self._part(place, at, min(at + self.part, size)), starts)
            whole = have + b"".join(parts)
        assert f"sha256:{sha256(whole).hexdigest()}" == digest
        return whole

    def _place(self, path: str) -> str:
        """Where the answer's Location leads, be it a redirect or not; the body is left."""
        url = f"http://127.0.0.1:{self.port}{path}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        with closing(connection):
            connection.request("GET", path)
            with connection.getresponse() as response:
                location = response.headers["Location"]
                assert location, "no Location header in the answer"
        return str(urlsplit(urljoin(url, location)).path)

    def _part(self, path: str, start: int, end: int) -> bytes:
        answer = ask(self.port, path, headers={"Range": f"bytes={start}-{end - 1}"})
        self.statuses.add(answer.status)
        assert len(answer.body) == end - start
        return answer.body


def resolve(port: int, name: str, tag: str) -> Answer:
    """As clients built on oras do: HEAD of the tag, GET of the digest."""
    head = ask(port, f"/v2/{name}/manifests/{tag}", "HEAD", {"Accept": EVERY_TYPE})
    if head.status != 200:
        return head
    digest = head.headers["docker-content-digest"]
    got = ask(port, f"/v2/{name}/manifests/{digest}", headers={"Accept": EVERY_TYPE})
    assert got.status == 200
    assert f"sha256:{sha256(got.body).hexdigest()}" == digest
    assert got.headers["content-type"] == head.headers["content-type"]
    return got


def fetch(port: int, name: str, descriptor: Mapping[str, Any]) -> bytes:
    """A blob as its descriptor says."""
    answer = ask(port, f"/v2/{name}/blobs/{descriptor['digest']}")
    assert answer.status == 200
    assert len(answer.body) == descriptor["size"]
    assert f"sha256:{sha256(answer.body).hexdigest()}" == descriptor["digest"]
    return answer.body
