"""An upstream that limits is asked less: what is held is given, and marked."""

import pytest

from distcache.core.config import Config, Limits, Upstream
from distcache.core.events import Cause, Quota
from tests.core.content import APP, HUB, IMAGE, LATEST, LAYER, MOVED, SETTINGS
from tests.core.scenario import Scenario, scenario

LIMITS = Limits(quota_low=0.1, quota_stretch=300.0, limited=100.0)
SHORT_MEMORY = Config({HUB: Upstream(stale_if_error=1000.0)}, ttl=None, limits=LIMITS)


def warm(remaining: int | None, window: float = 21600.0) -> Scenario:
    """The image has been pulled, and upstream said then what was left of 100 pulls."""
    s = scenario(SHORT_MEMORY)
    client = s.get(LATEST)
    quota = None if remaining is None else Quota(100, remaining, window)
    s.fetch.answers(digest=IMAGE.digest, media_type=IMAGE.media_type, quota=quota)
    s.fetch.delivers(IMAGE)
    s.stores()
    client.takes_all()
    return s


@pytest.mark.parametrize(
    ("remaining", "spared"), [(10, True), (0, True), (11, False), (None, False)]
)
def test_with_little_left_a_tag_just_checked_is_not_checked_again(
    remaining: int | None, spared: bool
) -> None:
    s = warm(remaining)
    s.passes(299.0)
    client = s.get(LATEST)
    assert (client.status == 200) == spared
    assert bool(s.fetches) != spared
    if spared:
        assert client.decision.stale_if_error
        assert client.answer.age == 299


def test_it_is_checked_again_after_a_while() -> None:
    s = warm(0)
    s.passes(300.0)
    client = s.get(LATEST)
    assert client.status is None
    s.fetch.answers(digest=IMAGE.digest, quota=Quota(100, 50, 21600.0))
    assert client.status == 200
    assert not client.decision.stale_if_error
    s.passes(1.0)
    assert s.get(LATEST).status is None, "there is enough again"


@pytest.mark.parametrize(("seconds", "spared"), [(59.0, True), (60.0, False)])
def test_what_upstream_said_counts_for_its_window(seconds: float, spared: bool) -> None:
    s = warm(0, window=60.0)
    s.passes(seconds)
    assert (s.get(LATEST).status == 200) == spared


def test_after_a_429_tags_are_not_checked_before_upstream_said() -> None:
    s = warm(None)
    s.passes(1.0)
    limited = s.get(LATEST)
    s.fetch.answers(429, retry_after=30)
    assert (limited.status, limited.decision.stale_if_error) == (200, True)
    s.passes(29.0)
    spared = s.get(LATEST)
    assert (spared.status, spared.decision.stale_if_error) == (200, True)
    assert not s.fetches
    s.passes(1.0)
    assert s.get(LATEST).status is None


def test_a_longer_wait_than_the_bound_is_not_kept() -> None:
    s = warm(None)
    s.get(LATEST)
    s.fetch.answers(429, retry_after=100_000)
    s.passes(100.0)
    assert s.get(LATEST).status is None


def test_a_good_answer_ends_the_wait() -> None:
    s = warm(None)
    s.get(LATEST)
    s.fetch.answers(429, retry_after=90)
    s.get(LAYER.under(APP))
    s.fetch.delivers(LAYER)
    assert s.get(LATEST).status is None


def test_what_is_not_held_is_asked_for_all_the_same() -> None:
    s = warm(0)
    client = s.get(SETTINGS.under(APP))
    s.fetch.answers(429, retry_after=7)
    assert (client.status, client.problem.retry_after) == (429, 7)
    again = s.get(SETTINGS.under(APP))
    s.fetch.delivers(SETTINGS)
    assert again.status == 200


def test_nothing_older_than_stale_if_error_is_given() -> None:
    s = warm(None)
    s.passes(990.0)
    s.get(LATEST)
    s.fetch.answers(429, retry_after=30)
    s.passes(11.0)
    client = s.get(LATEST)
    assert client.status is None
    s.fetch.fails(Cause.UNREACHABLE)
    assert client.status == 502


def test_a_tag_whose_content_is_gone_is_asked_for() -> None:
    s = warm(0)
    s.passes(301.0)
    moved = s.get(LATEST)
    s.fetch.answers(digest=MOVED.digest, quota=Quota(100, 0, 21600.0))
    s.fetch.answers(429, retry_after=30)
    assert (moved.status, moved.answer.descriptor) == (200, IMAGE.descriptor)


def test_that_content_is_limited_says_nothing_about_tags() -> None:
    s = warm(None)
    s.get(SETTINGS.under(APP))
    s.fetch.answers(429, retry_after=30)
    assert s.get(LATEST).status is None


@pytest.mark.parametrize(("status", "retry_after"), [(503, 30), (429, None)])
def test_only_a_429_that_says_how_long_is_a_limit(status: int, retry_after: int | None) -> None:
    s = warm(None)
    first = s.get(LATEST)
    s.fetch.answers(status, retry_after=retry_after)
    assert first.decision.stale_if_error
    assert s.get(LATEST).status is None


def test_an_error_of_whatever_kind_ends_no_wait() -> None:
    s = warm(None)
    s.get(LATEST)
    s.fetch.answers(429, retry_after=90)
    s.get(SETTINGS.under(APP))
    s.fetch.answers(400)
    assert s.get(LATEST).status == 200
