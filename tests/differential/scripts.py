"""What clients ask: any requests of the reading side, to content that is there or not."""

from attrs import frozen
from hypothesis import strategies as st

from distcache.conformance.content import Content
from distcache.conformance.origin.library import (
    DOCKER_IMAGE,
    DOCKER_LIST,
    IMAGE,
    INDEX,
)

LONGEST = 8
"""Requests of one script."""

ABSENT = "sha256:" + "0123456789abcdef" * 4
REFERENCES = (
    *("absent", ABSENT, "sha512:" + "ab" * 64, "sha256:abc", "md5:" + "0" * 32),
    *("a" * 128, "a" * 129, ".hidden", "l%C3%A4test", "sha256:" + "A" * 64),
)
NAMES = ("absent/app", "UPPER/case", "a//b", "-a", "a" * 300, "a/b-", "x__y/z")
OTHER = ("/", "/v1/", "/v2", "/v2//", "/v2/a", "/v2/a/manifests/", "/v2/a/b/uploads")
METHODS = ("GET",) * 6 + ("HEAD",) * 3 + ("DELETE", "PATCH", "OPTIONS")
TYPES = (IMAGE, INDEX, DOCKER_IMAGE, DOCKER_LIST)
EVERY_TYPE = ", ".join(TYPES)
CODINGS = ("identity", "gzip", "zstd;q=1, *;q=0")


@frozen
class Request:
    """`kind` is the word of the API in its path."""

    kind: str
    path: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()

    def field(self, name: str) -> str | None:
        return dict(self.headers).get(name)


def scripts(content: Content) -> st.SearchStrategy[list[Request]]:
    """One client's requests, one after the other."""
    return st.lists(_requests(_targets(content)), min_size=1, max_size=LONGEST)


@st.composite
def _requests(draw: st.DrawFn, targets: st.SearchStrategy[tuple[str, str]]) -> Request:
    kind, path = draw(targets)
    method = draw(st.sampled_from(METHODS))
    headers = {}
    match draw(st.sampled_from(["", "", "coding", "validator", "range"])):
        case "coding":
            headers["Accept-Encoding"] = draw(st.sampled_from(CODINGS))
        case "validator":
            own = f'"{path.rpartition("/")[2]}"'
            given = [own, f"W/{own}", f'"other", {own}', "*", '"other"', own[1:-1]]
            headers["If-None-Match"] = draw(st.sampled_from(given))
        case "range" if kind == "blobs":
            headers["Range"] = draw(RANGES)
    accept = draw(ACCEPTED) if kind == "manifests" else None
    if accept is not None:
        headers["Accept"] = accept
    return Request(kind, path, method, tuple(headers.items()))


def _targets(content: Content) -> st.SearchStrategy[tuple[str, str]]:
    there = sorted(content.tags)
    names = st.sampled_from(there) | st.sampled_from(NAMES)
    digests = sorted({m.digest for m in content.manifests} | {b.digest for b in content.blobs})
    references = st.sampled_from([*digests, *REFERENCES])
    tags = st.sampled_from(sorted({tag for name in there for tag in content.tags[name]}))
    known = [("manifests", one.path) for one in content.manifests]
    known += [("manifests", one.tag_path) for one in content.tagged]
    blobs = [("blobs", one.path) for one in content.blobs]
    return st.one_of(
        st.sampled_from(known),
        st.sampled_from(blobs),
        st.sampled_from(blobs),
        st.builds(lambda n, r: ("manifests", f"/v2/{n}/manifests/{r}"), names, references | tags),
        st.builds(lambda n, r: ("blobs", f"/v2/{n}/blobs/{r}"), names, references),
        st.builds(lambda n, q: ("tags", f"/v2/{n}/tags/list{q}"), names, PAGES),
        st.builds(lambda n, d: ("referrers", f"/v2/{n}/referrers/{d}"), names, references),
        st.builds(lambda q: ("_catalog", f"/v2/_catalog{q}"), PAGES),
        st.just(("ping", "/v2/")),
        st.sampled_from(OTHER).map(lambda path: ("none", path)),
    )


def _pages() -> st.SearchStrategy[str]:
    number = st.integers(0, 9).map(str) | st.sampled_from(["", "-1", "x", "99999999999999999999"])
    last = st.sampled_from(["", "V10", "edge", "latest", "v1", "zz", "%20"])
    return st.one_of(
        st.just(""),
        number.map(lambda n: f"?n={n}"),
        last.map(lambda one: f"?last={one}"),
        st.builds(lambda n, one: f"?n={n}&last={one}", number, last),
    )


def _ranges() -> st.SearchStrategy[str]:
    """Offsets around the ends of what is there: 0, 1, 2, 300 and 70,000 bytes."""
    near = st.integers(0, 3) | st.integers(290, 310) | st.integers(69_990, 70_010)
    one = st.one_of(
        st.builds(lambda a, b: f"{a}-{b}", near, near),
        near.map(lambda a: f"{a}-"),
        near.map(lambda a: f"-{a}"),
    )
    some = st.lists(one, min_size=1, max_size=3).map(lambda found: "bytes=" + ", ".join(found))
    return some | st.sampled_from(["bytes=", "bytes=a-b", "lines=0-1", "bytes 0-1", "Bytes=0-1"])


def _accepted() -> st.SearchStrategy[str | None]:
    some = st.lists(st.sampled_from(TYPES), min_size=1, max_size=3, unique=True).map(", ".join)
    return st.sampled_from([EVERY_TYPE, EVERY_TYPE, None, "*/*", "application/json"]) | some


PAGES = _pages()
RANGES = _ranges()
ACCEPTED = _accepted()
