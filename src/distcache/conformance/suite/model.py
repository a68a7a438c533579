"""A model of a registry that reads: what each operation must answer, from the content alone."""

from enum import Enum
from typing import assert_never

from attrs import frozen

from ..checks import Target, expect, require, skip
from ..client import ACCEPT
from ..digests import absent, matches
from ..messages import Answer, Fields
from . import picks
from .ranges import check_any

SAMPLES = 3
"""Blobs and manifests that sequences are made of."""


class Kind(Enum):
    MANIFEST = "manifest"
    TAG = "tag"
    BLOB = "blob"
    RANGE = "range"
    HELD = "held"
    ABSENT = "absent"
    PING = "ping"


@frozen
class Operation:
    """`place` chooses among the samples; `first` and `length` are of a range."""

    kind: Kind
    head: bool = False
    place: int = 0
    first: int = 0
    length: int = 1

    @property
    def method(self) -> str:
        return "HEAD" if self.head else "GET"


@frozen
class Sample:
    """One thing that can be asked for; `data` are its right bytes."""

    path: str
    digest: str
    data: bytes
    etag: str | None


class Model:
    """Learns its samples from the target once, checking them against their digests."""

    def __init__(self, target: Target) -> None:
        manifests = picks.manifests(target)[:SAMPLES]
        self.manifests = [_sample(target, m.path, m.digest) for m in manifests]
        tagged = [manifest for manifest in manifests if manifest.tag is not None]
        self.tags = [_sample(target, m.tag_path, m.digest) for m in tagged] or self.manifests
        small = sorted(picks.blobs(target), key=lambda blob: blob.size)
        self.blobs = [_sample(target, b.path, b.digest) for b in small[-SAMPLES:]]
        self.absent = f"/v2/{manifests[0].repository}/blobs/{absent()}"

    def request(self, operation: Operation) -> tuple[str, str, Fields]:
        """Method, path and fields."""
        method = operation.method
        match operation.kind:
            case Kind.PING:
                return method, "/v2/", ()
            case Kind.ABSENT:
                return method, self.absent, ()
            case Kind.MANIFEST | Kind.TAG:
                return method, self.sample(operation).path, (ACCEPT,)
            case Kind.BLOB:
                return method, self.sample(operation).path, ()
            case Kind.HELD:
                sample = self.sample(operation)
                held = (("If-None-Match", sample.etag),) if sample.etag else ()
                return method, sample.path, (ACCEPT, *held)
            case Kind.RANGE:
                last = operation.first + operation.length - 1
                span = ("Range", f"bytes={operation.first}-{last}")
                return "GET", self.sample(operation).path, (span,)
            case _ as never:
                assert_never(never)

    def sample(self, operation: Operation) -> Sample:
        by_kind = {Kind.MANIFEST: self.manifests, Kind.TAG: self.tags, Kind.HELD: self.manifests}
        among = by_kind.get(operation.kind, self.blobs)
        return among[operation.place % len(among)]

    def judge(self, operation: Operation, answer: Answer) -> None:
        """Raises Failed when the answer is not what the model says."""
        match operation.kind:
            case Kind.PING:
                expect(answer, 200)
            case Kind.ABSENT:
                expect(answer, 404)
            case Kind.MANIFEST | Kind.TAG | Kind.BLOB:
                self._judge_whole(operation, expect(answer, 200))
            case Kind.HELD:
                expect(answer, 304 if self.sample(operation).etag else 200)
            case Kind.RANGE:
                self._judge_range(operation, answer)
            case _ as never:
                assert_never(never)

    def _judge_whole(self, operation: Operation, answer: Answer) -> None:
        sample = self.sample(operation)
        if operation.head:
            right = answer.length in (None, len(sample.data))
            require(right, f"{len(sample.data)} expected", answer)
        else:
            require(answer.body == sample.data, "other bytes", answer)

    def _judge_range(self, operation: Operation, answer: Answer) -> None:
        data = self.sample(operation).data
        if answer.status == 416:
            require(operation.first >= len(data), "the range can be satisfied", answer)
        else:
            check_any(answer, data)


def _sample(target: Target, path: str, digest: str) -> Sample:
    answer = target.client.get(path, ACCEPT)
    require(matches(digest, expect(answer, 200).body), "other bytes than asked for", answer)
    if answer.via:
        skip("content is on another host")
    return Sample(path, digest, answer.body, answer.get("etag"))
