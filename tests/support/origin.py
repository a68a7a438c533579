"""An upstream registry in the test's own process, for tests that need no real one.

It serves what it was given, knows `Range: bytes=N-`, and nothing of the writing side."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from attrs import define, field, frozen

from distcache.core.oci import OCI_MANIFEST

BLOB_TYPE = "application/octet-stream"


@frozen
class Item:
    body: bytes
    media_type: str

    @property
    def digest(self) -> str:
        return "sha256:" + hashlib.sha256(self.body).hexdigest()

    @property
    def descriptor(self) -> dict[str, object]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.body)}


@define(eq=False)
class Origin:
    """What is served, by path; content may be added while it runs. `ranged` False: Range is
    ignored, as a server may. `redirects`: where a path is to be found instead (307). `refuses`
    looks at a request's path and headers: the status to refuse it with, if any; 401 asks for a
    user name and password."""

    port: int = 0
    items: dict[str, Item] = field(factory=dict)
    ranged: bool = True
    redirects: dict[str, str] = field(factory=dict)
    refuses: Callable[[str, Mapping[str, str]], int | None] = lambda path, headers: None

    def add_blob(self, repository: str, data: bytes) -> str:
        """The path under which it is served."""
        item = Item(data, BLOB_TYPE)
        path = f"/v2/{repository}/blobs/{item.digest}"
        self.items[path] = item
        return path

    def add_image(self, repository: str, tag: str, layers: list[bytes]) -> str:
        """An image of `layers`, none of them a real archive; the path of its tag."""
        blobs = [Item(data, BLOB_TYPE) for data in layers]
        config = Item(json.dumps({"tag": tag}).encode(), BLOB_TYPE)
        for blob in (config, *blobs):
            self.add_blob(repository, blob.body)
        body = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config.descriptor,
            "layers": [blob.descriptor for blob in blobs],
        }
        manifest = Item(json.dumps(body).encode(), OCI_MANIFEST)
        self.items[f"/v2/{repository}/manifests/{manifest.digest}"] = manifest
        path = f"/v2/{repository}/manifests/{tag}"
        self.items[path] = manifest
        return path


@contextmanager
def running_origin() -> Iterator[Origin]:
    origin = Origin()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def log_message(self, *args: object) -> None:
            pass

        def _answer(self, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            refusal = origin.refuses(self.path, dict(self.headers.items()))
            if refusal is not None:
                self._say(refusal, ("WWW-Authenticate", 'Basic realm="origin"'))
                return
            if path in origin.redirects:
                self._say(307, ("Location", origin.redirects[path]))
                return
            item = origin.items.get(path)
            if item is None:
                self._say(404)
                return
            start = first_byte(self.headers.get("Range")) if origin.ranged else None
            size = len(item.body)
            self.send_response(206 if start is not None else 200)
            if start is not None:
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            self.send_header("Content-Length", str(size - (start or 0)))
            self.send_header("Content-Type", item.media_type)
            self.send_header("Docker-Content-Digest", item.digest)
            self.end_headers()
            if with_body:
                self.wfile.write(item.body[start or 0 :])

        def _say(self, status: int, *headers: tuple[str, str]) -> None:
            self.send_response(status)
            for name, value in (*headers, ("Content-Length", "0")):
                self.send_header(name, value)
            self.end_headers()

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            """A peer that goes away is no news here."""

    with Server(("127.0.0.1", 0), Handler) as server:
        origin.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield origin
        finally:
            server.shutdown()
            thread.join()


def first_byte(header: str | None) -> int | None:
    """Of `bytes=N-`; any other Range is ignored, as a server may."""
    if header is None or not header.startswith("bytes=") or not header.endswith("-"):
        return None
    return int(header[len("bytes=") : -1])
