"""What a cache fetches from its upstream, which is here the suite's own and counts. Each check has
content of its own that the cache cannot have seen."""

import threading

from attrs import evolve

from ..checks import Section, Target, expect, require
from ..client import ACCEPT
from ..digests import matches
from .cold import (
    GRACE,
    LARGE,
    SHARED,
    crowd,
    fresh,
    only,
    pull,
)
from .ranges import check_any

caching = Section("Cache")


@caching.must("cache-pull", SHARED)
def cold_and_warm(target: Target) -> None:
    """An image is right when it is first pulled and when it is pulled again; its manifest byte
    for byte."""
    image = fresh(target, "pull")
    pull(target.client, image)
    pull(target.client, image)


@caching.should("cache-warm", SHARED)
def warm(target: Target) -> None:
    """What was pulled once is not fetched again: no GET for a manifest or blob by digest."""
    image = fresh(target, "warm")
    pull(target.client, image)
    before = len(image.origin.asked(image.repository, "GET"))
    for path in (image.manifest, image.blob):
        expect(target.client.get(path, ACCEPT), 200)
        expect(target.client.head(path, ACCEPT), 200)
    again = image.origin.asked(image.repository, "GET")[before:]
    require(not again, f"upstream was asked again: {[one.target for one in again]}")


@caching.should("cache-one-transfer", SHARED)
def one_transfer(target: Target) -> None:
    """Clients that want the same blob at once are served from one fetch."""
    image = fresh(target, "one-transfer")
    go = threading.Event()
    hold = only(image.layer, lambda reply: evolve(reply, hold=lambda: go.wait(GRACE)))
    with image.origin.spoiling(hold):
        for answer in crowd(target, image.blob, go):
            require(answer.body == image.data, "other bytes", expect(answer, 200))
    require(image.gets() == 1, f"upstream was asked {image.gets()} times")


@caching.should("cache-one-check", SHARED)
def one_check(target: Target) -> None:
    """Clients that want the same tag at once are served from one fetch of the manifest."""
    image = fresh(target, "one-check")
    go = threading.Event()
    hold = only(image.tag, lambda r: evolve(r, hold=lambda: go.wait(GRACE)), "GET", "HEAD")
    with image.origin.spoiling(hold):
        for answer in crowd(target, image.tag, go):
            require(matches(image.digest, expect(answer, 200).body), "other bytes", answer)
    asked = image.origin.asked(image.repository, "GET")
    require(len(asked) <= 1, f"upstream was asked {len(asked)} times")


@caching.must("cache-head", "OCI distribution-spec 1.1 §Checking if content exists")
def head(target: Target) -> None:
    """HEAD of what is not held yet is 200 with the real length and digest."""
    image = fresh(target, "head")
    answer = expect(target.client.head(image.blob), 200)
    require(answer.length == len(image.data), f"{len(image.data)} expected", answer)
    answer = expect(target.client.head(image.tag, ACCEPT), 200)
    said = answer.get("docker-content-digest")
    require(said == image.digest, f"{image.digest} expected", answer)


@caching.should("cache-head-cheap", "client trap: an existence check is no pull")
def head_cheap(target: Target) -> None:
    """HEAD of a blob that is not held does not fetch it."""
    image = fresh(target, "head-cheap")
    expect(target.client.head(image.blob), 200)
    require(image.gets() == 0, f"upstream was asked {image.gets()} times")


@caching.must("cache-range", "RFC 9110 §15.3.7; client trap: containerd joins parts blindly")
def cold_range(target: Target) -> None:
    """A range of what is not held yet is right, and is answered with the same status later."""
    image = fresh(target, "range")
    answers = []
    for span in ("bytes=100-199", "bytes=0-", "bytes=-50"):
        answers.append(target.client.get(image.blob, ("Range", span)))
        check_any(answers[-1], image.data)
    expect(target.client.get(image.blob), 200)
    answers.append(target.client.get(image.blob, ("Range", "bytes=100-199")))
    mixed = len({answer.status for answer in answers}) > 1
    require(not mixed, "206 for one and 200 for another", *answers)


@caching.should("cache-streams", "client trap: a head that takes 30 s is given up")
def streams(target: Target) -> None:
    """A blob begins to arrive before upstream has sent all of it."""
    image = fresh(target, "streams", LARGE)
    go = threading.Event()
    in_time: list[bool] = []
    hold = only(
        image.layer, lambda reply: evolve(reply, hold=lambda: in_time.append(go.wait(GRACE)))
    )
    with image.origin.spoiling(hold), target.client.connect() as connection:
        request = target.client.request("GET", image.blob)
        connection.send(request.encode(connection.address.authority))
        answer = connection.read_head(request)
        go.set()
    expect(answer, 200)
    pull(target.client, image)
    require(in_time and in_time[0], "the head came when upstream was through", answer)


@caching.must("cache-slow-reader", SHARED)
def slow_reader(target: Target) -> None:
    """A client that stops reading holds up no other client of the same blob."""
    image = fresh(target, "slow-reader", LARGE)
    with target.client.connect() as connection:
        request = target.client.request("GET", image.blob)
        connection.send(request.encode(connection.address.authority))
        expect(connection.read_head(request), 200)
        pull(target.client, image)


@caching.must("cache-left", SHARED)
def left(target: Target) -> None:
    """When the client that caused a fetch leaves, others that wait for it are still served."""
    image = fresh(target, "left", LARGE)
    go = threading.Event()
    hold = only(image.layer, lambda reply: evolve(reply, hold=lambda: go.wait(GRACE)))
    with image.origin.spoiling(hold), target.client.connect() as second:
        request = target.client.request("GET", image.blob)
        data = request.encode(second.address.authority)
        with target.client.connect() as first:
            first.send(data)
            target.client.get("/v2/")
            second.send(data)
            target.client.get("/v2/")
        target.client.get("/v2/")
        go.set()
        answer = expect(second.read(request), 200)
        require(answer.body == image.data, "other bytes", answer)


@caching.must("cache-scope", "OCI distribution-spec 1.1 §Pulling blobs")
def scope(target: Target) -> None:
    """A blob held from one repository is 404 in another, in which upstream does not have it."""
    image, other = fresh(target, "scope"), fresh(target, "scope-other")
    pull(target.client, image)
    pull(target.client, other)
    for method in ("GET", "HEAD"):
        path = f"/v2/{other.repository}/blobs/{image.layer}"
        expect(target.client.ask(method, path), 404)
    expect(target.client.get(f"/v2/{other.repository}/manifests/{image.digest}", ACCEPT), 404)


@caching.should("cache-moved-tag", "RFC 9111 §4.3")
def moved_tag(target: Target) -> None:
    """A tag that upstream moved is seen to have moved, with a manifest that is right."""
    image = fresh(target, "moved-tag")
    pull(target.client, image)
    moved = image.origin.library.add_image(image.repository, "latest", b"moved")
    answer = expect(target.client.get(image.tag, ACCEPT), 200)
    said = answer.get("docker-content-digest")
    require(said is None or matches(said, answer.body), "a wrong digest", answer)
    require(matches(str(moved["digest"]), answer.body), "the old manifest", answer)


@caching.should("cache-gone-tag", "RFC 9111 §4.3")
def gone_tag(target: Target) -> None:
    """A tag that upstream removed is 404."""
    image = fresh(target, "gone-tag")
    pull(target.client, image)
    del image.origin.library.shelf(image.repository).tags["latest"]
    expect(target.client.get(image.tag, ACCEPT), 404)
