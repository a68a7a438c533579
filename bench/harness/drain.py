"""Pulls as many clients at once, at little cost: `python -m bench.harness.drain OPTIONS PATHS`.

One thread, one epoll. Bodies are thrown away inside the kernel (recv(2) with MSG_TRUNC, which
for TCP copies nothing), so that the server is what is measured; with --hash they are read and
hashed instead. Prints one JSON object, `Drained` in load.py. Fails on anything but whole
answers with status 200, or 206 where a range was asked for.
"""

import argparse
import hashlib
import json
import random
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack

from attrs import define, field, frozen

HEAD_LIMIT = 64 * 1024
ROOM = 4 * 1024 * 1024
BYTES_RECEIVED = 128
"""Offset in struct tcp_info, linux/tcp.h."""

PATIENCE = 120.0
"""Seconds of silence from everybody before it is given up."""


@frozen
class Wish:
    """One request: a path, and bytes `first` to `last` inclusive when both are given."""

    path: str
    span: tuple[int, int] | None = None

    def spelt(self) -> bytes:
        wanted = "" if self.span is None else "Range: bytes={}-{}\r\n".format(*self.span)
        return f"GET {self.path} HTTP/1.1\r\nHost: cache\r\n{wanted}\r\n".encode()


class WrongAnswer(Exception):
    """Not what was asked for."""


@define(eq=False)
class Client:
    sock: socket.socket
    wishes: Iterator[Wish]
    hashing: bool
    wish: Wish | None = None
    head: bytes = b""
    left: int | None = None
    """Bytes of the body that are still to come, None before its head is whole."""
    first_byte: float | None = None
    received: int = 0
    answers: int = 0
    taken: int = 0
    """Bytes taken off the connection, heads included."""
    hasher: "hashlib._Hash" = field(factory=hashlib.sha256)

    def ask(self) -> bool:
        """The next request, False when there is none."""
        self.wish = next(self.wishes, None)
        if self.wish is None:
            return False
        self.head, self.left = b"", None
        self.sock.sendall(self.wish.spelt())
        return True

    def take(self, room: bytearray) -> bool:
        """What has come; True when the answer is whole."""
        if self.left is None:
            self._take_head()
        else:
            flags = 0 if self.hashing else socket.MSG_TRUNC
            count = self.sock.recv_into(room, min(self.left, ROOM), flags)
            self.taken += count
            self._body(count, room)
        return self.left == 0

    def arrived(self) -> int:
        """Bytes that came in by the kernel's own count (tcp_info, tcpi_bytes_received): if they
        are not those taken and those waiting, what this program believes is not to be trusted."""
        known = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_RECEIVED + 8)
        return int.from_bytes(known[BYTES_RECEIVED:], sys.byteorder)

    def _take_head(self) -> None:
        data = self.sock.recv(HEAD_LIMIT)
        self.taken += len(data)
        if not data:
            raise WrongAnswer(f"closed before the head: {self.head[:200]!r}")
        head, end, body = (self.head + data).partition(b"\r\n\r\n")
        if not end:
            self.head += data
            return
        lines = head.decode("latin-1").split("\r\n")
        fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        assert self.wish is not None
        wanted = "200" if self.wish.span is None else "206"
        if lines[0].split()[1] != wanted or "content-length" not in fields:
            raise WrongAnswer(f"{lines[0]} for {self.wish}: {fields}")
        self.left = int(fields["content-length"])
        if self.wish.span is not None:
            first, last = self.wish.span
            if not fields.get("content-range", "").startswith(f"bytes {first}-{last}/"):
                raise WrongAnswer(f"{fields.get('content-range')} for {self.wish}")
        if body:
            self._body(len(body), bytearray(body))

    def _body(self, count: int, data: bytearray | None = None) -> None:
        assert self.left is not None
        if not count:
            raise WrongAnswer(f"closed with {self.left} bytes still to come")
        if self.first_byte is None:
            self.first_byte = time.perf_counter()
        if self.hashing and data is not None:
            self.hasher.update(memoryview(data)[:count])
        self.left -= count
        self.received += count


def main() -> int:
    options = parse_arguments()
    with ExitStack() as stack:
        clients = [
            Client(
                stack.enter_context(socket.create_connection(("127.0.0.1", options.port))),
                wishes,
                options.hash,
            )
            for wishes in share(options)
        ]
        started = time.perf_counter()
        try:
            run(clients)
            check(clients)
        except (WrongAnswer, OSError) as error:
            counts = ", ".join(f"{c.taken}/{c.arrived()}" for c in clients)
            print(f"{type(error).__name__}: {error}; taken/arrived: {counts}", file=sys.stderr)
            return 1
        seconds = time.perf_counter() - started
    report = {
        "seconds": seconds,
        "received": sum(client.received for client in clients),
        "answers": sum(client.answers for client in clients),
        "first_bytes": [(client.first_byte or started) - started for client in clients],
        "digests": [f"sha256:{client.hasher.hexdigest()}" for client in clients],
    }
    print(json.dumps(report))
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="pull with many clients at once")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=1, help="how often each client asks")
    parser.add_argument("--hash", action="store_true")
    parser.add_argument("--share", action="store_true", help="each path once, by whoever is free")
    parser.add_argument("--range", type=int, default=0, help="bytes of random ranges")
    parser.add_argument("--size", type=int, default=0, help="of the blob, for --range")
    parser.add_argument("--list", help="a file with more paths, one a line")
    parser.add_argument("paths", nargs="*")
    return parser.parse_args()


def share(options: argparse.Namespace) -> list[Iterator[Wish]]:
    """What each client asks for."""
    paths = list(options.paths)
    if options.list:
        with open(options.list) as file:
            paths += file.read().split()
    if options.share:
        queue = deque(map(Wish, paths))
        return [_taking(queue)] * options.clients
    if options.range:
        numbers = random.Random("ranges")
        last = options.size - options.range
        firsts = [
            [numbers.randint(0, last) for _ in range(options.repeat)]
            for _ in range(options.clients)
        ]
        return [
            iter([Wish(paths[0], (first, first + options.range - 1)) for first in own])
            for own in firsts
        ]
    return [iter([Wish(path) for path in paths] * options.repeat) for _ in range(options.clients)]


def run(clients: list[Client]) -> None:
    """Until all have all. WrongAnswer, OSError."""
    room = bytearray(ROOM)
    with selectors.EpollSelector() as selector:
        for client in clients:
            client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if client.ask():
                selector.register(client.sock, selectors.EVENT_READ, client)
        while selector.get_map():
            ready = selector.select(PATIENCE)
            if not ready:
                raise WrongAnswer(f"nothing for {PATIENCE:.0f} s")
            for key, _ in ready:
                client = key.data
                if client.take(room):
                    client.answers += 1
                    if not client.ask():
                        selector.unregister(client.sock)


def check(clients: list[Client]) -> None:
    """WrongAnswer: more or less arrived than was taken for answers."""
    for client in clients:
        if client.taken != client.arrived():
            raise WrongAnswer("bytes besides the answers, or counted that never came")


def _taking(queue: deque[Wish]) -> Iterator[Wish]:
    while queue:
        yield queue.popleft()


if __name__ == "__main__":
    sys.exit(main())
