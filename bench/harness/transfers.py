"""Rows 6, 7, 8, 10, 12: big blobs. GB are 10^9 bytes."""

import subprocess
from pathlib import Path

from attrs import evolve, frozen

from .content import MIB, Item, Shelf
from .lab import Lab, Row
from .load import LoadError, curl, curl_digest, drain, verify
from .origin import limited
from .results import Case, Sample
from .subjects import Running

GB = 1e9
LIMIT = 200_000_000
"""Bytes per second that upstream gives in row 8."""


@frozen
class Warm:
    """The server on one core, clients on the other: curl for one, and 16 that throw the bytes
    away in the kernel."""

    number: int = 6
    title: str = "warm 100 MiB blob"

    def stock(self, shelf: Shelf) -> None:
        pass

    def run(self, lab: Lab) -> None:
        item = lab.shelf.blob("warm", 100 * MIB)
        times = 4 if lab.quick else 20
        one = Case("6/1", "warm 100 MiB, 1 client (curl)", "GB/s", higher=True, per="GB")
        many = Case("6/16", "warm 100 MiB, 16 clients", "GB/s", higher=True, per="GB")

        def by_curl(running: Running) -> Sample:
            before = running.process.cpu()
            took = curl(running, item, times, lab.load_cores)
            return _rate(running, before, times * item.size, took.seconds)

        def by_drain(running: Running) -> Sample:
            before = running.process.cpu()
            arguments = ["--clients=16", f"--repeat={max(1, times // 4)}", item.path]
            done = drain(running, arguments, lab.load_cores)
            return _rate(running, before, done.received, done.seconds)

        with lab.everybody(
            lab.setup(pinned=True), (one, many), lambda running: verify(running, item)
        ) as there:
            lab.interleave(one, there, by_curl)
            lab.interleave(many, there, by_drain)


@frozen
class Cold:
    """One client, nobody pinned: caches may use both cores, as they do in life."""

    number: int = 7
    title: str = "cold 500 MiB blob"

    def stock(self, shelf: Shelf) -> None:
        pass

    def run(self, lab: Lab) -> None:
        item = lab.shelf.blob("cold", (100 if lab.quick else 500) * MIB)
        size = f"{item.size // MIB} MiB"
        rate = Case("7/rate", f"cold {size}, 1 client (curl)", "GB/s", higher=True, per="GB")
        first = Case("7/first-byte", f"cold {size}: first byte", "ms", higher=False)
        upstream = Case("7/upstream", f"cold {size}: from upstream", "x the blob", higher=False)

        def measure(running: Running) -> list[Sample]:
            before, sent = running.process.cpu(), lab.origin.blob_bytes()
            done = curl(running, item)
            whole = _rate(running, before, item.size, done.seconds)
            return [
                whole,
                Sample(done.first_byte * 1e3),
                Sample((lab.origin.blob_bytes() - sent) / item.size),
            ]

        lab.cold((rate, first, upstream), lab.setup(), measure, lambda r: verify(r, item))


@frozen
class Herd:
    """16 clients at once, upstream limited: who fetches once, and serves while it fetches?"""

    number: int = 8
    title: str = "cold 100 MiB blob, 16 clients, upstream 200 MB/s"

    def stock(self, shelf: Shelf) -> None:
        pass

    def run(self, lab: Lab) -> None:
        item = lab.shelf.blob("herd", 100 * MIB)
        wall = Case("8/wall", "cold 100 MiB, 16 clients: the last is done", "s", False, "blob")
        first = Case("8/first-byte", "cold 100 MiB, 16 clients: last first byte", "ms", False)
        upstream = Case(
            "8/upstream", "cold 100 MiB, 16 clients: from upstream", "x the blob", False
        )
        memory = Case("13/herd", "peak memory of row 8", "MiB", False)
        with limited(lab.shelf, lab.place(), LIMIT) as origin:

            def measure(running: Running) -> list[Sample]:
                before, sent = running.process.cpu(), origin.blob_bytes()
                done = drain(running, ["--clients=16", item.path])
                used, peak = running.process.cpu() - before, running.process.peak()
                return [
                    Sample(done.seconds, used, peak),
                    Sample(max(done.first_bytes) * 1e3),
                    Sample((origin.blob_bytes() - sent) / item.size),
                    Sample(peak / MIB),
                ]

            setup = evolve(lab.setup(), upstream=origin.url)
            cases = (wall, first, upstream, memory)
            lab.cold(cases, setup, measure, lambda running: _herd_check(running, item))


@frozen
class Ranges:
    number: int = 10
    title: str = "random ranges of 1 MiB"

    def stock(self, shelf: Shelf) -> None:
        pass

    def run(self, lab: Lab) -> None:
        item = lab.shelf.blob("warm", 100 * MIB)
        case = Case("10/ranges", "random ranges of 1 MiB, 16 clients", "GB/s", True, "GB")
        repeat = 32 if lab.quick else 256
        arguments = ["--clients=16", f"--repeat={repeat}", f"--range={MIB}", f"--size={item.size}"]

        def check(running: Running) -> None:
            verify(running, item)
            lab.origin.settle()
            few = ["--clients=2", "--repeat=4", *arguments[2:], item.path, "--hash"]
            got = drain(running, few).digests
            if got != (right := drain_origin(lab, few)):
                raise LoadError(f"ranges hold {got}, not {right}")

        def measure(running: Running) -> Sample:
            before = running.process.cpu()
            done = drain(running, [*arguments, item.path], lab.load_cores)
            return _rate(running, before, done.received, done.seconds)

        with lab.everybody(lab.setup(pinned=True), (case,), check) as there:
            lab.interleave(case, there, measure)


@frozen
class Tls:
    number: int = 12
    title: str = "TLS, warm 100 MiB"

    def stock(self, shelf: Shelf) -> None:
        pass

    def run(self, lab: Lab) -> None:
        item = lab.shelf.blob("warm", 100 * MIB)
        case = Case("12/tls", "TLS, warm 100 MiB, 1 client (curl)", "GB/s", True, "GB")
        times = 4 if lab.quick else 10
        certificate, key = certify(lab.directory)

        def measure(running: Running) -> Sample:
            before = running.process.cpu()
            took = curl(running, item, times, lab.load_cores, certificate)
            return _rate(running, before, times * item.size, took.seconds)

        setup = evolve(lab.setup(pinned=True), tls=(certificate, key))
        with lab.everybody(
            setup, (case,), lambda running: curl_digest(running, item, certificate)
        ) as there:
            lab.interleave(case, there, measure)


ROWS: tuple[Row, ...] = (Warm(), Cold(), Herd(), Ranges(), Tls())


def drain_origin(lab: Lab, arguments: list[str]) -> list[str]:
    """The digests that the origin itself gives."""
    origin = Running(lab.subjects[0], lab.origin.process, lab.origin.port, False)
    return drain(origin, arguments).digests


def certify(directory: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    certificate, key = directory / "cert.pem", directory / "key.pem"
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    named = ["-nodes", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate), "-days", "2"]
    subprocess.run([*new, *named, *files], check=True, capture_output=True)
    return certificate, key


def _herd_check(running: Running, item: Item) -> None:
    done = drain(running, ["--clients=16", "--hash", item.path])
    if set(done.digests) != {item.digest}:
        raise LoadError(f"wrong bytes: {set(done.digests)}")
    verify(running, item)


def _rate(running: Running, before: float, size: int, seconds: float) -> Sample:
    used = running.process.cpu() - before
    return Sample(size / GB / seconds, used / (size / GB), running.process.peak())
