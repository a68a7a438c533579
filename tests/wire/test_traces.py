"""What docker, containerd, podman and skopeo really sent, played against the wire."""

import os
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from attrs import define, field

from distcache.core.oci import Content, Digest, Kind, Repository, TagRef, TagsRef
from distcache.core.pull import ByDigest, Pull
from distcache.wire.replies import PING
from distcache.wire.routes import Router
from distcache.wire.server import Reject, Request, ServerWire, Signal
from tests.wire.samples import NOON, SITES

ROUTER = Router(SITES, "docker.io")
ROOT = Path(__file__).parents[2]
TRACES = Path(os.environ.get("DISTCACHE_SHARED", ROOT / ".." / "shared")) / "traces"
AT_LEAST = 200
"""Requests in all traces together; far fewer would mean that they are no longer understood."""

_REQUEST = re.compile(r" +[0-9.]+ (c\d+) #\d+ >> (\S+) (\S+) HTTP/1\.1")
_FIELD = re.compile(r" +> ([^:]+): (.*)")
_HELLO = re.compile(r" +[0-9.]+ (c\d+) TLS ClientHello, (\d+) bytes")
_TARGET = re.compile(r"/v2/(.+)/(manifests|blobs|tags)/([^/?]+)(?:\?ns=(.+))?")


@define
class Recorded:
    """One request of a client, and whether it gave the connection up with it."""

    method: str
    target: str
    fields: list[tuple[str, str]] = field(factory=list)

    @property
    def raw(self) -> bytes:
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{n}: {v}" for n, v in self.fields)]
        return "\r\n".join([*lines, "", ""]).encode()

    @property
    def last(self) -> bool:
        return ("Connection", "close") in self.fields


@define
class Trace:
    connections: dict[str, list[Recorded]] = field(factory=dict)
    hellos: list[int] = field(factory=list)


def trace(path: Path) -> Trace:
    found = Trace()
    newest: Recorded | None = None
    for line in path.read_text(errors="replace").splitlines():
        if request := _REQUEST.match(line):
            newest = Recorded(request[2], request[3])
            found.connections.setdefault(request[1], []).append(newest)
        elif hello := _HELLO.match(line):
            found.hellos.append(int(hello[2]))
        elif newest and (sent := _FIELD.fullmatch(line)):
            newest.fields.append((sent[1], sent[2]))
    return found


def recordings() -> Iterator[Trace]:
    if not TRACES.is_dir():
        message = f"no recorded traces in {TRACES}; DISTCACHE_SHARED says where they are"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    for path in sorted(TRACES.glob("*.txt")):
        yield trace(path)


def asked(recorded: Recorded) -> TagRef | TagsRef | ByDigest | None:
    """The target as a reader of the trace would say it; None for the ping."""
    match = _TARGET.fullmatch(recorded.target)
    if match is None:
        assert recorded.target == "/v2/"
        return None
    name, endpoint, reference, _ = match.groups()
    repository = Repository("docker.io", name)
    if endpoint == "tags":
        return TagsRef(repository)
    if ":" in reference:
        kind = Kind.BLOB if endpoint == "blobs" else Kind.MANIFEST
        return ByDigest(repository, Content(kind, Digest(reference)))
    return TagRef(repository, reference)


def replay(recorded: Recorded, wire: ServerWire) -> None:
    request = wire.next()
    assert isinstance(request, Request), recorded
    routed = ROUTER.route(request.method, request.target, request.headers, request.http_version)
    expected = asked(recorded)
    if expected is None:
        assert routed == PING
    else:
        assert isinstance(routed, Pull), routed
        assert routed.method.value == recorded.method
        assert routed.target == expected
        assert routed.chunked
        assert routed.namespace == ("docker.io" if "?ns=" in recorded.target else None)
        assert bool(routed.ranges) == any(name == "Range" for name, _ in recorded.fields)
    wire.reply(PING, NOON)
    assert wire.reusable is not recorded.last


def test_every_recorded_request_is_routed_to_its_target() -> None:
    count = 0
    for recording in recordings():
        for requests in recording.connections.values():
            wire = ServerWire()
            for recorded in requests:
                wire.receive(recorded.raw)
                replay(recorded, wire)
                count += 1
    assert count >= AT_LEAST


def test_every_recorded_request_means_the_same_byte_by_byte() -> None:
    for recording in recordings():
        # One of each kind is enough: the 14 kB of ranges, and the shortest.
        requests = sorted(chain(*recording.connections.values()), key=lambda r: len(r.raw))
        for recorded in requests[:1] + requests[-1:]:
            whole, pieces = ServerWire(), ServerWire()
            whole.receive(recorded.raw)
            for i in range(len(recorded.raw) - 1):
                pieces.receive(recorded.raw[i : i + 1])
                assert pieces.next() is Signal.NEED_DATA
            pieces.receive(recorded.raw[-1:])
            assert pieces.next() == whole.next()


def test_every_recorded_tls_client_hello_is_answered_at_once() -> None:
    hellos = [length for recording in recordings() for length in recording.hellos]
    assert hellos
    for length in hellos:
        wire = ServerWire()
        wire.receive(b"\x16\x03\x01" + bytes(length - 3))
        said = wire.next()
        assert isinstance(said, Reject)
        assert wire.reply(said.reply, NOON).startswith(b"HTTP/1.1 400 ")
        assert wire.next() is Signal.CLOSED


def test_nine_hundred_ranges_in_one_header_are_understood() -> None:
    lines = [
        recorded
        for recording in recordings()
        for requests in recording.connections.values()
        for recorded in requests
        if len(dict(recorded.fields).get("Range", "")) > 14_000
    ]
    assert lines
    for recorded in lines:
        wire = ServerWire()
        wire.receive(recorded.raw)
        request = wire.next()
        assert isinstance(request, Request)
        routed = ROUTER.route(request.method, request.target, request.headers, b"1.1")
        assert isinstance(routed, Pull)
        assert len(routed.ranges) == dict(recorded.fields)["Range"].count(",") + 1
