import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcache.core.oci import (
    DOCKER_MANIFEST,
    Content,
    Kind,
    ReferrersRef,
    Repository,
    TagRef,
    TagsRef,
)
from distcache.core.pull import ByDigest, Catalog, Method, Page, Pull, RangeSpec
from distcache.wire.headers import Headers
from distcache.wire.replies import PING, ROOT, Reply
from distcache.wire.routes import Router
from distcache.wire.spelling import is_name
from tests.wire.samples import BLOB, DIGEST, HEX, LONG, MANIFEST, SITES

ROUTER = Router(SITES, "docker.io")
HOST = (b"host", b"127.0.0.1:5000")


def route(
    target: str, *headers: tuple[bytes, bytes], method: bytes = b"GET", version: bytes = b"1.1"
) -> Pull | Reply:
    return ROUTER.route(method, target.encode(), (HOST, *headers), version)


def pull(target: str, *headers: tuple[bytes, bytes], method: bytes = b"GET") -> Pull:
    asked = route(target, *headers, method=method)
    assert isinstance(asked, Pull), asked
    return asked


def refused(target: str, method: bytes = b"GET") -> tuple[int, str]:
    said = route(target, method=method)
    assert isinstance(said, Reply), said
    assert said.content_type == "application/json"
    (error,) = json.loads(said.body)["errors"]
    assert error["message"]
    return said.status, error["code"]


def repository(target: str, *headers: tuple[bytes, bytes]) -> Repository:
    asked = pull(target, *headers).target
    assert isinstance(asked, TagRef | ByDigest)
    return asked.repository


@pytest.mark.parametrize("target", ["/v2/", "/v2", "/v2/?ns=docker.io", "/v2/?ns=nowhere.io"])
def test_the_ping_is_answered_200_without_challenge(target: str) -> None:
    assert route(target) == PING
    assert route(target, method=b"HEAD") == PING
    assert PING.status == 200
    assert not PING.headers


def test_the_root_is_answered_empty() -> None:
    assert route("/") == ROOT


def test_a_tag() -> None:
    assert pull("/v2/library/alpine/manifests/3.20") == Pull(
        Method.GET, TagRef(Repository("docker.io", "library/alpine"), "3.20")
    )


def test_a_manifest_by_digest() -> None:
    target = ByDigest(Repository("docker.io", "a/b"), MANIFEST)
    assert pull(f"/v2/a/b/manifests/{DIGEST}") == Pull(Method.GET, target)


def test_another_algorithm_than_sha256_is_legal() -> None:
    target = ByDigest(Repository("docker.io", "a/b"), Content(Kind.BLOB, LONG))
    assert pull(f"/v2/a/b/blobs/{LONG}", method=b"HEAD") == Pull(Method.HEAD, target)


def test_listings() -> None:
    a = Repository("docker.io", "a/b")
    assert pull("/v2/a/b/tags/list").target == TagsRef(a)
    page = pull("/v2/a/b/tags/list?n=0&last=x%2By")
    assert (page.target, page.page) == (TagsRef(a), Page(0, "x+y"))
    assert pull("/v2/a/b/manifests/x?n=5&last=y").page == Page()
    assert pull(f"/v2/a/b/referrers/{DIGEST}").target == ReferrersRef(a, DIGEST)
    link = f"/v2/a/b/referrers/{DIGEST}?artifactType=t&next=a%2Fb&p=&ns=docker.io"
    assert pull(link).target == ReferrersRef(
        Repository("docker.io", "a/b"), DIGEST, "t", "next=a%2Fb&p="
    )
    assert pull(f"/v2/a/b/referrers/{DIGEST}?artifactType=a%2Fb").target == ReferrersRef(
        a, DIGEST, "a/b"
    )
    assert pull("/v2/_catalog?n=5&last=a/b").target == Catalog(5, "a/b")


@pytest.mark.parametrize("n", ["-1", "x", "", "1.5", "1" * 30, "1&n=2", "\u0661"])
def test_a_page_length_is_a_number(n: str) -> None:
    assert refused(f"/v2/a/b/tags/list?n={n}") == (400, "UNSUPPORTED")
    assert refused(f"/v2/_catalog?n={n}") == (400, "UNSUPPORTED")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/blobs/b/manifests/x", "a/blobs/b"),
        ("a/manifests/b/manifests/x", "a/manifests/b"),
        ("blobs/blobs/manifests/x", "blobs/blobs"),
        ("a/tags/list/manifests/x", "a/tags/list"),
        ("a/b/c/d/e/f/g/manifests/x", "a/b/c/d/e/f/g"),
        (f"a/referrers/{HEX}/manifests/x", f"a/referrers/{HEX}"),
        ("a__b/c-d.e/f---g/manifests/x", "a__b/c-d.e/f---g"),
        ("manifests/manifests/manifests/manifests", "manifests/manifests"),
    ],
)
def test_names_have_any_depth_and_are_read_from_the_right(path: str, name: str) -> None:
    assert repository(f"/v2/{path}") == Repository("docker.io", name)


def test_names_are_percent_decoded_once() -> None:
    assert repository("/v2/a%2Fb/manifests/x") == Repository("docker.io", "a/b")
    assert pull(f"/v2/a/b/blobs/{DIGEST.replace(':', '%3A')}").target == ByDigest(
        Repository("docker.io", "a/b"), BLOB
    )
    assert refused("/v2/a%252Fb/manifests/x") == (400, "NAME_INVALID")


@pytest.mark.parametrize(
    "path",
    [
        "A/b/manifests/x",
        "a//b/manifests/x",
        "a/../b/manifests/x",
        "a/%2e%2e/b/manifests/x",
        "a/./b/manifests/x",
        "a%00b/manifests/x",
        "a%0d%0ab/manifests/x",
        "a/b/manifests/x%00",
        "a/b/manifests/",
        "/manifests/x",
        "a b/manifests/x".replace(" ", "%20"),
        "a/-b/manifests/x",
        "a%ff/manifests/x",
        "a%zz/manifests/x",
        f"{'a/' * 128}b/manifests/x",
        "ghcr.io/A/manifests/x",
        "localhost:5002/a/manifests/x",
    ],
)
def test_names_that_cannot_be_are_refused(path: str) -> None:
    assert refused(f"/v2/{path}") == (400, "NAME_INVALID")


@pytest.mark.parametrize("tag", ["-bad", ".x", "a" * 129, "a%20b", "\u00e9", "a@b"])
def test_an_impossible_tag_is_unknown(tag: str) -> None:
    assert refused(f"/v2/a/b/manifests/{tag}") == (404, "MANIFEST_UNKNOWN")


@pytest.mark.parametrize(
    "digest", ["sha256:zz", "md5:abc", f"sha256:{HEX.upper()}", f"sha512:{HEX}", ":", "latest:x"]
)
def test_a_malformed_digest_is_invalid(digest: str) -> None:
    assert refused(f"/v2/a/b/manifests/{digest}") == (400, "DIGEST_INVALID")
    assert refused(f"/v2/a/b/blobs/{digest}") == (400, "DIGEST_INVALID")
    assert refused(f"/v2/a/b/referrers/{digest}") == (400, "DIGEST_INVALID")


@pytest.mark.parametrize(
    "path",
    [
        "/v2/a",
        "/v2/a/b",
        "/v2/a/b/c/d",
        "/v2/manifests/x",
        "/v2/tags/list",
        "/v2/a/tags/other",
        "/v1/",
        "/v3/a",
        "/index.html",
        "/v2x",
        "//v2/",
        "*",
        "v2/",
    ],
)
def test_unknown_paths(path: str) -> None:
    assert refused(path) == (404, "NAME_UNKNOWN")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (b"POST", "/v2/a/b/blobs/uploads/"),
        (b"PATCH", "/v2/a/b/blobs/uploads/1"),
        (b"PUT", "/v2/a/b/manifests/latest"),
        (b"DELETE", f"/v2/a/b/manifests/{DIGEST}"),
        (b"DELETE", f"/v2/a/b/blobs/{DIGEST}"),
        (b"OPTIONS", "*"),
        (b"CONNECT", "ghcr.io:443"),
        (b"TRACE", "/"),
        (b"get", "/v2/"),
    ],
)
def test_everything_that_writes_is_405_unsupported(method: bytes, path: str) -> None:
    assert refused(path, method) == (405, "UNSUPPORTED")
    said = route(path, method=method)
    assert isinstance(said, Reply)
    assert ("Allow", "GET, HEAD") in said.headers


@pytest.mark.parametrize(
    ("target", "host", "expected"),
    [
        ("/v2/alpine/manifests/x", b"h", ("docker.io", "library/alpine")),
        ("/v2/a/b/manifests/x?ns=docker.io", b"h", ("docker.io", "a/b")),
        ("/v2/alpine/manifests/x?ns=docker.io", b"h", ("docker.io", "library/alpine")),
        ("/v2/alpine/manifests/x?ns=index.docker.io", b"h", ("docker.io", "library/alpine")),
        ("/v2/alpine/manifests/x?ns=registry-1.docker.io", b"h", ("docker.io", "library/alpine")),
        ("/v2/a/b/manifests/x?ns=GHCR.io", b"h", ("ghcr.io", "a/b")),
        ("/v2/app/manifests/x?ns=ghcr.io", b"h", ("ghcr.io", "app")),
        ("/v2/app/manifests/x?ns=localhost%3A5001", b"h", ("localhost:5001", "app")),
        ("/v2/ghcr.io/a/b/manifests/x", b"h", ("ghcr.io", "a/b")),
        ("/v2/ghcr.io/app/manifests/x", b"h", ("ghcr.io", "app")),
        ("/v2/docker.io/alpine/manifests/x", b"h", ("docker.io", "library/alpine")),
        ("/v2/localhost:5001/app/manifests/x", b"h", ("localhost:5001", "app")),
        ("/v2/ghcr.io/manifests/x", b"h", ("docker.io", "library/ghcr.io")),
        ("/v2/quay.io/a/manifests/x", b"h", ("docker.io", "quay.io/a")),
        ("/v2/a/b/manifests/x", b"ghcr.cache.local", ("ghcr.io", "a/b")),
        ("/v2/a/b/manifests/x", b"GHCR.cache.local.:5000", ("ghcr.io", "a/b")),
        ("/v2/docker.io/a/manifests/x", b"ghcr.cache.local", ("docker.io", "library/a")),
        ("/v2/ghcr.io/b/manifests/x?ns=docker.io", b"ghcr.cache.local", ("docker.io", "ghcr.io/b")),
        ("/v2/a/b/manifests/x", b"other.cache.local", ("docker.io", "a/b")),
        ("http://ghcr.cache.local:80/v2/a/b/manifests/x", b"other", ("ghcr.io", "a/b")),
    ],
)
def test_the_upstream_is_chosen_by_ns_then_path_then_host(
    target: str, host: bytes, expected: tuple[str, str]
) -> None:
    said = ROUTER.route(b"GET", target.encode(), [(b"host", host)], b"1.1")
    assert isinstance(said, Pull)
    assert isinstance(said.target, TagRef)
    assert said.target.repository == Repository(*expected)


@pytest.mark.parametrize(
    "query", ["ns=quay.io", "ns=", "ns=docker.io.", "ns=docker.io/x", "ns=docker.io&ns=ghcr.io"]
)
def test_an_upstream_outside_the_list_is_refused_and_never_replaced(query: str) -> None:
    assert refused(f"/v2/docker.io/a/manifests/x?{query}") == (404, "NAME_UNKNOWN")


def test_the_namespace_is_kept_as_sent() -> None:
    assert pull("/v2/a/b/manifests/x?ns=Docker.IO").namespace == "Docker.IO"
    assert pull("/v2/a/b/manifests/x").namespace is None


def test_accept_comes_in_several_lines() -> None:
    few = (b"accept", DOCKER_MANIFEST.encode()), (b"Accept", b"text/html")
    asked = pull("/v2/a/b/manifests/x", *few).target
    assert asked == TagRef(Repository("docker.io", "a/b"), "x", (DOCKER_MANIFEST,))
    by_digest = pull(f"/v2/a/b/manifests/{DIGEST}", *few)
    assert by_digest == pull(f"/v2/a/b/manifests/{DIGEST}")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"bytes=0-"], (RangeSpec(0, None),)),
        ([b"bytes=5-9"], (RangeSpec(5, 9),)),
        ([b"bytes=-5"], (RangeSpec(None, 5),)),
        ([b"nonsense"], ()),
        ([b"bytes=0-", b"bytes=5-"], ()),
        ([], ()),
    ],
)
def test_ranges_of_blobs(lines: list[bytes], expected: tuple[RangeSpec, ...]) -> None:
    fields = [(b"range", line) for line in lines]
    assert pull(f"/v2/a/b/blobs/{DIGEST}", *fields).ranges == expected


def test_nine_hundred_ranges_in_one_header_are_one_list() -> None:
    line = b"bytes=" + b",".join(b"%d-%d" % (i * 10, i * 10 + 5) for i in range(900))
    assert len(pull(f"/v2/a/b/blobs/{DIGEST}", (b"range", line)).ranges) == 900


def test_range_is_for_get_of_blobs_only() -> None:
    field = (b"range", b"bytes=0-")
    assert pull(f"/v2/a/b/blobs/{DIGEST}", field, method=b"HEAD").ranges == ()
    assert pull(f"/v2/a/b/manifests/{DIGEST}", field).ranges == ()
    assert pull("/v2/a/b/tags/list", field).ranges == ()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b'"a", W/"b,c"', b"*"], ('"a"', 'W/"b,c"', "*")),
        ([DIGEST.encode()], (DIGEST,)),
        ([f'"{DIGEST}"'.encode()], (f'"{DIGEST}"',)),
        ([b""], ()),
        ([b'"open'], ("open",)),
    ],
)
def test_if_none_match_is_taken_apart(lines: list[bytes], expected: tuple[str, ...]) -> None:
    fields = [(b"If-None-Match", line) for line in lines]
    assert pull(f"/v2/a/b/blobs/{DIGEST}", *fields).if_none_match == expected


def test_if_range() -> None:
    field = (b"If-Range", b'"a"')
    assert pull(f"/v2/a/b/blobs/{DIGEST}", field).if_range == '"a"'
    assert pull(f"/v2/a/b/blobs/{DIGEST}", field, field).if_range == '"a", "a"'
    assert pull(f"/v2/a/b/blobs/{DIGEST}").if_range is None


def test_http_1_0_does_not_understand_chunks() -> None:
    said = route("/v2/a/b/tags/list", version=b"1.0")
    assert isinstance(said, Pull)
    assert not said.chunked


def test_authorization_of_the_client_changes_nothing() -> None:
    field = (b"authorization", b"Basic YWxpY2U6czNjcmV0")
    assert pull("/v2/a/b/manifests/x", field) == pull("/v2/a/b/manifests/x")


def test_equal_names_of_two_upstreams_stay_apart() -> None:
    assert repository("/v2/a/b/manifests/x?ns=ghcr.io") != repository("/v2/a/b/manifests/x")


WORDS = ["/", "v2", "/v2/", "a", "blobs", "manifests", "tags", "list", "referrers", "_catalog"]
WORDS += ["ghcr.io", "..", "%2F", "%00", "?", "ns=", "n=1", "&", DIGEST, "latest", ":", "http://h"]
NAMES = [b"host", b"accept", b"range", b"if-none-match", b"if-range", b"x"]
FIELDS = st.lists(st.tuples(st.sampled_from(NAMES), st.binary(max_size=20)), max_size=4)


@given(
    st.sampled_from([b"GET", b"HEAD", b"PUT", b"\xff"]),
    st.lists(st.sampled_from(WORDS), max_size=9).map("".join) | st.text(max_size=30),
    FIELDS,
    st.sampled_from([b"1.0", b"1.1"]),
)
def test_whatever_is_asked_is_answered(
    method: bytes, target: str, headers: Headers, version: bytes
) -> None:
    said = ROUTER.route(method, target.encode(), headers, version)
    if isinstance(said, Reply):
        assert said.status in (200, 400, 404, 405)
    elif not isinstance(said.target, Catalog):
        assert is_name(said.target.repository.name)
        assert said.target.repository.upstream in SITES


@given(st.lists(st.from_regex(r"[a-z0-9]{1,9}(-[a-z0-9]{1,9})?", fullmatch=True), min_size=2))
def test_every_name_comes_back_as_asked(parts: list[str]) -> None:
    name = "/".join(parts[:12])
    for ending, content in ((f"blobs/{DIGEST}", BLOB), (f"manifests/{DIGEST}", MANIFEST)):
        asked = pull(f"/v2/{name}/{ending}").target
        assert asked == ByDigest(Repository("docker.io", name), content)


@given(
    st.sampled_from([b"GET", b"HEAD"]),
    st.sampled_from([f"/v2/a/blobs/{DIGEST}", f"/v2/a/manifests/{DIGEST}", "/v2/a/tags/list"]),
    st.lists(st.sampled_from([b"bytes=0-1", b"bytes=5-", b"bytes=0-1,3-4", b"x"]), max_size=2),
    st.lists(st.sampled_from([b"bytes=0-1", b"bytes=-3", b"bytes=9-2"]), max_size=2),
)
def test_the_part_asked_for_before_does_not_matter(
    method: bytes, path: str, before: list[bytes], wanted: list[bytes]
) -> None:
    def asked(router: Router, parts: list[bytes]) -> Pull | Reply:
        fields = ((b"host", b"h"), *((b"range", part) for part in parts))
        return router.route(method, path.encode(), fields, b"1.1")

    router = Router(SITES, "docker.io")
    asked(router, before)
    assert asked(router, wanted) == asked(Router(SITES, "docker.io"), wanted)
