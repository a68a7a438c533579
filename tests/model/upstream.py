"""The World's upstream: what it would honestly answer, and the lies it may tell instead."""

from __future__ import annotations

from attrs import evolve

from distcache.core import effects as fx
from distcache.core import events as ev
from distcache.core.oci import OCI_MANIFEST, Content, Digest, TagRef
from distcache.core.pull import Method, Ping

from .scene import BASIC, COUSIN, FAULTS, SECOND_PAGE, SIZES, A, B, Bound, L, challenge, token

CAUSES = {
    "down": ev.Cause.UNREACHABLE,
    "cut": ev.Cause.CUT,
    "slow": ev.Cause.TIMEOUT,
    "full": ev.Cause.NO_SPACE,
    "fault": ev.Cause.STORE,
}
"""Faults after which the fetch is over."""

LOCATIONS = {
    "abroad": ev.Location("https://cdn/x", same_origin=False),
    "home": ev.Location("https://up/x", same_origin=True),
    "private": ev.Location("http://10.0.0.1/x", same_origin=False, allowed=False),
}


def faults_before(request: fx.UpstreamRequest, spool: fx.Spool | None) -> list[str]:
    """What may go wrong before a head has come."""
    kinds = [*CAUSES, "limited", "broken", "wrong-206", *LOCATIONS, "unauthorized", "denied"]
    if request.method is Method.HEAD:
        kinds += ["bare", "unhelpful"]
    return kinds if is_file(spool) else [k for k in kinds if k not in ("full", "fault")]


def is_file(spool: fx.Spool | None) -> bool:
    return spool is not None and spool.medium is fx.Medium.FILE


def digest_of(request: fx.UpstreamRequest, tag: Digest | None) -> Digest | None:
    """What it has under the name asked for."""
    resource = request.resource
    if isinstance(resource, Content):
        there = request.repository == A or (request.repository == COUSIN and resource.digest == B)
        return resource.digest if there else None
    if isinstance(resource, TagRef):
        return tag
    return L


def honest(request: fx.UpstreamRequest, bound: Bound, tag: Digest | None) -> ev.UpstreamHead:
    refusal = _wants(request, bound)
    if refusal is not None:
        return refusal
    if isinstance(request.resource, Ping):
        return ev.UpstreamHead(200, 0)
    digest = digest_of(request, tag)
    if digest is None:
        return ev.UpstreamHead(404)
    if bound.plain:
        if request.method is Method.HEAD:
            return ev.UpstreamHead(405)
        if request.etag == _etag(digest):
            return ev.UpstreamHead(304, etag=request.etag)
    size = SIZES[digest]
    named = None if bound.plain else digest
    kind = OCI_MANIFEST
    if bound.chunked and digest == B:
        return ev.UpstreamHead(200, digest=named, media_type=kind)
    etag = _etag(digest) if bound.plain else None
    if request.offset:
        start = request.offset
        return ev.UpstreamHead(206, size - start, start, size, named, kind, etag)
    return ev.UpstreamHead(200, size, 0, size, named, kind, etag)


def dishonest(request: fx.UpstreamRequest, what: str) -> ev.UpstreamHead:
    if what in LOCATIONS:
        return ev.UpstreamHead(307, location=LOCATIONS[what])
    match what:
        case "limited":
            return ev.UpstreamHead(429, retry_after=1)
        case "broken":
            return ev.UpstreamHead(503)
        case "unauthorized":
            return ev.UpstreamHead(401, challenges=(BASIC, challenge(request.repository)))
        case "denied":
            return ev.UpstreamHead(403)
        case "unhelpful":
            return ev.UpstreamHead(405)
        case "wrong-206":
            return ev.UpstreamHead(206, 1, 1 - min(request.offset, 1), 2, None, OCI_MANIFEST)
    assert what == "bare", (what, FAULTS)
    return ev.UpstreamHead(200)  # neither digest nor length


def _wants(request: fx.UpstreamRequest, bound: Bound) -> ev.UpstreamHead | None:
    """A 401, where it has not been shown what it wants to see; a signed URL wants nothing."""
    if not bound.auth or request.location not in (None, SECOND_PAGE):
        return None
    if bound.auth == "basic":
        shown = request.authorization is True
        return None if shown else ev.UpstreamHead(401, challenges=(BASIC,))
    wanted = challenge(request.repository)
    if request.authorization == token(wanted):
        return None
    return ev.UpstreamHead(401, challenges=(evolve(wanted, scope=""),))


def _etag(digest: Digest) -> str:
    return f'"{digest}"'
