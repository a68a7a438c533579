"""What is too new is held back, from when it was first known here and no longer."""

import pytest

from distcache.core import cooldown
from distcache.core.config import Limits
from distcache.core.effects import Code, Level
from distcache.core.inventory import Record, SeenDropped, SeenStored, TagStored
from distcache.core.oci import Repository, TagRef
from distcache.core.pull import Authority, Method
from tests.core.actors import Client
from tests.core.content import (
    APP,
    HUB,
    IMAGE,
    INDEX,
    LATEST,
    LAYER,
    MOVED,
    OTHER,
    START,
    TAGS,
    Item,
    held,
    listing,
    manifest,
    records,
)
from tests.core.scenario import Scenario, config, scenario

DAY = 86_400.0
COOL = config(cool_down=3 * DAY, ttl=None)
WARM = held(IMAGE, LAYER, tag=LATEST)
DEEP = manifest("deep", INDEX)


def denied(client: Client) -> str:
    assert (client.status, client.problem.code) == (403, Code.DENIED)
    assert client.decision.cooling
    return client.problem.message


def checked(s: Scenario, item: Item = IMAGE, tag: TagRef = LATEST) -> Client:
    """A pull for which upstream says that the tag resolves to `item`."""
    client = s.get(tag)
    s.fetch.offers(item)
    return client


def restarted(s: Scenario, more: list[Record] | None = None) -> Scenario:
    """The next process, which finds what was journalled."""
    return scenario(COOL, records(more or [], s.journal), s.now)


def test_without_the_policy_nothing_is_remembered() -> None:
    s = scenario()
    s.pulls_tag(IMAGE)
    assert s.journalled(SeenStored) == []


def test_what_was_never_seen_is_held_back_and_says_since_when_and_until_when() -> None:
    s = scenario(COOL)
    message = denied(checked(s))
    assert message == (
        f"library/app@{IMAGE.digest} is too new: known here since 1970-01-12T13:46:40Z, "
        "served from 1970-01-15T13:46:40Z on (cool-down)"
    )
    assert s.journalled(SeenStored) == [SeenStored(APP, IMAGE.digest, START)]
    (note,) = s.notes
    assert (note.level, note.message) == (Level.INFO, cooldown.HELD_BACK)
    assert dict(note.fields) == {
        "upstream": HUB,
        "repository": APP.name,
        "digest": IMAGE.digest,
        "until": "1970-01-15T13:46:40Z",
    }


@pytest.mark.parametrize(("seconds", "served"), [(3 * DAY - 1.0, False), (3 * DAY, True)])
@pytest.mark.parametrize("again", [False, True], ids=["one process", "restarted"])
def test_time_does_not_begin_anew(seconds: float, served: bool, again: bool) -> None:
    s = scenario(COOL)
    denied(checked(s))
    s.passes(seconds)
    if again:
        s = restarted(s)
    if served:
        assert s.pulls_tag(IMAGE).status == 200
    else:
        denied(checked(s))


def test_what_the_tag_was_before_is_served_meanwhile() -> None:
    s = scenario(COOL, WARM)
    client = checked(s, MOVED)
    assert client.answer.descriptor == IMAGE.descriptor
    assert client.decision.cooling
    assert len(s.notes) == 1
    s.passes(3 * DAY)
    client = checked(s, MOVED)
    s.fetch.delivers(MOVED)
    s.stores()
    assert client.answer.descriptor == MOVED.descriptor
    assert not client.decision.cooling
    assert s.journalled(TagStored)[-1].descriptor == MOVED.descriptor


def test_what_the_tag_was_before_is_known_to_the_next_process() -> None:
    s = scenario(COOL, WARM)
    checked(s, MOVED)
    s = restarted(s, WARM)
    assert checked(s, MOVED).answer.descriptor == IMAGE.descriptor


def test_what_another_repository_holds_is_new_here_all_the_same() -> None:
    s = scenario(COOL, records(WARM, held(INDEX, IMAGE, under=OTHER)))
    assert checked(s, INDEX).answer.descriptor == IMAGE.descriptor
    assert s.journalled(TagStored) == [], "a restart must still know what it was before"
    denied(s.get(INDEX.under(APP)))
    assert s.get(INDEX.under(OTHER)).status == 200


def test_what_new_content_names_is_as_new_though_another_repository_holds_it() -> None:
    deep = records(held(DEEP, INDEX, IMAGE, LAYER, under=OTHER))
    s = scenario(COOL, deep)
    denied(checked(s, DEEP))
    for item in (DEEP, INDEX, IMAGE):
        denied(s.get(item.under(APP)))
        assert s.get(item.under(OTHER)).status == 200


def test_upstream_must_have_it_before_its_time_begins() -> None:
    s = scenario(COOL)
    client = s.get(IMAGE.under(APP))
    assert s.asked() == (Method.HEAD, IMAGE.content)
    s.fetch.answers(404)
    assert client.status == 404
    assert s.journalled(SeenStored) == []
    client = s.get(IMAGE.under(APP))
    s.fetch.offers(IMAGE)
    denied(client)
    denied(s.get(IMAGE.under(APP)))
    s.passes(3 * DAY)
    assert s.pulls(IMAGE).status == 200


@pytest.mark.parametrize("stored", [False, True], ids=["filling", "stored"])
def test_what_a_served_manifest_names_is_as_old_as_itself(stored: bool) -> None:
    s = scenario(COOL)
    denied(checked(s, INDEX))
    s.passes(3 * DAY)
    client = checked(s, INDEX)
    s.fetch.delivers(INDEX)
    if stored:
        s.stores()
    client.takes_all()
    member = s.get(IMAGE.under(APP))
    assert s.asked() == (Method.GET, IMAGE.content)
    s.fetch.delivers(IMAGE)
    s.stores()
    assert member.status == 200
    assert SeenStored(APP, IMAGE.digest, START) in s.journal


def test_a_younger_record_gives_way_to_an_older_and_not_the_other_way() -> None:
    s = scenario(COOL)
    denied(checked(s, INDEX))
    s.passes(DAY)
    denied(checked(s, IMAGE, TagRef(APP, "amd64")))
    s.passes(2 * DAY)
    client = checked(s, INDEX)
    s.fetch.delivers(INDEX)
    s.stores()
    client.takes_all()
    assert s.pulls(IMAGE).status == 200
    seen = s.journalled(SeenStored)
    assert s.get(INDEX.under(APP)).status == 200
    assert s.journalled(SeenStored) == seen


def test_what_is_held_when_the_policy_begins_stays_served() -> None:
    other = Repository("gone", "a/b")
    nested = records(held(DEEP, tag=LATEST), held(INDEX, IMAGE, under=None), held(LAYER))
    s = scenario(COOL, [*nested, *held(LAYER, under=other)])
    for item in (DEEP, INDEX, IMAGE, LAYER):
        assert s.get(item.under(APP)).status == 200
    known = {record.digest: record.since for record in s.journalled(SeenStored)}
    assert known == dict.fromkeys((DEEP.digest, INDEX.digest, IMAGE.digest), 0.0)


def test_it_stays_served_after_it_had_to_go() -> None:
    s = scenario(config(cool_down=3 * DAY, ttl=1000.0), WARM)
    s.passes(2000.0)
    assert s.deletes()
    assert s.pulls_tag(IMAGE).status == 200


def test_the_policy_may_begin_while_pulls_run() -> None:
    s = scenario(records=WARM)
    waiting = s.get(MOVED.under(APP))
    s.cache.configure(COOL)
    s.fetch.delivers(MOVED)
    s.stores()
    waiting.takes_all()
    assert waiting.status == 200
    assert s.get(IMAGE.under(APP)).status == 200


def test_what_was_on_its_way_into_the_store_then_stays_served() -> None:
    s = scenario()
    client = s.get(LATEST)
    s.fetch.offers(INDEX)
    s.fetch.delivers(INDEX)
    client.takes_all()
    s.cache.configure(COOL)
    s.stores()
    assert s.pulls(IMAGE).status == 200, "as old as what names it"
    again = checked(s, INDEX)
    assert (again.status, again.decision.cooling) == (200, False)


@pytest.mark.parametrize(
    ("pattern", "exempt"), [("library/*", True), (APP.name, True), ("app", False)]
)
def test_repositories_may_be_exempt(pattern: str, exempt: bool) -> None:
    s = scenario(config(cool_down=3 * DAY, cool_down_except=(pattern,)))
    client = checked(s)
    assert (client.status != 403) == exempt


def test_where_the_clients_own_authority_counts_there_is_none() -> None:
    own = Repository(APP.upstream, APP.name, "somebody")
    s = scenario(COOL)
    client = s.get(TagRef(own, "latest"), authority=Authority("somebody"))
    s.fetch.offers(IMAGE)
    s.fetch.delivers(IMAGE)
    assert client.status == 200
    assert s.journalled(SeenStored) == []


def test_blobs_and_lists_are_not_held_back_by_themselves() -> None:
    s = scenario(COOL)
    assert s.pulls(LAYER).status == 200
    tags = s.get(TAGS)
    s.fetch.delivers(listing("tags", "latest"))
    assert tags.status == 200


@pytest.mark.parametrize("known", [False, True], ids=["not yet", "for long"])
def test_where_upstream_refuses_head_new_content_is_not_kept(known: bool) -> None:
    s = scenario(COOL, WARM)
    if known:
        checked(s, MOVED)
        s.passes(3 * DAY)
    client = s.get(LATEST)
    s.fetch.answers(405)
    s.fetch.delivers(MOVED)
    s.stores()
    expected = MOVED if known else IMAGE
    assert client.answer.descriptor == expected.descriptor
    assert (MOVED.digest in s.disk) == known
    assert not s.undiscarded


def test_what_moves_again_is_still_what_it_was_before() -> None:
    """Another repository holds what it was in between."""
    s = scenario(COOL, records(WARM, held(INDEX, IMAGE, under=OTHER)))
    for item in (INDEX, MOVED):
        assert checked(s, item).answer.descriptor == IMAGE.descriptor


def test_what_is_not_held_cannot_stand_in() -> None:
    s = scenario(COOL)
    denied(checked(s, IMAGE))
    s.passes(DAY)
    denied(checked(s, MOVED))


def test_what_is_remembered_is_bounded_and_the_oldest_goes() -> None:
    s = scenario(config(cool_down=DAY, limits=Limits(seen=2)))
    for item in (IMAGE, MOVED, INDEX):
        denied(checked(s, item, TagRef(APP, item.digest[-3:])))
    assert s.journalled(SeenDropped) == [SeenDropped(APP, IMAGE.digest)]
    s.passes(DAY)
    assert s.pulls_tag(MOVED, TagRef(APP, MOVED.digest[-3:])).status == 200
    denied(checked(s, IMAGE, TagRef(APP, IMAGE.digest[-3:])))


def test_what_is_held_is_served_though_its_age_is_forgotten() -> None:
    s = scenario(config(cool_down=DAY, limits=Limits(seen=1)), held(MOVED, IMAGE))
    assert [s.get(item.under(APP)).status for item in (MOVED, IMAGE)] == [200, 200]


def test_an_index_whose_age_is_forgotten_says_nothing_of_what_it_names() -> None:
    s = scenario(config(cool_down=DAY, limits=Limits(seen=1)), held(INDEX, IMAGE))
    s.get(IMAGE.under(APP))
    seen = s.journalled(SeenStored)
    assert s.get(INDEX.under(APP)).status == 200
    assert s.journalled(SeenStored) == seen


def test_a_longer_cool_down_counts_from_when_it_was_known_too() -> None:
    s = scenario(COOL)
    denied(checked(s))
    s.passes(3 * DAY)
    s.pulls_tag(IMAGE)
    s.cache.configure(config(cool_down=9 * DAY, ttl=None))
    denied(checked(s))
    s.passes(6 * DAY)
    assert checked(s).status == 200


def test_without_the_policy_an_age_holds_nothing_back_and_is_not_handed_down() -> None:
    """Not even one that the clock, set back, has not come to yet."""
    early = [SeenStored(APP, item.digest, START + 60.0) for item in (IMAGE, INDEX)]
    s = scenario(records=records(held(INDEX, MOVED), early))
    for item in (INDEX, MOVED):
        assert s.get(item.under(APP)).status == 200
    s = scenario(records=records(held(INDEX), early[1:]))
    assert s.get(INDEX.under(APP)).status == 200
    assert s.journalled(SeenStored) == []


def test_when_the_policy_begins_a_blob_on_its_way_has_no_age() -> None:
    s = scenario()
    client = s.get(LAYER.under(APP))
    s.fetch.offers(LAYER)
    s.cache.configure(COOL)
    s.fetch.finishes(LAYER)
    s.stores()
    client.takes_all()
    assert client.end == "finished"
    assert s.journalled(SeenStored) == []
