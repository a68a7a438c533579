"""A real registry with the suite's own content: Debian's docker-registry, everything pushed."""

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distcache.conformance.origin.library import Library, Shelf
from tests.interop.upstream import Mode, registry


@contextmanager
def docker_registry(directory: Path, library: Library) -> Iterator[int]:
    """Its port; `library` has been pushed to it, as far as it takes it."""
    with registry(Mode.PLAIN, directory, directory / "storage") as running:
        for name, shelf in library.shelves.items():
            push(running.port, name, shelf)
        yield running.port


def push(port: int, name: str, shelf: Shelf) -> None:
    for digest, data in shelf.blobs.items():
        location = write(port, "POST", f"/v2/{name}/blobs/uploads/", b"", "")
        path = location.partition(f":{port}")[2] or location
        write(port, "PUT", f"{path}&digest={digest}", data, "application/octet-stream")
    # What names others comes after them.
    ordered = sorted(
        shelf.manifests.items(), key=lambda pair: "manifests" in json.loads(pair[1].body)
    )
    for digest, stored in ordered:
        tags = [tag for tag, held in shelf.tags.items() if held == digest]
        # It takes blobs under a SHA-512 digest, manifests only under a tag or SHA-256.
        by_digest = [digest] if digest.startswith("sha256:") else []
        for reference in (*by_digest, *tags):
            path = f"/v2/{name}/manifests/{reference}"
            write(port, "PUT", path, stored.body, stored.media_type)


def write(port: int, method: str, path: str, body: bytes, media_type: str) -> str:
    """The answer's Location."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, {"Content-Type": media_type})
        with connection.getresponse() as response:
            text = response.read()
            assert response.status in (201, 202), (response.status, method, path, text)
            return response.getheader("Location") or ""
    finally:
        connection.close()
