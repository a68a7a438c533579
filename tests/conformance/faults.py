"""Every way in which a toy is wrong, and the checks that must say so."""

import json
import re

from attrs import evolve

from distcache.conformance.content import objects, strings
from distcache.conformance.origin.registry import Asked, Reply, error
from tests.conformance.toys import (
    Bodiless,
    Deaf,
    Fault,
    Hasty,
    Lenient,
    Narrow,
    OneShot,
    Saying,
    add_bytes,
    add_line,
    anything,
    becomes,
    blob,
    by_tag,
    chunked,
    deaf_to,
    deaf_to_query,
    drop_line,
    edited,
    everything_is_there,
    flipped,
    good,
    is_head,
    is_ping,
    listing,
    manifest,
    referrers,
    serialized,
    shorter,
    when,
    with_field,
    without,
)


def takes_first_accept(asked: Asked, reply: Reply) -> Reply:
    first = next((value for name, value in asked.fields if name == "accept"), "*/*")
    kind = reply.get("Content-Type") or ""
    taken = not by_tag(asked) or reply.status != 200 or kind in first or "*" in first
    return reply if taken else error(404, "MANIFEST_UNKNOWN")


def wants_accept(asked: Asked, reply: Reply) -> Reply:
    named = "vnd." in (asked.get("accept") or "")
    return reply if named or not by_tag(asked) else error(404, "MANIFEST_UNKNOWN")


def wants_many_types(asked: Asked, reply: Reply) -> Reply:
    many = (asked.get("accept") or "*/*,").count(",") > 0
    return reply if many or not by_tag(asked) else error(404, "MANIFEST_UNKNOWN")


def converts_by_digest(asked: Asked, reply: Reply) -> Reply:
    taken = asked.get("accept") or ""
    kind = reply.get("Content-Type") or ""
    if not manifest(asked) or reply.status != 200 or kind in taken or "*" in taken:
        return reply
    return evolve(reply, body=b'{"schemaVersion": 1}')


def has_range(asked: Asked, *parts: str) -> bool:
    value = asked.get("range")
    return value is not None and any(part in value for part in parts)


def is_catalog(asked: Asked) -> bool:
    return asked.path.endswith("_catalog")


def unknown_unit(asked: Asked) -> bool:
    return has_range(asked, "=") and not has_range(asked, "bytes=")


def malformed(asked: Asked, reply: Reply) -> Reply:
    wrong = has_range(asked, "") and not has_range(asked, ",") and reply.status == 200
    return error(400, "UNSUPPORTED") if wrong else reply


def range_on_head(asked: Asked, reply: Reply) -> Reply:
    if not (is_head(asked) and has_range(asked, "=") and reply.status == 200):
        return reply
    span = ("Content-Range", f"bytes 0-9/{len(reply.body)}")
    return evolve(reply, status=206, body=reply.body[:10], fields=(*reply.fields, span))


def range_of_nothing(asked: Asked, reply: Reply) -> Reply:
    empty = reply.get("Content-Range") == "bytes */0"
    part = (("Content-Range", "bytes 0--1/0"),)
    return Reply(206, part) if empty and asked.method == "GET" else reply


def range_by_order(asked: Asked) -> Asked:
    """Hears Range only when it is not the last field."""
    return deaf_to("range")(asked) if asked.fields[-1][0] == "range" else asked


def held_whatever(asked: Asked, reply: Reply) -> Reply:
    return Reply(304, reply.fields) if asked.get("if-none-match") and reply.status == 200 else reply


def head_lies(asked: Asked, reply: Reply) -> Reply:
    return shorter(reply) if is_head(asked) and reply.status == 200 else reply


def wrong_code(asked: Asked, reply: Reply) -> Reply:
    return error(404, "NOT_FOUND") if reply.status == 404 else reply


def plain_errors(_: Asked, reply: Reply) -> Reply:
    if reply.status < 400:
        return reply
    return Reply(reply.status, (("Content-Type", "text/plain"),), b"no\n")


def last_included(asked: Asked, reply: Reply) -> Reply:
    last = asked.query.get("last")
    if not listing(asked) or last is None or reply.status != 200:
        return reply
    return edited(lambda said: said.update(tags=[last, *strings(said["tags"])]))(reply)


def reversed_tags(said: dict[str, object]) -> None:
    tags = said.get("tags")
    said["tags"] = tags[::-1] if isinstance(tags, list) else tags


def untyped(said: dict[str, object]) -> None:
    for entry in objects(said.get("manifests")):
        entry.pop("artifactType", None)


def loses_names(asked: Asked, reply: Reply) -> Reply:
    """The next page begins one name too late."""
    if not asked.path.endswith("_catalog") or asked.query.get("last") is None:
        return reply
    return edited(lambda said: said.update(repositories=[]))(reply)


def referrers_of_nothing(asked: Asked, reply: Reply) -> Reply:
    none = referrers(asked) and reply.status == 200 and not json.loads(reply.body)["manifests"]
    return error(404, "MANIFEST_UNKNOWN") if none else reply


def filter_unsaid(asked: Asked, reply: Reply) -> Reply:
    return without("oci-filters-applied")(reply) if referrers(asked) else reply


def other_digest(asked: Asked, reply: Reply) -> Reply:
    wrong = with_field("Docker-Content-Digest", f"sha256:{'0' * 64}")
    return wrong(reply) if manifest(asked) and reply.status == 200 else reply


def other_blob(asked: Asked, reply: Reply) -> Reply:
    wrong = with_field("Docker-Content-Digest", f"sha256:{'0' * 64}")
    return wrong(reply) if blob(asked) and reply.status == 200 else reply


def no_length_on_head(asked: Asked, data: bytes) -> bytes:
    return drop_line(b"content-length")(asked, data) if is_head(asked) else data


def no_boundary(asked: Asked, reply: Reply) -> Reply:
    several = blob(asked) and has_range(asked, ",")
    return Reply(206, (("Content-Type", "multipart/byteranges"),), b"x") if several else reply


def no_parts(asked: Asked, reply: Reply) -> Reply:
    whole = no_boundary(asked, reply)
    kind = "multipart/byteranges; boundary=b"
    return with_field("Content-Type", kind)(whole) if whole is not reply else reply


def wrong_parts(asked: Asked, reply: Reply) -> Reply:
    whole = no_parts(asked, reply)
    part = b"--b\r\nContent-Range: bytes 0-0/%d\r\n\r\nxx\r\n--b--\r\n" % len(reply.body)
    return evolve(whole, body=part) if whole is not reply else reply


def serves_files(asked: Asked, reply: Reply) -> Reply:
    return Reply(200, (), b"root:x:0:0:") if ".." in asked.path else reply


def loses_children(asked: Asked, reply: Reply) -> Reply:
    lost = any(f"/{name}/" in asked.path for name in ("multi", "docker", "fallback"))
    return error(404, "MANIFEST_UNKNOWN") if lost and not by_tag(asked) else reply


def unreadable(reply: Reply) -> Reply:
    return evolve(reply, body=b"not JSON")


def other_date(_: Asked, data: bytes) -> bytes:
    return re.sub(rb"(?m)^Date: .*\r$", b"Date: yesterday\r", data)


def body_after_304(asked: Asked, data: bytes) -> bool:
    return data.startswith(b"HTTP/1.1 304")


def head_with_body(asked: Asked, data: bytes) -> bool:
    return is_head(asked)


def long_body(asked: Asked, data: bytes) -> bool:
    return asked.method == "GET" and blob(asked)


def close_delimited(asked: Asked, data: bytes) -> bytes:
    return drop_line(b"content-length")(asked, data) if not is_head(asked) else data


FAULTS = (
    Fault("ping is 404", "base-ping", when(is_ping, becomes(404))),
    Fault(
        "no HEAD of the base", "base-head", when(lambda a: is_ping(a) and is_head(a), becomes(405))
    ),
    Fault(
        "no version",
        "base-version every-version",
        mangle=drop_line(b"docker-distribution-api-version"),
    ),
    Fault(
        "tags are not there",
        "manifest-by-tag manifest-head accept-any accept-own accept-lines referrers-fallback "
        "any-accept",
        when(by_tag, becomes(404, "MANIFEST_UNKNOWN")),
    ),
    Fault(
        "manifests are serialized again",
        "manifest-by-digest manifest-digest-right accept-digest accept-own referrers-entries "
        "any-accept",
        good(manifest, serialized),
    ),
    Fault(
        "no digest said",
        "manifest-digest-said blob-digest-said blob-sha512",
        when(anything, without("docker-content-digest")),
    ),
    Fault(
        "generic types",
        "manifest-type manifest-children",
        good(manifest, with_field("Content-Type", "application/octet-stream")),
    ),
    Fault(
        "types with parameters",
        "manifest-type-bare",
        lambda asked, reply: (
            with_field("Content-Type", f"{reply.get('Content-Type')}; charset=utf-8")(reply)
            if manifest(asked)
            else reply
        ),
    ),
    Fault("no lengths", "manifest-length blob-length", mangle=close_delimited, kind=OneShot),
    Fault("another blob's digest said", "blob-digest-right every-digest", other_blob),
    Fault("HEAD says no length", "manifest-head-length blob-head-length", mangle=no_length_on_head),
    Fault("HEAD says another length", "manifest-head blob-head blob-empty", head_lies),
    Fault(
        "everything is there",
        "manifest-absent blob-absent blob-elsewhere tags-absent error-json error-manifest-code "
        "error-blob-code error-misleading any-name",
        everything_is_there,
    ),
    Fault("only the first Accept counts", "accept-lines", takes_first_accept),
    Fault("Accept is wanted", "accept-any", wants_accept),
    Fault("several types are wanted", "accept-own any-accept", wants_many_types),
    Fault("converts by digest", "accept-digest", converts_by_digest),
    Fault(
        "a bit of blobs is flipped",
        "blob-get blob-coding http-left http-pipelining http-1.0 any-range "
        "any-ranges any-sequence any-concurrency",
        good(blob, flipped),
    ),
    Fault("blobs are short", "blob-size blob-head range-exact range-several", good(blob, shorter)),
    Fault(
        "nothing is empty",
        "blob-empty blob-layers",
        lambda asked, reply: (
            error(404, "BLOB_UNKNOWN") if blob(asked) and not reply.body else reply
        ),
    ),
    Fault(
        "no sha512",
        "blob-sha512",
        when(lambda a: "sha512:" in a.target, becomes(400, "DIGEST_INVALID")),
    ),
    Fault("coded", "blob-coding", good(blob, with_field("Content-Encoding", "gzip"))),
    Fault("no Location", "blob-location", when(blob, without("location"))),
    Fault(
        "blobs are not there",
        "blob-layers",
        when(lambda asked: blob(asked) and is_head(asked), becomes(404, "BLOB_UNKNOWN")),
    ),
    # Ranges
    Fault(
        "Range is ignored",
        "range-single range-open range-suffix range-clipped range-unsatisfiable range-if-same",
        hear=deaf_to("range"),
    ),
    Fault(
        "ranges are short",
        "range-exact range-single range-open range-suffix any-range any-spelling",
        lambda asked, reply: shorter(reply) if reply.status == 206 else reply,
    ),
    Fault(
        "416 says no size",
        "range-unsatisfiable",
        lambda _, reply: without("content-range")(reply) if reply.status == 416 else reply,
    ),
    Fault("other units are refused", "range-unknown-unit", when(unknown_unit, becomes(416))),
    Fault("malformed ranges are refused", "range-malformed", malformed),
    Fault(
        "several ranges are refused",
        "range-several range-many any-ranges",
        when(lambda asked: has_range(asked, ","), becomes(501)),
    ),
    Fault("parts without boundary", "range-several any-ranges", no_boundary),
    Fault("no parts", "range-several any-ranges", no_parts),
    Fault("wrong parts", "range-several any-ranges", wrong_parts),
    Fault(
        "parts are not told",
        "range-exact range-single any-range",
        lambda _, reply: without("content-range")(reply) if reply.status == 206 else reply,
    ),
    Fault("bytes=0- is the whole", "range-consistent range-open", hear=deaf_to("range", "=0-$")),
    Fault("Range on HEAD", "range-head", range_on_head),
    Fault("a part of nothing", "range-empty", range_of_nothing),
    Fault("seeking is not told", "range-accepted", when(blob, without("accept-ranges"))),
    Fault("If-Range is ignored", "range-if-other", hear=deaf_to("if-range")),
    # Conditions
    Fault(
        "weak tags",
        "etag-strong",
        lambda _, reply: (
            with_field("ETag", f"W/{reply.get('ETag')}")(reply) if reply.get("ETag") else reply
        ),
    ),
    Fault(
        "conditions are ignored",
        "if-none-match if-none-match-list if-none-match-weak if-none-match-any "
        "if-none-match-range any-none-match any-sequence",
        hear=deaf_to("if-none-match"),
    ),
    Fault("304 whatever is held", "if-none-match-other any-none-match", held_whatever),
    Fault(
        "304 without ETag",
        "not-modified-fields",
        lambda _, reply: without("etag")(reply) if reply.status == 304 else reply,
    ),
    # Listings
    Fault("another name", "tags-list", good(listing, edited(lambda said: said.update(name="x")))),
    Fault(
        "tags backwards", "tags-order tags-limit tags-pages", good(listing, edited(reversed_tags))
    ),
    Fault("n is ignored", "tags-limit tags-zero tags-pages any-page", hear=deaf_to_query("n")),
    Fault("last is ignored", "tags-last tags-pages any-page", hear=deaf_to_query("last")),
    Fault("last is included", "tags-last any-page", last_included),
    Fault(
        "Link leads away",
        "tags-pages",
        good(listing, with_field("Link", '<http://else/x>; rel="next"')),
    ),
    Fault("the catalog loses names", "catalog", loses_names),
    Fault("no referrers API", "referrers-api", when(referrers, becomes(404))),
    Fault(
        "referrers as JSON",
        "referrers-index referrers-none",
        good(referrers, with_field("Content-Type", "application/json")),
    ),
    Fault("no referrers are 404", "referrers-none", referrers_of_nothing),
    Fault(
        "digests are not looked at",
        "referrers-invalid error-digest error-algorithm",
        lambda asked, reply: error(500, "UNSUPPORTED") if reply.status == 400 else reply,
    ),
    Fault("referrers without type", "referrers-entries", good(referrers, edited(untyped))),
    Fault("filters are ignored", "referrers-filter", hear=deaf_to_query("artifactType")),
    Fault("filters are not told", "referrers-filter-said", filter_unsaid),
    Fault(
        "no fallback tag",
        "referrers-fallback",
        when(lambda asked: "/manifests/sha256-" in asked.target, becomes(404)),
    ),
    # Errors
    Fault(
        "plain errors",
        "error-json error-manifest-code error-blob-code error-misleading",
        plain_errors,
    ),
    Fault("codes of its own", "every-error-format error-manifest-code", wrong_code),
    Fault(
        "names break it",
        "error-name error-digest error-algorithm error-tag error-path any-name any-reference",
        lambda _, reply: error(500, "UNSUPPORTED") if reply.status in (400, 404) else reply,
    ),
    Fault("deletes", "error-delete", when(lambda asked: asked.method == "DELETE", becomes(202))),
    Fault("no Allow", "error-method", lambda _, reply: without("allow")(reply)),
    # Connections
    Fault("closes after each answer", "http-keep-alive", kind=OneShot),
    Fault("closes after errors", "http-after-error", kind=Saying),
    Fault("long bodies", "http-get-framing any-sequence", mangle=add_bytes(b"x", long_body)),
    Fault("HEAD with a body", "http-head-framing", mangle=add_bytes(b"x", head_with_body)),
    Fault("304 with a body", "http-bodiless", mangle=add_bytes(b"x", body_after_304)),
    Fault("loses what is sent ahead", "http-pipelining any-sequence", kind=OneShot),
    Fault("wants whole packets", "http-slow-head", kind=Hasty),
    Fault("chunks for all", "http-1.0", mangle=chunked),
    Fault("does not say close", "http-close", mangle=drop_line(b"connection")),
    Fault(
        "lenient",
        "http-host http-two-framings http-two-lengths http-unknown-coding "
        "http-space-before-colon http-absolute-form http-header-limit any-bytes error-method",
        kind=Lenient,
    ),
    Fault("bodies are requests", "http-request-body", kind=Bodiless),
    Fault("small heads only", "http-large-head", kind=Narrow),
    Fault("waits for TLS clients", "http-tls-hello", kind=Deaf),
    Fault("order of fields matters", "any-spelling", hear=range_by_order),
    # Every answer
    Fault("ETag twice", "every-single-field", mangle=add_line(b'ETag: "x"', manifest)),
    Fault("files of the server", "error-path", serves_files),
    Fault("manifests of no JSON", "manifest-by-tag", good(by_tag, unreadable)),
    Fault("children are lost", "manifest-children", loses_children),
    Fault("a catalog of no JSON", "catalog", good(is_catalog, unreadable)),
    Fault("dates of its own", "every-date", mangle=other_date),
    Fault("no Date", "every-date", mangle=drop_line(b"date")),
    Fault("another digest said", "every-digest manifest-digest-right", other_digest),
    Fault("odd warnings", "every-warning", mangle=add_line(b"Warning: 199 - x")),
    Fault(
        "limited without word", "every-retry-after", when(manifest, becomes(429, "TOOMANYREQUESTS"))
    ),
)
