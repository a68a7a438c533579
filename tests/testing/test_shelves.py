"""What the scripted upstream answers when all goes well, and what it finds fault with."""

import json
from collections.abc import Mapping

import pytest

from distcache.core.oci import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from distcache.testing import Blob, Flavor, Manifest, artifact, image, index
from distcache.testing.shelves import Answer, Request, Shelves, faults

HOST = "127.0.0.1:5000"
AMD, ARM = (image([{"etc/arch": p.encode()}], platform=p) for p in ("linux/amd64", "linux/arm64"))
MULTI = index([AMD, ARM])
DOCKER = image([{"a": b"b"}], flavor=Flavor.DOCKER)
BLOB = Blob(b"0123456789", "text/plain")
SIGNATURE = artifact("application/signature", [BLOB], subject=AMD, annotations={"by": "me"})
PARTS = artifact("application/parts", subject=AMD)
NOWHERE = "sha256:" + 64 * "0"


@pytest.fixture
def shelves() -> Shelves:
    made = Shelves()
    made.put("library/app", MULTI, "1")
    made.put("library/app", DOCKER, "docker")
    made.put("library/app", DOCKER, "old")
    for one in (SIGNATURE, PARTS):
        made.put("library/app", one)
    return made


def get(
    shelves: Shelves, path: str, query: str = "", headers: Mapping[str, str] | None = None
) -> Answer:
    return shelves.answer(Request("GET", path, query, headers or {}))


def codes(answer: Answer) -> tuple[int, str]:
    assert answer.headers["Content-Type"] == "application/json"
    (problem,) = json.loads(answer.body)["errors"]
    return answer.status, problem["code"]


def test_the_base_is_there(shelves: Shelves) -> None:
    assert (get(shelves, "/v2/").status, get(shelves, "/v2/").body) == (200, b"{}")


@pytest.mark.parametrize("made", [MULTI, AMD, ARM, DOCKER, SIGNATURE])
def test_everything_a_manifest_names_is_there_by_digest(made: Manifest, shelves: Shelves) -> None:
    answer = get(shelves, f"/v2/library/app/manifests/{made.digest}")
    assert (answer.status, answer.body) == (200, made.body)
    assert answer.headers["Content-Type"] == made.media_type
    assert answer.headers["Docker-Content-Digest"] == made.digest
    for blob in made.blobs:
        answer = get(shelves, f"/v2/library/app/blobs/{blob.digest}")
        assert (answer.status, answer.body) == (200, blob.data)
        assert answer.headers["Docker-Content-Digest"] == blob.digest


def test_a_tag_names_what_was_put_last(shelves: Shelves) -> None:
    path = "/v2/library/app/manifests/1"
    assert get(shelves, path).body == MULTI.body
    shelves.put("library/app", DOCKER, "1")
    assert get(shelves, path).body == DOCKER.body
    assert shelves.tagged("library/app", "1") == DOCKER
    shelves.untag("library/app", "1")
    assert codes(get(shelves, path)) == (404, "MANIFEST_UNKNOWN")
    assert get(shelves, f"/v2/library/app/manifests/{DOCKER.digest}").status == 200


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 200),
        (f"{DOCKER_MANIFEST}, {OCI_INDEX};q=0.5", 200),
        ("application/*", 200),
        (OCI_MANIFEST, 404),
    ],
)
def test_a_manifest_comes_only_to_who_takes_its_type(
    accept: str, status: int, shelves: Shelves
) -> None:
    answer = get(shelves, "/v2/library/app/manifests/1", headers={"accept": accept})
    assert answer.status == status


def test_an_unchanged_manifest_is_not_sent_again(shelves: Shelves) -> None:
    path = "/v2/library/app/manifests/1"
    etag = get(shelves, path).headers["ETag"]
    answer = get(shelves, path, headers={"if-none-match": etag})
    assert (answer.status, answer.body) == (304, b"")


@pytest.mark.parametrize(
    ("wanted", "body", "part"),
    [
        ("bytes=3-", b"3456789", "bytes 3-9/10"),
        ("bytes=0-0", b"0", "bytes 0-0/10"),
        ("bytes=8-100", b"89", "bytes 8-9/10"),
    ],
)
def test_a_part_of_a_blob(wanted: str, body: bytes, part: str, shelves: Shelves) -> None:
    answer = get(shelves, f"/v2/library/app/blobs/{BLOB.digest}", headers={"range": wanted})
    assert (answer.status, answer.body) == (206, body)
    assert answer.headers["Content-Range"] == part


def test_a_part_behind_the_end_is_refused(shelves: Shelves) -> None:
    answer = get(shelves, f"/v2/library/app/blobs/{BLOB.digest}", headers={"range": "bytes=10-"})
    assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */10")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v2/library/other/manifests/1", "NAME_UNKNOWN"),
        ("/v2/library/app/manifests/2", "MANIFEST_UNKNOWN"),
        (f"/v2/library/app/manifests/{BLOB.digest}", "MANIFEST_UNKNOWN"),
        (f"/v2/library/app/blobs/{NOWHERE}", "BLOB_UNKNOWN"),
        ("/v1/library/app", "NAME_UNKNOWN"),
    ],
)
def test_what_is_not_there(path: str, code: str, shelves: Shelves) -> None:
    assert codes(get(shelves, path)) == (404, code)


def test_tags_come_in_pages(shelves: Shelves) -> None:
    path = "/v2/library/app/tags/list"
    assert json.loads(get(shelves, path).body) == {
        "name": "library/app",
        "tags": ["1", "docker", "old"],
    }
    page = get(shelves, path, "n=2")
    assert json.loads(page.body)["tags"] == ["1", "docker"]
    assert page.headers["Link"] == f'<{path}?n=2&last=docker>; rel="next"'
    page = get(shelves, path, "n=2&last=docker")
    assert json.loads(page.body)["tags"] == ["old"]
    assert "Link" not in page.headers


def test_referrers_are_listed_and_sifted(shelves: Shelves) -> None:
    path = f"/v2/library/app/referrers/{AMD.digest}"
    everything = get(shelves, path)
    assert everything.headers["Content-Type"] == OCI_INDEX
    assert "OCI-Filters-Applied" not in everything.headers
    first, second = json.loads(everything.body)["manifests"]
    shown = {"artifactType": SIGNATURE.artifact_type, "annotations": {"by": "me"}}
    assert first == SIGNATURE.descriptor | shown
    assert second == PARTS.descriptor | {"artifactType": PARTS.artifact_type}

    sifted = get(shelves, path, "artifactType=application%2Fparts")
    assert [one["digest"] for one in json.loads(sifted.body)["manifests"]] == [PARTS.digest]
    assert sifted.headers["OCI-Filters-Applied"] == "artifactType"

    none = get(shelves, f"/v2/library/app/referrers/{NOWHERE}")
    assert (none.status, json.loads(none.body)["manifests"]) == (200, [])


@pytest.mark.parametrize(
    ("repository", "content", "tag"),
    [
        ("Library/app", AMD, "1"),
        ("library//app", AMD, "1"),
        ("library/app", AMD, ""),
        ("library/app", AMD, "a:b"),
        ("library/app", BLOB, "1"),
    ],
)
def test_names_that_cannot_be_are_refused(
    repository: str, content: Manifest | Blob, tag: str, shelves: Shelves
) -> None:
    with pytest.raises(ValueError, match=r"no repository|not a tag"):
        shelves.put(repository, content, tag)


TAG = "/v2/library/app/manifests/1"
A_BLOB = f"/v2/library/app/blobs/{BLOB.digest}"


@pytest.mark.parametrize(
    ("method", "path", "query", "headers"),
    [
        ("GET", "/v2/", "", {}),
        ("HEAD", TAG, "", {"accept": OCI_INDEX}),
        ("GET", "/v2/a__b/c.d-e/manifests/_x.y-z", "", {"accept": "*/*"}),
        ("GET", A_BLOB, "", {"range": "bytes=5-", "accept-encoding": "identity"}),
        ("GET", "/v2/library/app/tags/list", "n=5&last=a", {}),
        ("GET", f"/v2/library/app/referrers/{NOWHERE}", "artifactType=a%2Fb", {}),
    ],
)
def test_good_requests_are_without_fault(
    method: str, path: str, query: str, headers: dict[str, str]
) -> None:
    asked = Request(method, path, query, {"host": HOST, **headers})
    assert list(faults(asked, HOST)) == []


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "fault"),
    [
        ("PUT", TAG, "", {"accept": "*/*"}, "writes"),
        ("GET", "/", "", {}, "a path that registries do not have"),
        ("GET", "/v2/library/app/blobs/latest", "", {}, "a path that registries do not have"),
        ("GET", "/v2/Library/app/tags/list", "", {}, "a path that registries do not have"),
        ("GET", "/v2/", "", {"host": "docker.io"}, "is meant for docker.io"),
        ("GET", "/v2/", "", {"authorization": "Basic Og=="}, "shows authorization"),
        ("GET", "/v2/", "", {"cookie": "a=b"}, "shows cookie"),
        ("GET", TAG, "ns=docker.io", {"accept": "*/*"}, "a query that means nothing"),
        ("GET", TAG, "", {}, "without Accept"),
        ("GET", A_BLOB, "", {"accept-encoding": "gzip"}, "allows a content coding"),
        ("HEAD", A_BLOB, "", {"range": "bytes=5-"}, "a Range that makes no sense"),
        ("GET", TAG, "", {"accept": "*/*", "range": "bytes=5-"}, "a Range that makes no sense"),
        ("GET", A_BLOB, "", {"range": "bytes=-5"}, "a Range that makes no sense"),
    ],
)
def test_a_wrong_request_has_one_fault(
    method: str, path: str, query: str, headers: dict[str, str], fault: str
) -> None:
    (found,) = faults(Request(method, path, query, {"host": HOST, **headers}), HOST)
    assert fault in found


def test_a_request_reads_as_its_first_line() -> None:
    assert str(Request("GET", "/v2/")) == "GET /v2/"
    assert str(Request("GET", "/v2/a/tags/list", "n=1")) == "GET /v2/a/tags/list?n=1"
