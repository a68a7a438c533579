"""How much memory a big blob with many readers costs the server.

Twenty clients at once pull one blob of 1 GiB that the cache does not hold; upstream is a
small generator in this process. Printed are the server's growth of resident memory (peak,
VmHWM, and afterwards, VmRSS; /proc/PID/status) and the rate, as a line and as JSON.
Exit status 1: the peak grew by the limit or more, 2: a client got wrong or too few bytes.
Linux only.
"""

import argparse
import hashlib
import json
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

MIB = 1024 * 1024
READY = 30.0
BLOCK = random.Random("memory").randbytes(MIB)
"""The blob is this block over and over; any piece of it is a slice of two of them."""

TWICE = BLOCK * 2


class Blob:
    def __init__(self, size: int) -> None:
        self.size = size
        hashing = hashlib.sha256()
        for start in range(0, size, MIB):
            hashing.update(BLOCK[: size - start])
        self.digest = f"sha256:{hashing.hexdigest()}"
        self.path = f"/v2/library/big/blobs/{self.digest}"


def main() -> int:
    options = parse_arguments()
    blob = Blob(options.size * MIB)
    with (
        upstream(blob) as origin,
        tempfile.TemporaryDirectory(dir=options.directory) as place,
        cache(Path(place), origin) as (pid, port),
    ):
        warm_up(port)
        reset_peak(pid)
        before = memory(pid, "VmRSS")
        started = time.perf_counter()
        with ThreadPoolExecutor(options.clients) as pool:
            got = list(pool.map(lambda _: read(port, blob), range(options.clients)))
        seconds = time.perf_counter() - started
        peak, after = memory(pid, "VmHWM") - before, memory(pid, "VmRSS") - before
    report = {
        "clients": options.clients,
        "blob_mib": options.size,
        "seconds": round(seconds, 2),
        "mib_per_second": round(sum(got) / MIB / seconds),
        "rss_before_mib": round(before / MIB, 1),
        "peak_growth_mib": round(peak / MIB, 1),
        "growth_afterwards_mib": round(after / MIB, 1),
        "limit_mib": options.limit,
        "complete": got == [blob.size] * options.clients,
    }
    print(
        f"{options.clients} clients x {options.size} MiB in {seconds:.1f} s: memory grew by "
        f"{peak / MIB:.1f} MiB at most, limit {options.limit} MiB"
    )
    print(json.dumps(report))
    if not report["complete"]:
        return 2
    return int(peak >= options.limit * MIB)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="memory of a big cold blob with many readers")
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--size", type=int, default=1024, help="of the blob, in MiB")
    parser.add_argument("--limit", type=int, default=64, help="growth allowed, in MiB")
    parser.add_argument("--directory", help="where the store lies (default: temporary files)")
    return parser.parse_args()


def read(port: int, blob: Blob) -> int:
    """Right bytes received; whatever follows a wrong one does not count."""
    with socket.create_connection(("127.0.0.1", port), timeout=120) as one:
        one.sendall(request(blob.path))
        position = 0
        pending = skip_head(one)
        buffer = bytearray(4 * MIB)
        while True:
            if pending:
                for start in range(0, len(pending), MIB):
                    piece = pending[start : start + MIB]
                    offset = (position + start) % MIB
                    if piece != TWICE[offset : offset + len(piece)]:
                        return position
                position += len(pending)
            count = one.recv_into(buffer) if position < blob.size else 0
            if not count:
                return position
            pending = bytes(memoryview(buffer)[:count])


def request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: cache\r\nConnection: close\r\n\r\n".encode()


def skip_head(one: socket.socket) -> bytes:
    """Read an answer's head; the bytes that came after it."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = one.recv(64 * 1024)
        if not chunk:
            return b""
        received += chunk
    return received.partition(b"\r\n\r\n")[2]


@contextmanager
def upstream(blob: Blob) -> Iterator[int]:
    """A registry that has this one blob and answers every request with it; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener, blob), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def accept(listener: socket.socket, blob: Blob) -> None:
    while True:
        try:
            one, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=answer, args=(one, blob), daemon=True).start()


def answer(one: socket.socket, blob: Blob) -> None:
    with one:
        head = one.recv(64 * 1024)
        if blob.digest.encode() not in head:
            one.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        lines = [
            "HTTP/1.1 200 OK",
            f"Content-Length: {blob.size}",
            f"Docker-Content-Digest: {blob.digest}",
            "Content-Type: application/octet-stream",
            "Connection: close",
        ]
        one.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        if head.startswith(b"GET "):
            for start in range(0, blob.size, MIB):
                one.sendall(BLOCK[: blob.size - start])


@contextmanager
def cache(directory: Path, upstream_port: int) -> Iterator[tuple[int, int]]:
    """A cache with an empty store: its process id and port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(directory / "store")}},
        "http": {"addr": f"127.0.0.1:{port}"},
        "proxy": {"remoteurl": f"http://127.0.0.1:{upstream_port}"},
    }
    path = directory / "config.yml"
    # JSON is YAML.
    path.write_text(json.dumps(config))
    with subprocess.Popen([sys.executable, "-m", "distcache", "serve", str(path)]) as server:
        try:
            await_port(port, server)
            yield server.pid, port
        finally:
            server.terminate()


def await_port(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise SystemExit("the server did not come up")


def warm_up(port: int) -> None:
    """Modules that load at the first request, and the like, are no growth of interest."""
    for path in ("/v2/", "/v2/library/big/blobs/sha256:" + "0" * 64):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as one:
            one.sendall(request(path))
            while one.recv(64 * 1024):
                pass


def reset_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def memory(pid: int, name: str) -> int:
    """A line of /proc/PID/status, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"no {name} in /proc/{pid}/status")


if __name__ == "__main__":
    sys.exit(main())
