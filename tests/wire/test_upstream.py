import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from distcache.core.effects import UpstreamRequest
from distcache.core.events import Challenge, Location, Secret, UpstreamHead
from distcache.core.oci import (
    DOCKER_MANIFEST,
    MANIFEST_TYPES,
    OCI_INDEX,
    Content,
    Kind,
    Reference,
    ReferrersRef,
    Repository,
    TagRef,
    TagsRef,
)
from distcache.core.pull import Method
from distcache.wire.challenge import Credentials
from distcache.wire.headers import Headers
from distcache.wire.outgoing import USER_AGENT, HttpRequest
from distcache.wire.sites import UpstreamSite
from distcache.wire.upstream import ALL_MANIFESTS, CODED, head, request
from distcache.wire.urls import Url
from tests.wire.samples import BLOB, DIGEST, HUB, LOCAL, MANIFEST, NOON, OTHER, REPOSITORY

CREDENTIALS = Credentials("alice", "s3cret")
GET_BLOB = UpstreamRequest(Method.GET, REPOSITORY, BLOB)
GET_TAGS = UpstreamRequest(Method.GET, Repository("docker.io", "a"), TagsRef(REPOSITORY))
CDN = Location("https://cdn.example.com/x?sig=a%2Fb", same_origin=False)


def sent(asked: UpstreamRequest, site: UpstreamSite = HUB) -> HttpRequest:
    return request(site, asked, CREDENTIALS)


def fields(asked: UpstreamRequest) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in sent(asked).headers}


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        (BLOB, f"blobs/{DIGEST}"),
        (MANIFEST, f"manifests/{DIGEST}"),
        (TagRef(REPOSITORY, "3.20"), "manifests/3.20"),
        (TagsRef(REPOSITORY), "tags/list"),
        (ReferrersRef(REPOSITORY, DIGEST), f"referrers/{DIGEST}"),
        (
            ReferrersRef(REPOSITORY, DIGEST, "application/x+y"),
            f"referrers/{DIGEST}?artifactType=application%2Fx%2By",
        ),
    ],
)
def test_paths(resource: Reference | Content, path: str) -> None:
    asked = UpstreamRequest(Method.GET, REPOSITORY, resource)
    assert sent(asked).url == Url(
        "https", "registry-1.docker.io", 443, f"/v2/library/alpine/{path}"
    )


def test_the_path_prefix_of_the_upstream_comes_first() -> None:
    asked = UpstreamRequest(Method.HEAD, Repository(LOCAL.key, "a"), BLOB)
    assert sent(asked, LOCAL).url.target == f"/mirror/v2/a/blobs/{DIGEST}"
    assert sent(asked, LOCAL).method == "HEAD"


def test_no_content_coding_is_asked_for() -> None:
    assert fields(GET_BLOB) == {
        "Host": "registry-1.docker.io",
        "User-Agent": USER_AGENT,
        "Accept": "*/*",
        "Accept-Encoding": "identity",
    }


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (TagRef(REPOSITORY, "x"), ALL_MANIFESTS),
        (MANIFEST, ALL_MANIFESTS),
        (TagRef(REPOSITORY, "x", (DOCKER_MANIFEST,)), DOCKER_MANIFEST),
        (TagRef(REPOSITORY, "x", ("a/b", "c/d")), "a/b, c/d"),
        (TagsRef(REPOSITORY), "application/json"),
        (ReferrersRef(REPOSITORY, DIGEST), OCI_INDEX),
    ],
)
def test_manifests_are_asked_for_with_every_type(
    resource: Reference | Content, expected: str
) -> None:
    for method in Method:
        assert fields(UpstreamRequest(method, REPOSITORY, resource))["Accept"] == expected
    assert set(MANIFEST_TYPES) < set(ALL_MANIFESTS.split(", "))


def test_a_fill_resumes_where_it_is() -> None:
    assert fields(evolve(GET_BLOB, offset=4096))["Range"] == "bytes=4096-"
    assert "Range" not in fields(GET_BLOB)


def test_an_entity_tag_is_a_validator() -> None:
    assert fields(evolve(GET_BLOB, etag='W/"x"'))["If-None-Match"] == 'W/"x"'
    assert "If-None-Match" not in fields(evolve(GET_BLOB, etag="x\r\nY: z"))


def test_authorization() -> None:
    bearer = fields(evolve(GET_BLOB, authorization=Secret("t.o.k")))
    assert bearer["Authorization"] == "Bearer t.o.k"
    basic = fields(evolve(GET_BLOB, authorization=True))
    assert basic["Authorization"] == CREDENTIALS.basic()
    assert "Authorization" not in fields(evolve(GET_BLOB, authorization=False))
    assert "Authorization" not in fields(GET_BLOB)
    anonymous = request(HUB, evolve(GET_BLOB, authorization=True), None)
    assert b"Authorization" not in dict(anonymous.headers)


def test_a_redirect_replaces_the_url_and_loses_the_authorization() -> None:
    there = sent(evolve(GET_BLOB, location=CDN, offset=5))
    assert there.url == Url("https", "cdn.example.com", 443, "/x?sig=a%2Fb")
    assert dict(there.headers)[b"Host"] == b"cdn.example.com"
    assert dict(there.headers)[b"Range"] == b"bytes=5-"
    assert b"Authorization" not in dict(there.headers)


@pytest.mark.parametrize("authorization", [True, Secret("t")])
@pytest.mark.parametrize("claimed", [True, False])
def test_authorization_never_leaves_its_origin(authorization: Secret | bool, claimed: bool) -> None:
    asked = evolve(GET_BLOB, authorization=authorization, location=evolve(CDN, same_origin=claimed))
    with pytest.raises(AssertionError):
        sent(asked)


def test_authorization_stays_within_the_origin() -> None:
    near = Location("https://registry-1.docker.io/elsewhere", same_origin=True)
    asked = evolve(GET_BLOB, authorization=Secret("t"), location=near)
    assert dict(sent(asked).headers)[b"Authorization"] == b"Bearer t"


def got(
    status: int,
    *headers: tuple[str, str],
    method: Method = Method.GET,
    site: UpstreamSite = HUB,
    asked: UpstreamRequest = GET_BLOB,
) -> UpstreamHead:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return head(site, request(site, evolve(asked, method=method), None), status, raw, NOON)


def test_a_whole_body() -> None:
    assert got(
        200,
        ("Content-Length", "100"),
        ("Content-Type", "application/x.layer; a=b"),
        ("Docker-Content-Digest", DIGEST),
        ("ETag", '"e"'),
    ) == UpstreamHead(200, 100, 0, 100, DIGEST, "application/x.layer", '"e"')


@pytest.mark.parametrize(
    "kind", ["application/json", "application/octet-stream", "text/plain; charset=utf-8", "x"]
)
def test_a_generic_type_is_no_type(kind: str) -> None:
    assert got(200, ("Content-Type", kind)).media_type is None


def test_nothing_said_is_nothing_known() -> None:
    assert got(200) == UpstreamHead(200)


@pytest.mark.parametrize(
    ("value", "start", "size"),
    [
        ("bytes 5-99/100", 5, 100),
        ("bytes 5-99/*", 5, None),
        ("bytes 0-0/1", 0, 1),
        ("5-99/100", 0, None),
        ("bytes 5-/100", 0, None),
        ("bytes -5/100", 0, None),
        (f"bytes {'9' * 30}-{'9' * 30}/*", 0, None),
        ("", 0, None),
    ],
)
def test_a_part_says_where_it_starts(value: str, start: int, size: int | None) -> None:
    said = got(206, ("Content-Range", value), ("Content-Length", "95"))
    assert (said.start, said.size, said.length) == (start, size, 95)


def test_416_tells_the_size() -> None:
    assert got(416, ("Content-Range", "bytes */100")).size == 100


def test_a_content_range_on_200_means_nothing() -> None:
    assert got(200, ("Content-Range", "bytes 5-9/10")) == UpstreamHead(200)


@pytest.mark.parametrize("lengths", [["5", "6"], ["-5"], ["5.0"], ["9" * 30], ["\xb2"], [""]])
def test_a_length_that_is_none_is_not_said(lengths: list[str]) -> None:
    assert got(200, *(("Content-Length", length) for length in lengths)).length is None


@pytest.mark.parametrize("digest", ["", "sha256:zz", DIGEST.upper(), f"{DIGEST}, {DIGEST}"])
def test_a_malformed_digest_is_not_said(digest: str) -> None:
    assert got(200, ("Docker-Content-Digest", digest)).digest is None


def test_contradicting_digests_are_not_said() -> None:
    said = got(200, ("Docker-Content-Digest", DIGEST), ("Docker-Content-Digest", OTHER))
    assert said.digest is None


def test_the_unquoted_entity_tag_of_docker_registry_is_kept() -> None:
    assert got(200, ("Etag", DIGEST)).etag == DIGEST
    assert got(200, ("Etag", "\xe9")).etag is None


@pytest.mark.parametrize("coding", ["gzip", "GZIP, identity", "zstd", "br"])
def test_a_coded_body_is_a_broken_answer(coding: str) -> None:
    fields = ("Content-Encoding", coding), ("Content-Length", "50")
    assert got(200, *fields) == UpstreamHead(CODED)
    assert got(206, *fields) == UpstreamHead(CODED)


def test_a_coded_head_says_no_length_but_the_rest() -> None:
    said = got(
        200,
        ("Content-Encoding", "gzip"),
        ("Content-Length", "50"),
        ("Docker-Content-Digest", DIGEST),
        method=Method.HEAD,
    )
    assert said == UpstreamHead(200, digest=DIGEST)


def test_coding_matters_in_content_only() -> None:
    assert got(404, ("Content-Encoding", "gzip")).status == 404
    assert got(200, ("Content-Encoding", "identity"), ("Content-Length", "5")).length == 5


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://cdn.example.com/x", Location("https://cdn.example.com/x", False, True)),
        ("/other", Location("https://registry-1.docker.io/other", True, True)),
        (
            "https://registry-1.docker.io:8443/x",
            Location("https://registry-1.docker.io:8443/x", False, True),
        ),
        (f"?{'x' * 9}", Location(f"https://registry-1.docker.io/v2/library/alpine/blobs/{DIGEST}"
                                 f"?{'x' * 9}", True, True)),
        ("http://registry-1.docker.io/x", Location("http://registry-1.docker.io/x", False, False)),
        ("https://127.0.0.1/x", Location("https://127.0.0.1/x", False, False)),
        ("https://localhost/x", Location("https://localhost/x", False, False)),
        ("https://169.254.169.254/x", Location("https://169.254.169.254/x", False, False)),
        ("ftp://cdn.example.com/x", None),
        ("https://u:p@cdn.example.com/", None),
        ("", None),
    ],
)  # fmt: skip
def test_where_redirects_lead(value: str, expected: Location | None) -> None:
    assert got(307, ("Location", value)).location == expected


def test_the_operator_may_allow_private_redirects() -> None:
    site = evolve(HUB, allow_private_redirects=True)
    said = got(307, ("Location", "https://10.0.0.1/x"), site=site).location
    assert said == Location("https://10.0.0.1/x", False, True)


def test_a_local_upstream_may_redirect_within_its_kind() -> None:
    said = got(307, ("Location", "http://127.0.0.1:5555/b"), site=LOCAL).location
    assert said == Location("http://127.0.0.1:5555/b", False, True)


def test_away_from_the_upstream_nothing_is_the_same_origin() -> None:
    asked = request(HUB, evolve(GET_BLOB, location=CDN), None)
    said = head(HUB, asked, 307, [(b"location", b"/again")], NOON).location
    assert said == Location("https://cdn.example.com/again", False, True)


def test_a_challenge() -> None:
    said = got(401, ("WWW-Authenticate", 'Bearer realm="https://auth.docker.io/t",service="s"'))
    assert said.challenges == (Challenge(True, "https://auth.docker.io/t", "s"),)


def test_a_limit_says_how_long() -> None:
    assert got(429, ("Retry-After", "30")).retry_after == 30
    assert got(429, ("Retry-After", "Sun, 06 Nov 1994 08:50:37 GMT")).retry_after == 60


HERE = "https://registry-1.docker.io"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (['</v2/a/tags/list?n=2&last=x>; rel="next"'], f"{HERE}/v2/a/tags/list?n=2&last=x"),
        (["<?next_page=opaque%3D>; rel=next"], f"{HERE}/v2/a/tags/list?next_page=opaque%3D"),
        ([f'<{HERE}/p>;title="a,b" ; Rel="x NEXT"'], f"{HERE}/p"),
        (['</p?n=1>; rel="prev", </p?n=2>; rel="next"'], f"{HERE}/p?n=2"),
        (['</p?n=1>; rel="prev"', '</p?n=2>; rel="next"'], f"{HERE}/p?n=2"),
        (['</p?n=1>; rel="prev"'], None),
        (["</p?n=1>"], None),
        (['/p?n=1; rel="next"'], None),
        ([], None),
    ],
)  # fmt: skip
def test_the_next_page_is_where_the_link_leads(lines: list[str], expected: str | None) -> None:
    said = got(200, *(("Link", line) for line in lines), asked=GET_TAGS).next_page
    assert said == (None if expected is None else Location(expected, True))


@pytest.mark.parametrize(
    "link",
    [
        "https://elsewhere.io/v2/a/tags/list?n=2",
        "http://registry-1.docker.io/v2/a/tags/list?n=2",
        "https://registry-1.docker.io:444/",
        "ftp://x/",
        "https://[",
        "/a\tb",
    ],
)
def test_a_next_page_elsewhere_is_not_allowed(link: str) -> None:
    said = got(200, ("Link", f'<{link}>; rel="next"'), asked=GET_TAGS).next_page
    assert said is not None
    assert not said.allowed


def test_pages_of_a_list_that_was_redirected_are_where_it_was_found() -> None:
    there = evolve(GET_TAGS, location=Location("https://cdn.io/tags", same_origin=False))
    said = got(200, ("Link", '<?p=2>; rel="next"'), asked=there).next_page
    assert said == Location("https://cdn.io/tags?p=2", same_origin=False)
    home = got(200, ("Link", f'<{HERE}/p>; rel="next"'), asked=there).next_page
    assert home == Location(f"{HERE}/p", same_origin=True)


def test_filters() -> None:
    assert got(200, ("OCI-Filters-Applied", "artifactType")).filters == "artifactType"
    assert got(200, ("oci-filters-applied", "\xe9")).filters is None
    assert got(200).filters is None


NAMES = [b"content-length", b"content-range", b"location", b"link", b"www-authenticate", b"etag"]
NAMES += [b"content-type", b"content-encoding", b"retry-after", b"docker-content-digest", b"x"]
VALUES = st.binary(max_size=30) | st.sampled_from(
    [
        b"bytes 1-2/3",
        b"https://[::1",
        b"https://x:99999/",
        b"http://\xff/",
        b"//",
        b"?",
        b"Basic",
        b'Bearer realm="https://[/"',
        b"<?n=>; rel=next",
        b"gzip",
        b"a/b",
        b"5",
        b"\r\n",
    ]
)


@given(
    st.integers(100, 599),
    st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=6),
    st.sampled_from(Method),
)
def test_no_head_is_too_odd(status: int, headers: Headers, method: Method) -> None:
    asked = request(HUB, UpstreamRequest(method, REPOSITORY, Content(Kind.BLOB, DIGEST)), None)
    said = head(HUB, asked, status, headers, NOON)
    hash(said)
    if said.location is not None:
        sent(evolve(GET_BLOB, location=said.location))
    if said.next_page is not None:
        hash(said.next_page)
        if said.next_page.allowed:
            tags = UpstreamRequest(Method.GET, REPOSITORY, TagsRef(REPOSITORY))
            assert sent(evolve(tags, location=said.next_page)).url.origin == HUB.url.origin
