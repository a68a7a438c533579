"""What a cache tells its clients when upstream fails, lies, is limited or goes away."""

from contextlib import ExitStack

from attrs import evolve

from ..checks import Section, Target, expect, require
from ..client import ACCEPT
from ..digests import matches
from ..origin.registry import Reply
from .cold import BLOB, GAPS, HONEST, Image, fresh, only, pull, refusing, told

outages = Section("Upstream in trouble")


@outages.must("cache-wrong-bytes", "OCI image-spec §Digests: content is what its digest names")
def wrong_bytes(target: Target) -> None:
    """Wrong bytes from upstream never reach a client as a whole answer, and are not kept."""
    image = fresh(target, "wrong-bytes")
    flipped = bytes([image.data[0] ^ 1]) + image.data[1:]
    with image.origin.spoiling(only(image.layer, lambda reply: evolve(reply, body=flipped))):
        answer = told(target.client, image.blob)
        whole = answer is not None and answer.status == 200
        require(not whole, "a whole answer of wrong bytes", *([answer] if answer else []))
    again = expect(target.client.get(image.blob), 200)
    require(again.body == image.data, "wrong bytes were kept", again)


@outages.must("cache-wrong-manifest", "OCI image-spec §Digests: content is what its digest names")
def wrong_manifest(target: Target) -> None:
    """A manifest that does not hash to the digest asked for is not served."""
    image = fresh(target, "wrong-manifest")
    spoil = only(image.digest, lambda reply: evolve(reply, body=reply.body + b" "), "GET", "HEAD")
    with image.origin.spoiling(spoil):
        answer = told(target.client, image.manifest)
        whole = answer is not None and answer.status == 200
        require(not whole, "a manifest of another digest", *([answer] if answer else []))
    again = expect(target.client.get(image.manifest, ACCEPT), 200)
    require(matches(image.digest, again.body), "wrong bytes were kept", again)


@outages.must("cache-lie", "client trap: upstream's Docker-Content-Digest proves nothing")
def lie(target: Target) -> None:
    """When upstream says a wrong digest for a tag, no answer's digest differs from its body's."""
    image = fresh(target, "lie")
    other = fresh(target, "lie-other").digest

    def lying(reply: Reply) -> Reply:
        fields = [(n, other if n == "Docker-Content-Digest" else v) for n, v in reply.fields]
        return evolve(reply, fields=tuple(fields))

    with image.origin.spoiling(only(image.tag, lying, "GET", "HEAD")):
        answer = told(target.client, image.tag)
        if answer is not None and answer.status == 200:
            said = answer.get("docker-content-digest")
            require(said is None or matches(said, answer.body), "a wrong digest", answer)


@outages.must("cache-cut", "RFC 9112 §8: an incomplete answer must not look complete")
def cut(target: Target) -> None:
    """An upstream that always ends too early never makes an answer that looks whole."""
    image = fresh(target, "cut")
    with image.origin.spoiling(
        only(image.layer, lambda reply: evolve(reply, cut=len(reply.body) // 2))
    ):
        answer = told(target.client, image.blob)
        whole = answer is not None and answer.status == 200 and answer.body != image.data
        require(not whole, "a short answer that looks whole", *([answer] if answer else []))
    again = expect(target.client.get(image.blob), 200)
    require(again.body == image.data, "other bytes", again)


@outages.should("cache-resume", "client trap: skopeo and podman do not retry")
def resume(target: Target) -> None:
    """A transfer that upstream cuts once is completed without the client noticing."""
    image = fresh(target, "resume")
    cuts = iter((BLOB // 3,))
    spoil = only(image.layer, lambda reply: evolve(reply, cut=next(cuts, None)))
    with image.origin.spoiling(spoil):
        answer = expect(target.client.get(image.blob), 200)
    require(answer.body == image.data, "other bytes", answer)


@outages.must("cache-honest", HONEST)
def honest(target: Target) -> None:
    """While upstream fails, is limited, refuses or is away, nothing that it has is called
    absent, and nothing is invented."""
    for status in (401, 403, 429, 500, 502, 503):
        image = fresh(target, f"honest-{status}")
        with image.origin.spoiling(refusing(image.repository, status)):
            _not_absent(target, image)
    image = fresh(target, "honest-away")
    with image.origin.stopped():
        _not_absent(target, image)


def _not_absent(target: Target, image: Image) -> None:
    for path in (image.tag, image.manifest, image.blob):
        answer = expect(target.client.get(path, ACCEPT), 401, 403, 429, 500, *GAPS)
        require(answer.status >= 400, "invented", answer)


@outages.must("cache-absent", "OCI distribution-spec 1.1 §Pulling manifests")
def absent(target: Target) -> None:
    """What upstream calls absent is 404."""
    image = fresh(target, "absent")
    with image.origin.spoiling(refusing(image.repository, 404)):
        for path in (image.tag, image.manifest, image.blob):
            expect(target.client.get(path, ACCEPT), 404)


@outages.should("cache-limited", "OCI distribution-spec 1.1 §Error Codes: 429; RFC 6585 §4")
def limited(target: Target) -> None:
    """An upstream that says 429 is passed on as 429 with Retry-After."""
    image = fresh(target, "limited")
    with image.origin.spoiling(refusing(image.repository, 429, ("Retry-After", "2"))):
        for path in (image.tag, image.blob):
            answer = expect(target.client.get(path, ACCEPT), 429)
            require(answer.get("retry-after"), "no Retry-After", answer)


@outages.should("cache-broken", "RFC 9110 §15.6.3, §15.6.5")
def broken(target: Target) -> None:
    """An upstream that fails or is away makes a 502, 503 or 504."""
    image = fresh(target, "broken")
    with image.origin.spoiling(refusing(image.repository, 500)):
        expect(target.client.get(image.tag, ACCEPT), *GAPS)
    image = fresh(target, "away")
    with image.origin.stopped():
        for path in (image.tag, image.blob):
            expect(target.client.get(path, ACCEPT), *GAPS)


@outages.should("cache-denied", "RFC 9110 §15.5.2, §15.5.4")
def denied(target: Target) -> None:
    """What upstream denies is 401 or 403."""
    image = fresh(target, "denied")
    with image.origin.spoiling(refusing(image.repository, 403)):
        for path in (image.tag, image.blob):
            expect(target.client.get(path, ACCEPT), 401, 403)


@outages.must("cache-recovers", HONEST)
def recovers(target: Target) -> None:
    """A failure is not kept: when upstream is well again, so is the answer."""
    image = fresh(target, "recovers")
    with image.origin.spoiling(refusing(image.repository, 500)):
        for path in (image.tag, image.blob):
            require(target.client.get(path, ACCEPT).status != 200, "invented")
    pull(target.client, image)


@outages.should("cache-away-digest", "RFC 9111 §4.2.4")
def away_digest(target: Target) -> None:
    """Without upstream, what is held is served by digest."""
    image = fresh(target, "away-digest")
    pull(target.client, image)
    with image.origin.stopped():
        for path in (image.manifest, image.blob):
            expect(target.client.get(path, ACCEPT), 200)
            expect(target.client.head(path, ACCEPT), 200)


@outages.should("cache-away-tag", "RFC 9111 §4.2.4; RFC 5861 §4")
def away_tag(target: Target) -> None:
    """Without upstream, with one that fails and with one that is limited, a tag is served as it
    was."""
    image = fresh(target, "away-tag")
    pull(target.client, image)
    with ExitStack() as stack:
        stack.enter_context(image.origin.stopped())
        pull(target.client, image)
    for status in (429, 503):
        with image.origin.spoiling(refusing(image.repository, status)):
            pull(target.client, image)
