"""Pulling blobs, and asking whether they are there."""

from ..checks import Section, Target, expect, require, skip
from ..content import objects
from ..digests import absent, is_digest, matches
from . import picks

blobs = Section("Blobs")

PULL_BLOBS = "OCI distribution-spec 1.1 §Pulling blobs"


@blobs.must("blob-get", PULL_BLOBS)
def blob_get(target: Target) -> None:
    """An existing blob is 200, and its bytes hash to its digest."""
    for blob in picks.blobs(target):
        answer = expect(target.client.get(blob.path), 200)
        require(matches(blob.digest, answer.body), "other bytes than asked for", answer)


@blobs.must("blob-size", "OCI image-spec §Content Descriptors")
def blob_size(target: Target) -> None:
    """A blob has the size that its descriptor says."""
    for blob in picks.blobs(target):
        answer = expect(target.client.get(blob.path), 200)
        require(len(answer.body) == blob.size, f"{blob.size} bytes expected", answer)


@blobs.should("blob-length", "RFC 9110 §8.6")
def blob_length(target: Target) -> None:
    """A blob's answer says its Content-Length."""
    blob = picks.a_blob(target)
    answer = expect(target.client.get(blob.path), 200)
    require(answer.length == len(answer.body), "no Content-Length", answer)


@blobs.should("blob-digest-said", f"{PULL_BLOBS}; a MUST in its main branch")
def blob_digest_said(target: Target) -> None:
    """GET and HEAD of a blob say Docker-Content-Digest."""
    blob = picks.a_blob(target)
    for answer in (target.client.get(blob.path), target.client.head(blob.path)):
        require(is_digest(picks.said_digest(answer)), "no digest", answer)


@blobs.must("blob-digest-right", PULL_BLOBS)
def blob_digest_right(target: Target) -> None:
    """Docker-Content-Digest, where it is sent, is the digest of the blob."""
    for blob in picks.blobs(target):
        for answer in picks.head_of(target, blob.path):
            said = picks.said_digest(answer)
            same = said is not None and said.partition(":")[0] == blob.digest.partition(":")[0]
            require(not same or said == blob.digest, "a wrong digest", answer)


@blobs.must("blob-head", "OCI distribution-spec 1.1 §Checking if content exists")
def blob_head(target: Target) -> None:
    """HEAD of a blob is 200 and says what GET says: the length that it has, its digest."""
    for blob in picks.blobs(target):
        head, _ = picks.head_of(target, blob.path)
        require(head.length in (None, blob.size), f"{blob.size} bytes expected", head)


@blobs.should(
    "blob-head-length",
    "OCI distribution-spec 1.1 §Checking if content exists; a MUST in its main branch",
)
def blob_head_length(target: Target) -> None:
    """HEAD of a blob says its size in Content-Length."""
    blob = picks.a_blob(target)
    head = expect(target.client.head(blob.path), 200)
    require(head.length == blob.size, f"{blob.size} bytes expected", head)


@blobs.must("blob-absent", PULL_BLOBS)
def blob_absent(target: Target) -> None:
    """A blob that is not there is 404, with GET and HEAD."""
    repository = picks.a_manifest(target).repository
    for digest in (absent(), absent("sha512")):
        for method in ("GET", "HEAD"):
            expect(target.client.ask(method, f"/v2/{repository}/blobs/{digest}"), 404)


@blobs.must("blob-elsewhere", PULL_BLOBS)
def blob_elsewhere(target: Target) -> None:
    """A blob of one repository is not found in a repository that does not exist."""
    blob = picks.a_blob(target)
    path = f"/v2/no-such-repository/of-conformance/blobs/{blob.digest}"
    for method in ("HEAD", "GET"):
        expect(target.client.ask(method, path), 404, 401, 403)


@blobs.must("blob-empty", PULL_BLOBS)
def blob_empty(target: Target) -> None:
    """Blobs of no bytes and of one are served as any other, with GET and HEAD."""
    small = [blob for blob in target.content.blobs if blob.size < 2]
    for blob in small or skip("no blob of less than two bytes was found"):
        answer = expect(target.client.get(blob.path), 200)
        require(matches(blob.digest, answer.body), "other bytes than asked for", answer)
        picks.head_of(target, blob.path)


@blobs.must("blob-sha512", "OCI image-spec §Registered algorithms")
def blob_sha512(target: Target) -> None:
    """Content that is addressed by SHA-512 is served under that digest: GET, HEAD, Range."""
    named = [b for b in target.content.blobs if b.digest.startswith("sha512:") and b.size > 9]
    for blob in named or skip("nothing addressed by SHA-512 was found"):
        answer = expect(target.client.get(blob.path), 200)
        require(matches(blob.digest, answer.body), "other bytes than asked for", answer)
        require(picks.said_digest(answer) is not None, "no Docker-Content-Digest", answer)
        expect(target.client.head(blob.path), 200)
        part = expect(target.client.get(blob.path, ("Range", "bytes=3-5")), 200, 206)
        wanted = answer.body[3:6] if part.status == 206 else answer.body
        require(part.body == wanted, "other bytes than asked for", part)


@blobs.must("blob-coding", "RFC 9110 §8.4; client trap: length and digest are of the bytes sent")
def blob_coding(target: Target) -> None:
    """A blob is never sent with a content coding, whatever the client accepts."""
    blob = picks.a_blob(target)
    accepted = ("Accept-Encoding", "zstd, gzip, br, deflate")
    for answer in (
        target.client.get(blob.path, accepted),
        target.client.head(blob.path, accepted),
        target.client.get(blob.path, accepted, ("Range", "bytes=0-0")),
    ):
        coding = answer.get("content-encoding")
        require(coding in (None, "identity"), f"coded as {coding}", answer)
    answer = target.client.get(blob.path, accepted)
    require(matches(blob.digest, answer.body), "other bytes than asked for", answer)


@blobs.should("blob-location", "client trap: ollama reads Location even from a 200")
def blob_location(target: Target) -> None:
    """A blob's answer carries Location, or was reached through a redirect."""
    answer = expect(target.client.get(picks.a_blob(target).path), 200)
    require(answer.get("location") or answer.via, "no Location", answer)


@blobs.must("blob-layers", "OCI distribution-spec 1.1 §Pulling manifests")
def blob_layers(target: Target) -> None:
    """Whatever an image names is there: its config and every layer answer HEAD."""
    for manifest in picks.manifests(target):
        document = manifest.document
        for one in objects([document.get("config")]) + objects(document.get("layers")):
            if is_digest(one.get("digest")) and not one.get("urls"):
                path = f"/v2/{manifest.repository}/blobs/{one['digest']}"
                head = expect(target.client.head(path), 200)
                right = head.length in (None, one.get("size"))
                require(right, f"{one.get('size')} bytes expected", head)
