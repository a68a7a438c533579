"""The World's upstream and its mirrors: what they would honestly answer, and the lies they may
tell instead."""

from __future__ import annotations

from typing import NamedTuple

from attrs import evolve

from distcache.core import effects as fx
from distcache.core import events as ev
from distcache.core.oci import OCI_MANIFEST, Content, Digest, TagRef, TagsRef
from distcache.core.pull import Method, Ping

from .scene import (
    AUTHORITIES,
    BASIC,
    COUSIN,
    FAULTS,
    GREETING,
    SIZES,
    WELCOME,
    A,
    B,
    Bound,
    L,
    challenge,
    origin,
    second_page,
    token,
)

CAUSES = {
    "down": ev.Cause.UNREACHABLE,
    "cut": ev.Cause.CUT,
    "slow": ev.Cause.TIMEOUT,
    "full": ev.Cause.NO_SPACE,
    "fault": ev.Cause.STORE,
}
"""Faults after which the fetch is over."""

QUOTA = ev.Quota(100, 5, 600.0)
"""Of an upstream that is scarce: little is left, for ten minutes."""

REDIRECTS = ("abroad", "home", "private")


class Sim(NamedTuple):
    """One fetch under way: nothing said yet, or the body of `digest` from `at` to `stop`."""

    request: fx.UpstreamRequest
    spool: fx.Spool | None
    at: int | None = None
    digest: Digest | None = None
    stop: int = 0


def location(what: str, mirror: int | None) -> ev.Location:
    """Where a redirect of that name leads."""
    if what == "home":
        return ev.Location(f"{origin(mirror)}/x", same_origin=True)
    if what == "abroad":
        return ev.Location("https://cdn/x", same_origin=False)
    return ev.Location("http://10.0.0.1/x", same_origin=False, allowed=False)


def faults_before(request: fx.UpstreamRequest, spool: fx.Spool | None) -> list[str]:
    """What may go wrong before a head has come."""
    kinds = [*CAUSES, "limited", "broken", "wrong-206", *REDIRECTS, "unauthorized", "denied"]
    if request.method is Method.HEAD:
        kinds += ["bare", "unhelpful"]
    if request.mirror is not None:
        kinds.append("absent")
    if isinstance(request.resource, TagsRef):
        kinds.append("astray" if request.location is None else "lost-page")
    return kinds if is_file(spool) else [k for k in kinds if k not in ("full", "fault")]


def is_file(spool: fx.Spool | None) -> bool:
    return spool is not None and spool.medium is fx.Medium.FILE


def digest_of(request: fx.UpstreamRequest, tag: Digest | None) -> Digest | None:
    """What it has under the name asked for."""
    resource = request.resource
    if isinstance(resource, Content):
        name = request.repository.name
        there = name == A.name or (name == COUSIN.name and resource.digest == B)
        return resource.digest if there else None
    if isinstance(resource, TagRef):
        return tag
    return L


def honest(request: fx.UpstreamRequest, bound: Bound, tag: Digest | None) -> ev.UpstreamHead:
    head = _wants(request, bound) or _has(request, bound, tag)
    scarce = bound.scarce and request.mirror is None
    return evolve(head, quota=QUOTA) if scarce else head


def _has(request: fx.UpstreamRequest, bound: Bound, tag: Digest | None) -> ev.UpstreamHead:
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
    if what in REDIRECTS:
        return ev.UpstreamHead(307, location=location(what, request.mirror))
    mirror = request.mirror
    match what:
        case "absent" | "lost-page":
            return ev.UpstreamHead(404)
        case "astray":
            return ev.UpstreamHead(200, next_page=location("private", mirror))
        case "limited":
            return ev.UpstreamHead(429, retry_after=1)
        case "broken":
            return ev.UpstreamHead(503)
        case "unauthorized":
            return ev.UpstreamHead(401, challenges=(BASIC, challenge(request.repository, mirror)))
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
    if request.location not in (None, second_page(request.mirror)):
        return None
    if request.repository.authority is not None:
        return _wants_own(request, request.repository.authority)
    if bound.auth == "basic":
        shown = request.authorization is True
        return None if shown else ev.UpstreamHead(401, challenges=(BASIC,))
    wanted = challenge(request.repository, request.mirror)
    if not bound.auth or request.authorization == token(wanted):
        return None
    return ev.UpstreamHead(401, challenges=(evolve(wanted, scope=""),))


def _wants_own(request: fx.UpstreamRequest, name: str) -> ev.UpstreamHead | None:
    """Its clock may be behind: it takes a token that is past its end."""
    authority, shown = AUTHORITIES[name], request.authorization
    known = isinstance(shown, fx.Forwarded) and shown.authorization == authority.authorization
    if name in WELCOME and known:
        return None
    return ev.UpstreamHead(401, challenges=(GREETING,))


def _etag(digest: Digest) -> str:
    return f'"{digest}"'
