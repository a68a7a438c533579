"""Whatever a client sends, the server's wire does not raise, takes the same requests and says the
same through h11 alone as by what it remembers of before, and however the bytes are cut; and it
answers each request with exactly one well-formed answer of the length it announces.

The first byte chooses what the cache has to say, the second where the stream is cut.
"""

import json

from attrs import evolve

from distcache.core.decision import HIT, Decision, Fwd, Outcome
from distcache.core.effects import AnswerHead, Code, Problem
from distcache.core.oci import Content, Descriptor, Digest, Kind, Listed, TagsRef
from distcache.core.pull import Catalog, Method, Pull, Span
from distcache.wire import plain
from distcache.wire.answers import cache_status
from distcache.wire.replies import Reply
from distcache.wire.routes import Router
from distcache.wire.server import Reject, Request, ServerWire, Signal
from distcache.wire.sites import UpstreamSite
from distcache.wire.urls import Url
from fuzz.oracle import read

NOW = 1_800_000_000.0
FEW = 64
"""Requests of one stream that are answered."""

PIECES = 64
"""More of them find nothing new, and each costs time."""

HUB = UpstreamSite("docker.io", Url("https", "registry-1.docker.io", 443), hub=True)
GHCR = UpstreamSite("ghcr.io", Url("https", "ghcr.io", 443), ("g",), ("ghcr.local",))
SITES = {site.key: site for site in (HUB, GHCR)}
DIGEST = Digest("sha256:" + "0123456789abcdef" * 4)
BLOB = Descriptor(Content(Kind.BLOB, DIGEST), 9, "application/x.layer")
MISS = Decision(Outcome.FWD, Fwd.URI_MISS, 200, collapsed=True, stored=True)
PAGE = Listed("artifactType", "https://up/?n=2&last=a%20b")
WHOLE = AnswerHead(200, HIT, 9, BLOB)
HEADS = (
    WHOLE,
    evolve(WHOLE, decision=MISS, length=None),
    AnswerHead(206, MISS, 4, BLOB, 9, Span(2, 6)),
    AnswerHead(416, HIT, 0, BLOB, 9),
    evolve(WHOLE, status=304, length=0, age=7),
    AnswerHead(200, HIT, 9, listed=PAGE),
    AnswerHead(200, HIT, tags=("a", "b"), more=True),
    AnswerHead(404, HIT, problem=Problem(404, Code.BLOB_UNKNOWN, "no such blob")),
    AnswerHead(429, MISS, problem=Problem(429, Code.TOOMANYREQUESTS, "later", 30)),
)
CATALOG = AnswerHead(200, HIT, repositories=("a/b", "c"), more=True)

WORDS = (
    b"GET /v2/",
    b"HEAD ",
    b"POST ",
    b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n",
    b"\r\nHost: h",
    b"\r\nConnection: close",
    b"\r\nConnection: keep-alive",
    b"\r\nContent-Length: 3",
    b"\r\nTransfer-Encoding: chunked",
    b"\r\nExpect: 100-continue",
    b"\r\nUpgrade: h2c",
    b"\r\nRange: bytes=0-1",
    b'\r\nIf-None-Match: "x"',
    b"\r\nAccept: application/vnd.oci.image.index.v1+json",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"\n\n",
    b"/manifests/latest",
    b"/blobs/" + DIGEST.encode(),
    b"/tags/list?n=1&last=a",
    b"/referrers/",
    b"_catalog",
    b"?ns=ghcr.io",
    b"http://ghcr.local/v2/",
    b"%2f",
    b"%0d%0a",
)


def one_input(data: bytes) -> None:
    choice, cut, stream = data[:1], (data[1:2] or b"\0")[0], data[2:]
    said = HEADS[(choice or b"\0")[0] % len(HEADS)]
    whole = [stream, b""]
    step = max(cut + 1, len(stream) // PIECES)
    pieces = [stream[at : at + step] for at in range(0, len(stream), step)] + [b""]
    first = conversation(whole, said, alone=True)
    # Remembered from one request to the next, then from one connection to the next.
    for _ in range(2):
        assert conversation(whole, said) == first, "what is remembered changes the answer"
    assert conversation(pieces, said) == first, "where the bytes are cut changes the answer"


def conversation(pieces: list[bytes], said: AnswerHead, *, alone: bool = False) -> list[object]:
    """All requests that are taken from a connection, and all that is answered. `alone`: by
    h11, without what is remembered."""
    wire, router = ServerWire(), Router(SITES, "docker.io")
    out: list[object] = []
    for piece in pieces:
        wire.receive(piece)
        while len(out) < 2 * FEW:
            if alone:
                plain.forget()
            found = wire.next()
            if found is Signal.NEED_DATA:
                break
            out.append(found)
            if isinstance(found, Signal):
                return out
            if isinstance(found, Reject):
                answer = wire.reply(found.reply, NOW)
                # What was a HEAD is known only where the request could be read.
                bodiless = answer.endswith(b"\r\n\r\n")
                check_reply(found.reply, b"HEAD" if bodiless else b"GET", answer)
                assert wire.next() is Signal.CLOSED
                return [*out, answer]
            out.append(answered(wire, router, found, said))
    return out


def answered(wire: ServerWire, router: Router, request: Request, said: AnswerHead) -> bytes:
    asked = router.route(request.method, request.target, request.headers, request.http_version)
    again = router.route(request.method, request.target, request.headers, request.http_version)
    assert again == asked
    if isinstance(asked, Reply):
        out = wire.reply(asked, NOW)
        check_reply(asked, request.method, out)
        return out
    head = CATALOG if isinstance(asked.target, Catalog) else said
    if head.tags is not None and not isinstance(asked.target, TagsRef):
        head = WHOLE
    if head.length is None and not asked.chunked:
        head = WHOLE
    out = wire.answer(head, asked, NOW)
    for length in lengths(head, asked):
        before, after = wire.frame(length)
        out += before + b"x" * length + after
    out += wire.finish()
    check_answer(head, asked, out)
    return out


def lengths(head: AnswerHead, pull: Pull) -> tuple[int, ...]:
    """The pieces in which a body is sent that the wire does not make itself."""
    bodiless = pull.method is Method.HEAD or head.status in (304, 416)
    if bodiless or made(head):
        return ()
    return (1, 3) if head.status == 206 else (1, 8)


def made(head: AnswerHead) -> bool:
    """The body is JSON of the wire's own."""
    return head.problem is not None or head.repositories is not None or head.tags is not None


def check_reply(said: Reply, method: bytes, out: bytes) -> None:
    answer = read(out, method)
    assert answer.whole, out
    assert not answer.rest, out
    assert answer.status == said.status, out
    assert answer.body == (b"" if method == b"HEAD" else said.body), out


def check_answer(head: AnswerHead, pull: Pull, out: bytes) -> None:
    answer = read(out, pull.method.value.encode())
    assert answer.whole, out
    assert not answer.rest, out
    assert answer.status == head.status, out
    if pull.method is Method.HEAD:
        assert not answer.body, out
    elif made(head):
        assert json.loads(answer.body), out
    else:
        assert answer.body == b"x" * sum(lengths(head, pull)), out
    length = answer.field(b"content-length")
    if pull.method is Method.GET and head.status != 304:
        assert length is None or int(length) == len(answer.body), out
    described = head.descriptor and head.descriptor.content.digest.encode()
    assert answer.field(b"docker-content-digest") == described, out
    assert answer.field(b"cache-status") == cache_status(head.decision).encode(), out
    # A client is sent back by the way that it came, never split off into a field of its own.
    for name in (b"location", b"link", b"oci-namespace"):
        answer.field(name)
