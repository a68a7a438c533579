"""Lists that come page by page, and pages of lists.

A list of tags is fetched whole, whatever way upstream divides it, and divided anew for
clients (distribution-spec, Listing Tags). A list of referrers is passed on page by page: its
entries hold more than the cache understands.
"""

from bisect import bisect_right

from attrs import frozen

from .calls import Call
from .config import Limits
from .events import Location, UpstreamHead
from .oci import Listed, Reference, TagsRef
from .pull import Page
from .values import evolve


@frozen
class Coming:
    """A document on its way. `have` bytes of it are in; `etag` and `listed` are what its heads
    said so far; `pages` have begun to come, `page` follows."""

    have: int = 0
    etag: str | None = None
    listed: Listed | None = None
    pages: int = 0
    page: Location | None = None


def begun(coming: Coming, reference: Reference, head: UpstreamHead) -> Coming:
    """A head has come, the document or a page of it follows."""
    pages = coming.pages + 1
    if isinstance(reference, TagsRef):
        # The entity-tag of one page says nothing about the others.
        single = pages == 1 and head.next_page is None
        etag = head.etag if single else None
        return evolve(coming, etag=etag, pages=pages, page=head.next_page)
    following = head.next_page
    link = following.url if following is not None and following.allowed else None
    listed = Listed(head.filters, link) if head.filters or link else None
    return evolve(coming, etag=head.etag, listed=listed, pages=pages)


def may_follow(coming: Coming, page: Location, call: Call, limits: Limits) -> bool:
    """Whether the next page may be asked for, which must be within its origin, another than
    `call` has just brought, and not one too many."""
    return page.allowed and page != call.page and coming.pages < limits.pages


def part(names: tuple[str, ...], page: Page) -> tuple[tuple[str, ...], bool]:
    """The names of a page, and whether more follow it. `names` are sorted; no page comes after
    one that is to be empty."""
    first = 0 if page.last is None else bisect_right(names, page.last)
    stop = len(names) if page.n is None else first + page.n
    return names[first:stop], first < stop < len(names)
