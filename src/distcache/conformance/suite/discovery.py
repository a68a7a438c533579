"""Lists: the tags of a repository, page by page, and the catalog."""

import re
from collections.abc import Sequence
from urllib.parse import quote, urljoin

from ..checks import Failed, Section, Target, expect, require, skip
from ..content import strings
from ..messages import Answer
from . import picks

tags = Section("Tags")

TAGS = "OCI distribution-spec 1.1 §Listing Tags"
CATALOG = "distribution HTTP API v2 §Listing Repositories"
_NEXT = re.compile(r'<([^>]*)>\s*;(?:.*;)?\s*rel="?next"?', re.I)
_PAGES = 60
"""Pages after which a list counts as endless."""


def names_in(answer: Answer, key: str = "tags") -> list[str]:
    """The list in a 200's JSON; `null` is how some write the empty one. Raises Failed."""
    said = expect(answer, 200).json()
    if not isinstance(said, dict) or not isinstance(said.get(key) or [], list):
        raise Failed(f"no JSON object with {key}", answer)
    return strings(said.get(key) or [])


def next_page(answer: Answer) -> str | None:
    """Path and query of the next page, as the Link field says. Raises Failed when it leads to
    another host, which a client of a cache must not be sent to."""
    for link in answer.values("link"):
        matched = _NEXT.search(link)
        if matched:
            here = f"http://here{answer.request.target}"
            url = str(urljoin(here, matched[1]))
            if not url.startswith("http://here/"):
                raise Failed("Link leads to another host", answer)
            return url.removeprefix("http://here")
    return None


def ordered(names: Sequence[str]) -> bool:
    """One of the two orders that the specification allows."""
    return list(names) in (sorted(names), sorted(names, key=lambda name: (name.lower(), name)))


def walk(target: Target, path: str, key: str = "tags") -> list[list[str]]:
    """The pages from `path` on, along Link."""
    pages: list[list[str]] = []
    following: str | None = path
    while following is not None:
        require(len(pages) < _PAGES, f"more than {_PAGES} pages from {path}")
        answer = target.client.get(following)
        pages.append(names_in(answer, key))
        base = target.client.address.base
        following = next_page(answer)
        following = following.removeprefix(base) if following else None
    return pages


def most_tags(target: Target, least: int = 3) -> tuple[str, tuple[str, ...]]:
    """The repository with the most tags (few enough to be walked), and these."""
    fit = [(name, held) for name, held in target.content.tags.items() if len(held) < _PAGES]
    name, held = max(fit, key=lambda pair: len(pair[1]), default=("", ()))
    if len(held) < least:
        skip(f"no repository with {least} tags was found")
    return name, tuple(held)


@tags.must("tags-list", TAGS)
def listed(target: Target) -> None:
    """`tags/list` is 200 with `name` and `tags`, and names the tags that can be pulled."""
    if not target.content.tags:
        skip("no repository's tags can be listed")
    for name, held in list(target.content.tags.items())[: picks.MANY]:
        answer = target.client.get(f"/v2/{name}/tags/list")
        found = names_in(answer)
        said = answer.json()
        require(isinstance(said, dict) and said.get("name") == name, "a wrong name", answer)
        missing = {tag for tag in held if tag not in found and next_page(answer) is None}
        require(not missing, f"{sorted(missing)} are missing", answer)


@tags.must("tags-order", TAGS)
def order(target: Target) -> None:
    """Tags come in lexical order, none twice."""
    name, _ = most_tags(target, 2)
    answer = target.client.get(f"/v2/{name}/tags/list")
    found = names_in(answer)
    require(ordered(found) and len(set(found)) == len(found), "out of order, or twice", answer)


@tags.must("tags-limit", TAGS)
def limit(target: Target) -> None:
    """With `n`, there are n tags at most, the first ones; fewer only with Link or at the end."""
    name, held = most_tags(target)
    for count in (1, 2, len(held) - 1, len(held), len(held) + 5):
        answer = target.client.get(f"/v2/{name}/tags/list?n={count}")
        found = names_in(answer)
        require(len(found) <= count, f"more than {count}", answer)
        short = len(found) < min(count, len(held))
        require(not short or next_page(answer), "fewer, and no Link", answer)
        require(ordered(found), "out of order", answer)


@tags.must("tags-zero", TAGS)
def zero(target: Target) -> None:
    """`n=0` is an empty list without Link."""
    name, _ = most_tags(target, 1)
    answer = target.client.get(f"/v2/{name}/tags/list?n=0")
    require(names_in(answer) == [], "tags", answer)
    require(not answer.values("link"), "a Link", answer)


@tags.must("tags-last", TAGS)
def last(target: Target) -> None:
    """`last` alone and with `n` lists what comes after that tag, without it."""
    name, _ = most_tags(target)
    every = [tag for page in walk(target, f"/v2/{name}/tags/list") for tag in page]
    for place, tag in enumerate(every):
        path = f"/v2/{name}/tags/list?last={quote(tag, safe='')}"
        after = [one for page in walk(target, path) for one in page]
        require(after == every[place + 1 :], f"after {tag!r}: {after}")
        answer = target.client.get(f"{path}&n=1")
        require(names_in(answer) == every[place + 1 : place + 2], f"after {tag!r}", answer)


@tags.must("tags-pages", TAGS)
def pages(target: Target) -> None:
    """Following Link (RFC 8288, rel="next") from any `n` gives every tag once, in order, and
    stays on this registry."""
    name, held = most_tags(target)
    for count in (1, 2, 3):
        found = walk(target, f"/v2/{name}/tags/list?n={count}")
        joined = [tag for page in found for tag in page]
        right = sorted(joined) == sorted(held) and ordered(joined)
        require(right, f"pages of {count}: {found}")
        require(len(found) > 1, f"{len(held)} tags in one page of {count}")


@tags.must("tags-absent", "OCI distribution-spec 1.1 §Endpoints end-8a")
def absent(target: Target) -> None:
    """The tags of a repository that does not exist are 404."""
    expect(target.client.get("/v2/no-such-repository/of-conformance/tags/list"), 404, 401, 403)


@tags.should("catalog", CATALOG)
def catalog(target: Target) -> None:
    """`_catalog` is a list with its own pages along Link, or refused in the OCI's JSON."""
    answer = target.client.get("/v2/_catalog")
    if answer.status != 200:
        expect(answer, 401, 403, 404, 405)
        skip("there is no catalog")
    every = names_in(answer, "repositories")
    if next_page(answer) is not None or not 1 < len(every) < _PAGES:
        skip("the catalog is not of a size that can be walked")
    found = walk(target, "/v2/_catalog?n=1", "repositories")
    joined = [name for page in found for name in page]
    # A catalog may grow while it is read.
    require([name for name in joined if name in every] == every, f"pages of 1: {found}", answer)
