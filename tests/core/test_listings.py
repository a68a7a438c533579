"""Lists that come in pages, and pages of lists: one after the other they are the list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcache.core.calls import Call
from distcache.core.config import Limits
from distcache.core.events import Location, UpstreamHead
from distcache.core.listings import Coming, begun, may_follow, part
from distcache.core.oci import Listed
from distcache.core.pull import Method, Page
from tests.core.content import APP, REFERRERS, TAGS

SECOND = Location("https://up/tags?page=2", same_origin=True)
AWAY = Location("https://elsewhere/", same_origin=False, allowed=False)

NAMES = st.sets(st.text("abAB1.-_", max_size=3)).map(lambda names: tuple(sorted(names)))


@given(NAMES, st.integers(1, 5))
def test_pages_that_follow_each_other_are_the_whole_list(names: tuple[str, ...], n: int) -> None:
    found: tuple[str, ...] = ()
    more, last = True, None
    while more:
        page, more = part(names, Page(n, last))
        assert len(page) <= n
        assert len(page) == n or not more
        found += page
        last = page[-1] if page else None
    assert found == names


@given(NAMES, st.none() | st.integers(0, 5), st.none() | st.text("abAB1.-_", max_size=3))
def test_a_page_is_what_comes_after_a_name_whether_that_is_there_or_not(
    names: tuple[str, ...], n: int | None, last: str | None
) -> None:
    after = tuple(name for name in names if last is None or name > last)
    assert part(names, Page(n, last)) == (after[:n], n is not None and 0 < n < len(after))


def test_an_entity_tag_is_that_of_a_list_in_one_page() -> None:
    single = begun(Coming(), TAGS, UpstreamHead(200, etag='"e"', filters="x"))
    assert single == Coming(etag='"e"', pages=1)
    first = begun(Coming(), TAGS, UpstreamHead(200, etag='"e"', next_page=SECOND))
    assert first == Coming(pages=1, page=SECOND)
    assert begun(first, TAGS, UpstreamHead(200, etag='"f"')) == Coming(pages=2)


@pytest.mark.parametrize(
    ("filters", "page", "listed"),
    [
        (None, None, None),
        ("artifactType", None, Listed("artifactType")),
        (None, SECOND, Listed(None, SECOND.url)),
        (None, AWAY, None),
    ],
)
def test_a_page_of_referrers_is_a_list_of_its_own(
    filters: str | None, page: Location | None, listed: Listed | None
) -> None:
    head = UpstreamHead(200, etag='"e"', filters=filters, next_page=page)
    assert begun(Coming(5), REFERRERS, head) == Coming(5, '"e"', listed, 1)


def test_pages_are_followed_where_they_may_be_and_lead_on() -> None:
    first = Call(Method.GET, APP, TAGS)
    second = Call(Method.GET, APP, TAGS, page=SECOND)
    limits = Limits(pages=3)
    assert may_follow(Coming(pages=2), SECOND, first, limits)
    assert not may_follow(Coming(pages=3), SECOND, first, limits)
    assert not may_follow(Coming(pages=2), SECOND, second, limits)
    assert not may_follow(Coming(pages=2), AWAY, first, limits)
