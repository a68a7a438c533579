"""Byte ranges on blobs. A registry may ignore Range altogether; one that honours it must be
exact, because clients put the parts together without looking."""

import re

from ..checks import Failed, Section, Target, expect, require, skip
from ..messages import Answer
from . import picks

ranges = Section("Ranges")

OCI = "OCI distribution-spec 1.1 §Pulling blobs"
_CONTENT_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+|\*)")
MANY = 900
"""Ranges in one header, as podman sends them for zstd:chunked layers: 14 kB."""


def check_part(answer: Answer, data: bytes, first: int, stop: int) -> None:
    """Raises Failed unless `answer`, a 206, is exactly `data[first:stop]`."""
    expect(answer, 206)
    said = answer.get("content-range")
    wanted = f"bytes {first}-{stop - 1}/{len(data)}"
    require(said in (wanted, wanted.rpartition("/")[0] + "/*"), f"{wanted!r} expected", answer)
    require(answer.body == data[first:stop], "other bytes than Content-Range says", answer)


def check_any(answer: Answer, data: bytes) -> None:
    """Raises Failed unless `answer` is the whole, or parts that are what they say they are."""
    expect(answer, 200, 206)
    if answer.status == 200:
        require(answer.body == data, "a 200 that is not the whole", answer)
        return
    if answer.media_type != "multipart/byteranges":
        _check_piece(answer, answer.get("content-range"), answer.body, data)
        return
    pieces = split(answer)
    require(pieces, "a multipart body without parts", answer)
    for said, body in pieces:
        _check_piece(answer, said, body, data)


def split(answer: Answer) -> list[tuple[str | None, bytes]]:
    """Content-Range and body of each part of a multipart/byteranges answer (RFC 9110 §14.6)."""
    matched = re.search(r'boundary="?([^";]+)"?', answer.get("content-type") or "")
    if matched is None:
        raise Failed("multipart without boundary", answer)
    mark = b"--" + matched[1].encode()
    pieces: list[tuple[str | None, bytes]] = []
    for part in (b"\r\n" + answer.body).split(b"\r\n" + mark)[1:-1]:
        head, _, body = part.partition(b"\r\n\r\n")
        said = re.search(rb"(?im)^content-range:[ \t]*(.*?)[ \t]*\r?$", head)
        pieces.append((said[1].decode("latin-1") if said else None, body))
    return pieces


def _check_piece(answer: Answer, said: str | None, body: bytes, data: bytes) -> None:
    matched = _CONTENT_RANGE.fullmatch(said or "")
    if matched is None:
        raise Failed(f"Content-Range {said!r} is none", answer)
    first, last = int(matched[1]), int(matched[2])
    require(matched[3] in (str(len(data)), "*"), "a wrong size in Content-Range", answer)
    require(first <= last < len(data), "Content-Range lies outside the blob", answer)
    require(body == data[first : last + 1], "other bytes than Content-Range says", answer)


def _asked(target: Target, value: str, *fields: tuple[str, str]) -> tuple[Answer, bytes]:
    """The answer to this Range on some blob, and the blob."""
    blob = picks.a_blob(target, least=200)
    data = picks.whole(target, blob)
    return target.client.get(blob.path, ("Range", value), *fields), data


@ranges.should("range-single", OCI)
def single(target: Target) -> None:
    """`bytes=a-b` answers 206 with exactly these bytes."""
    for first, last in ((0, 0), (10, 19), (0, 99)):
        answer, data = _asked(target, f"bytes={first}-{last}")
        check_part(answer, data, first, last + 1)


@ranges.should("range-open", "RFC 9110 §14.1.2")
def open_ended(target: Target) -> None:
    """`bytes=a-` answers 206 with everything from there; `bytes=0-` too, which containerd asks
    first."""
    for first in (0, 7):
        answer, data = _asked(target, f"bytes={first}-")
        check_part(answer, data, first, len(data))


@ranges.should("range-suffix", "RFC 9110 §14.1.2")
def suffix(target: Target) -> None:
    """`bytes=-n` answers 206 with the last n bytes, with all of them when there are fewer."""
    answer, data = _asked(target, "bytes=-10")
    check_part(answer, data, len(data) - 10, len(data))
    answer, data = _asked(target, f"bytes=-{10 * len(data)}")
    if answer.status != 200:
        check_part(answer, data, 0, len(data))


@ranges.should("range-clipped", "RFC 9110 §14.1.2")
def clipped(target: Target) -> None:
    """A last position beyond the end means the end."""
    answer, data = _asked(target, "bytes=5-999999999999999")
    check_part(answer, data, 5, len(data))


@ranges.must("range-exact", "RFC 9110 §15.3.7")
def exact(target: Target) -> None:
    """Whatever is asked, a 206 holds what its Content-Range says, and a 200 the whole."""
    for value in ("bytes=0-0", "bytes=3-", "bytes=-1", "bytes=1-2", "bytes=0-999999999"):
        answer, data = _asked(target, value)
        check_any(answer, data)


@ranges.should("range-unsatisfiable", "RFC 9110 §15.5.17")
def unsatisfiable(target: Target) -> None:
    """A range behind the end is 416 with `Content-Range: bytes */size`."""
    for value in ("bytes=999999999999-", "bytes=999999999998-999999999999"):
        answer, data = _asked(target, value)
        expect(answer, 416)
        said = answer.get("content-range")
        require(said == f"bytes */{len(data)}", f"Content-Range is {said!r}", answer)


@ranges.must("range-unknown-unit", "RFC 9110 §14.2")
def unknown_unit(target: Target) -> None:
    """A range in a unit that is not bytes is ignored."""
    answer, data = _asked(target, "bites=0-9")
    require(answer.body == data, "not the whole", expect(answer, 200))


@ranges.should("range-malformed", "RFC 9110 §14.2: ignoring it breaks no client")
def malformed(target: Target) -> None:
    """A Range that is none is ignored."""
    for value in ("bytes=abc", "bytes=9-2", "bytes=-", "bytes 0-1", "bytes=1-2-3", "bytes="):
        answer, data = _asked(target, value)
        require(answer.body == data, "not the whole", expect(answer, 200))


@ranges.must("range-several", "RFC 9110 §14.2; client trap: 416 and 501 fail podman's pull")
def several(target: Target) -> None:
    """Several ranges answer 206 with parts that are right, or 200 with the whole; never an
    error."""
    for value in ("bytes=0-9,20-29", "bytes=0-0, -1", "bytes=5-,0-3"):
        check_any(*_asked(target, value))


@ranges.should("range-many", "client trap: podman's partial pulls")
def many(target: Target) -> None:
    """A Range header of 900 ranges and 14 kB is not refused."""
    value = "bytes=" + ",".join(f"{n * 100000}-{n * 100000 + 99}" for n in range(MANY))
    answer, data = _asked(target, value)
    check_any(answer, data)


@ranges.must("range-consistent", "client trap: containerd joins parts without looking")
def consistent(target: Target) -> None:
    """One blob is answered with 206 to every range or to none."""
    values = ("bytes=0-", "bytes=0-9", "bytes=50-", "bytes=100-120", "bytes=-20", "bytes=0-")
    statuses = [expect(_asked(target, value)[0], 200, 206) for value in values]
    mixed = len({answer.status for answer in statuses}) > 1
    require(not mixed, "206 for one and 200 for another", *statuses)


@ranges.must("range-head", "RFC 9110 §14.2")
def on_head(target: Target) -> None:
    """Range on HEAD is ignored: 200 with the blob's length."""
    blob = picks.a_blob(target, least=200)
    answer = expect(target.client.head(blob.path, ("Range", "bytes=0-9")), 200)
    require(answer.length in (None, blob.size), f"{blob.size} expected", answer)


@ranges.must("range-empty", "RFC 9110 §14.1.2")
def on_empty(target: Target) -> None:
    """No range selects a part of a blob without bytes: 416, or 200."""
    empty = [blob for blob in target.content.blobs if blob.size == 0]
    for blob in empty[:2] or skip("no empty blob was found"):
        for value in ("bytes=0-", "bytes=0-0", "bytes=-5"):
            answer = expect(target.client.get(blob.path, ("Range", value)), 200, 416)
            require(answer.status == 416 or not answer.body, "bytes of nothing", answer)


@ranges.should("range-accepted", "RFC 9110 §14.3; client trap: oras seeks only then")
def accepted(target: Target) -> None:
    """A registry that honours Range says `Accept-Ranges: bytes`."""
    answer, _ = _asked(target, "bytes=0-9")
    if answer.status != 206:
        skip("Range is not honoured")
    got = target.client.head(picks.a_blob(target, least=200).path)
    require(got.get("accept-ranges") == "bytes", "it does not", got)


@ranges.should("range-if-same", "RFC 9110 §13.1.5")
def if_range_same(target: Target) -> None:
    """If-Range with the blob's ETag lets Range stand."""
    etag = _etag(target)
    answer, data = _asked(target, "bytes=2-5", ("If-Range", etag))
    check_part(answer, data, 2, 6)


@ranges.must("range-if-other", "RFC 9110 §13.1.5")
def if_range_other(target: Target) -> None:
    """If-Range with another ETag, a weak one or a date makes the answer the whole."""
    etag = _etag(target)
    for value in ('"another"', f"W/{etag}", "Thu, 01 Jan 1970 00:00:00 GMT"):
        answer, data = _asked(target, "bytes=2-5", ("If-Range", value))
        require(answer.body == data, "not the whole", expect(answer, 200))


def _etag(target: Target) -> str:
    answer = target.client.head(picks.a_blob(target, least=200).path)
    return answer.get("etag") or skip("blobs have no ETag")
