import json

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from distcache.core.decision import HIT, Decision, Fwd, Outcome
from distcache.core.effects import AnswerHead, Code, Problem
from distcache.core.oci import (
    OCI_INDEX,
    Content,
    Descriptor,
    Digest,
    Kind,
    Listed,
    ReferrersRef,
    TagRef,
    TagsRef,
)
from distcache.core.pull import ByDigest, Catalog, Method, Pull, Span
from distcache.wire.answers import Answer, answer, cache_status, reply
from distcache.wire.replies import PING, Reply, refusal
from tests.wire.samples import BLOB, DIGEST, GET_BLOB, MANIFEST, NOON, REPOSITORY

LAYER = Descriptor(BLOB, 100, "application/x.layer")
INDEX = Descriptor(MANIFEST, 100, OCI_INDEX)
WHOLE = AnswerHead(200, HIT, 100, LAYER)
GET_TAG = Pull(Method.GET, TagRef(REPOSITORY, "latest"))
GET_TAGS = Pull(Method.GET, TagsRef(REPOSITORY))
PATH = f"/v2/docker.io/library/alpine/blobs/{DIGEST}?ns=docker.io"


def fields(said: Answer) -> dict[str, str]:
    names = [name for name, _ in said.headers]
    assert len(names) == len(set(names)), "no field twice"
    return {name.decode(): value.decode() for name, value in said.headers}


def headers(head: AnswerHead, pull: Pull = GET_BLOB, target: str = PATH) -> dict[str, str]:
    return fields(answer(head, pull, target, NOON))


def test_a_blob() -> None:
    assert headers(WHOLE) == {
        "Docker-Distribution-Api-Version": "registry/2.0",
        "Date": "Sun, 06 Nov 1994 08:49:37 GMT",
        "X-Content-Type-Options": "nosniff",
        "Content-Length": "100",
        "Docker-Content-Digest": DIGEST,
        "ETag": f'"{DIGEST}"',
        "Content-Type": "application/x.layer",
        "Accept-Ranges": "bytes",
        "Location": PATH,
        "Cache-Status": "distcache; hit",
    }


def test_a_manifest_has_exactly_its_own_type_and_no_ranges() -> None:
    said = headers(AnswerHead(200, HIT, 100, INDEX, age=5), GET_TAG)
    assert said["Content-Type"] == OCI_INDEX
    assert said["Age"] == "5"
    assert "Accept-Ranges" not in said
    assert "Location" not in said


def test_head_tells_the_length_of_the_get() -> None:
    assert headers(WHOLE, evolve(GET_BLOB, method=Method.HEAD)) == headers(WHOLE)


def test_a_part_says_which() -> None:
    said = headers(AnswerHead(206, HIT, 10, LAYER, size=100, span=Span(5, 15)))
    assert said["Content-Range"] == "bytes 5-14/100"
    assert said["Content-Length"] == "10"
    assert said["Accept-Ranges"] == "bytes"


def test_a_part_of_content_of_unknown_size() -> None:
    said = headers(AnswerHead(206, HIT, None, LAYER, span=Span(5, 15)))
    assert said["Content-Range"] == "bytes 5-14/*"
    assert "Content-Length" not in said


def test_416_tells_the_size() -> None:
    problem = Problem(416, Code.SIZE_INVALID, "outside")
    said = headers(AnswerHead(416, HIT, 0, LAYER, size=100, problem=problem))
    assert said["Content-Range"] == "bytes */100"
    assert said["Content-Type"] == "application/json"


def test_304_has_entity_tag_and_digest_and_neither_body_nor_length() -> None:
    said = headers(AnswerHead(304, HIT, 0, INDEX), GET_TAG)
    assert said["ETag"] == f'"{DIGEST}"'
    assert said["Docker-Content-Digest"] == DIGEST
    assert "Content-Length" not in said
    assert "Content-Type" not in said


@pytest.mark.parametrize("status", [401, 404, 429, 502, 503])
def test_errors_are_oci_json_on_every_status(status: int) -> None:
    problem = Problem(status, Code.TOOMANYREQUESTS, "slow down", retry_after=30)
    decision = Decision(Outcome.FWD, Fwd.URI_MISS, status)
    said = answer(AnswerHead(status, decision, problem=problem), GET_TAG, "/", NOON)
    assert json.loads(said.body or b"") == {
        "errors": [{"code": "TOOMANYREQUESTS", "message": "slow down"}]
    }
    assert fields(said)["Content-Type"] == "application/json"
    assert fields(said)["Content-Length"] == str(len(said.body or b""))
    assert fields(said)["Retry-After"] == "30"
    assert fields(said)["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert fields(said)["Cache-Status"] == f"distcache; fwd=uri-miss; fwd-status={status}"
    assert "WWW-Authenticate" not in fields(said)


def test_the_namespace_is_given_back_only_when_sent() -> None:
    assert headers(WHOLE, evolve(GET_BLOB, namespace="docker.io"))["OCI-Namespace"] == "docker.io"
    assert "OCI-Namespace" not in headers(WHOLE)


@pytest.mark.parametrize(
    ("decision", "expected"),
    [
        (HIT, "distcache; hit"),
        (Decision(Outcome.HIT, ttl=30), "distcache; hit; ttl=30"),
        (
            Decision(Outcome.FWD, Fwd.STALE, 200, True, True, -12, True),
            "distcache; fwd=stale; fwd-status=200; ttl=-12; stored; collapsed"
            "; detail=stale-if-error",
        ),
        (Decision(Outcome.HIT, cooling=True), "distcache; hit; detail=cool-down"),
        (
            Decision(Outcome.FWD, Fwd.STALE, 200, cooling=True),
            "distcache; fwd=stale; fwd-status=200; detail=cool-down",
        ),
        *((Decision(Outcome.FWD, why), f"distcache; fwd={why.value}") for why in Fwd),
    ],
)
def test_cache_status(decision: Decision, expected: str) -> None:
    assert cache_status(decision) == expected


@pytest.mark.parametrize(
    ("target", "namespace", "expected"),
    [
        ("/v2/a/tags/list?n=2", None, '</v2/a/tags/list?n=2&last=x>; rel="next"'),
        ("/v2/ghcr.io/a/tags/list", None, '</v2/ghcr.io/a/tags/list?n=2&last=x>; rel="next"'),
        ("/v2/a/tags/list", "ghcr.io", '</v2/a/tags/list?n=2&last=x&ns=ghcr.io>; rel="next"'),
    ],
)
def test_the_next_page_is_on_our_own_path(
    target: str, namespace: str | None, expected: str
) -> None:
    head = AnswerHead(200, HIT, tags=("a", "x"), more=True)
    assert headers(head, evolve(GET_TAGS, namespace=namespace), target)["Link"] == expected


def test_a_list_of_tags_is_written_with_its_repository_s_own_name() -> None:
    head = AnswerHead(200, HIT, tags=("1", "1.2"), age=5)
    said = answer(head, GET_TAGS, "/v2/alpine/tags/list", NOON)
    assert said.body == b'{"name":"library/alpine","tags":["1","1.2"]}\n'
    assert fields(said)["Content-Length"] == str(len(said.body))
    assert fields(said)["Content-Type"] == "application/json"
    assert fields(said)["Age"] == "5"
    assert not {"Link", "ETag", "Docker-Content-Digest"} & fields(said).keys()
    assert fields(answer(head, evolve(GET_TAGS, method=Method.HEAD), "/", NOON)) == fields(said)


def test_an_empty_page_of_tags_is_a_list_all_the_same() -> None:
    said = answer(AnswerHead(200, HIT, tags=()), GET_TAGS, "/v2/alpine/tags/list?n=0", NOON)
    assert said.body == b'{"name":"library/alpine","tags":[]}\n'
    assert "Link" not in fields(said)


def test_referrers_tell_which_filters_were_applied() -> None:
    pull = Pull(Method.GET, ReferrersRef(REPOSITORY, DIGEST, "a/b"))
    listed = Listed(filters="artifactType")
    said = headers(AnswerHead(200, HIT, 9, INDEX, listed=listed), pull)
    assert said["OCI-Filters-Applied"] == "artifactType"
    assert said["Content-Type"] == OCI_INDEX
    assert "Link" not in said


@pytest.mark.parametrize(
    ("url", "artifact_type", "namespace", "query"),
    [
        ("https://up/v2/x/referrers/d?next=a%2Fb", None, None, "next=a%2Fb"),
        ("https://up/x?artifactType=a%2Fb&p=2", "a/b", None, "artifactType=a%2Fb&p=2"),
        ("https://up/x?p=2&ns=other", "a/b", "ghcr.io", "artifactType=a%2Fb&p=2&ns=ghcr.io"),
        ("https://up/x?artifactType=a%2Fb", "a/b", None, None),
        ("https://up/x", None, None, None),
    ],
)
def test_the_next_page_of_referrers_is_asked_for_with_upstream_s_own_words(
    url: str, artifact_type: str | None, namespace: str | None, query: str | None
) -> None:
    pull = Pull(Method.GET, ReferrersRef(REPOSITORY, DIGEST, artifact_type), namespace=namespace)
    head = AnswerHead(200, HIT, 9, INDEX, listed=Listed(next_page=url))
    said = headers(head, pull, "/v2/x/referrers/d?p=1")
    link = f'</v2/x/referrers/d?{query}>; rel="next"'
    assert said.get("Link") == (None if query is None else link)


def test_a_catalog_goes_on_after_its_last_repository() -> None:
    pull = Pull(Method.GET, Catalog(2))
    head = AnswerHead(200, HIT, repositories=("b/c", "a"), more=True)
    said = answer(head, pull, "/v2/_catalog?n=2", NOON)
    assert said.body == b'{"repositories":["a","b/c"]}\n'
    assert fields(said)["Link"] == '</v2/_catalog?n=2&last=b%2Fc>; rel="next"'
    assert fields(said)["Content-Length"] == str(len(said.body))
    assert "Link" not in headers(evolve(head, more=False), pull)
    assert "Link" not in headers(evolve(head, repositories=()), pull)


def test_a_reply_is_complete() -> None:
    said = reply(PING, NOON)
    assert said.body == b"{}"
    assert fields(said)["Content-Length"] == "2"
    assert fields(said)["Date"] == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert fields(said)["Docker-Distribution-Api-Version"] == "registry/2.0"
    refused = reply(refusal(405, Code.UNSUPPORTED, "no", ("Allow", "GET, HEAD")), NOON)
    assert fields(refused)["Allow"] == "GET, HEAD"
    assert "Content-Type" not in fields(reply(Reply(200), NOON))


NASTY = st.sampled_from(["a\r\nX: y", "a\nb", "a\x00", "\u00e9", "a>b", "ok", "", " "]) | st.text(
    max_size=8
)


TARGETS = st.sampled_from([GET_BLOB.target, TagsRef(REPOSITORY), Catalog(1)]) | NASTY.map(
    lambda kind: ReferrersRef(REPOSITORY, DIGEST, kind)
)


@given(NASTY, NASTY, NASTY, NASTY, NASTY, TARGETS, st.sampled_from([200, 206, 304, 416]))
def test_no_value_can_split_the_header(
    media_type: str,
    namespace: str,
    next_page: str,
    filters: str,
    target: str,
    asked: ReferrersRef | TagsRef | Catalog | ByDigest,
    status: int,
) -> None:
    described = Descriptor(Content(Kind.BLOB, Digest(media_type)), 1, media_type)
    listed = Listed(filters, f"https://up/?{next_page}")
    head = AnswerHead(status, HIT, 1, described, 1, Span(0, 1), listed=listed, more=True)
    if isinstance(asked, TagsRef):
        head = evolve(head, tags=(next_page,))
    elif isinstance(asked, Catalog):
        head = evolve(head, repositories=(next_page,))
    pull = Pull(Method.GET, asked, namespace=namespace)
    for name, value in answer(head, pull, target, NOON).headers:
        text = value.decode("ascii")
        assert text.isprintable(), name
        assert text.strip(), name
