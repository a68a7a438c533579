"""What is refused, and how: errors that clients can tell apart."""

from urllib.parse import quote

from ..checks import Failed, Section, Target, expect, require
from ..client import ACCEPT
from ..content import as_object, objects
from ..digests import absent
from ..messages import Answer
from . import picks

errors = Section("Errors")

CODES = "OCI distribution-spec 1.1 §Error Codes"
PULL = "OCI distribution-spec 1.1 §Pulling manifests"
KNOWN = frozenset(
    {
        "BLOB_UNKNOWN",
        "BLOB_UPLOAD_INVALID",
        "BLOB_UPLOAD_UNKNOWN",
        "DIGEST_INVALID",
        "MANIFEST_BLOB_UNKNOWN",
        "MANIFEST_INVALID",
        "MANIFEST_UNKNOWN",
        "NAME_INVALID",
        "NAME_UNKNOWN",
        "SIZE_INVALID",
        "UNAUTHORIZED",
        "DENIED",
        "UNSUPPORTED",
        "TOOMANYREQUESTS",
    }
)
LEGACY = frozenset(("TAG_INVALID", "MANIFEST_UNVERIFIED"))
REFUSED = (400, 401, 403, 404)
NOWHERE = "no-such-repository/of-conformance"


def codes(answer: Answer) -> list[str]:
    """The codes in an error's body; empty when it is not the OCI's JSON."""
    listed = objects(as_object(answer.body).get("errors"))
    return [str(one["code"]) for one in listed if "code" in one]


def _coded(answer: Answer, *wanted: str) -> None:
    found = codes(answer)
    require(found and set(found) <= set(wanted), f"{' or '.join(wanted)} expected", answer)


@errors.should("error-json", f"{CODES}; client trap: docker cannot read other bodies")
def json_body(target: Target) -> None:
    """A 404 has a JSON body with a list of errors that is not empty."""
    repository = picks.a_manifest(target).repository
    for path in (
        f"/v2/{repository}/manifests/no-such-tag-here",
        f"/v2/{repository}/blobs/{absent()}",
        f"/v2/{NOWHERE}/tags/list",
    ):
        answer = expect(target.client.get(path), 404, 401, 403)
        require(answer.media_type == "application/json", "not JSON", answer)
        require(codes(answer), "no errors in it", answer)


@errors.should("error-manifest-code", CODES)
def manifest_code(target: Target) -> None:
    """An absent manifest is MANIFEST_UNKNOWN, or NAME_UNKNOWN where the repository is absent."""
    repository = picks.a_manifest(target).repository
    for reference in ("no-such-tag-here", absent()):
        answer = target.client.get(f"/v2/{repository}/manifests/{reference}", ACCEPT)
        _coded(expect(answer, 404), "MANIFEST_UNKNOWN")
        answer = target.client.get(f"/v2/{NOWHERE}/manifests/{reference}", ACCEPT)
        if expect(answer, 404, 401, 403).status == 404:
            _coded(answer, "MANIFEST_UNKNOWN", "NAME_UNKNOWN")


@errors.should("error-blob-code", CODES)
def blob_code(target: Target) -> None:
    """An absent blob is BLOB_UNKNOWN, or NAME_UNKNOWN where the repository is absent."""
    repository = picks.a_manifest(target).repository
    answer = target.client.get(f"/v2/{repository}/blobs/{absent()}")
    _coded(expect(answer, 404), "BLOB_UNKNOWN")
    answer = target.client.get(f"/v2/{NOWHERE}/blobs/{absent()}")
    if expect(answer, 404, 401, 403).status == 404:
        _coded(answer, "BLOB_UNKNOWN", "NAME_UNKNOWN")


@errors.must("error-name", PULL)
def bad_name(target: Target) -> None:
    """A name that no repository can have is refused with 400 or 404."""
    for name in ("Library/app", "a//b", "-a/b", "a/b-", "a/_b", "a..b", "a/%00", "a/%ff", "a b"):
        path = f"/v2/{quote(name, safe='/%')}/manifests/latest"
        answer = target.client.get(path, ACCEPT)
        # Cleaning the path first (301) shows the client a name that it did not ask for; Go's
        # servers do it, and clients follow.
        expect(answer, *REFUSED)


@errors.must("error-digest", PULL)
def bad_digest(target: Target) -> None:
    """What is no digest is refused with 400 or 404: wrong length, letters, no algorithm."""
    repository = picks.a_manifest(target).repository
    hexes = absent().partition(":")[2]
    for text in ("sha256:zz", f"sha256:{hexes[:-1]}", f"sha256:{hexes.upper()}", f":{hexes}"):
        for endpoint in ("blobs", "manifests"):
            expect(target.client.get(f"/v2/{repository}/{endpoint}/{text}"), *REFUSED)


@errors.must("error-algorithm", "OCI image-spec §Digests")
def bad_algorithm(target: Target) -> None:
    """A digest of an algorithm that is not supported is refused with 400 or 404, GET and HEAD."""
    repository = picks.a_manifest(target).repository
    for text in (f"md5:{'0' * 32}", f"blake3:{'0' * 64}", f"sha1:{'0' * 40}", "x+y:0"):
        for endpoint in ("blobs", "manifests"):
            for method in ("GET", "HEAD"):
                answer = target.client.ask(method, f"/v2/{repository}/{endpoint}/{text}")
                expect(answer, *REFUSED)


@errors.must("error-tag", PULL)
def bad_tag(target: Target) -> None:
    """What is no tag is refused with 400 or 404: too long, or with other characters."""
    repository = picks.a_manifest(target).repository
    for tag in ("-bad", ".bad", "a" * 129, "a!b", "a%20b", "%C3%A9"):
        expect(target.client.get(f"/v2/{repository}/manifests/{tag}", ACCEPT), *REFUSED)


@errors.must("error-delete", "OCI distribution-spec 1.1 §Deleting Manifests")
def delete(target: Target) -> None:
    """DELETE of what is not there is refused: 405 or 400 where nothing can be deleted, else
    404."""
    repository = picks.a_manifest(target).repository
    for path in (f"manifests/{absent()}", f"blobs/{absent()}", "manifests/no-such-tag-here"):
        answer = target.client.ask("DELETE", f"/v2/{repository}/{path}")
        expect(answer, *REFUSED, 405)


@errors.must("error-method", "RFC 9110 §15.5.6")
def method(target: Target) -> None:
    """A method that is not known is 405 with Allow, or 501 or 400."""
    path = picks.a_manifest(target).path
    answer = expect(target.client.ask("BREW", path), 405, 501, 400)
    require(answer.status != 405 or answer.get("allow") is not None, "no Allow", answer)


@errors.should("error-path", "RFC 9110 §15.6: 5xx are for a server that has erred")
def paths(target: Target) -> None:
    """Paths that lead nowhere are not server errors: dots, slashes, bytes that are no text."""
    repository = picks.a_manifest(target).repository
    for path in (
        "/v2/nothing/here",
        f"/v2/{repository}/../{repository}/tags/list",
        "/v2/../../../../etc/passwd",
        f"/v2/{repository.replace('/', '%2F')}/tags/list",
        "/v2/%2e%2e/%2e%2e/manifests/latest",
        "/v2/a/manifests/",
        "/v2//manifests/latest",
        "/v2/a/manifests/latest%00",
        "/v2/%/tags/list",
        f"/v2/{repository}/tags/list?n=abc",
        f"/v2/{repository}/tags/list?n=-1",
        f"/v2/{repository}/tags/list?n=99999999999999999999",
    ):
        answer = _unfollowed(target, path)
        require(answer.status < 500, "a server error", answer)


def _unfollowed(target: Target, path: str) -> Answer:
    with target.client.connect() as connection:
        answer = target.client.note(connection.ask(target.client.request("GET", path)))
    if b"root:" in answer.body:
        raise Failed("a file of the server", answer)
    return answer


@errors.should("error-misleading", PULL)
def misleading(target: Target) -> None:
    """In names that contain `blobs`, `manifests` and `tags` the endpoint is the last one."""
    for path, wanted in (
        (f"/v2/no-such/blobs/x/manifests/{absent()}", "MANIFEST_UNKNOWN"),
        (f"/v2/no-such/manifests/x/blobs/{absent()}", "BLOB_UNKNOWN"),
        ("/v2/no-such/tags/list/tags/list", "NAME_UNKNOWN"),
        (f"/v2/{'/'.join('abcdefghijk')}/manifests/latest", "MANIFEST_UNKNOWN"),
    ):
        answer = expect(target.client.get(path, ACCEPT), 404, 401, 403)
        if answer.status == 404:
            _coded(answer, wanted, "NAME_UNKNOWN")
