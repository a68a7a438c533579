"""Tags that the operator knows not to move are not asked about again."""

import pytest

from distcache.core import policy
from distcache.core.config import Config, Upstream
from distcache.core.oci import TagRef
from tests.core.content import APP, HUB, IMAGE, INDEX, LAYER, TAGS, held, listing
from tests.core.scenario import Scenario, scenario

SETTINGS = Config({HUB: Upstream(immutable=("v*", "?.?"))}, ttl=None)
BRIEFLY = Config({HUB: Upstream(immutable=("v*",))}, ttl=1000.0)


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


def test_a_tag_that_may_move_does_so_without_a_word() -> None:
    reference = TagRef(APP, "latest")
    s = scenario(SETTINGS, held(IMAGE, LAYER, tag=reference))
    s.passes(10_000_000.0)
    s.get(reference)
    s.fetch.answers(digest=INDEX.digest, media_type=INDEX.media_type)
    assert s.fetch.request.resource == INDEX.content
    assert not s.notes


def gone(tag: str) -> Scenario:
    """A tag was held, and its content has been evicted."""
    s = scenario(BRIEFLY, held(IMAGE, LAYER, tag=TagRef(APP, tag)))
    s.passes(2000.0)
    assert s.deletes()
    return s


@pytest.mark.parametrize(
    ("tag", "moves", "alarm"),
    [("v1", True, True), ("v1", False, False), ("latest", True, False)],
)
def test_a_tag_that_was_not_to_move_and_did_is_told(tag: str, moves: bool, alarm: bool) -> None:
    s = gone(tag)
    client = s.get(TagRef(APP, tag))
    item = INDEX if moves else IMAGE
    s.fetch.offers(item)
    s.fetch.delivers(item)
    assert client.status == 200, "what upstream has now is given all the same"
    assert [note.message for note in s.notes] == [policy.MOVED] * alarm
    if alarm:
        assert dict(s.notes[0].fields) == {
            "upstream": HUB,
            "repository": APP.name,
            "tag": tag,
            "before": IMAGE.digest,
            "after": INDEX.digest,
        }


def test_what_stays_and_is_not_there_is_no_answer_when_upstream_is_not() -> None:
    s = gone("v1")
    client = s.get(TagRef(APP, "v1"))
    s.fetch.answers(503)
    assert client.status == 502
