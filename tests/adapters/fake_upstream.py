"""An upstream registry that does what its script says, byte by byte, over a real socket.

For each path a list of scripts: one for each request in turn, the last one for all that
follow. Everything a script is waiting for is an event that the test sets.
"""

import hashlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import trio
from attrs import define, field, frozen

from distcache.core.oci import OCI_MANIFEST


@frozen
class Asked:
    """A request that came; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    connection: int


HOST = "127.0.0.1"

Script = Callable[[trio.SocketStream, Asked], Awaitable[None]]
"""Over TLS the stream is another, of the same methods."""


@define(eq=False)
class Upstream:
    scripts: dict[str, list[Script]] = field(factory=dict)
    asked: list[Asked] = field(factory=list)
    port: int = 0
    connections: int = 0
    live: int = 0

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

    async def _serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        self.live += 1
        try:
            await self._answer(stream, self.connections)
        finally:
            self.live -= 1

    async def _answer(self, stream: trio.SocketStream, number: int) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with stream:
                data = b""
                while True:
                    while b"\r\n\r\n" not in data:
                        piece = await stream.receive_some()
                        if not piece:
                            return
                        data += piece
                    head, _, data = data.partition(b"\r\n\r\n")
                    asked = _parse(head.decode(), number)
                    self.asked.append(asked)
                    scripts = self.scripts.get(asked.target, [status(404)])
                    script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
                    await script(stream, asked)


@asynccontextmanager
async def upstream(tls: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
    one = Upstream()
    async with trio.open_nursery() as nursery:
        if tls is None:
            (listener,) = await nursery.start(partial(trio.serve_tcp, one._serve, 0, host=HOST))
        else:
            handler: Any = one._serve
            serve = partial(trio.serve_ssl_over_tcp, handler, 0, tls, host=HOST)
            (over,) = await nursery.start(serve)
            listener = over.transport_listener
        one.port = listener.socket.getsockname()[1]
        yield one
        nursery.cancel_scope.cancel()


def digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def manifest(*blobs: bytes) -> bytes:
    """A manifest that names these layers."""
    layers = [{"mediaType": "x/y", "digest": digest(b), "size": len(b)} for b in blobs]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": layers}).encode()


def whole(body: bytes, fields: Mapping[str, str] | None = None) -> Script:
    """The content, or the part of it from `Range: bytes=N-` on; HEAD gets the head."""

    async def script(stream: trio.SocketStream, asked: Asked) -> None:
        line, more, start = _range(body, asked)
        data = b"" if asked.method == "HEAD" else body[start:]
        await stream.send_all(_head(line, {**more, **(fields or {})}, len(body) - start) + data)

    return script


def until(body: bytes, stop: int, then: Script) -> Script:
    """The head of `whole`, the content up to `stop`, and then something else."""

    async def script(stream: trio.SocketStream, asked: Asked) -> None:
        line, more, start = _range(body, asked)
        await stream.send_all(_head(line, more, len(body) - start) + body[start:stop])
        await then(stream, asked)

    return script


def chunked(body: bytes, *, end: bool = True) -> Script:
    """In chunked coding, with or without its end."""

    async def script(stream: trio.SocketStream, _: Asked) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        await stream.send_all(head + b"%x\r\n%s\r\n" % (len(body), body))
        if end:
            await stream.send_all(b"0\r\n\r\n")
        else:
            await stream.aclose()

    return script


def status(code: int, fields: Mapping[str, str] | None = None, body: bytes = b"{}") -> Script:
    async def script(stream: trio.SocketStream, asked: Asked) -> None:
        data = b"" if asked.method == "HEAD" else body
        await stream.send_all(_head(f"{code} X", fields or {}, len(body)) + data)

    return script


def raw(data: bytes) -> Script:
    async def script(stream: trio.SocketStream, _: Asked) -> None:
        await stream.send_all(data)

    return script


async def cut(stream: trio.SocketStream, _: Asked) -> None:
    await stream.aclose()


async def hang(stream: trio.SocketStream, _: Asked) -> None:
    await trio.sleep_forever()


def after(event: trio.Event, then: Script) -> Script:
    async def script(stream: trio.SocketStream, asked: Asked) -> None:
        await event.wait()
        await then(stream, asked)

    return script


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


def _parse(head: str, connection: int) -> Asked:
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ")
    fields = (line.partition(":") for line in lines)
    return Asked(method, target, {n.lower(): v.strip() for n, _, v in fields}, connection)
