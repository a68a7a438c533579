"""Whatever upstream and its token service answer, byte for byte, the client gets one well-formed
answer in the end, never as complete a body that is not what its digest names, and no password or
token goes to a stranger.

The first byte chooses what is asked; upstream's answers follow, each ended by a line `--`.
"""

from hashlib import sha256

from distcache.core.oci import Content, Digest, Kind, ReferrersRef, Repository, TagRef, TagsRef
from distcache.core.pull import ByDigest, Method, Page, Pull, RangeSpec
from distcache.wire.outgoing import Credentials
from distcache.wire.server import Request, ServerWire
from distcache.wire.sites import UpstreamSite
from distcache.wire.urls import Url
from fuzz.oracle import read
from fuzz.shell import START, Shell

BODY = b'{"layers":[],"config":{"digest":"sha256:' + b"0" * 64 + b'"}}'
DIGEST = Digest(f"sha256:{sha256(BODY).hexdigest()}")
WORDS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY,
    b"HTTP/1.1 206 Partial Content\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: https://cdn.example/x\r\nContent-Length: 0\r\n\r\n",
    b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm="https://up.example/t"\r\n',
    b"HTTP/1.0 200 OK\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\n\r\n",
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"\r\n--\n",
    b"Docker-Content-Digest: " + DIGEST.encode() + b"\r\n",
    b"Content-Range: bytes 5-9/10\r\n",
    b"Content-Type: application/vnd.oci.image.manifest.v1+json\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
    b'ETag: "x"\r\n',
    b'Link: </v2/a/tags/list?n=1&last=b>; rel="next"\r\n',
    b'{"token":"t","expires_in":60}',
    b'{"tags":["a"]}',
    b"Location: //127.0.0.1/",
)
SITE = UpstreamSite("up", Url("https", "up.example", 443, "/mirror"))
LOGIN = Credentials("user", "hunter2")
REPOSITORY = Repository("up", "a")
MANIFEST, BLOB = Content(Kind.MANIFEST, DIGEST), Content(Kind.BLOB, DIGEST)
PULLS = (
    Pull(Method.GET, TagRef(REPOSITORY, "latest")),
    Pull(Method.HEAD, TagRef(REPOSITORY, "latest")),
    Pull(Method.GET, ByDigest(REPOSITORY, MANIFEST)),
    Pull(Method.GET, ByDigest(REPOSITORY, BLOB)),
    Pull(Method.GET, ByDigest(REPOSITORY, BLOB), (RangeSpec(2, 5),)),
    Pull(Method.GET, ByDigest(REPOSITORY, BLOB), chunked=False),
    Pull(Method.HEAD, ByDigest(REPOSITORY, BLOB)),
    Pull(Method.GET, TagsRef(REPOSITORY), page=Page(1)),
    Pull(Method.GET, ReferrersRef(REPOSITORY, DIGEST, "a/b")),
)
CALLED = "/v2/a/manifests/latest"


def one_input(data: bytes) -> None:
    pull = PULLS[(data[:1] or b"\0")[0] % len(PULLS)]
    shell = Shell(SITE, LOGIN, data[1:].split(b"\n--\n"), pull)
    shell.run()
    head = shell.head
    assert head is not None, "cut without an answer"
    made = head.problem is not None or head.tags is not None
    assert made or not shell.complete or right(shell), "a complete answer with wrong bytes"
    out = rendered(shell)
    answer = read(out, pull.method.value.encode())
    assert answer.status == head.status, out
    assert answer.whole or not shell.complete, out
    assert not answer.rest, out
    if not made:
        assert answer.body == shell.sent, out
    assert b"hunter2" not in out, "a secret is shown"


def right(shell: Shell) -> bool:
    """Of a complete answer: what was asked for by its digest is that."""
    target, head = shell.pull.target, shell.head
    assert head is not None
    if shell.pull.method is Method.HEAD or head.status in (304, 416):
        return not shell.sent
    if head.descriptor is None or not isinstance(target, ByDigest):
        return True
    first, stop = (head.span.start, head.span.stop) if head.span else (0, len(BODY))
    return shell.sent == BODY[first:stop]


def rendered(shell: Shell) -> bytes:
    """The bytes that the client receives."""
    wire, head = ServerWire(), shell.head
    assert head is not None
    version = "1.1" if shell.pull.chunked else "1.0"
    wire.receive(f"{shell.pull.method.value} {CALLED} HTTP/{version}\r\nHost: h\r\n\r\n".encode())
    assert isinstance(wire.next(), Request)
    out = wire.answer(head, shell.pull, START)
    if shell.sent:
        before, after = wire.frame(len(shell.sent))
        out += before + shell.sent + after
    return out + wire.finish() if shell.complete else out
