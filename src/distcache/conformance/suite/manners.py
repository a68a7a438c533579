"""How a cache asks its upstream, and what it makes of upstreams that are unlike others."""

from attrs import evolve

from ..checks import Failed, Section, Target, expect, require, skip
from ..client import ACCEPT, MANIFEST_TYPES
from ..origin.library import IMAGE
from ..origin.registry import Asked, Reply, error
from .cold import fresh, only, pull

manners = Section("Asking upstream")


@manners.must("cache-redirect", "OCI distribution-spec 1.1 §API: redirects")
def redirect(target: Target) -> None:
    """Content that upstream keeps elsewhere and redirects to is right."""
    image = fresh(target, "redirect")
    store = f"/store/{image.layer}"

    def elsewhere(asked: Asked, reply: Reply) -> Reply:
        if asked.path == store:
            return Reply(200, (("Content-Type", "binary/octet-stream"),), image.data)
        return Reply(307, (("Location", store),)) if image.layer in asked.path else reply

    with image.origin.spoiling(elsewhere):
        answer = expect(target.client.get(image.blob), 200)
    require(answer.body == image.data, "other bytes", answer)


@manners.should("cache-head-refused", "client trap: some registries refuse HEAD")
def head_refused(target: Target) -> None:
    """An upstream that refuses HEAD is asked with GET."""
    image = fresh(target, "head-refused")
    spoil = only(image.repository, lambda _: error(405, "UNSUPPORTED"), "HEAD")
    with image.origin.spoiling(spoil):
        pull(target.client, image)


@manners.should("cache-type", "client trap: oras compares the type with the descriptor's")
def generic_type(target: Target) -> None:
    """A manifest that upstream sends with a generic type is served with its own."""
    image = fresh(target, "type")

    def generic(reply: Reply) -> Reply:
        fields = [(n, "text/plain" if n == "Content-Type" else v) for n, v in reply.fields]
        return evolve(reply, fields=tuple(fields))

    with image.origin.spoiling(only("/manifests/", generic, "GET", "HEAD")):
        for path in (image.tag, image.manifest):
            answer = expect(target.client.get(path, ACCEPT), 200)
            require(answer.media_type == IMAGE, f"{answer.media_type!r}", answer)


@manners.should("cache-asks-all", "client trap: one client's Accept decides for all")
def asks_all(target: Target) -> None:
    """Upstream is asked for every manifest type, whatever one client takes, and for no coding of
    blobs."""
    image = fresh(target, "asks-all")
    expect(target.client.get(image.tag, ("Accept", "*/*"), ("Accept-Encoding", "gzip")), 200)
    expect(target.client.get(image.blob, ("Accept-Encoding", "gzip")), 200)
    for asked in image.origin.asked(image.tag):
        taken = asked.get("accept") or ""
        missing = [kind for kind in MANIFEST_TYPES if kind not in taken]
        require(not missing, f"upstream was asked without {missing}: {asked.fields}")
    for asked in image.origin.asked(image.layer):
        coding = asked.get("accept-encoding") or "identity"
        require(coding == "identity", f"upstream was asked for {coding}: {asked.fields}")


@manners.must("cache-secrets", "OCI distribution-spec 1.1 §Registry Proxying")
def secrets(target: Target) -> None:
    """What a client logs in with at the cache is not sent to upstream."""
    image = fresh(target, "secrets")
    if target.client.credentials is not None:
        skip("the cache wants a login of its own")
    login = ("Authorization", "Basic Y2xpZW50OnNlY3JldA==")
    for path in (image.tag, image.blob):
        expect(target.client.get(path, ACCEPT, login), 200, 401, 403)
    for asked in image.origin.asked(image.repository):
        if asked.get("authorization") == login[1]:
            raise Failed(f"upstream was told the client's password: {asked.target}")
