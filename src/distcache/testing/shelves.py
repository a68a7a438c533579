"""What a scripted upstream holds, and what it answers when nothing goes wrong.

Pure: a request comes in as a value and an answer goes out as one. The pull side of the
distribution-spec 1.1, written without a line of the cache's own, which it is there to check.
"""

import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, quote, urlencode

from attrs import define, field, frozen

from ..core.oci import OCI_INDEX
from .images import Blob, Manifest

Images = Mapping[str, Mapping[str, Manifest]]
"""By repository, then by tag."""

NAME = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
REPOSITORY = re.compile(rf"{NAME}(?:/{NAME})*")
TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
"""distribution-spec, "Pulling Manifests"."""

_DIGEST = r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+"
_PATH = re.compile(
    rf"/v2/(?P<repository>{REPOSITORY.pattern})/(?:"
    rf"manifests/(?P<manifest>{_DIGEST}|{TAG.pattern})"
    rf"|blobs/(?P<blob>{_DIGEST})"
    r"|tags/(?P<tags>list)"
    rf"|referrers/(?P<referrers>{_DIGEST}))"
)
_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]*)")


@frozen
class Request:
    """What upstream was asked. `query` is the target's, without the question mark; names of
    `headers` are in lower case, values of equal names joined by commas."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(factory=dict, repr=False)

    def __str__(self) -> str:
        query = f"?{self.query}" if self.query else ""
        return f"{self.method} {self.path}{query}"


@frozen
class Answer:
    """A head, and the body as a GET gets it."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)


@define
class _Repository:
    tags: dict[str, Manifest] = field(factory=dict)
    manifests: dict[str, Manifest] = field(factory=dict)
    blobs: dict[str, Blob] = field(factory=dict)


class Shelves:
    """The content of one upstream; not to be changed while it answers."""

    def __init__(self) -> None:
        self._repositories: dict[str, _Repository] = {}

    def put(self, repository: str, content: Manifest | Blob, tag: str | None = None) -> None:
        """Take in `content` and everything it names. A tag that exists is moved. ValueError: no
        such name can be, or a tag for what is no manifest."""
        if not REPOSITORY.fullmatch(repository):
            raise ValueError(f"no repository can have this name: {repository!r}")
        if tag is not None and not (TAG.fullmatch(tag) and isinstance(content, Manifest)):
            raise ValueError(f"not a tag, or not one of a manifest: {tag!r}")
        shelf = self._repositories.setdefault(repository, _Repository())
        if isinstance(content, Blob):
            shelf.blobs[content.digest] = content
            return
        for blob in content.blobs:
            self.put(repository, blob)
        for child in content.children:
            self.put(repository, child)
        shelf.manifests[content.digest] = content
        if tag is not None:
            shelf.tags[tag] = content

    def tagged(self, repository: str, tag: str) -> Manifest:
        """KeyError when there is no such tag."""
        return self._repositories[repository].tags[tag]

    def untag(self, repository: str, tag: str) -> None:
        """The tag goes, what it named stays. KeyError when there is no such tag."""
        del self._repositories[repository].tags[tag]

    def answer(self, request: Request) -> Answer:
        if request.method not in ("GET", "HEAD"):
            return error(405, "UNSUPPORTED")
        if request.path == "/v2/":
            return _json({})
        match = _PATH.fullmatch(request.path)
        if match is None:
            return error(404, "NAME_UNKNOWN")
        shelf = self._repositories.get(match["repository"])
        if shelf is None:
            return error(404, "NAME_UNKNOWN")
        query = dict(parse_qsl(request.query))
        if match["tags"]:
            return _tags(match["repository"], sorted(shelf.tags), query)
        if match["referrers"]:
            return _referrers(shelf, match["referrers"], query.get("artifactType"))
        if match["blob"]:
            blob = shelf.blobs.get(match["blob"])
            return _blob(blob, request) if blob else error(404, "BLOB_UNKNOWN")
        reference = match["manifest"]
        manifest = shelf.manifests.get(reference) or shelf.tags.get(reference)
        if manifest is None or not _accepts(request, manifest.media_type):
            return error(404, "MANIFEST_UNKNOWN")
        return _manifest(manifest, request)


def faults(request: Request, host: str) -> Iterator[str]:
    """What no well-behaved client of a registry would have sent; `host` is the registry's own
    name and port. Bodies are looked at by whoever reads them."""
    headers = request.headers
    match = _PATH.fullmatch(request.path)
    if request.method not in ("GET", "HEAD"):
        yield "writes"
    if match is None and request.path != "/v2/":
        yield "asks for a path that registries do not have"
    if headers.get("host") != host:
        yield f"is meant for {headers.get('host')}"
    for name in ("authorization", "proxy-authorization", "cookie"):
        if name in headers:
            yield f"shows {name} to a registry that never asked for it"
    if match is None:
        return
    allowed = {"n", "last"} if match["tags"] else {"artifactType"} if match["referrers"] else set()
    if {name for name, _ in parse_qsl(request.query, keep_blank_values=True)} - allowed:
        yield "has a query that means nothing here"
    if match["manifest"] and not headers.get("accept"):
        yield "asks for a manifest without Accept: registries then choose another one"
    if match["blob"] and headers.get("accept-encoding", "identity") != "identity":
        yield "allows a content coding: a coded blob has another digest"
    if "range" in headers and not (
        match["blob"] and request.method == "GET" and _RANGE.fullmatch(headers["range"])
    ):
        yield f"has a Range that makes no sense: {headers['range']}"


def error(status: int, code: str, headers: Mapping[str, str] | None = None) -> Answer:
    """distribution-spec, "Error Codes"."""
    return _json({"errors": [{"code": code, "message": code.lower()}]}, status, headers)


def _json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    fields = {"Content-Type": "application/json", **(headers or {})}
    return Answer(status, fields, json.dumps(value).encode())


def _accepts(request: Request, media_type: str) -> bool:
    ranges = {
        part.partition(";")[0].strip() for part in request.headers.get("accept", "*/*").split(",")
    }
    return not {media_type, "application/*", "*/*"}.isdisjoint(ranges)


def _tags(repository: str, tags: list[str], query: Mapping[str, str]) -> Answer:
    """distribution-spec, "Listing Tags"."""
    rest = [tag for tag in tags if tag > query.get("last", "")]
    wanted = query.get("n", "")
    page = rest[: int(wanted)] if wanted.isdecimal() else rest
    headers = {}
    if page and len(page) < len(rest):
        more = urlencode({"n": wanted, "last": page[-1]}, quote_via=quote)
        headers["Link"] = f'</v2/{repository}/tags/list?{more}>; rel="next"'
    return _json({"name": repository, "tags": page}, headers=headers)


def _referrers(shelf: _Repository, digest: str, artifact_type: str | None) -> Answer:
    """distribution-spec, "Listing Referrers": an empty list is one, too."""
    entries = [
        {
            **manifest.descriptor,
            "artifactType": manifest.artifact_type,
            **({"annotations": manifest.annotations} if manifest.annotations else {}),
        }
        for manifest in shelf.manifests.values()
        if manifest.subject == digest and artifact_type in (None, manifest.artifact_type)
    ]
    headers = {"Content-Type": OCI_INDEX}
    if artifact_type is not None:
        headers["OCI-Filters-Applied"] = "artifactType"
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    return _json(index, headers=headers)


def _manifest(manifest: Manifest, request: Request) -> Answer:
    headers = {"Docker-Content-Digest": manifest.digest, "ETag": f'"{manifest.digest}"'}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Answer(304, headers)
    return Answer(200, {**headers, "Content-Type": manifest.media_type}, manifest.body)


def _blob(blob: Blob, request: Request) -> Answer:
    """With one range of bytes (RFC 9110 section 14)."""
    size = len(blob.data)
    headers = {
        "Docker-Content-Digest": blob.digest,
        "ETag": f'"{blob.digest}"',
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
    }
    wanted = _RANGE.fullmatch(request.headers.get("range", ""))
    if wanted is None:
        return Answer(200, headers, blob.data)
    first, last = int(wanted[1]), min(int(wanted[2] or size - 1), size - 1)
    if first > last:
        return error(416, "BLOB_UNKNOWN", {"Content-Range": f"bytes */{size}"})
    part = f"bytes {first}-{last}/{size}"
    return Answer(206, {**headers, "Content-Range": part}, blob.data[first : last + 1])
