"""Conditional requests: whoever holds the content already is told so."""

import re
from collections.abc import Iterator

from ..checks import Section, Target, expect, require, skip
from ..messages import Answer, Fields
from . import picks

conditions = Section("Conditions")

NONE_MATCH = "RFC 9110 §13.1.2"
_STRONG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')


@conditions.should("etag-strong", "RFC 9110 §8.8.3")
def etag_strong(target: Target) -> None:
    """Manifests and blobs have an ETag: quoted, and strong, for their bytes never change."""
    for path, fields, _ in picks.everything(target):
        answer = expect(target.client.get(path, *fields), 200)
        etag = answer.get("etag") or ""
        require(_STRONG.fullmatch(etag), f"ETag is {etag!r}", answer)


@conditions.must("if-none-match", NONE_MATCH)
def same(target: Target) -> None:
    """If-None-Match with the ETag answers 304, to GET and HEAD."""
    for path, fields, etag in _tagged(target):
        for method in ("GET", "HEAD"):
            expect(target.client.ask(method, path, *fields, ("If-None-Match", etag)), 304)


@conditions.must("if-none-match-list", NONE_MATCH)
def listed(target: Target) -> None:
    """The ETag is found among others, in one line and in several."""
    for path, fields, etag in _tagged(target):
        one = (("If-None-Match", f'"a", {etag} ,"b"'),)
        several = (("If-None-Match", '"a,b"'), ("If-None-Match", etag))
        for conditional in (one, several):
            expect(target.client.get(path, *fields, *conditional), 304)


@conditions.must("if-none-match-weak", NONE_MATCH)
def weak(target: Target) -> None:
    """The comparison is weak: `W/` in front makes no difference."""
    for path, fields, etag in _tagged(target):
        expect(target.client.get(path, *fields, ("If-None-Match", f"W/{etag}")), 304)


@conditions.must("if-none-match-any", NONE_MATCH)
def star(target: Target) -> None:
    """`*` matches whatever exists, and nothing that does not."""
    for path, fields, _ in _tagged(target):
        expect(target.client.get(path, *fields, ("If-None-Match", "*")), 304)
    path = f"/v2/{picks.a_manifest(target).repository}/manifests/no-such-tag-here"
    expect(target.client.get(path, ("If-None-Match", "*")), 404)


@conditions.must("if-none-match-other", NONE_MATCH)
def other(target: Target) -> None:
    """An ETag of something else answers 200 with the whole, also where If-Modified-Since would
    say 304 (RFC 9110 §13.1.3)."""
    since = ("If-Modified-Since", "Fri, 31 Dec 2100 23:59:59 GMT")
    for path, fields, etag in _tagged(target):
        unlike = ("If-None-Match", f'"not-{etag[1:]}')
        for conditional in ((unlike,), (unlike, since)):
            expect(target.client.get(path, *fields, *conditional), 200)


@conditions.must("not-modified-fields", "RFC 9110 §15.4.5")
def not_modified(target: Target) -> None:
    """A 304 carries the ETag that the 200 has."""
    for path, fields, etag in _tagged(target):
        answer = _held(target, path, fields, etag)
        require(answer.get("etag") == etag, f"ETag is {answer.get('etag')!r}", answer)


@conditions.must("if-none-match-range", "RFC 9110 §13.2.2")
def before_range(target: Target) -> None:
    """If-None-Match comes before Range: 304, not 206."""
    blob = picks.a_blob(target, least=20)
    etag = target.client.head(blob.path).get("etag") or skip("blobs have no ETag")
    fields = (("Range", "bytes=0-4"), ("If-None-Match", etag))
    expect(target.client.get(blob.path, *fields), 304)


def _held(target: Target, path: str, fields: Fields, etag: str) -> Answer:
    answer = target.client.get(path, *fields, ("If-None-Match", etag))
    return answer if answer.status == 304 else skip("conditions are not honoured")


def _tagged(target: Target) -> Iterator[tuple[str, Fields, str]]:
    """Path, fields and ETag of a manifest and a blob."""
    for path, fields, _ in picks.everything(target):
        etag = target.client.head(path, *fields).get("etag")
        if etag is None:
            skip("there are no ETags")
        yield path, fields, etag
