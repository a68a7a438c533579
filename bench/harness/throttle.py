"""An origin whose whole output is limited: `python -m bench.harness.throttle PORT ROOT RATE`.

nginx limits connections one by one, which would give a cache that fetches a blob twice twice
the rate. Bodies go by sendfile(2): at 200 MB/s it takes some hundredths of a core. `/sent`
answers with the bytes of blobs sent so far.
"""

import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from attrs import define, field

from .content import MANIFEST_TYPE

PIECE = 256 * 1024
BURST = 0.005
"""Seconds of silence that may be made up for."""


@define
class Bucket:
    """Hands out leave to send, `rate` bytes per second to all together."""

    rate: float
    sent: int = 0
    _due: float = 0.0
    _lock: threading.Lock = field(factory=threading.Lock)

    def take(self, count: int) -> None:
        """Blocks until it is this piece's turn."""
        with self._lock:
            now = time.monotonic()
            self._due = max(self._due, now - BURST) + count / self.rate
            wait = self._due - now
        if wait > 0:
            time.sleep(wait)

    def count(self, count: int) -> None:
        with self._lock:
            self.sent += count


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, root: Path, rate: float) -> None:
        self.root = root
        self.bucket = Bucket(rate)
        super().__init__(("127.0.0.1", port), Handler)

    def handle_error(self, *_: object) -> None:
        """A cache that goes away is no news here."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        if path in ("/v2/", "/sent"):
            self._head(200, len(text := f"{self.server.bucket.sent}".encode()))
            self.wfile.write(text if with_body else b"")
            return
        file = self.server.root / path.lstrip("/")
        if ".." in path or not file.is_file():
            self._head(404, 0)
            return
        size = file.stat().st_size
        asked = self.headers.get("Range", "")
        first = int(asked[6:-1]) if asked.startswith("bytes=") and asked.endswith("-") else 0
        self._head(206 if first else 200, size - first, path, (first, size))
        if with_body:
            self._send(file, first, size)

    def _head(
        self, status: int, length: int, path: str = "", span: tuple[int, int] = (0, 0)
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        name = path.rpartition("/")[2]
        if ":" in name:
            self.send_header("Docker-Content-Digest", name)
        kind = MANIFEST_TYPE if "/manifests/" in path else "application/octet-stream"
        self.send_header("Content-Type", kind)
        if status == 206:
            self.send_header("Content-Range", f"bytes {span[0]}-{span[1] - 1}/{span[1]}")
        self.end_headers()

    def _send(self, file: Path, first: int, size: int) -> None:
        self.wfile.flush()
        with file.open("rb") as source:
            while first < size:
                count = min(PIECE, size - first)
                self.server.bucket.take(count)
                while count:
                    done = os.sendfile(self.connection.fileno(), source.fileno(), first, count)
                    self.server.bucket.count(done)
                    first += done
                    count -= done


def main() -> None:
    port, root, rate = sys.argv[1:]
    with Server(int(port), Path(root), float(rate)) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
