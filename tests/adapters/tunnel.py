"""A forward proxy that opens tunnels (RFC 9110 section 9.3.6), all of them to one port of this
machine."""

import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from attrs import define, field

from tests.adapters.scripted import PATIENCE


@define(eq=False)
class Tunnels:
    """`heard`: where they should lead, and Proxy-Authorization."""

    port: int
    heard: list[tuple[str, str]] = field(factory=list)


@contextmanager
def tunnels(goal: int, tls: ssl.SSLContext | None = None) -> Iterator[Tunnels]:
    """Clients must speak TLS to it with `tls`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Tunnels(listener.getsockname()[1])
        threads: list[threading.Thread] = []

        def serve() -> None:
            with suppress(OSError):
                while True:
                    one, _ = listener.accept()
                    thread = threading.Thread(target=_speak, args=(one, tls, proxy, goal))
                    thread.start()
                    threads.append(thread)

        accepting = threading.Thread(target=serve)
        accepting.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(PATIENCE)
            for thread in threads:
                thread.join(PATIENCE)
                assert not thread.is_alive(), "a tunnel was left open"


def _speak(one: socket.socket, tls: ssl.SSLContext | None, proxy: Tunnels, goal: int) -> None:
    one.settimeout(PATIENCE)
    with suppress(OSError):
        if tls is not None:
            one = tls.wrap_socket(one, server_side=True)
        with one:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = one.recv(65536)
                if not piece:
                    return
                head += piece
            first, *rest = head.decode().split("\r\n")
            fields = {name.lower(): value for name, _, value in (f.partition(": ") for f in rest)}
            method, target, _ = first.split(" ")
            assert method == "CONNECT"
            proxy.heard.append((target, fields.get("proxy-authorization", "")))
            with socket.create_connection(("127.0.0.1", goal), PATIENCE) as other:
                one.sendall(b"HTTP/1.1 200 Go on\r\n\r\n")
                _relay(one, other)


def _relay(one: socket.socket, other: socket.socket) -> None:
    """Both ways in one thread, as a TLS socket is not for two."""
    opposite = {one: other, other: one}
    while True:
        waiting = isinstance(one, ssl.SSLSocket) and one.pending()
        ready = [one] if waiting else select.select(list(opposite), [], [], PATIENCE)[0]
        for source in ready:
            data = source.recv(65536)
            if not data:
                return
            opposite[source].sendall(data)
