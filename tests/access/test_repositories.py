import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcache.access.repositories import Patterns

NAMES = st.from_regex(r"[a-z0-9]{1,3}(/[a-z0-9]{1,3}){0,3}", fullmatch=True)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("library/alpine", "library/alpine", True),
        ("library/alpine", "library/alpine2", False),
        ("library/alpine", "a/library/alpine", False),
        ("library/*", "library/alpine", True),
        ("library/*", "library/a/b", False),
        ("library/*", "library", False),
        ("acme/**", "acme/a/b", True),
        ("acme/**", "acme", False),
        ("**", "anything/at/all", True),
        ("**/app", "a/b/app", True),
        ("*", "single", True),
        ("*", "two/parts", False),
        ("a.b/c", "axb/c", False),
        ("team-*/app", "team-one/app", True),
        ("a*b", "ab", True),
    ],
)
def test_patterns(pattern: str, name: str, expected: bool) -> None:
    assert Patterns(allow=(pattern,)).admits(name) is expected
    assert Patterns(deny=(pattern,)).admits(name) is not expected


def test_nothing_said_admits_everything_and_denial_comes_first() -> None:
    assert Patterns().admits("a/b")
    patterns = Patterns(allow=("acme/**", "library/*"), deny=("acme/secret/**",))
    assert patterns.admits("acme/app")
    assert patterns.admits("library/alpine")
    assert not patterns.admits("acme/secret/app")
    assert not patterns.admits("other/app")


@pytest.mark.parametrize(
    "pattern", ["", "/a", "a/", "a//b", "Upper", "a b", "(a)", "[a]", "a" * 256]
)
def test_what_can_be_no_name_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="must be a repository's name"):
        Patterns(allow=(pattern,))
    with pytest.raises(ValueError, match="must be a repository's name"):
        Patterns(deny=(pattern,))


@given(NAMES, NAMES)
def test_a_name_without_stars_is_itself_only(one: str, other: str) -> None:
    assert Patterns(allow=(one,)).admits(other) is (one == other)
