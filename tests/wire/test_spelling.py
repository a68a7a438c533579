import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcache.wire.spelling import NAME_LIMIT, digest, is_name, is_tag
from tests.wire.samples import DIGEST, HEX, LONG

PART = st.from_regex(r"[a-z0-9]{1,9}((\.|_|__|-{1,5})[a-z0-9]{1,9})?", fullmatch=True)


@given(st.lists(PART, min_size=1, max_size=16))
def test_names_have_any_depth(parts: list[str]) -> None:
    name = "/".join(parts)
    assert is_name(name) == (len(name) <= NAME_LIMIT)


@pytest.mark.parametrize("name", ["a", "a__b/c-d/e.f/g---h", "1/blobs/manifests/tags/list"])
def test_separators_stand_between_letters(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name", ["", "A", "a/", "/a", "a//b", "a___b", "a..b", "a._b", "-a", "a-", "a:5", "é", "a\n"]
)
def test_other_names_are_refused(name: str) -> None:
    assert not is_name(name)


def test_a_name_has_at_most_255_characters() -> None:
    assert is_name("a" * 255)
    assert not is_name("a" * 256)


@pytest.mark.parametrize(
    ("tag", "good"),
    [
        ("latest", True),
        ("_3.4-X", True),
        ("a" * 128, True),
        (f"sha256-{HEX}", True),
        ("a" * 129, False),
        ("-a", False),
        (".a", False),
        ("", False),
        ("a\n", False),
        ("a:b", False),
    ],
)
def test_tags(tag: str, good: bool) -> None:
    assert is_tag(tag) is good


def test_another_algorithm_than_sha256_is_legal() -> None:
    assert digest(DIGEST) == DIGEST
    assert digest(LONG) == LONG


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        HEX,
        f"sha256:{HEX[:-1]}",
        f"sha256:{HEX.upper()}",
        f"sha256:{HEX}\n",
        f"sha256:{HEX}/x",
        f"sha512:{HEX}",
        f"sha384:{HEX}",
        f"SHA256:{HEX}",
        f"md5:{HEX[:32]}",
    ],
)
def test_what_cannot_be_verified_is_no_digest(text: str) -> None:
    assert digest(text) is None
