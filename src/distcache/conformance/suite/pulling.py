"""Pulling manifests, and asking whether they are there."""

from ..checks import Section, Target, expect, require, skip
from ..client import ACCEPT, MANIFEST_TYPES
from ..digests import absent, is_digest, matches
from . import picks

base = Section("Base")
manifests = Section("Manifests")

OCI = "OCI distribution-spec 1.1 §"
PULL_MANIFESTS = OCI + "Pulling manifests"
EXISTS = OCI + "Checking if content exists"


@base.must("base-ping", OCI + "Determining Support")
def ping(target: Target) -> None:
    """`GET /v2/` answers 200 to whoever is logged in."""
    expect(target.client.get("/v2/"), 200)


@base.should("base-head", "RFC 9110 §9.3.2")
def ping_head(target: Target) -> None:
    """`HEAD /v2/` answers as GET does."""
    expect(target.client.head("/v2/"), 200)


@base.should("base-version", OCI + "Legacy Docker support HTTP headers")
def version(target: Target) -> None:
    """`/v2/` says `Docker-Distribution-Api-Version: registry/2.0`, which old clients look for."""
    answer = target.client.get("/v2/")
    said = answer.get("docker-distribution-api-version")
    require(said == "registry/2.0", f"it says {said!r}", answer)


@manifests.must("manifest-by-tag", PULL_MANIFESTS)
def by_tag(target: Target) -> None:
    """An existing tag answers 200 with a manifest: a JSON object."""
    tagged = picks.spread(target.content.tagged) or skip("no tag was found")
    for manifest in tagged:
        answer = expect(target.client.get(manifest.tag_path, ACCEPT), 200)
        require(isinstance(answer.json(), dict), "the body is no JSON object", answer)


@manifests.must("manifest-by-digest", PULL_MANIFESTS)
def by_digest(target: Target) -> None:
    """A manifest asked for by digest is 200, and its bytes hash to that digest."""
    for manifest in picks.manifests(target):
        answer = expect(target.client.get(manifest.path, ACCEPT), 200)
        require(matches(manifest.digest, answer.body), "other bytes than asked for", answer)


@manifests.must("manifest-digest-right", PULL_MANIFESTS)
def digest_right(target: Target) -> None:
    """Docker-Content-Digest, where it is sent, is the digest of the body."""
    for manifest in picks.manifests(target):
        for path in (manifest.path, *((manifest.tag_path,) if manifest.tag else ())):
            answer = expect(target.client.get(path, ACCEPT), 200)
            said = picks.said_digest(answer)
            require(said is None or matches(said, answer.body), "a wrong digest", answer)


@manifests.should("manifest-digest-said", f"{PULL_MANIFESTS}; a MUST in its main branch")
def digest_said(target: Target) -> None:
    """GET and HEAD of a manifest say Docker-Content-Digest."""
    manifest = picks.a_manifest(target)
    for answer in (
        target.client.get(manifest.path, ACCEPT),
        target.client.head(manifest.path, ACCEPT),
    ):
        require(is_digest(picks.said_digest(answer)), "no digest", answer)


@manifests.must("manifest-type", PULL_MANIFESTS)
def media_type(target: Target) -> None:
    """Content-Type is the manifest's own `mediaType`, which clients compare."""
    for manifest in picks.manifests(target):
        answer = expect(target.client.get(manifest.path, ACCEPT), 200)
        own = manifest.document.get("mediaType")
        said = answer.media_type
        require(said and own in (None, said), f"{said!r} for {own!r}", answer)


@manifests.should("manifest-type-bare", PULL_MANIFESTS)
def bare_type(target: Target) -> None:
    """A manifest's Content-Type has no parameters."""
    manifest = picks.a_manifest(target)
    answer = target.client.get(manifest.path, ACCEPT)
    require(";" not in (answer.get("content-type") or ""), "parameters", answer)


@manifests.should("manifest-length", "RFC 9110 §8.6")
def manifest_length(target: Target) -> None:
    """A manifest's answer says its Content-Length, which several clients need."""
    manifest = picks.a_manifest(target)
    answer = expect(target.client.get(manifest.path, ACCEPT), 200)
    require(answer.length == len(answer.body), "no Content-Length", answer)


@manifests.must("manifest-children", OCI + "Pulling manifests; image-spec, image index")
def children(target: Target) -> None:
    """What an index names can be pulled, has the size named and the type named."""
    indexes = [manifest for manifest in target.content.manifests if manifest.children]
    pulled = 0
    for manifest in indexes:
        for child in manifest.children[:3]:
            if not is_digest(child.get("digest")):
                continue
            path = f"/v2/{manifest.repository}/manifests/{child['digest']}"
            answer = target.client.get(path, ACCEPT)
            if answer.status == 404:
                # Indexes may be sparse.
                continue
            expect(answer, 200)
            pulled += 1
            require(len(answer.body) == child.get("size"), "not the size named", answer)
            require(answer.media_type == child.get("mediaType"), "not the type named", answer)
    require(pulled or not indexes, "no child of any index can be pulled")
    if not indexes:
        skip("no index was found")


@manifests.must("manifest-head", EXISTS)
def manifest_head(target: Target) -> None:
    """HEAD of a manifest is 200 and says what GET says: length, digest, type."""
    for manifest in picks.manifests(target):
        for path in (manifest.path, *((manifest.tag_path,) if manifest.tag else ())):
            picks.head_of(target, path, ACCEPT)


@manifests.should("manifest-head-length", f"{EXISTS}; a MUST in its main branch")
def manifest_head_length(target: Target) -> None:
    """HEAD of a manifest says Content-Length and Content-Type, which clients want."""
    head, _ = picks.head_of(target, picks.a_manifest(target).path, ACCEPT)
    require(head.length is not None and head.media_type, "it does not", head)


@manifests.must("manifest-absent", PULL_MANIFESTS)
def manifest_absent(target: Target) -> None:
    """A tag or digest that is not there is 404, with GET and HEAD."""
    repository = picks.a_manifest(target).repository
    for reference in ("no-such-tag-here", absent(), absent("sha512")):
        for method in ("GET", "HEAD"):
            path = f"/v2/{repository}/manifests/{reference}"
            expect(target.client.ask(method, path, ACCEPT), 404)


@manifests.must("accept-lines", "RFC 9110 §5.3")
def accept_lines(target: Target) -> None:
    """Types in several Accept lines, in any order, mean what they mean in one."""
    manifest = picks.a_tagged_manifest(target)
    wanted = expect(target.client.get(manifest.tag_path, ACCEPT), 200)
    for types in (MANIFEST_TYPES, tuple(reversed(MANIFEST_TYPES))):
        answer = target.client.get(manifest.tag_path, *(("Accept", one) for one in types))
        require(answer.body == wanted.body, "another answer", answer, wanted)


@manifests.should("accept-any", "RFC 9110 §12.5.1")
def accept_any(target: Target) -> None:
    """Without Accept, or with `*/*`, a tag answers 200."""
    manifest = picks.a_tagged_manifest(target)
    for fields in ((), (("Accept", "*/*"),)):
        expect(target.client.get(manifest.tag_path, *fields), 200)


@manifests.must("accept-own", "RFC 9110 §12.5.1")
def accept_own(target: Target) -> None:
    """A client that takes only the manifest's own type gets exactly that manifest."""
    for manifest in picks.spread(target.content.tagged) or skip("no tag was found"):
        answer = target.client.get(manifest.tag_path, ("Accept", manifest.media_type))
        require(answer.body == manifest.body, "another answer", expect(answer, 200))


@manifests.must("accept-digest", PULL_MANIFESTS)
def accept_by_digest(target: Target) -> None:
    """Whatever is accepted, a digest never answers 200 with other bytes than its own."""
    for manifest in picks.manifests(target):
        for accepted in (*MANIFEST_TYPES, "text/html", "*/*"):
            answer = expect(target.client.get(manifest.path, ("Accept", accepted)), 200, 404, 406)
            right = answer.status != 200 or matches(manifest.digest, answer.body)
            require(right, "other bytes than asked for", answer)
