"""Where distcache and Debian's docker-registry may differ, and the sentence that decides it."""

import json
import re
from collections.abc import Callable

from attrs import frozen

from distcache.conformance.origin.library import DOCKER_IMAGE, DOCKER_LIST
from tests.differential.answers import Answer
from tests.differential.scripts import Request

ERROR = frozenset({"status", "body", "content-length", "content-type"})
EVERYTHING = ERROR | {
    *("accept-ranges", "allow", "content-range", "docker-content-digest", "etag"),
    *("link", "location", "whole"),
}
RANGED = frozenset(
    {"status", "body", "content-length", "content-range", "content-type", "accept-ranges", "whole"}
)
LISTED = frozenset({"body", "content-length", "link"})
NAME = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")

Holds = Callable[[Request, Answer, Answer], bool]


@frozen
class Deviation:
    """`parts` may differ where `holds(request, ours, theirs)`. `rule`: what is written, where."""

    id: str
    ours: str
    theirs: str
    rule: str
    parts: frozenset[str]
    holds: Holds


def _method(asked: Request, ours: Answer, theirs: Answer) -> bool:
    refused = ours.status == 405 and ours.fields.get("allow") == "GET, HEAD"
    return asked.method not in ("GET", "HEAD") and refused


def _head(asked: Request, ours: Answer, theirs: Answer) -> bool:
    return asked.method == "HEAD" and theirs.status == 405 and ours.status in (200, 400, 404)


def _json_type(asked: Request, ours: Answer, theirs: Answer) -> bool:
    said = ours.fields.get("content-type"), theirs.fields.get("content-type")
    return said == ("application/json", "application/json; charset=utf-8")


def _error_body(asked: Request, ours: Answer, theirs: Answer) -> bool:
    plain = theirs.fields.get("content-type") == "text/plain; charset=utf-8"
    errors = bool(ours.codes) or asked.method == "HEAD"
    return ours.status == theirs.status >= 400 and plain and errors


def _catalog(asked: Request, ours: Answer, theirs: Answer) -> bool:
    if asked.kind != "_catalog" or not ours.status == theirs.status == 200:
        return False
    held = json.loads(ours.body)["repositories"] if ours.body else []
    return held == sorted(held)


def _name(asked: Request, ours: Answer, theirs: Answer) -> bool:
    name = _parted(asked)[0]
    invalid = NAME.fullmatch(name) is None or len(name) > 255
    return asked.kind != "none" and invalid and ours.status == 400 and theirs.status != 200


def _reference(asked: Request, ours: Answer, theirs: Answer) -> bool:
    reference = _parted(asked)[1]
    valid = DIGEST.fullmatch(reference) is not None
    if asked.kind == "manifests" and ":" not in reference:
        valid = TAG.fullmatch(reference) is not None
    return not valid and ours.status in (400, 404) and theirs.status in (404, 500)


def _route(asked: Request, ours: Answer, theirs: Answer) -> bool:
    return asked.kind == "none" and ours.status in (400, 404) and theirs.status in (301, 404)


def _broken(asked: Request, ours: Answer, theirs: Answer) -> bool:
    return theirs.status in (400, 500) and ours.status == 502


def _number(asked: Request, ours: Answer, theirs: Answer) -> bool:
    found = re.search(r"[?&]n=([^&]*)", asked.path)
    bad = found is not None and not (found[1].isdecimal() and len(found[1]) < 19)
    return asked.kind in ("tags", "_catalog") and bad and ours.status == 400


def _tags(asked: Request, ours: Answer, theirs: Answer) -> bool:
    """What ours says is theirs, sorted and cut as was asked."""
    if asked.kind != "tags" or not ours.status == theirs.status == 200 or not ours.body:
        return False
    said, every = json.loads(ours.body)["tags"], sorted(json.loads(theirs.body)["tags"])
    last = re.search(r"[?&]last=([^&]*)", asked.path)
    number = re.search(r"[?&]n=([0-9]+)", asked.path)
    start = last[1].replace("%20", " ") if last else ""
    after = [tag for tag in every if tag > start]
    page = after[: int(number[1])] if number else after
    more = bool(page) and len(page) < len(after)
    return bool(said == page) and ("link" in ours.fields) == more


def _location(asked: Request, ours: Answer, theirs: Answer) -> bool:
    own = ours.fields.get("location") == asked.path
    return asked.kind == "blobs" and own and "location" not in theirs.fields


def _several(asked: Request, ours: Answer, theirs: Answer) -> bool:
    several = "," in (asked.field("Range") or "")
    return several and ours.status == 200 and theirs.status in (206, 416)


def _range_unknown(asked: Request, ours: Answer, theirs: Answer) -> bool:
    header = asked.field("Range") or ""
    valid = re.fullmatch(r"bytes=(\d+-\d*|-\d+)", header, re.IGNORECASE)
    found = re.fullmatch(r"bytes=(\d+)-(\d+)", header)
    backwards = found is not None and int(found[2]) < int(found[1])
    return (valid is None or backwards) and ours.status == 200 and theirs.status in (206, 416)


def _unit(asked: Request, ours: Answer, theirs: Answer) -> bool:
    header = asked.field("Range") or ""
    other = header.lower().startswith("bytes=") and not header.startswith("bytes=")
    return other and ours.status == 206 and theirs.status == 416


def _platforms(asked: Request, ours: Answer, theirs: Answer) -> bool:
    kind = ours.fields.get("content-type")
    if kind not in (DOCKER_LIST, DOCKER_IMAGE) or kind in (asked.field("Accept") or ""):
        return False
    child = theirs.fields.get("docker-content-digest", "none").encode()
    named = child in ours.body or asked.method == "HEAD"
    return theirs.status == 400 or (theirs.fields.get("content-type") == DOCKER_IMAGE and named)


def _range_head(asked: Request, ours: Answer, theirs: Answer) -> bool:
    ranged = asked.method == "HEAD" and asked.field("Range") is not None
    return ranged and ours.status == 200 and theirs.status in (206, 416)


def _unsatisfied(asked: Request, ours: Answer, theirs: Answer) -> bool:
    told = ours.fields.get("content-range", "").startswith("bytes */")
    return ours.status == theirs.status == 416 and told and bool(ours.codes)


def _nothing(asked: Request, ours: Answer, theirs: Answer) -> bool:
    """Theirs is a part of no bytes, which Content-Range cannot say."""
    said = re.fullmatch(r"bytes (\d+)-(-?\d+)/\d+", theirs.fields.get("content-range", ""))
    empty = said is not None and int(said[2]) < int(said[1])
    return theirs.status == 206 and empty and ours.status in (200, 416)


def _unquoted(asked: Request, ours: Answer, theirs: Answer) -> bool:
    header = asked.field("If-None-Match") or ""
    return bool(DIGEST.fullmatch(header)) and (ours.status, theirs.status) == (304, 200)


def _matched(asked: Request, ours: Answer, theirs: Answer) -> bool:
    header = asked.field("If-None-Match") or ""
    known = header == "*" or (ours.fields.get("etag") or " ") in header
    return known and (ours.status, theirs.status) == (304, 200)


def _first_absent(asked: Request, ours: Answer, theirs: Answer) -> bool:
    return theirs.status == 304 and ours.status in (400, 404, 502)


def _not_modified(asked: Request, ours: Answer, theirs: Answer) -> bool:
    return ours.status == theirs.status == 304 and "etag" not in theirs.fields


def _sha512(asked: Request, ours: Answer, theirs: Answer) -> bool:
    digest = _parted(asked)[1]
    own = ours.fields.get("docker-content-digest") == digest
    other = theirs.fields.get("docker-content-digest", "").startswith("sha256:")
    return digest.startswith("sha512:") and own and other


def _sha512_matched(asked: Request, ours: Answer, theirs: Answer) -> bool:
    return _sha512(asked, ours, theirs) and (ours.status, theirs.status) in ((304, 200), (200, 304))


def _accepted(asked: Request, ours: Answer, theirs: Answer) -> bool:
    own = ours.fields.get("content-type", "") not in (asked.field("Accept") or "")
    given = ours.status == 304 or (ours.status == 200 and own)
    return asked.kind == "manifests" and given and theirs.status == 404


def _bare(asked: Request, ours: Answer, theirs: Answer) -> bool:
    return asked.path == "/v2" and ours.status == 200 and theirs.status == 301


def _length(asked: Request, ours: Answer, theirs: Answer) -> bool:
    return asked.method == "HEAD" and "content-length" not in theirs.fields


def _parted(asked: Request) -> tuple[str, str]:
    """The name and the reference in its path."""
    path = asked.path.partition("?")[0].removeprefix("/v2/")
    name, _, reference = path.rpartition(f"/{asked.kind}/")
    return name, reference


DEVIATIONS = (
    Deviation(
        "method",
        "405 with `Allow: GET, HEAD` for every other method",
        "whatever the path allows, often 200 or 404",
        "RFC 9110 §9.1: all methods but GET and HEAD are OPTIONAL; distribution-spec, Content "
        "Management: where deletion is disabled, 400 or 405",
        EVERYTHING,
        _method,
    ),
    Deviation(
        "head",
        "HEAD of lists as of anything",
        "405",
        "RFC 9110 §9.1: all general-purpose servers MUST support GET and HEAD",
        EVERYTHING,
        _head,
    ),
    Deviation(
        "json-type",
        "`application/json`",
        "`application/json; charset=utf-8`",
        "RFC 8259 §11: no charset parameter is defined for this registration",
        frozenset({"content-type"}),
        _json_type,
    ),
    Deviation(
        "error-body",
        "errors in JSON",
        "plain text where no route matches",
        "distribution-spec, Error Codes: a 4XX MAY have a body in any format",
        frozenset({"body", "content-length", "content-type"}),
        _error_body,
    ),
    Deviation(
        "catalog",
        "what has been pulled so far, sorted",
        "every repository",
        "distribution-spec: none; the catalog is no part of it, and a cache knows no other names",
        LISTED,
        _catalog,
    ),
    Deviation(
        "name",
        "400 `NAME_INVALID`",
        "404, 500, or 301 to another name",
        "distribution-spec, Pull: `<name>` MUST match the regular expression",
        ERROR | {"location"},
        _name,
    ),
    Deviation(
        "reference",
        "400 `DIGEST_INVALID` for what is no digest, 404 for what is no tag",
        "404, or 500 for a digest that it takes for a tag",
        "distribution-spec, Pushing Manifests: a digest that is invalid or of an unsupported "
        "algorithm SHOULD be answered 400",
        ERROR,
        _reference,
    ),
    Deviation(
        "route",
        "400 or 404 in JSON for a path that the API does not have",
        "404, or 301 to the path without empty parts",
        "distribution-spec, Endpoints: the paths that there are",
        ERROR | {"location"},
        _route,
    ),
    Deviation(
        "broken",
        "502 `UNAVAILABLE`",
        "500 for a blob's digest asked for as a manifest, 400 where it cannot make an older kind",
        "RFC 9110 §15.6.3: 502 is a gateway's word for an invalid response of the server it asked",
        ERROR,
        _broken,
    ),
    Deviation(
        "bare",
        "`/v2` answers as `/v2/`",
        "301",
        "distribution-spec, Determining Support: a GET of `/v2/` is answered 200",
        ERROR | {"location"},
        _bare,
    ),
    Deviation(
        "number",
        "400 for an `n` that is no number, or one of many digits",
        "takes it for no `n`",
        "distribution-spec, Listing Tags: `<int>` is an integer",
        ERROR | {"link"},
        _number,
    ),
    Deviation(
        "tags",
        "sorted, and the part that `n` and `last` ask for, with `Link`",
        "all, in the order of the file system",
        "distribution-spec, Listing Tags: the tags MUST be in lexical order; up to `<int>` tags "
        "after `<tagname>` will be returned",
        LISTED,
        _tags,
    ),
    Deviation(
        "location",
        "Location on blobs: their own path",
        "none",
        "RFC 9110 §10.2.2: what it means depends on the status; in a 200 to a GET, nothing. "
        "Clients are known that ask for it",
        frozenset({"location"}),
        _location,
    ),
    Deviation(
        "several-ranges",
        "200 with all for several ranges",
        "206, in parts",
        "RFC 9110 §14.2: a server MAY ignore the Range header field",
        RANGED,
        _several,
    ),
    Deviation(
        "range-unknown",
        "200 with all where a Range is no valid one, or its unit is unknown",
        "416",
        "RFC 9110 §14.2: an origin server MUST ignore a unit that it does not understand, and MAY "
        "ignore an invalid ranges-specifier",
        RANGED,
        _range_unknown,
    ),
    Deviation(
        "range-unit",
        "`Bytes=` is `bytes=`",
        "416",
        "RFC 9110 §14.1: range unit names are case-insensitive",
        RANGED,
        _unit,
    ),
    Deviation(
        "range-head",
        "200 for HEAD, whatever the Range",
        "206 or 416",
        "RFC 9110 §14.2: a server MUST ignore Range where range handling is not defined for the "
        "method; it is for GET only",
        RANGED,
        _range_head,
    ),
    Deviation(
        "range-unsatisfied",
        "416 whole, with an error in JSON",
        "416 with the Content-Length of the blob and a shorter body",
        "RFC 9112 §6.3: Content-Length defines the expected length; what is shorter is incomplete",
        RANGED,
        _unsatisfied,
    ),
    Deviation(
        "range-of-nothing",
        "416, or 200 where nothing can be selected",
        "206 with `Content-Range: bytes 0--1/0`",
        "RFC 9110 §14.4: a Content-Range whose last-pos is less than its first-pos is invalid",
        RANGED,
        _nothing,
    ),
    Deviation(
        "etag-unquoted",
        "304 also for an ETag without quotes",
        "only for manifests",
        "RFC 9110 §2.4: a recipient MAY recover a usable element from an invalid construct",
        EVERYTHING,
        _unquoted,
    ),
    Deviation(
        "etag-compared",
        "304 for `*`, weak ones and lists",
        "only one strong ETag of a manifest",
        "RFC 9110 §13.1.2: a list or `*`; a recipient MUST use the weak comparison function",
        EVERYTHING,
        _matched,
    ),
    Deviation(
        "etag-absent",
        "404 for what is not there, whatever the condition",
        "304 where the condition names the digest asked for",
        "RFC 9110 §13.2.1: preconditions MUST be ignored where the answer without them is not 2xx",
        EVERYTHING,
        _first_absent,
    ),
    Deviation(
        "etag-on-304",
        "ETag and digest",
        "neither on a manifest's 304",
        "RFC 9110 §15.4.5: a 304 MUST have the ETag that a 200 would have",
        frozenset({"etag", "docker-content-digest"}),
        _not_modified,
    ),
    Deviation(
        "sha512",
        "the digest that was asked for",
        "the SHA-256 of the same bytes",
        "distribution-spec, Pulling blobs: the digest said MAY differ from the one provided",
        frozenset({"docker-content-digest", "etag"}),
        _sha512,
    ),
    Deviation(
        "sha512-condition",
        "compares that one",
        "compares the other",
        "as `sha512`; RFC 9110 §13.1.2: what is compared is the ETag",
        EVERYTHING,
        _sha512_matched,
    ),
    Deviation(
        "accept",
        "gives a manifest whose type was not asked for",
        "404",
        "RFC 9110 §12.5.1: an origin server can disregard Accept; without it, anything is accepted",
        EVERYTHING,
        _accepted,
    ),
    Deviation(
        "platforms",
        "a Docker manifest or list of them as it is",
        "where that is not accepted, the one of linux/amd64 in it, or an older kind: here 400",
        "RFC 9110 §12.5.1: an origin server can disregard Accept",
        EVERYTHING,
        _platforms,
    ),
    Deviation(
        "head-length",
        "Content-Length on every HEAD",
        "not on `/` and redirects",
        "RFC 9110 §8.6: a server MAY send Content-Length in a response to HEAD",
        frozenset({"content-length"}),
        _length,
    ),
)


def explained(
    asked: Request, ours: Answer, theirs: Answer, parts: frozenset[str]
) -> tuple[frozenset[str], list[str]]:
    """What of `parts` no deviation explains, and the ids of those that explain something."""
    used, left = [], parts
    for one in DEVIATIONS:
        if one.parts & parts and one.holds(asked, ours, theirs):
            used.append(one.id)
            left = left - one.parts
    return left, used
