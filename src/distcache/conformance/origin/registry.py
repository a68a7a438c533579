"""A registry's answers as a pure function of what is asked: the reading side of
distribution-spec 1.1, with the ranges and conditions of RFC 9110."""

import json
import re
from collections.abc import Callable, Sequence
from urllib.parse import parse_qs, quote, unquote

from attrs import field, frozen

from ..messages import Fields
from .library import INDEX, Library

_PATH = re.compile(r"/v2/(.+)/(manifests|blobs|tags|referrers)/([^/]+)")
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+|/)[a-z0-9]+)*")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_RANGE = re.compile(r"bytes=(?:([0-9]+)-([0-9]*)|-([0-9]+))", re.I)
_TAG = re.compile(r'(?:W/)?"([^"]*)"|\*')
JSON = "application/json"


@frozen
class Asked:
    """A request's head. Names of `fields` in lower case."""

    method: str
    target: str
    fields: Fields = ()
    version: str = "1.1"

    @property
    def path(self) -> str:
        return unquote(self.target.partition("?")[0])

    @property
    def query(self) -> dict[str, str]:
        pairs = parse_qs(self.target.partition("?")[2], keep_blank_values=True)
        return {name: values[-1] for name, values in pairs.items()}

    def get(self, name: str) -> str | None:
        values = [value for key, value in self.fields if key == name]
        return ", ".join(values) if values else None


@frozen
class Reply:
    """`body` is the GET's; on HEAD it is counted and not sent. `cut`: the connection ends after
    so many bytes of it. `hold` is called when half of it has been sent; on HEAD, and for an empty
    body, before the head."""

    status: int
    fields: Fields = ()
    body: bytes = field(default=b"", repr=False)
    cut: int | None = None
    hold: Callable[[], object] | None = None

    def get(self, name: str) -> str | None:
        """Whatever the case of `name`."""
        wanted = name.lower()
        return next((value for key, value in self.fields if key.lower() == wanted), None)


def answer(library: Library, asked: Asked) -> Reply:
    if asked.method not in ("GET", "HEAD"):
        return error(405, "UNSUPPORTED", ("Allow", "GET, HEAD"))
    if asked.path in ("/v2", "/v2/"):
        return Reply(200, (("Content-Type", JSON),), b"{}")
    if asked.path == "/v2/_catalog":
        names = sorted(library.shelves)
        return _page(asked, names, lambda page: {"repositories": page})
    matched = _PATH.fullmatch(asked.path)
    if matched is None:
        return error(404, "NAME_UNKNOWN")
    name, endpoint, reference = matched.groups()
    if not _NAME.fullmatch(name):
        return error(400, "NAME_INVALID")
    digest = _DIGEST.fullmatch(reference)
    if digest is None and (endpoint in ("blobs", "referrers") or ":" in reference):
        return error(400, "DIGEST_INVALID")
    if name not in library.shelves:
        return error(404, "NAME_UNKNOWN")
    return _under(library, asked, name, endpoint, reference)


def error(status: int, code: str, *fields: tuple[str, str]) -> Reply:
    """In the OCI's JSON."""
    body = json.dumps({"errors": [{"code": code, "message": code.lower(), "detail": None}]})
    return Reply(status, (("Content-Type", JSON), *fields), body.encode())


def _under(library: Library, asked: Asked, name: str, endpoint: str, reference: str) -> Reply:
    shelf = library.shelves[name]
    if endpoint == "tags":
        if reference != "list":
            return error(404, "NAME_UNKNOWN")
        return _page(asked, sorted(shelf.tags), lambda page: {"name": name, "tags": page})
    if endpoint == "referrers":
        return _referrers(library, asked, name, reference)
    if endpoint == "blobs":
        data = shelf.blobs.get(reference)
        if data is None:
            return error(404, "BLOB_UNKNOWN")
        return _content(asked, data, "application/octet-stream", reference)
    digest = shelf.tags.get(reference, reference)
    stored = shelf.manifests.get(digest)
    if stored is None:
        return error(404, "MANIFEST_UNKNOWN")
    return _content(asked, stored.body, stored.media_type, digest)


def _content(asked: Asked, data: bytes, media_type: str, digest: str) -> Reply:
    etag = f'"{digest}"'
    blob = "/blobs/" in asked.path
    fields: Fields = (("Docker-Content-Digest", digest), ("ETag", etag))
    if blob:
        fields += (("Accept-Ranges", "bytes"), ("Location", asked.target))
    held = asked.get("if-none-match")
    if held is not None and any(m[1] == digest or m[0] == "*" for m in _TAG.finditer(held)):
        return Reply(304, fields)
    fields += (("Content-Type", media_type),)
    span = _RANGE.fullmatch(asked.get("range") or "") if asked.method == "GET" and blob else None
    if span is None or asked.get("if-range") not in (None, etag):
        return Reply(200, fields, data)
    size = len(data)
    if span[3] is not None:
        first, last = max(0, size - int(span[3])), size - 1
    else:
        first, last = int(span[1]), min(int(span[2] or size), size - 1)
        if span[2] and int(span[2]) < int(span[1]):
            return Reply(200, fields, data)
    if first >= size or span[3] == "0":
        beyond = (("Content-Range", f"bytes */{size}"),)
        return error(416, "SIZE_INVALID", *beyond)
    return Reply(
        206, (*fields, ("Content-Range", f"bytes {first}-{last}/{size}")), data[first : last + 1]
    )


def _referrers(library: Library, asked: Asked, name: str, digest: str) -> Reply:
    if not library.shelves[name].referrers:
        return Reply(404, (("Content-Type", "text/plain"),), b"404 page not found\n")
    listed = library.referrers(name, digest)
    wanted = asked.query.get("artifactType")
    fields: Fields = (("Content-Type", INDEX),)
    if wanted is not None:
        listed = [one for one in listed if one["artifactType"] == wanted]
        fields += (("OCI-Filters-Applied", "artifactType"),)
    body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}
    return Reply(200, fields, json.dumps(body).encode())


def _page(
    asked: Asked, names: Sequence[str], body: Callable[[list[str]], dict[str, object]]
) -> Reply:
    last, count = asked.query.get("last"), asked.query.get("n")
    if count is not None and not count.isdecimal():
        return error(400, "UNSUPPORTED")
    after = [name for name in names if last is None or name > last]
    page = after if count is None else after[: int(count)]
    fields: Fields = (("Content-Type", JSON),)
    if page and len(page) < len(after):
        query = f"n={count}&last={quote(page[-1], safe='')}"
        fields += (("Link", f'<{asked.target.partition("?")[0]}?{query}>; rel="next"'),)
    return Reply(200, fields, json.dumps(body(page)).encode())
