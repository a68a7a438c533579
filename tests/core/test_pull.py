"""A client's question as a value."""

import pytest
from attrs.exceptions import FrozenInstanceError

from distcache.core.oci import Content, Digest, Kind, Repository
from distcache.core.pull import ByDigest, Catalog, Method, Pull, RangeSpec, Span, digest_of_etag

D = Digest("sha256:" + "0" * 64)
BLOB = ByDigest(Repository("docker.io", "library/app"), Content(Kind.BLOB, D))


@pytest.mark.parametrize("tag", [f'"{D}"', f'W/"{D}"', D])
def test_the_digest_is_found_in_each_spelling_of_our_entity_tag(tag: str) -> None:
    assert digest_of_etag(tag) == D


def test_another_entity_tag_is_not_taken_for_a_digest() -> None:
    assert digest_of_etag(f'w/"{D}"') != D
    assert digest_of_etag('"5d8c72a5edda8"') == "5d8c72a5edda8"


def test_questions_that_differ_in_anything_are_different() -> None:
    pulls = {
        Pull(Method.GET, BLOB),
        Pull(Method.HEAD, BLOB),
        Pull(Method.GET, Catalog()),
        Pull(Method.GET, Catalog(5)),
        Pull(Method.GET, BLOB, (RangeSpec(0, None),)),
        Pull(Method.GET, BLOB, (RangeSpec(None, 0),)),
        Pull(Method.GET, BLOB, if_none_match=("*",)),
        Pull(Method.GET, BLOB, if_range=D),
        Pull(Method.GET, BLOB, chunked=False),
        Pull(Method.GET, BLOB, namespace="docker.io"),
    }
    assert len(pulls) == 10
    assert Pull(Method.GET, BLOB) in pulls


def test_a_question_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Pull(Method.GET, BLOB).method = Method.HEAD  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        Span(0, 1).stop = 2  # type: ignore[misc]
