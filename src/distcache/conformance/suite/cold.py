"""Content that a cache cannot have seen, on an upstream that does as it is told."""

import threading
from collections.abc import Callable
from contextlib import ExitStack

from attrs import frozen

from ..checks import Target, expect, require, skip
from ..client import ACCEPT, Client
from ..digests import matches
from ..messages import Answer, Broken
from ..origin.library import layer_digests
from ..origin.registry import Reply, error
from ..origin.server import Origin, Spoil

CLIENTS = 8
"""Clients at the same time."""

GRACE = 5.0
"""Seconds after which a held answer goes on: a cache that waits for the whole would wait for
ever."""

BLOB = 200_000
LARGE = 12 * 1024 * 1024
"""Bytes; beyond what sockets on the way take up."""

GAPS = (502, 503, 504)
HONEST = "RFC 9110 §15: 404 says that there is nothing"
SHARED = "distribution-spec 1.1 §Pulling blobs; client trap: an upstream that counts pulls"


@frozen
class Image:
    """Content that is new to the cache: an image of one layer."""

    origin: Origin
    repository: str
    digest: str
    layer: str
    data: bytes

    @property
    def tag(self) -> str:
        return f"/v2/{self.repository}/manifests/latest"

    @property
    def manifest(self) -> str:
        return f"/v2/{self.repository}/manifests/{self.digest}"

    @property
    def blob(self) -> str:
        return f"/v2/{self.repository}/blobs/{self.layer}"

    def gets(self) -> int:
        """How often upstream was asked for the layer's bytes."""
        return len(self.origin.asked(self.layer, "GET"))


def fresh(target: Target, label: str, size: int = BLOB) -> Image:
    """Skips the check when the run has no scripted upstream."""
    origin = target.origin or skip("no --origin")
    library = origin.library
    repository = library.name("cold", label)
    data = library.random(f"cold/{label}", size)
    digest = str(library.add_image(repository, "latest", data)["digest"])
    layer = layer_digests(library.shelf(repository).manifests[digest])[0]
    return Image(origin, repository, digest, layer, data)


def pull(client: Client, image: Image) -> None:
    """Tag, manifest and layer, all right. Raises Failed."""
    answer = expect(client.get(image.tag, ACCEPT), 200)
    require(matches(image.digest, answer.body), "another manifest", answer)
    answer = expect(client.get(image.manifest, ACCEPT), 200)
    require(matches(image.digest, answer.body), "another manifest", answer)
    answer = expect(client.get(image.blob), 200)
    require(answer.body == image.data, "other bytes", answer)


def only(part: str, spoil: Callable[[Reply], Reply], *methods: str) -> Spoil:
    """Spoils answers to requests whose target contains `part`; GET alone unless said."""
    wanted = methods or ("GET",)
    return lambda asked, reply: (
        spoil(reply) if part in asked.target and asked.method in wanted else reply
    )


def refusing(part: str, status: int, *fields: tuple[str, str]) -> Spoil:
    codes = {401: "UNAUTHORIZED", 403: "DENIED", 404: "NAME_UNKNOWN", 429: "TOOMANYREQUESTS"}
    reply = error(status, codes.get(status, "UNSUPPORTED"), *fields)
    return only(part, lambda _: reply, "GET", "HEAD")


def told(client: Client, path: str) -> Answer | None:
    """The answer; None when the connection was cut, which is an honest end as well."""
    try:
        return client.get(path, ACCEPT)
    except Broken:
        return None


def crowd(target: Target, path: str, go: threading.Event) -> list[Answer]:
    """So many clients ask for `path` at once; `go` is set when all have, then their answers are
    read. Raises Broken, OSError."""
    request = target.client.request("GET", path, ACCEPT)
    with ExitStack() as stack:
        clients = [stack.enter_context(target.client.connect()) for _ in range(CLIENTS)]
        for client in clients:
            client.send(request.encode(client.address.authority))
        # The answers to later requests tell that the cache has come to the earlier ones.
        for _ in range(3):
            target.client.get("/v2/")
        go.set()
        return [client.read(request) for client in clients]
