"""HTTP/1.1 itself: framing, order, reuse. Each check has connections of its own, so that bytes
too many are seen: they would be taken for the beginning of the next answer."""

import ssl
from contextlib import suppress

from ..checks import Failed, Section, Target, expect, require, skip
from ..client import ACCEPT
from ..connection import Connection
from ..digests import absent, matches
from ..messages import Answer, Request
from . import picks

connections = Section("Connections")

HELLO = 10.0
"""Seconds that skopeo, podman and docker lose when a TLS hello is not answered."""


@connections.should("http-keep-alive", "RFC 9112 §9.3")
def keep_alive(target: Target) -> None:
    """A connection carries one request after the other."""
    with target.client.connect() as connection:
        for _ in range(3):
            answer = picks.ping(target, connection)
            require(connection.open, "the connection is closed", answer)


@connections.must("http-get-framing", "RFC 9112 §6.3")
def get_framing(target: Target) -> None:
    """A GET's body has exactly the length that its head says."""
    _steady(target, "GET", *_paths(target), *_absent(target), "/v2/_catalog", reuse=False)


@connections.must("http-head-framing", "RFC 9110 §9.3.2")
def head_framing(target: Target) -> None:
    """HEAD has no body, whatever its Content-Length says; not on errors either."""
    _steady(target, "HEAD", *_paths(target), *_absent(target), picks.PING, reuse=False)


@connections.should("http-after-error", "RFC 9112 §9.3")
def after_error(target: Target) -> None:
    """A connection is kept after an error."""
    _steady(target, "GET", *_absent(target), reuse=True)


@connections.must("http-bodiless", "RFC 9110 §15.4.5")
def bodiless(target: Target) -> None:
    """A 304 has no body, and a 416 the body that it says."""
    blob = picks.a_blob(target)
    etag = target.client.head(blob.path).get("etag")
    held = (("If-None-Match", etag),) if etag else ()
    for fields in (held, (("Range", "bytes=99999999999-"),)):
        with target.client.connect() as connection:
            target.client.note(
                connection.ask(target.client.request("GET", blob.path, *fields)),
            )
            if connection.open:
                picks.ping(target, connection)


@connections.must("http-pipelining", "RFC 9112 §9.3.2")
def pipelining(target: Target) -> None:
    """Requests sent without waiting are answered in their order."""
    manifest, blob = picks.a_manifest(target), picks.a_blob(target)
    if target.client.head(blob.path).via:
        skip("blobs are on another host")
    requests = [
        target.client.request("GET", manifest.path, ACCEPT),
        target.client.request("HEAD", manifest.path, ACCEPT),
        target.client.request("GET", blob.path),
        target.client.request("GET", _absent(target)[0]),
        target.client.request("GET", manifest.path, ACCEPT),
    ]
    with target.client.connect() as connection:
        host = connection.address.authority
        connection.send(b"".join(request.encode(host) for request in requests))
        answers: list[Answer] = []
        for request in requests:
            if answers and not connection.open:
                skip("connections are not kept")
            answers.append(target.client.note(connection.read(request)))
    statuses = [answer.status for answer in answers]
    require(statuses == [200, 200, 200, 404, 200], f"out of order: {statuses}", *answers)
    for place, digest in ((0, manifest.digest), (2, blob.digest), (4, manifest.digest)):
        require(matches(digest, answers[place].body), "another's bytes", answers[place])


@connections.must("http-slow-head", "RFC 9112 §2.2")
def slow_head(target: Target) -> None:
    """A request that comes byte by byte is understood."""
    request = target.client.request("GET", picks.a_manifest(target).path, ACCEPT)
    with target.client.connect() as connection:
        for byte in request.encode(connection.address.authority):
            connection.send(bytes([byte]))
        expect(target.client.note(connection.read(request)), 200)


@connections.must("http-1.0", "RFC 9112 §2.3; §6.1")
def old(target: Target) -> None:
    """A client of HTTP/1.0 gets an answer without chunks, whole."""
    blob = picks.a_blob(target)
    base = target.client.request("GET", blob.path)
    request = Request("GET", base.target, base.fields, version="1.0")
    with target.client.connect() as connection:
        answer = target.client.note(connection.ask(request))
    if answer.status in (301, 302, 303, 307, 308):
        skip("blobs are on another host")
    require(matches(blob.digest, expect(answer, 200).body), "other bytes", answer)


@connections.must("http-close", "RFC 9112 §9.6")
def close(target: Target) -> None:
    """After `Connection: close` the connection is closed behind the whole answer."""
    with target.client.connect() as connection:
        request = target.client.request("GET", picks.PING, ("Connection", "close"))
        answer = expect(target.client.note(connection.ask(request)), 200)
        require(not answer.persistent, "the answer does not say close", answer)


@connections.must("http-absolute-form", "RFC 9112 §3.2.2")
def absolute_form(target: Target) -> None:
    """A request's target may be a whole URL."""
    path = picks.a_manifest(target).path
    base = target.client.request("GET", path, ACCEPT)
    url = f"{target.client.address.origin}{base.target}"
    with target.client.connect() as connection:
        answer = target.client.note(connection.ask(Request("GET", url, base.fields)))
    expect(answer, 200)


@connections.should("http-large-head", "client trap: bearer tokens of cloud registries")
def large_head(target: Target) -> None:
    """A request's head of 20 KiB is read."""
    path = picks.a_manifest(target).path
    expect(target.client.get(path, ACCEPT, ("X-Conformance", "x" * 20 * 1024)), 200)


@connections.should("http-tls-hello", "client trap: skopeo, podman and docker try TLS first")
def tls_hello(target: Target) -> None:
    """A TLS hello on a port that speaks plain HTTP is answered or ends the connection, at
    once."""
    address = target.client.address
    if address.tls:
        skip("the target speaks TLS")
    outgoing = ssl.MemoryBIO()
    hello = ssl.create_default_context().wrap_bio(
        ssl.MemoryBIO(), outgoing, server_hostname="localhost"
    )
    with suppress(ssl.SSLWantReadError):
        hello.do_handshake()
    with Connection(address, min(HELLO, target.client.patience)) as connection:
        connection.send(outgoing.read())
        connection.silent()
    expect(target.client.get(picks.PING), 200)


@connections.must("http-left", "client trap: ollama leaves after the head")
def left(target: Target) -> None:
    """Clients that leave in the middle of a blob spoil nothing: the next one gets all of it."""
    blob = max(picks.blobs(target), key=lambda one: one.size)
    for _ in range(3):
        with target.client.connect() as connection:
            request = target.client.request("GET", blob.path)
            connection.send(request.encode(connection.address.authority))
            connection.read_head(request)
    picks.whole(target, blob)


def _asked(target: Target, connection: Connection, method: str, path: str) -> Answer:
    request = target.client.request(method, path, ACCEPT)
    return target.client.note(connection.ask(request))


def _steady(target: Target, method: str, *paths: str, reuse: bool) -> None:
    """Each path on a connection, then a ping on the same one. Where `reuse` is not asked for,
    a connection that the server closes is no fault."""
    for path in paths:
        with target.client.connect() as connection:
            picks.ping(target, connection)
            if not connection.open:
                skip("connections are not kept")
            answer = _asked(target, connection, method, path)
            if connection.open:
                picks.ping(target, connection)
            elif reuse:
                raise Failed("the connection is closed", answer)


def _paths(target: Target) -> tuple[str, str]:
    """A manifest and a blob; those of whoever redirects are not on this host."""
    blob = picks.a_blob(target)
    if target.client.head(blob.path).via:
        skip("blobs are on another host")
    return picks.a_manifest(target).path, blob.path


def _absent(target: Target) -> tuple[str, str, str]:
    repository = picks.a_manifest(target).repository
    name = f"/v2/{repository}"
    return f"{name}/manifests/no-such-tag-here", f"{name}/blobs/{absent()}", f"{name}/blobs/x"
