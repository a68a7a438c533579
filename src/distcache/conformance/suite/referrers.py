"""Referrers: what signatures, SBOMs and the like refer to a manifest."""

from urllib.parse import quote

from ..checks import Section, Target, expect, require, skip
from ..client import ACCEPT
from ..content import Manifest, as_object, objects
from ..digests import absent, is_digest, matches
from ..messages import Answer
from . import picks

referrers = Section("Referrers")

LISTING = "OCI distribution-spec 1.1 §Listing Referrers"
FALLBACK = "OCI distribution-spec 1.1 §Referrers Tag Schema"
INDEX = "application/vnd.oci.image.index.v1+json"
SOME = 50
"""Manifests that are asked about."""

_FILTERS = "oci-filters-applied"


def _path(repository: str, digest: str, kind: str | None = None) -> str:
    query = f"?artifactType={quote(kind, safe='')}" if kind is not None else ""
    return f"/v2/{repository}/referrers/{digest}{query}"


def _listed(answer: Answer) -> list[dict[str, object]]:
    """The descriptors of an answer that must be an index."""
    expect(answer, 200)
    require(answer.media_type == INDEX, f"Content-Type is {answer.media_type!r}", answer)
    said = as_object(answer.body)
    right = said.get("schemaVersion") == 2 and said.get("mediaType") in (None, INDEX)
    require(right and isinstance(said.get("manifests"), list), "not an image index", answer)
    return objects(said.get("manifests"))


def _subject(target: Target) -> tuple[Manifest, list[dict[str, object]]]:
    """A manifest that others refer to, and their descriptors."""
    offered = False
    for manifest in target.content.tagged[:SOME]:
        answer = target.client.get(_path(manifest.repository, manifest.digest))
        if answer.status == 200:
            offered = True
            if listed := _listed(answer):
                return manifest, listed
    return skip("nothing that others refer to was found" if offered else "no referrers API")


def _offering(target: Target) -> str:
    """A repository for which the API is offered."""
    for manifest in target.content.manifests[:SOME]:
        if target.client.get(_path(manifest.repository, manifest.digest)).status == 200:
            return manifest.repository
    return skip("no referrers API")


@referrers.should("referrers-api", LISTING)
def api(target: Target) -> None:
    """The referrers API is offered: 200 for a manifest that exists."""
    manifest = picks.a_manifest(target)
    expect(target.client.get(_path(manifest.repository, manifest.digest)), 200)


@referrers.must("referrers-index", LISTING)
def index(target: Target) -> None:
    """The answer is an image index, with its media type."""
    repository = _offering(target)
    for manifest in picks.manifests(target):
        if manifest.repository == repository:
            _listed(target.client.get(_path(repository, manifest.digest)))


@referrers.must("referrers-none", LISTING)
def none(target: Target) -> None:
    """Without referrers the list is empty; it is never a 404, not even for a digest that is not
    there."""
    repository = _offering(target)
    for digest in (absent(), absent("sha512")):
        answer = target.client.get(_path(repository, digest))
        require(_listed(answer) == [], "referrers of nothing", answer)


@referrers.must("referrers-invalid", LISTING)
def invalid(target: Target) -> None:
    """A digest with an invalid syntax is 400."""
    repository = _offering(target)
    for digest in ("sha256:zz", "latest", "sha256:" + "A" * 64):
        expect(target.client.get(_path(repository, digest)), 400)


@referrers.must("referrers-entries", LISTING)
def entries(target: Target) -> None:
    """Each descriptor names a manifest of the repository whose `subject` is the one asked for,
    with its size, type, artifactType and annotations."""
    subject, listed = _subject(target)
    for entry in listed:
        digest = entry.get("digest")
        require(is_digest(digest), f"no digest in {entry}")
        answer = target.client.get(f"/v2/{subject.repository}/manifests/{digest}", ACCEPT)
        expect(answer, 200)
        require(matches(str(digest), answer.body), "other bytes than named", answer)
        require(entry.get("size") == len(answer.body), f"size in {entry}", answer)
        require(entry.get("mediaType") == answer.media_type, f"mediaType in {entry}", answer)
        document = as_object(answer.body)
        refers = document.get("subject")
        right = isinstance(refers, dict) and refers.get("digest") == subject.digest
        require(right, "its subject is another", answer)
        config = document.get("config")
        kind = document.get("artifactType") or (
            config.get("mediaType") if isinstance(config, dict) else None
        )
        require(entry.get("artifactType") == kind, f"artifactType in {entry}", answer)
        wanted, said = document.get("annotations") or {}, entry.get("annotations") or {}
        require(said == wanted, f"annotations in {entry}", answer)


@referrers.should("referrers-filter", LISTING)
def filtered(target: Target) -> None:
    """`artifactType` leaves only the descriptors of that type; of an unknown type, none."""
    subject, listed = _subject(target)
    kinds = {str(one["artifactType"]) for one in listed if "artifactType" in one}
    for kind in (*sorted(kinds), "application/vnd.example.no-such+type"):
        answer = target.client.get(_path(subject.repository, subject.digest, kind))
        wanted = [one for one in listed if one.get("artifactType") == kind]
        require(_listed(answer) == wanted, f"{len(wanted)} of {kind} expected", answer)


@referrers.must("referrers-filter-said", LISTING)
def filter_said(target: Target) -> None:
    """A filter that was applied is named in OCI-Filters-Applied, and only then."""
    subject, listed = _subject(target)
    plain = target.client.get(_path(subject.repository, subject.digest))
    require(plain.get(_FILTERS) is None, "no filter was asked for", plain)
    kind = "application/vnd.example.no-such+type"
    answer = target.client.get(_path(subject.repository, subject.digest, kind))
    applied = len(_listed(answer)) < len(listed)
    said = answer.get(_FILTERS)
    require(said == "artifactType" if applied else said is None, f"it says {said!r}", answer)


@referrers.must("referrers-fallback", FALLBACK)
def fallback(target: Target) -> None:
    """A fallback tag (`sha256-...`) is pulled as any tag: an image index of manifests that are
    there."""
    found = [m for m in target.content.tagged if (m.tag or "").startswith(("sha256-", "sha512-"))]
    indexes = [manifest for manifest in found if manifest.media_type == INDEX]
    for manifest in indexes or skip("no fallback tag was found"):
        answer = expect(target.client.get(manifest.tag_path, ACCEPT), 200)
        for entry in _listed(answer):
            path = f"/v2/{manifest.repository}/manifests/{entry.get('digest')}"
            expect(target.client.get(path, ACCEPT), 200)
