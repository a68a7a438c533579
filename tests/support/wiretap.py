"""A reverse proxy between a cache and its upstream: it writes down every request and can
spoil answers.

A request is on record before its answer begins, so whoever has the answer can read the
record: a server's own access log, written after the answer, would race with the test.
One new connection to the target per request; towards the cache connections are kept alive.
"""

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from io import BufferedReader
from urllib.parse import urlsplit

from attrs import define, field

from tests.support.faults import PATIENCE, Fault, Plan

CHUNK = 256 * 1024


@define(eq=False)
class Seen:
    """One request. `status` is None until the answer's head is known; header names are in
    lower case, a repeated header's values are joined by commas."""

    method: str
    target: str
    headers: dict[str, str]
    status: int | None = None

    @property
    def path(self) -> str:
        return urlsplit(self.target).path


@define(eq=False)
class Wiretap:
    """Listens on `port` for the registry at `target` (a port); both on loopback."""

    target: int
    port: int = 0
    plan: Plan = field(factory=Plan, init=False)
    _seen: list[Seen] = field(factory=list, init=False)
    _listener: socket.socket | None = field(default=None, init=False)
    _threads: list[threading.Thread] = field(factory=list, init=False)
    _sockets: set[socket.socket] = field(factory=set, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen; after a stop, on the same port again."""
        listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._spawn(self._accept, listener)

    def stop(self) -> None:
        """From here on connections are refused, and those that were open are gone."""
        listener, self._listener = self._listener, None
        if listener is not None:
            # close() alone leaves a blocked accept() waiting.
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.plan.open_gates()
        self.drop_connections()
        for thread in self._threads:
            thread.join(PATIENCE)
        self._threads.clear()

    def drop_connections(self) -> None:
        """Break every open connection, in the middle of whatever it carries."""
        with self._lock:
            for one in self._sockets:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def spoil(self, fault: Fault) -> None:
        self.plan.add(fault)

    def seen(self, method: str | None = None, part: str = "") -> list[Seen]:
        """Requests so far, in order of arrival, filtered by method and a part of the path."""
        with self._lock:
            every = list(self._seen)
        return [one for one in every if method in (None, one.method) and part in one.path]

    def forget(self) -> None:
        with self._lock:
            self._seen.clear()

    def blob_gets(self) -> Counter[str]:
        """How often each blob was fetched (2xx answers only), by digest."""
        gets = self.seen("GET", "/blobs/")
        return Counter(one.path.rpartition("/")[2] for one in gets if one.status in (200, 206))

    def _spawn(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        with self._lock:
            self._threads = [*(one for one in self._threads if one.is_alive()), thread]
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self._spawn(self._serve, client)

    @contextlib.contextmanager
    def _tracked(self, one: socket.socket) -> Iterator[socket.socket]:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._sockets.add(one)
        try:
            yield one
        finally:
            with self._lock:
                self._sockets.discard(one)
            one.close()

    def _serve(self, client: socket.socket) -> None:
        with (
            self._tracked(client),
            client.makefile("rb") as reader,
            contextlib.suppress(OSError, ValueError),
        ):
            while (head := read_head(reader)) and self._exchange(client, head):
                pass

    def _exchange(self, client: socket.socket, head: list[str]) -> bool:
        """Answer one request; whether the connection can carry another one."""
        method, target, _ = head[0].split(" ", 2)
        seen = Seen(method, target, header_fields(head[1:]))
        with self._lock:
            self._seen.append(seen)
        fault = self.plan.take(method, seen.path) or Fault("")
        if fault.mute and fault.gate is not None:
            fault.gate.pass_through()
        if fault.drop:
            return False
        if fault.status is not None:
            seen.status = fault.status
            lines = [f"HTTP/1.1 {fault.status} Spoiled", "Content-Length: 0"]
            lines += [f"{name}: {value}" for name, value in fault.headers]
            client.sendall(encode_head(lines))
            return True
        with self._tracked(socket.create_connection(("127.0.0.1", self.target))) as server:
            server.sendall(encode_head([*without_connection(head), "Connection: close"]))
            with server.makefile("rb") as reader:
                return relay_answer(reader, client, seen, fault)


def relay_answer(reader: BufferedReader, client: socket.socket, seen: Seen, fault: Fault) -> bool:
    """Pass one answer on, spoilt as `fault` says; whether it came to its end by itself."""
    head = read_head(reader)
    if not head:
        return False
    seen.status = int(head[0].split(" ", 2)[1])
    length = header_fields(head[1:]).get("content-length")
    bodiless = seen.method == "HEAD" or seen.status in (204, 304)
    framed = bodiless or length is not None
    if bodiless and fault.gate is not None and not fault.mute:
        fault.gate.pass_through()
    told = without_connection(head) if framed else head
    client.sendall(encode_head(told if fault.rewrite is None else fault.rewrite(told)))
    left = 0 if bodiless else int(length) if length is not None else None
    whole = relay_body(reader, client, left, fault)
    # A head that was tampered with may have promised another body.
    return whole and framed and fault.rewrite is None


def relay_body(
    reader: BufferedReader, client: socket.socket, left: int | None, fault: Fault
) -> bool:
    """`left` is the body's length, None: to the end of the connection."""
    position = 0
    gate = None if fault.mute else fault.gate
    while left is None or position < left:
        if gate is not None and position == gate.at:
            gate.pass_through()
        if position == fault.cut:
            return False
        size = CHUNK if fault.piece is None else fault.piece
        want = size if left is None else min(size, left - position)
        for mark in (fault.cut, fault.corrupt, gate.at if gate else None):
            if mark is not None and position < mark:
                want = min(want, mark - position)
        chunk = reader.read1(want)
        if not chunk:
            return left is None
        if position == fault.corrupt:
            chunk = bytes([chunk[0] ^ 0xFF]) + chunk[1:]
        position += len(chunk)
        # With the last piece, as one segment: a reader takes in both at once.
        client.sendall(chunk + fault.extra if position == left else chunk)
    return True


def read_head(reader: BufferedReader) -> list[str]:
    """The lines of a message head, without the empty one; empty at the connection's end."""
    lines: list[str] = []
    while line := reader.readline(65536):
        if line in (b"\r\n", b"\n"):
            return lines
        lines.append(line.decode("latin-1").rstrip("\r\n"))
    return []


def encode_head(lines: list[str]) -> bytes:
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def header_fields(lines: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        key = name.lower()
        fields[key] = f"{fields[key]}, {value.strip()}" if key in fields else value.strip()
    return fields


def without_connection(head: list[str]) -> list[str]:
    return [line for line in head if not line.lower().startswith("connection:")]
