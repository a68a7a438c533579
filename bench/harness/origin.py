"""The upstream registry: files behind nginx, which costs little, or behind a limit (`throttle`).

It answers as a registry that wants no login: `/v2/`, manifests with their type, blobs with
ranges, `Docker-Content-Digest` on both.
"""

import http.client
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from .content import MANIFEST_TYPE, Shelf
from .processes import Process, free_port, start

CONFIG = """
daemon off;
pid {directory}/nginx.pid;
error_log stderr;
user root;
worker_processes 1;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    log_format bytes '$request_method $status $body_bytes_sent $uri';
    map_hash_bucket_size 256;
    map $uri $digest {{
        ~/(?<named>sha256:[0-9a-f]+)$ $named;
        include {directory}/tags.map;
    }}
    types {{}}
    default_type application/octet-stream;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    open_file_cache max=8192 inactive=1h;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        root {root};
        add_header Docker-Distribution-Api-Version registry/2.0;
        add_header Docker-Content-Digest $digest;
        location = /v2/ {{
            default_type application/json;
            add_header Docker-Distribution-Api-Version registry/2.0;
            return 200 "{{}}";
        }}
        location = /status {{ stub_status; }}
        location ~ /manifests/ {{ default_type {manifest_type}; }}
        location ~ /blobs/ {{ access_log {directory}/blobs.log bytes; }}
    }}
}}
"""


@frozen
class Origin:
    port: int
    process: Process
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def settle(self) -> None:
        """Wait for what is being sent: docker-registry fetches a blob for its store while the
        client has long been served."""
        while _writing(self.port) > 1:
            time.sleep(0.02)

    def blob_bytes(self) -> int:
        """Bytes of blobs sent so far, with what is being sent."""
        self.settle()
        if not self.log.exists():
            return 0
        return sum(int(line.split()[2]) for line in self.log.read_text().splitlines())


def _writing(port: int) -> int:
    """Answers that are being sent, that to this question included."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/status")
        words = connection.getresponse().read().split()
        return int(words[words.index(b"Writing:") + 1])
    finally:
        connection.close()


@frozen
class Limited:
    """An origin with a limit on all its connections together."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def blob_bytes(self) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", "/sent")
            return int(json.loads(connection.getresponse().read()))
        finally:
            connection.close()


@contextmanager
def serving(shelf: Shelf, directory: Path) -> Iterator[Origin]:
    """Tags are those on the shelf now. ServerError: it does not start."""
    directory.mkdir()
    (directory / "tags.map").write_text(
        "".join(f"{path} {digest};\n" for path, digest in shelf.tags.items())
    )
    port = free_port()
    config = directory / "nginx.conf"
    config.write_text(
        CONFIG.format(directory=directory, port=port, root=shelf.root, manifest_type=MANIFEST_TYPE)
    )
    process = start(["nginx", "-p", directory, "-c", config], directory / "log")
    try:
        process.await_port(port)
        yield Origin(port, process, directory / "blobs.log")
    finally:
        process.stop()


@contextmanager
def limited(shelf: Shelf, directory: Path, rate: int) -> Iterator[Limited]:
    """`rate` in bytes per second. ServerError: it does not start."""
    directory.mkdir()
    port = free_port()
    program = [sys.executable, "-m", "bench.harness.throttle"]
    command = [*program, str(port), str(shelf.root), str(rate)]
    process = start(command, directory / "throttle.log")
    try:
        process.await_port(port)
        yield Limited(port)
    finally:
        process.stop()
