"""HEAD requests as fast as they go: `python -m bench.harness.heads PORT PATH CLIENTS SECONDS`.

wrk waits for the body that a HEAD's Content-Length speaks of, ab speaks HTTP/1.0. One epoll
loop over raw sockets is enough: an answer ends at its empty line. Prints one JSON object; fails
on anything but status 200.
"""

import json
import select
import socket
import sys
import time
from contextlib import ExitStack

from .load import ACCEPT

END = b"\r\n\r\n"


def main() -> int:
    port, path, clients, seconds = sys.argv[1:]
    request = f"HEAD {path} HTTP/1.1\r\nHost: cache\r\nAccept: {ACCEPT}\r\n\r\n".encode()
    with ExitStack() as stack:
        socks = [
            stack.enter_context(socket.create_connection(("127.0.0.1", int(port)), 30))
            for _ in range(int(clients))
        ]
        done, took = run(socks, request, float(seconds))
    print(json.dumps({"requests": done, "seconds": took}))
    return 0


def run(socks: list[socket.socket], request: bytes, seconds: float) -> tuple[int, float]:
    """Answers received, and in how many seconds."""
    by_fd = {sock.fileno(): sock for sock in socks}
    done = 0
    with select.epoll() as poll:
        for sock in socks:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            poll.register(sock, select.EPOLLIN)
            sock.send(request)
        started = time.perf_counter()
        until = started + seconds
        while (now := time.perf_counter()) < until:
            for fd, _ in poll.poll(5):
                sock = by_fd[fd]
                answer = sock.recv(4096)
                # One send is one segment on loopback: a head in two would fail here, loudly.
                if not answer.startswith(b"HTTP/1.1 200") or not answer.endswith(END):
                    raise SystemExit(f"wrong answer: {answer[:300]!r}")
                done += 1
                sock.send(request)
    return done, now - started


if __name__ == "__main__":
    sys.exit(main())
