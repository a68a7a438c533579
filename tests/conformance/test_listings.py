"""Lists of an upstream that divides them in its own way, as clients of distcache see them."""

import json
from pathlib import Path

import pytest

from distcache.conformance.checks import Verdict
from distcache.conformance.client import Client
from distcache.conformance.connection import Address
from distcache.conformance.origin.registry import Asked, Reply
from distcache.conformance.suite.discovery import next_page
from tests.conformance.targets import CHECKS, stocked, target_at, verdicts
from tests.conformance.test_distcache import RUNTIMES, distcache
from tests.conformance.toys import Spoil, Toy

TAGS = [one for one in CHECKS if one.startswith("tags-") or one == "any-page"]


def one_by_one(endpoint: str, key: str) -> Spoil:
    """Lists come in pages of one, backwards, under tokens that upstream alone understands."""

    def spoil(asked: Asked, reply: Reply) -> Reply:
        if reply.status != 200 or f"/{endpoint}/" not in asked.path:
            return reply
        said = json.loads(reply.body)
        entries = said[key][::-1]
        place = int(asked.query.get("token", "x0").removeprefix("x"))
        fields = reply.fields
        if place + 1 < len(entries):
            link = f'<{asked.path}?token=x{place + 1}&more=%3D>; rel="next"'
            fields = (*fields, ("Link", link))
        said[key] = entries[place : place + 1]
        return Reply(200, fields, json.dumps(said).encode())

    return spoil


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_tags_come_whole_sorted_and_in_the_pages_that_clients_ask_for(
    tmp_path: Path, runtime: str
) -> None:
    library = stocked("pages")
    with (
        Toy("127.0.0.1", 0, library, one_by_one("tags", "tags")) as upstream,
        distcache(tmp_path / "cache", runtime, upstream.port) as cache,
    ):
        found = verdicts(target_at(cache.server.port, library), TAGS)
    assert {one.check.id: one.verdict for one in found} == dict.fromkeys(TAGS, Verdict.PASS), found


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_pages_of_referrers_are_asked_for_in_upstream_s_own_words(
    tmp_path: Path, runtime: str
) -> None:
    library = stocked("pages")
    app = library.name("app")
    digest = library.shelf(app).tags["latest"]
    with (
        Toy("127.0.0.1", 0, library, one_by_one("referrers", "manifests")) as upstream,
        distcache(tmp_path / "cache", runtime, upstream.port) as cache,
        Client(Address("127.0.0.1", cache.server.port, tls=False)) as client,
    ):
        found = []
        path: str | None = f"/v2/{app}/referrers/{digest}?ns=docker.io"
        while path is not None:
            answer = client.get(path)
            found += json.loads(answer.body)["manifests"]
            path = next_page(answer)
            assert path is None or path.endswith("&ns=docker.io")
    assert found == library.referrers(app, digest)[::-1]
    assert len(found) == 2
