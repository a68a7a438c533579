"""The scripted upstream on a port: serves a `Library`, writes down what it is asked, and does
to its answers what the running check wants.

A request is on record before its answer begins: whoever has the answer can read the record.
"""

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http import HTTPStatus
from io import BufferedReader
from typing import Self

from attrs import define, field, frozen

from ..messages import Fields
from .library import Library
from .registry import Asked, Reply, answer, error

LINE_LIMIT = 64 * 1024
FIELDS = 200
BODY_LIMIT = 1024 * 1024
_TLS = b"\x16"

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

Spoil = Callable[[Asked, Reply], Reply]
"""What is answered instead; may wait."""


class BadRequest(ValueError):
    """What came is no request, or one that two readers could understand differently."""


@frozen
class Framing:
    """What of a request decides about the connection. `length` None: chunked."""

    length: int | None
    close: bool


@define(eq=False)
class Origin:
    """Listens on `host` and `port`; `stop` and `start` take it away and bring it back."""

    host: str
    port: int
    library: Library
    _spoil: Spoil | None = field(default=None, init=False)
    _record: list[Asked] = field(factory=list, init=False)
    _listener: socket.socket | None = field(default=None, init=False)
    _threads: list[threading.Thread] = field(factory=list, init=False)
    _open: set[socket.socket] = field(factory=set, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Raises OSError: it cannot listen there."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.create_server((self.host, self.port), family=family, backlog=128)
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._run(self._accept, listener)

    def stop(self) -> None:
        """From here on connections are refused, and those that were open are gone."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        # close() alone leaves a blocked accept() waiting.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Away while the block runs."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    @contextlib.contextmanager
    def spoiling(self, spoil: Spoil) -> Iterator[None]:
        """Every answer goes through `spoil` while the block runs."""
        self._spoil = spoil
        try:
            yield
        finally:
            self._spoil = None

    def asked(self, part: str = "", method: str | None = None) -> list[Asked]:
        """What was asked for so far with `part` in its target, in order of arrival."""
        with self._lock:
            record = list(self._record)
        return [one for one in record if part in one.target and method in (None, one.method)]

    def respond(self, asked: Asked) -> Reply:
        reply = answer(self.library, asked)
        spoil = self._spoil
        return reply if spoil is None else spoil(asked, reply)

    def serve(self, client: socket.socket, reader: BufferedReader) -> None:
        """One connection, until either side has had enough."""
        while True:
            if reader.peek(1)[:1] == _TLS:
                client.sendall(encode(Asked("GET", "/"), error(400, "UNSUPPORTED"), close=True))
                return
            try:
                asked, framing = self.read(reader)
            except BadRequest:
                client.sendall(encode(Asked("GET", "/"), error(400, "UNSUPPORTED"), close=True))
                return
            if not self.exchange(client, reader, asked, framing):
                return

    def exchange(
        self, client: socket.socket, reader: BufferedReader, asked: Asked, framing: Framing
    ) -> bool:
        """Answer one request; whether the connection goes on."""
        drop_body(reader, framing)
        with self._lock:
            self._record.append(asked)
        reply = self.respond(asked)
        data = self.encode(asked, reply, framing)
        if reply.hold is not None:
            half = 0 if asked.method == "HEAD" else len(reply.body) // 2
            sent = len(data) - half if half else 0
            client.sendall(data[:sent])
            reply.hold()
            data = data[sent:]
        client.sendall(data)
        return not framing.close and reply.cut is None

    def read(self, reader: BufferedReader) -> tuple[Asked, Framing]:
        return read_request(reader)

    def encode(self, asked: Asked, reply: Reply, framing: Framing) -> bytes:
        return encode(asked, reply, close=framing.close)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self._run(self._connection, client)

    def _connection(self, client: socket.socket) -> None:
        with self._lock:
            self._open.add(client)
        try:
            with client, client.makefile("rb") as reader:
                with contextlib.suppress(OSError, ValueError):
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.serve(client, reader)
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_WR)
        finally:
            with self._lock:
                self._open.discard(client)

    def _run(self, work: Callable[[socket.socket], None], one: socket.socket) -> None:
        thread = threading.Thread(target=work, args=(one,), daemon=True)
        with self._lock:
            self._threads = [old for old in self._threads if old.is_alive()]
            self._threads.append(thread)
        thread.start()


def read_request(reader: BufferedReader) -> tuple[Asked, Framing]:
    """Raises BadRequest (RFC 9112 §3, §5, §6); ValueError at the connection's end."""
    first = _line(reader)
    fields: list[tuple[str, str]] = []
    while line := _line(reader):
        name, _, value = line.partition(":")
        if not _NAME.fullmatch(name) or len(fields) > FIELDS:
            raise BadRequest(line)
        fields.append((name.lower(), value.strip(" \t")))
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequest(first)
    method, target, version = words
    if target.startswith(("http://", "https://")):
        target = "/" + target.split("/", 3)[3]
    asked = Asked(method, target, tuple(fields), version.removeprefix("HTTP/"))
    hosts = [value for name, value in fields if name == "host"]
    if len(hosts) > 1 or (not hosts and version != "HTTP/1.0"):
        raise BadRequest("Host")
    return asked, _framing(asked, version)


def _framing(asked: Asked, version: str) -> Framing:
    coding, length = asked.get("transfer-encoding"), asked.get("content-length")
    if coding not in (None, "chunked") or not re.fullmatch("[0-9]{1,18}", length or "0"):
        raise BadRequest("framing")
    close = "close" in (asked.get("connection") or "").lower() or version == "HTTP/1.0"
    # Two framings at once may be a smuggled request (RFC 9112 §6.1).
    close = close or (coding is not None and length is not None)
    return Framing(None if coding else int(length or 0), close)


def drop_body(reader: BufferedReader, framing: Framing) -> None:
    """Raises ValueError for one that is too long or badly framed."""
    if framing.length is not None:
        if framing.length > BODY_LIMIT:
            raise ValueError("too long")
        reader.read(framing.length)
        return
    while size := int(_line(reader), 16):
        if size > BODY_LIMIT:
            raise ValueError("too long")
        reader.read(size + 2)
    while _line(reader):
        pass


def encode(asked: Asked, reply: Reply, *, close: bool) -> bytes:
    """The answer's bytes, as far as they are sent."""
    fields: Fields = (
        ("Date", formatdate(usegmt=True)),
        ("Docker-Distribution-Api-Version", "registry/2.0"),
        *reply.fields,
    )
    if reply.status != 304 and reply.get("content-length") is None:
        fields += (("Content-Length", str(len(reply.body))),)
    if close:
        fields += (("Connection", "close"),)
    phrase = HTTPStatus(reply.status).phrase
    lines = [f"HTTP/1.1 {reply.status} {phrase}", *(f"{n}: {v}" for n, v in fields), "", ""]
    body = b"" if asked.method == "HEAD" else reply.body[: reply.cut]
    return "\r\n".join(lines).encode("latin-1") + body


def _line(reader: BufferedReader) -> str:
    line = reader.readline(LINE_LIMIT)
    if not line.endswith(b"\r\n"):
        raise BadRequest("not a line") if line else ValueError("the end")
    return line[:-2].decode("latin-1")
