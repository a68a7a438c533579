"""Requests to an upstream, and the heads of its answers as the core sees them.

Authorization goes to the upstream's own origin and nowhere else (distribution-spec,
"Pulling blobs", redirects; RFC 9110 §15.4). What upstream says about lengths, ranges and
digests is checked for form here and for truth by whoever reads the body.
"""

import re

from ..core.effects import Forwarded, UpstreamRequest
from ..core.events import Location, Quota, Secret, UpstreamHead
from ..core.oci import (
    MANIFEST_TYPES,
    OCI_INDEX,
    Content,
    Kind,
    Reference,
    ReferrersRef,
    TagRef,
    TagsRef,
)
from ..core.pull import Ping
from . import spelling, urls
from .challenge import challenges
from .headers import Headers, members, only, retry_after, sendable, values
from .oci_json import JSON, specific
from .outgoing import Credentials, HttpRequest, compose
from .sites import UpstreamSite
from .urls import Url

ALL_MANIFESTS = ", ".join((*MANIFEST_TYPES, "*/*"))
"""Everything, the types of today by name: without them Hub converts to schema 1, without the
wildcard a registry that only has schema 1 says 404. containerd sends the same set."""

CODED = 502
"""The status that the core is told for a body in a content coding. We ask for `identity`; the
coded bytes have another length and digest than the content, and would reach clients before
the digest is seen to be wrong."""

WINDOW = 3600
"""Seconds for which a quota counts whose window upstream does not tell."""

LONGEST_WINDOW = 24 * 3600.0

_RATE = re.compile(r"[ \t]*([0-9]{1,9})[ \t]*(?:;[ \t]*w=([0-9]{1,9})[ \t]*)?")
_NUMBER = re.compile(r"[0-9]{1,18}")
_CONTENT_RANGE = re.compile(r"bytes[ \t]+(?:([0-9]{1,18})-[0-9]{1,18}|\*)/([0-9]{1,18}|\*)")
_LINK = re.compile(r"<([^>]*)>(.*)", re.S)
_REL = re.compile(r';[ \t]*rel[ \t]*=[ \t]*(?:"([^"]*)"|([^\s;"]+))', re.I)


def request(
    site: UpstreamSite, asked: UpstreamRequest, credentials: Credentials | None
) -> HttpRequest:
    """The request on the wire. `credentials` are used when `asked.authorization` is True.

    Raises AssertionError when Authorization would go to another origin than the site's."""
    url = _url(site, asked)
    authorization = _authorization(asked, credentials)
    if authorization is not None and url.origin != site.url.origin:
        raise AssertionError("Authorization must not leave its origin")
    return compose(
        asked.method.value,
        url,
        ("Accept", _accept(asked.resource)),
        ("Accept-Encoding", "identity"),
        ("Range", f"bytes={asked.offset}-" if asked.offset else None),
        ("If-None-Match", asked.etag),
        ("Authorization", authorization),
    )


def head(
    site: UpstreamSite, sent: HttpRequest, status: int, headers: Headers, now: float
) -> UpstreamHead:
    """The head of the answer to `sent`. Never raises: what is malformed counts as not said, and
    so does a media type that servers use for anything."""
    coded = any(c.lower() != "identity" for c in members(values(headers, b"content-encoding")))
    if coded and sent.method == "GET" and status in (200, 206):
        return UpstreamHead(CODED)
    length = _number(only(headers, b"content-length"))
    part = only(headers, b"content-range") if status in (206, 416) else None
    start, size = _content_range(part)
    etag = only(headers, b"etag")
    return UpstreamHead(
        status,
        length=None if coded else length,
        start=start,
        size=length if size is None and status == 200 and not coded else size,
        digest=spelling.digest(only(headers, b"docker-content-digest") or ""),
        media_type=specific(only(headers, b"content-type")),
        etag=etag if etag and sendable(etag) else None,
        challenges=challenges(site, headers),
        location=_location(site, sent.url, headers),
        retry_after=retry_after(headers, now),
        quota=_quota(headers),
        filters=_filters(headers),
        next_page=_next_page(site, sent.url, headers),
    )


def _url(site: UpstreamSite, asked: UpstreamRequest) -> Url:
    if asked.location is not None:
        url = urls.parse(asked.location.url)
        assert url is not None, "head() makes no Location that is no URL"
        return url
    home = site.url
    path = f"{home.target.rstrip('/')}/v2/"
    if not isinstance(asked.resource, Ping):
        path += f"{asked.repository.name}/{_endpoint(asked.resource)}"
    return Url(home.scheme, home.host, home.port, path)


def _endpoint(resource: Reference | Content) -> str:
    match resource:
        case Content(Kind.BLOB, digest):
            return f"blobs/{digest}"
        case Content(_, digest):
            return f"manifests/{digest}"
        case TagRef(tag=tag):
            return f"manifests/{tag}"
        case TagsRef():
            return "tags/list"
        case ReferrersRef(digest=digest, artifact_type=artifact_type, page=page):
            query = [] if artifact_type is None else [urls.query(artifactType=artifact_type)]
            query += [] if page is None else [page]
            return f"referrers/{digest}{'?' if query else ''}{'&'.join(query)}"


def _accept(resource: Reference | Content | Ping) -> str:
    match resource:
        case TagRef(accept=(_, *_) as types):
            return ", ".join(types)
        case TagRef() | Content(Kind.MANIFEST):
            return ALL_MANIFESTS
        case TagsRef():
            return JSON
        case ReferrersRef():
            return OCI_INDEX
    return "*/*"


def _authorization(asked: UpstreamRequest, credentials: Credentials | None) -> str | None:
    abroad = asked.location is not None and not asked.location.same_origin
    if asked.authorization and abroad:
        raise AssertionError("Authorization must not follow a redirect to another origin")
    if isinstance(asked.authorization, Secret):
        return f"Bearer {asked.authorization.value}"
    if isinstance(asked.authorization, Forwarded):
        return asked.authorization.authorization.value
    return credentials.basic() if asked.authorization and credentials else None


def _location(site: UpstreamSite, here: Url, headers: Headers) -> Location | None:
    value = only(headers, b"location")
    there = urls.parse(value, here) if value else None
    if there is None:
        return None
    allowed = urls.may_lead(site.url, here, there, site.allow_private_redirects)
    return Location(str(there), there.origin == site.url.origin, allowed)


def _filters(headers: Headers) -> str | None:
    value = ", ".join(values(headers, b"oci-filters-applied"))
    return value if sendable(value) else None


def _next_page(site: UpstreamSite, here: Url, headers: Headers) -> Location | None:
    """Where `Link: <...>; rel="next"` (RFC 8288) leads; what leads nowhere is not allowed."""
    for link in members(values(headers, b"link")):
        match = _LINK.fullmatch(link)
        rel = _REL.search(match[2]) if match else None
        if match is None or rel is None or "next" not in (rel[1] or rel[2] or "").lower().split():
            continue
        there = urls.parse(match[1], here)
        if there is None:
            return Location(match[1], same_origin=False, allowed=False)
        home = there.origin == site.url.origin
        return Location(str(there), home, home or there.origin == here.origin)
    return None


def _quota(headers: Headers) -> Quota | None:
    """Docker Hub's `ratelimit-limit: 100;w=21600`, and the same without a window."""
    limit = _RATE.fullmatch(only(headers, b"ratelimit-limit") or "")
    remaining = _RATE.fullmatch(only(headers, b"ratelimit-remaining") or "")
    if limit is None or remaining is None:
        return None
    reset = _NUMBER.fullmatch(only(headers, b"ratelimit-reset") or "")
    window = float(limit[2] or (reset[0] if reset else WINDOW))
    return Quota(int(limit[1]), int(remaining[1]), min(window, LONGEST_WINDOW))


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and _NUMBER.fullmatch(text) else None


def _content_range(text: str | None) -> tuple[int, int | None]:
    """(first byte's offset, size of the whole or None); RFC 9110 §14.4."""
    match = _CONTENT_RANGE.fullmatch(text or "")
    if match is None:
        return 0, None
    return int(match[1] or 0), None if match[2] == "*" else int(match[2])
