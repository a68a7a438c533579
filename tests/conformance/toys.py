"""Registries that are wrong on purpose, each in one way: what the suite must find.

A fault changes what the suite's own small registry hears (`hear`) or would answer: as a value
(`spoil`), as bytes (`mangle`), or by being a server of another kind (`kind`)."""

import json
import re
import socket
import sys
from collections.abc import Callable
from io import BufferedReader

from attrs import define, evolve, frozen

from distcache.conformance.messages import Fields
from distcache.conformance.origin.library import Library
from distcache.conformance.origin.registry import Asked, Reply, error
from distcache.conformance.origin.server import BadRequest, Framing, Origin, drop_body

Spoil = Callable[[Asked, Reply], Reply]
Mangle = Callable[[Asked, bytes], bytes]
Hear = Callable[[Asked], Asked]


def unspoilt(_: Asked, reply: Reply) -> Reply:
    return reply


def unmangled(_: Asked, data: bytes) -> bytes:
    return data


def as_said(asked: Asked) -> Asked:
    return asked


@define(eq=False)
class Toy(Origin):
    spoil: Spoil = unspoilt
    mangle: Mangle = unmangled
    hear: Hear = as_said

    def respond(self, asked: Asked) -> Reply:
        return self.spoil(asked, super().respond(self.hear(asked)))

    def encode(self, asked: Asked, reply: Reply, framing: Framing) -> bytes:
        return self.mangle(asked, super().encode(asked, reply, framing))


class Lenient(Toy):
    """Understands everything somehow: fields without shape, no Host, any framing, any length."""

    def read(self, reader: BufferedReader) -> tuple[Asked, Framing]:
        words = (_line(reader) or b"GET /v2/ HTTP/1.1").split(b" ")
        fields: list[tuple[str, str]] = []
        while line := _line(reader):
            name, _, value = line.partition(b":")
            fields.append((name.strip().lower().decode("latin-1"), value.strip().decode("latin-1")))
        target = words[1].decode("latin-1") if len(words) > 1 else "/v2/"
        return Asked("GET", target, tuple(fields)), Framing(0, False)


class OneShot(Toy):
    """Closes after each answer, without saying so before."""

    def exchange(
        self, client: socket.socket, reader: BufferedReader, asked: Asked, framing: Framing
    ) -> bool:
        super().exchange(client, reader, asked, framing)
        return False


class Saying(Toy):
    """Ends connections after errors, and says so."""

    def encode(self, asked: Asked, reply: Reply, framing: Framing) -> bytes:
        return super().encode(asked, reply, evolve(framing, close=reply.status >= 400))


class Hasty(Toy):
    """Wants a request whole in one packet. What came in several is refused when all of it is
    there: how much is there at first depends on who is quicker."""

    def serve(self, client: socket.socket, reader: BufferedReader) -> None:
        before = 0
        while reader.peek(1):
            asked, framing = self.read(reader)
            if _packets(client) > before + 1:
                client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                return
            if not self.exchange(client, reader, asked, framing):
                return
            before = _packets(client)


def _packets(client: socket.socket) -> int:
    """With data, that have come (tcpi_data_segs_in, linux/tcp.h)."""
    info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 156)
    return int.from_bytes(info[152:156], sys.byteorder)


class Deaf(Toy):
    """Knows nothing of TLS: waits for the line's end that no hello has."""

    def serve(self, client: socket.socket, reader: BufferedReader) -> None:
        while client.recv(1, socket.MSG_PEEK) == b"\x16":
            client.recv(65536)
        super().serve(client, reader)


class Bodiless(Toy):
    """Takes a request's body for the next request."""

    def read(self, reader: BufferedReader) -> tuple[Asked, Framing]:
        asked, framing = super().read(reader)
        return asked, evolve(framing, length=0)


class Narrow(Toy):
    """Reads 8 KiB of head, as some proxies do."""

    def read(self, reader: BufferedReader) -> tuple[Asked, Framing]:
        asked, framing = super().read(reader)
        if sum(len(value) for _, value in asked.fields) > 8192:
            drop_body(reader, framing)
            raise BadRequest("too large")
        return asked, framing


def _line(reader: BufferedReader) -> bytes:
    """ValueError at the connection's end."""
    line = reader.readline()
    if not line:
        raise ValueError("the end")
    return line.rstrip(b"\r\n")


@frozen
class Fault:
    """`checks`: the ids of those that must fail because of it."""

    name: str
    checks: str
    spoil: Spoil = unspoilt
    mangle: Mangle = unmangled
    hear: Hear = as_said
    kind: type[Toy] = Toy

    def toy(self, library: Library) -> Toy:
        return self.kind("127.0.0.1", 0, library, self.spoil, self.mangle, self.hear)


# What requests are about.


def manifest(asked: Asked) -> bool:
    return "/manifests/" in asked.target and not blob(asked)


def blob(asked: Asked) -> bool:
    return "/blobs/sha" in asked.target


def by_tag(asked: Asked) -> bool:
    return manifest(asked) and "/manifests/sha256:" not in asked.target


def listing(asked: Asked) -> bool:
    return asked.path.endswith("/tags/list")


def referrers(asked: Asked) -> bool:
    return "/referrers/sha" in asked.target


def ranged(asked: Asked) -> bool:
    return asked.get("range") is not None


def is_ping(asked: Asked) -> bool:
    return asked.path == "/v2/"


def is_head(asked: Asked) -> bool:
    return asked.method == "HEAD"


# What is heard of them.


def deaf_to(name: str, values: str = "") -> Hear:
    """Does not hear this field, where its value matches `values`."""

    def hear(asked: Asked) -> Asked:
        kept = [(n, v) for n, v in asked.fields if n != name or not re.search(values, v)]
        return evolve(asked, fields=tuple(kept))

    return hear


def deaf_to_query(name: str) -> Hear:
    return lambda asked: evolve(asked, target=re.sub(rf"(?<=[?&]){name}=[^&]*", "", asked.target))


# What becomes of their answers.


def when(about: Callable[[Asked], bool], change: Callable[[Reply], Reply]) -> Spoil:
    return lambda asked, reply: change(reply) if about(asked) else reply


def good(about: Callable[[Asked], bool], change: Callable[[Reply], Reply]) -> Spoil:
    """Only where the answer would be 200 or 206."""
    return lambda asked, reply: (
        change(reply) if about(asked) and reply.status in (200, 206) else reply
    )


def anything(_: Asked) -> bool:
    return True


def becomes(
    status: int, code: str = "UNSUPPORTED", *fields: tuple[str, str]
) -> Callable[[Reply], Reply]:
    return lambda _: error(status, code, *fields)


def without(name: str) -> Callable[[Reply], Reply]:
    return lambda reply: evolve(
        reply, fields=tuple(pair for pair in reply.fields if pair[0].lower() != name)
    )


def with_field(name: str, value: str) -> Callable[[Reply], Reply]:
    def change(reply: Reply) -> Reply:
        fields: Fields = (*without(name.lower())(reply).fields, (name, value))
        return evolve(reply, fields=fields)

    return change


def flipped(reply: Reply) -> Reply:
    """One bit of the last byte."""
    body = reply.body
    return evolve(reply, body=body[:-1] + bytes([body[-1] ^ 1])) if body else reply


def everything_is_there(_: Asked, reply: Reply) -> Reply:
    return (
        Reply(200, (("Content-Type", "application/json"),), b"{}") if reply.status == 404 else reply
    )


def shorter(reply: Reply) -> Reply:
    return evolve(reply, body=reply.body[:-1])


def serialized(reply: Reply) -> Reply:
    return evolve(reply, body=json.dumps(json.loads(reply.body)).encode())


def edited(change: Callable[[dict[str, object]], object]) -> Callable[[Reply], Reply]:
    """Changes the answer's JSON object in place."""

    def edit(reply: Reply) -> Reply:
        document = json.loads(reply.body)
        change(document)
        return evolve(reply, body=json.dumps(document).encode())

    return edit


# What becomes of their bytes.


def drop_line(name: bytes) -> Mangle:
    return lambda _, data: re.sub(rb"(?im)^" + name + rb":.*\r\n", b"", data, count=1)


def add_line(line: bytes, about: Callable[[Asked], bool] = anything) -> Mangle:
    return lambda asked, data: (
        data.replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n\r\n", 1) if about(asked) else data
    )


def add_bytes(tail: bytes, about: Callable[[Asked, bytes], bool]) -> Mangle:
    return lambda asked, data: data + tail if about(asked, data) else data


def chunked(asked: Asked, data: bytes) -> bytes:
    """To clients that do not know chunks."""
    if asked.version != "1.0":
        return data
    head, _, body = data.partition(b"\r\n\r\n")
    head = re.sub(rb"(?im)^content-length:.*", b"Transfer-Encoding: chunked", head)
    return head + b"\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
