"""From a request's head to what is asked: a `Pull`, or an answer that needs no cache.

Paths are read from the right: a repository name has any depth, and `blobs`, `manifests` or
`tags` may be parts of it. The upstream is chosen by `?ns=`, else by the first path component
when it is a configured key, else by virtual host, else it is the default. What `ns` does not
find is refused and never looked for elsewhere: a client must not be able to make this cache
fetch from a host that its operator did not list.

Source: OCI distribution-spec 1.1, "Endpoints" and "Registry Proxying".
"""

import re
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, unquote

from attrs import evolve, frozen

from ..core import ranges
from ..core.effects import Code
from ..core.oci import Content, Kind, ReferrersRef, Repository, TagRef, TagsRef
from ..core.pull import Authority, ByDigest, Catalog, Method, Page, Ping, Pull, RangeSpec
from . import accept, spelling, urls
from .authority import shown
from .headers import Headers, only, values
from .memo import HEADS, Memo, common
from .replies import PING, ROOT, Reply, refusal
from .sites import UpstreamSite as UpstreamSite

_ETAG = re.compile(r'(?:W/)?"[^"]*"|[^\s,"]+')
_PAGE = re.compile(r"[0-9]{1,18}")
_OURS = ("ns", "artifactType")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Target = TagRef | TagsRef | ReferrersRef | ByDigest | Catalog | Ping


class _RefusalError(Exception):
    """Takes the answer for the client out of a parsing step; never leaves this module."""

    def __init__(self, status: int, code: Code, message: str) -> None:
        self.reply = refusal(status, code, message)


@frozen
class _Request:
    """A request's head, taken apart. `path` is percent-decoded once."""

    path: str
    query: Mapping[str, str]
    host: str
    headers: Headers
    authority: Authority

    def number(self, name: str) -> int | None:
        text = self.query.get(name)
        if text is None:
            return None
        if not _PAGE.fullmatch(text):
            raise _RefusalError(400, Code.UNSUPPORTED, f"{name} must be a number, zero or more")
        return int(text)

    @property
    def page(self) -> Page:
        return Page(self.number("n"), self.query.get("last"))


class Router:
    """`upstreams` by key; `default` is one of the keys."""

    def __init__(self, upstreams: Mapping[str, UpstreamSite], default: str) -> None:
        self._default = upstreams[default]
        self._keys = {key.lower(): site for key, site in upstreams.items()}
        self._names = {a.lower(): site for site in upstreams.values() for a in site.aliases}
        self._names |= self._keys
        self._hosts = {h.lower(): site for site in upstreams.values() for h in site.hosts}
        self._routed: Memo[tuple[object, ...], Pull | Reply] = Memo(HEADS)

    def route(
        self, method: bytes, target: bytes, headers: Headers, http_version: bytes
    ) -> Pull | Reply:
        """`target` in origin-form or absolute-form (RFC 9112 §3.2), `http_version` as h11 has it
        (`1.1`). Total: whatever the bytes, it answers. The same question has the same answer,
        so the last ones are remembered, whatever part of the content they want."""
        rest = tuple(field for field in headers if field[0] != b"range")
        key = (method, target, rest, http_version)
        known = self._routed.get(key)
        if known is None:
            known = self._route(method, target, rest, http_version)
            if common(target, rest):
                self._routed.put(key, known)
        if len(rest) == len(headers) or isinstance(known, Reply) or known.method is Method.HEAD:
            return known
        wanted = known.target
        if isinstance(wanted, ByDigest) and wanted.content.kind is Kind.BLOB:
            return evolve(known, ranges=_ranges(headers))
        return known

    def _route(
        self, method: bytes, target: bytes, headers: Headers, http_version: bytes
    ) -> Pull | Reply:
        if method not in (b"GET", b"HEAD"):
            allow = ("Allow", "GET, HEAD")
            return refusal(405, Code.UNSUPPORTED, "this registry is a cache: pull only", allow)
        request = _take_apart(target, headers)
        if request.path == "/":
            return ROOT
        base = request.path in ("/v2", "/v2/")
        if base and not self._asked(request).passthrough:
            return PING
        if not base and not request.path.startswith("/v2/"):
            return refusal(404, Code.NAME_UNKNOWN, "nothing is served at this path")
        try:
            asked = self._target(request)
            page = request.page if isinstance(asked, TagsRef) else Page()
        except _RefusalError as refused:
            return refused.reply
        return Pull(
            method=Method(method.decode()),
            target=asked,
            if_none_match=tuple(_ETAG.findall(", ".join(values(headers, b"if-none-match")))),
            # Several lines make a value that equals no entity-tag: no range then.
            if_range=", ".join(values(headers, b"if-range")) or None,
            chunked=http_version >= b"1.1",
            namespace=request.query.get("ns"),
            authority=_own(asked, request),
            page=page,
        )

    def _target(self, request: _Request) -> Target:
        if request.path in ("/v2", "/v2/"):
            return Ping(Repository(self._asked(request).key, "", request.authority.name))
        parts = request.path.removeprefix("/v2/").split("/")
        if "" in parts or ".." in parts or _CONTROL.search(request.path):
            raise _RefusalError(400, Code.NAME_INVALID, "not a path that a repository can have")
        if parts == ["_catalog"]:
            return Catalog(request.page.n, request.page.last)
        endpoint, last = parts[-2:] if len(parts) > 2 else ("", "")
        build = _ENDPOINTS.get(endpoint)
        if build is None or (endpoint == "tags" and last != "list"):
            raise _RefusalError(404, Code.NAME_UNKNOWN, "no such endpoint")
        return build(self._repository(parts[:-2], request), last, request)

    def _repository(self, name: list[str], request: _Request) -> Repository:
        site, rest = self._site(name, request)
        if site.hub and len(rest) == 1:
            rest = ["library", *rest]
        joined = "/".join(rest)
        if not spelling.is_name(joined):
            raise _RefusalError(400, Code.NAME_INVALID, "invalid repository name")
        own = request.authority.name if site.passthrough else None
        return Repository(site.key, joined, own)

    def _asked(self, request: _Request) -> UpstreamSite:
        """The upstream that a path without a repository means; one that `ns` does not find is
        refused when a repository is asked for."""
        namespace = request.query.get("ns")
        if namespace is not None:
            return self._names.get(namespace.lower(), self._default)
        return self._hosts.get(request.host, self._default)

    def _site(self, name: list[str], request: _Request) -> tuple[UpstreamSite, list[str]]:
        namespace = request.query.get("ns")
        if namespace is not None:
            site = self._names.get(namespace.lower())
            if site is None:
                raise _RefusalError(
                    404, Code.NAME_UNKNOWN, "ns names a registry not configured here"
                )
            return site, name
        site = self._keys.get(name[0].lower())
        if site is not None and len(name) > 1:
            return site, name[1:]
        return self._hosts.get(request.host, self._default), name


def _tag_or_digest(repository: Repository, reference: str, request: _Request) -> Target:
    if ":" in reference:
        return _by_digest(Kind.MANIFEST, repository, reference)
    if not spelling.is_tag(reference):
        raise _RefusalError(404, Code.MANIFEST_UNKNOWN, "no tag is spelled like this")
    types = accept.manifest_types(values(request.headers, b"accept"))
    return TagRef(repository, reference, types)


def _blob(repository: Repository, reference: str, _: _Request) -> Target:
    return _by_digest(Kind.BLOB, repository, reference)


def _tags(repository: Repository, _: str, __: _Request) -> Target:
    return TagsRef(repository)


def _referrers(repository: Repository, reference: str, request: _Request) -> Target:
    digest = _by_digest(Kind.MANIFEST, repository, reference).content.digest
    # Whatever upstream's link to a further page says, the client brings it back.
    rest = {name: value for name, value in request.query.items() if name not in _OURS}
    page = urls.query(**rest) if rest else None
    return ReferrersRef(repository, digest, request.query.get("artifactType"), page)


_ENDPOINTS: Mapping[str, Callable[[Repository, str, _Request], Target]] = {
    "manifests": _tag_or_digest,
    "blobs": _blob,
    "tags": _tags,
    "referrers": _referrers,
}


def _by_digest(kind: Kind, repository: Repository, text: str) -> ByDigest:
    digest = spelling.digest(text)
    if digest is None:
        raise _RefusalError(400, Code.DIGEST_INVALID, "not a sha256 or sha512 digest")
    return ByDigest(repository, Content(kind, digest))


def _ranges(headers: Headers) -> tuple[RangeSpec, ...]:
    lines = values(headers, b"range")
    return ranges.parse(lines[0]) if len(lines) == 1 else ()


def _take_apart(target: bytes, headers: Headers) -> _Request:
    authority, text = urls.origin_form(target.decode("latin-1"))
    # The target's authority comes before Host (RFC 9112 §3.2.2).
    host = authority if authority is not None else only(headers, b"host") or ""
    path, _, query = text.partition("#")[0].partition("?")
    fields: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        # Given twice with two values, `ns` would be read differently by others on the way.
        fields[name] = value if fields.get(name, value) == value else ""
    own = shown(headers)
    return _Request(unquote(path), fields, _without_port(host), headers, own)


def _own(target: Target, request: _Request) -> Authority | None:
    if isinstance(target, Catalog) or target.repository.authority is None:
        return None
    return request.authority


def _without_port(host: str) -> str:
    return re.sub(r":[0-9]*$", "", host).rstrip(".").lower()
