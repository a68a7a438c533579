"""Tags that the operator knows not to move are not asked about again."""

import pytest

from distcache.core.config import Config, Upstream
from distcache.core.oci import TagRef
from tests.core.content import APP, HUB, IMAGE, LAYER, TAGS, held, listing
from tests.core.scenario import scenario

SETTINGS = Config({HUB: Upstream(immutable=("v*", "?.?"))}, ttl=None)


@pytest.mark.parametrize(
    ("tag", "stays"),
    [("v1", True), ("v", True), ("1.2", True), ("latest", False), ("rev1", False), ("1.10", False)],
)
def test_only_what_matches_stays(tag: str, stays: bool) -> None:
    reference = TagRef(APP, tag)
    s = scenario(SETTINGS, held(IMAGE, LAYER, tag=reference))
    s.passes(10_000_000.0)
    client = s.get(reference)
    assert (client.status == 200) == stays
    if stays:
        assert client.decision.ttl is None
        assert not client.decision.stale_if_error


def test_a_list_of_tags_is_not_one() -> None:
    s = scenario(SETTINGS)
    client = s.get(TAGS)
    s.fetch.delivers(listing("v"))
    s.stores()
    assert client.status == 200
    assert s.get(TAGS).status is None
