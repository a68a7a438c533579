"""A SOCKS5 proxy (RFC 1928, RFC 1929) that leads everywhere to one port of this machine."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from attrs import define, field

from tests.adapters.scripted import PATIENCE

Heard = tuple[str, str, str, int]
"""User, password, host, port."""


@define(eq=False)
class Proxy:
    port: int
    heard: list[Heard] = field(factory=list)


@contextmanager
def socks(goal: int, willing: bool) -> Iterator[Proxy]:
    """Not `willing`: it refuses every connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(listener.getsockname()[1])
        threads: list[threading.Thread] = []
        live: list[socket.socket] = []

        def serve() -> None:
            with suppress(OSError):
                while True:
                    one, _ = listener.accept()
                    live.append(one)
                    threads.append(_start(lambda one=one: _speak(one, proxy, goal, willing)))

        accepting = _start(serve)
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(PATIENCE)
            for one in live:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(PATIENCE)


def _speak(one: socket.socket, proxy: Proxy, goal: int, willing: bool) -> None:
    with one, suppress(OSError):
        file = one.makefile("rb")
        with file:
            file.read(file.read(2)[1])
            one.sendall(b"\x05\x02")
            user = file.read(file.read(2)[1]).decode()
            password = file.read(file.read(1)[0]).decode()
            one.sendall(b"\x01\x00")
            host = file.read(file.read(5)[4]).decode()
            proxy.heard.append((user, password, host, int.from_bytes(file.read(2))))
            code = b"\x00" if willing else b"\x05"
            one.sendall(b"\x05" + code + b"\x00\x01\x00\x00\x00\x00\x00\x00")
            if not willing:
                while one.recv(4096):
                    pass
                return
        with socket.create_connection(("127.0.0.1", goal), PATIENCE) as other:
            back = _start(lambda: _copy(other, one))
            _copy(one, other)
            back.join(PATIENCE)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _start(work: object) -> threading.Thread:
    assert callable(work)
    thread = threading.Thread(target=work)
    thread.start()
    return thread
