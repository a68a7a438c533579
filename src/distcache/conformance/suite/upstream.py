"""A cache beside its upstream: what both serve must be the same."""

import secrets
from concurrent.futures import ThreadPoolExecutor

from attrs import evolve

from ..checks import Section, Target, expect, require, skip
from ..client import ACCEPT, Client
from ..content import Manifest
from ..digests import matches
from ..messages import Answer
from . import discovery, picks

upstream = Section("Cache and upstream")

PULL = "OCI distribution-spec 1.1 §Pull"
CLIENTS = 6


def _upstream(target: Target) -> Client:
    return target.upstream or skip("no --upstream")


@upstream.must("upstream-manifests", PULL)
def manifests(target: Target) -> None:
    """Every tag and digest answers as upstream does: the same bytes and type."""
    origin = _upstream(target)
    for manifest in picks.manifests(target):
        for path in (manifest.path, *((manifest.tag_path,) if manifest.tag else ())):
            wanted = expect(origin.get(path, ACCEPT), 200)
            answer = expect(target.client.get(path, ACCEPT), 200)
            require(answer.body == wanted.body, "other bytes", answer, wanted)
            require(answer.media_type == wanted.media_type, "another type", answer, wanted)


@upstream.must("upstream-blobs", PULL)
def blobs(target: Target) -> None:
    """Blobs are the same byte for byte, and for clients at the same time."""
    origin = _upstream(target)

    def ask(path: str) -> Answer:
        with target.client.fork() as client:
            return client.get(path)

    for blob in picks.blobs(target):
        wanted = expect(origin.get(blob.path), 200)
        with ThreadPoolExecutor(CLIENTS) as pool:
            for answer in pool.map(ask, [blob.path] * CLIENTS):
                require(expect(answer, 200).body == wanted.body, "other bytes", answer, wanted)


@upstream.should("upstream-tags", discovery.TAGS)
def tags(target: Target) -> None:
    """The same tags are listed."""
    origin = _upstream(target)
    for name in list(target.content.tags)[: picks.MANY]:
        path = f"/v2/{name}/tags/list"
        ours, theirs = target.client.get(path), origin.get(path)
        if theirs.status != 200:
            skip("upstream lists no tags")
        held, named = set(discovery.names_in(ours)), set(discovery.names_in(theirs))
        # In which order and in what pages is each registry's own affair.
        paged = discovery.next_page(ours) or discovery.next_page(theirs)
        same = (held <= named or named <= held) if paged else held == named
        require(same, "others", ours, theirs)


@upstream.must("upstream-absent", PULL)
def absent(target: Target) -> None:
    """What upstream calls absent is absent."""
    origin = _upstream(target)
    repository = picks.a_manifest(target).repository
    for path in (f"/v2/{repository}/manifests/no-such-tag-here", "/v2/no-such/x/tags/list"):
        if origin.get(path).status == 404:
            expect(target.client.get(path), 404)


@upstream.should("upstream-moved", "RFC 9111 §4.3")
def moved(target: Target) -> None:
    """A tag that moves at upstream is seen to move (writes a tag `conformance-...` there)."""
    origin = _upstream(target)
    if not target.push:
        skip("no --push")
    first, second = _pair(target)
    path = f"/v2/{first.repository}/manifests/conformance-{secrets.token_hex(4)}"
    for manifest in (first, second):
        _put(origin, path, manifest)
        answer = expect(target.client.get(path, ACCEPT), 200)
        require(matches(manifest.digest, answer.body), "not what was pushed", answer)


def _pair(target: Target) -> tuple[Manifest, Manifest]:
    """Two manifests of one repository."""
    for manifest in target.content.manifests:
        for other in target.content.manifests:
            if other.repository == manifest.repository and other.digest != manifest.digest:
                return manifest, other
    return skip("no repository with two manifests was found")


def _put(client: Client, path: str, manifest: Manifest) -> None:
    fields = (("Content-Type", manifest.media_type), ("Content-Length", str(len(manifest.body))))
    # A GET first, so that the client has logged in.
    client.get(manifest.path, ACCEPT)
    request = evolve(client.request("PUT", path, *fields), body=manifest.body)
    with client.connect() as connection:
        answer = connection.ask(request)
    if answer.status != 201:
        skip(f"upstream takes no tag: {answer}")
