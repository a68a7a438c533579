"""Content to check with, and comparisons that many checks share."""

from collections.abc import Iterator

from ..checks import Failed, Target, expect, require, skip
from ..client import ACCEPT
from ..connection import Connection
from ..content import LARGEST, Blob, Manifest
from ..digests import matches
from ..messages import Answer

MANY = 8
"""How many of a kind a check looks at, so that a large registry takes no hours."""


PING = "/v2/"


def ping(target: Target, connection: Connection) -> Answer:
    """A well-formed answer to `GET /v2/`: it shows that the connection is in step."""
    return expect(target.client.note(connection.ask(target.client.request("GET", PING))), 200)


def a_manifest(target: Target) -> Manifest:
    """One with a tag, if any has."""
    found = target.content.tagged or target.content.manifests
    return found[0] if found else skip("no manifest was found")


def a_tagged_manifest(target: Target) -> Manifest:
    return target.content.tagged[0] if target.content.tagged else skip("no tag was found")


def manifests(target: Target) -> list[Manifest]:
    """Some, of as many repositories as there are."""
    found = spread(target.content.manifests)
    return found or skip("no manifest was found")


def spread(every: list[Manifest]) -> list[Manifest]:
    chosen = list({m.repository: m for m in reversed(every)}.values())
    return chosen + [m for m in every if m not in chosen][: max(0, MANY - len(chosen))]


def a_blob(target: Target, least: int = 2) -> Blob:
    """The smallest of at least so many bytes."""
    fit = [blob for blob in target.content.blobs if least <= blob.size <= LARGEST]
    if not fit:
        skip(f"no blob of {least} to {LARGEST} bytes was found")
    return min(fit, key=lambda blob: blob.size)


def blobs(target: Target) -> list[Blob]:
    fit = [blob for blob in target.content.blobs if blob.size <= LARGEST]
    first = list({(blob.repository, blob.digest.partition(":")[0]): blob for blob in fit}.values())
    return (first + [b for b in fit if b not in first])[:MANY] or skip("no blob was found")


def whole(target: Target, blob: Blob) -> bytes:
    """Its bytes, which are right. Raises Failed."""
    answer = target.client.get(blob.path)
    require(answer.status == 200, "the blob cannot be read", answer)
    require(matches(blob.digest, answer.body), "the bytes are not what the digest names", answer)
    return answer.body


def everything(target: Target) -> Iterator[tuple[str, tuple[tuple[str, str], ...], str]]:
    """Path, fields to send and digest of one manifest and one blob."""
    manifest = a_manifest(target)
    yield manifest.path, (ACCEPT,), manifest.digest
    blob = a_blob(target)
    yield blob.path, (), blob.digest


def said_digest(answer: Answer) -> str | None:
    """Docker-Content-Digest; a registry that redirects to a plain file store says it before."""
    for one in (answer, *reversed(answer.via)):
        digest = one.get("docker-content-digest")
        if digest is not None:
            return digest
    return None


def head_of(target: Target, path: str, *fields: tuple[str, str]) -> tuple[Answer, Answer]:
    """HEAD and GET of what is there, both 200. Raises Failed when HEAD says something else than
    GET in a field that describes the content; it may leave some out (RFC 9110 §9.3.2)."""
    got = expect(target.client.get(path, *fields), 200)
    head = expect(target.client.head(path, *fields), 200)
    require(head.length in (None, len(got.body)), "not the length of GET's body", head, got)
    for name in ("docker-content-digest", "content-type", "etag", "accept-ranges"):
        require(head.get(name) in (None, got.get(name)), f"another {name}", head, got)
    return head, got


def same_fields(got: Answer, wanted: Answer, *names: str) -> None:
    """Raises Failed when one of these fields differs."""
    for name in names:
        if got.values(name) != wanted.values(name):
            raise Failed(f"{name} differs: {got.get(name)!r}, {wanted.get(name)!r}", got, wanted)
