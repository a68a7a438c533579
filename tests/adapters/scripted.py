"""An upstream registry that does what its script says, byte by byte, in threads of its own.

For each path a list of scripts: one for each request in turn, the last one for all that
follow. What a script waits for is a gate that the test opens.
"""

import fcntl
import hashlib
import json
import socket
import ssl
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from attrs import define, field, frozen

from distcache.core.oci import OCI_MANIFEST

PATIENCE = 30.0
"""Seconds after which a test fails instead of hanging."""


@frozen
class Asked:
    """A request that came; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]


Gate = threading.Event
Script = Callable[[socket.socket, Asked], None]


@define(eq=False)
class Upstream:
    listener: socket.socket
    port: int
    tls: ssl.SSLContext | None = None
    scripts: dict[str, list[Script]] = field(factory=dict)
    asked: list[Asked] = field(factory=list)
    connections: int = 0
    _live: set[socket.socket] = field(factory=set)
    _threads: list[threading.Thread] = field(factory=list)

    def on(self, target: str, *scripts: Script) -> None:
        self.scripts[target] = list(scripts)

    def blob(self, name: str, body: bytes, *scripts: Script) -> str:
        """Serve a blob of repository `name`; returns its path."""
        path = f"/v2/{name}/blobs/{digest(body)}"
        self.on(path, *(scripts or (whole(body),)))
        return path

    def manifest(self, name: str, tag: str, body: bytes) -> str:
        """Serve a manifest by tag and digest; returns the tag's path."""
        fields = {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": digest(body)}
        for reference in (tag, digest(body)):
            self.on(f"/v2/{name}/manifests/{reference}", whole(body, fields))
        return f"/v2/{name}/manifests/{tag}"

    def count(self, method: str, target: str) -> int:
        return sum(a.method == method and a.target == target for a in self.asked)

    def serve(self) -> None:
        with suppress(OSError):  # closed
            while True:
                one, _ = self.listener.accept()
                self.connections += 1
                self._live.add(one)
                thread = threading.Thread(target=self._answer, args=(one,))
                thread.start()
                self._threads.append(thread)

    def deaf(self) -> None:
        """Take no connections any more."""
        with suppress(OSError):  # a second time
            # Closing alone would not end an accept under way.
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def close(self) -> None:
        self.deaf()
        for one in list(self._live):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a script hangs"

    def _answer(self, one: socket.socket) -> None:
        data = b""
        if self.tls is not None:
            try:
                one = self.tls.wrap_socket(one, server_side=True)
            except OSError:
                one.close()
                return
            self._live.add(one)
        with suppress(OSError), one:
            while True:
                while b"\r\n\r\n" not in data:
                    piece = one.recv(65536)
                    if not piece:
                        return
                    data += piece
                head, _, data = data.partition(b"\r\n\r\n")
                asked = _parse(head.decode())
                self.asked.append(asked)
                scripts = self.scripts.get(asked.target, [status(404)])
                script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
                script(one, asked)
                if one.fileno() < 0:
                    return
        self._live.discard(one)


@contextmanager
def scripted(tls: ssl.SSLContext | None = None) -> Iterator[Upstream]:
    """Over TLS with `tls`."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    upstream = Upstream(listener, listener.getsockname()[1], tls)
    thread = threading.Thread(target=upstream.serve)
    thread.start()
    try:
        yield upstream
    finally:
        # First whoever takes connections: close must know them all.
        upstream.deaf()
        thread.join()
        upstream.close()


def digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def manifest(*blobs: bytes) -> bytes:
    """A manifest that names these layers."""
    layers = [{"mediaType": "x/y", "digest": digest(b), "size": len(b)} for b in blobs]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": layers}).encode()


def whole(body: bytes, fields: Mapping[str, str] | None = None) -> Script:
    """The content, or the part of it from `Range: bytes=N-` on; HEAD gets the head."""

    def script(one: socket.socket, asked: Asked) -> None:
        line, more, start = _range(body, asked)
        data = b"" if asked.method == "HEAD" else body[start:]
        one.sendall(_head(line, {**more, **(fields or {})}, len(body) - start) + data)

    return script


def until(body: bytes, stop: int, then: Script) -> Script:
    """The head of `whole`, the content up to `stop`, and then something else."""

    def script(one: socket.socket, asked: Asked) -> None:
        line, more, start = _range(body, asked)
        one.sendall(_head(line, more, len(body) - start) + body[start:stop])
        then(one, asked)

    return script


def chunked(body: bytes, *, end: bool = True) -> Script:
    """In chunked coding, with or without its end."""

    def script(one: socket.socket, asked: Asked) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        one.sendall(head + b"%x\r\n%s\r\n" % (len(body), body))
        if end:
            one.sendall(b"0\r\n\r\n")
        else:
            cut(one, asked)

    return script


def status(code: int, fields: Mapping[str, str] | None = None, body: bytes = b"{}") -> Script:
    def script(one: socket.socket, asked: Asked) -> None:
        data = b"" if asked.method == "HEAD" else body
        one.sendall(_head(f"{code} X", fields or {}, len(body)) + data)

    return script


def raw(data: bytes) -> Script:
    return lambda one, _: one.sendall(data)


def cut(one: socket.socket, _: Asked) -> None:
    one.shutdown(socket.SHUT_RDWR)
    one.close()


def reset(one: socket.socket, _: Asked) -> None:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()


def hang(one: socket.socket, _: Asked) -> None:
    """Until the other side has had enough."""
    while one.recv(65536):
        pass


def after(gate: Gate, then: Script) -> Script:
    def script(one: socket.socket, asked: Asked) -> None:
        assert gate.wait(PATIENCE), "nobody opened the gate"
        then(one, asked)

    return script


def delivered(first: Script, there: Gate) -> Script:
    """Opens the gate when the other side's kernel has all that was sent: to have sent it is not
    enough."""

    def script(one: socket.socket, asked: Asked) -> None:
        first(one, asked)
        wait_delivered(one)
        there.set()

    return script


def wait_delivered(one: socket.socket) -> None:
    """Until the other side's kernel has said that it has everything (tcp(7), SIOCOUTQ), or that
    there is nobody any more."""
    deadline = time.monotonic() + PATIENCE
    while fcntl.ioctl(one, termios.TIOCOUTQ, bytes(4)) != bytes(4):
        if one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            return
        assert time.monotonic() < deadline, "it never arrived"
        time.sleep(0.001)


def rest(body: bytes, start: int) -> Script:
    """Bytes from `start` on, for use after `until`."""
    return raw(body[start:])


def _range(body: bytes, asked: Asked) -> tuple[str, dict[str, str], int]:
    wanted = asked.headers.get("range", "")
    if not wanted:
        return "200 OK", {}, 0
    start = int(wanted.removeprefix("bytes=").removesuffix("-"))
    return "206 Part", {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}, start


def _head(line: str, fields: Mapping[str, str], length: int) -> bytes:
    lines = [f"HTTP/1.1 {line}", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def _parse(head: str) -> Asked:
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ")
    fields = (line.partition(":") for line in lines)
    return Asked(method, target, {n.lower(): v.strip() for n, _, v in fields})
