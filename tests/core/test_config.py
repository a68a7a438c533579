"""The defaults are what users were told, and what clients can bear."""

import pytest
from attrs.exceptions import FrozenInstanceError

from distcache.core import config
from distcache.core.config import Config, Limits, Upstream
from tests.core.vocabulary import assert_frozen

HOUR = 3600.0


def test_by_default_every_pull_of_a_tag_is_checked_and_errors_bridged_for_30_days() -> None:
    assert Upstream() == Upstream(tag_ttl=0.0, stale_if_error=30 * 24 * HOUR, negative_ttl=10.0)
    assert not Upstream().basic


def test_by_default_content_goes_after_a_week_idle_and_nothing_bounds_its_size() -> None:
    default = Config({})
    assert (default.ttl, default.max_size, default.evict) == (7 * 24 * HOUR, None, True)
    assert not default.offline


def test_a_client_hears_before_containerd_gives_up() -> None:
    # containerd 2.3: 30 s for headers, a second or two of which go by on the way.
    assert 20.0 <= Limits().answer <= 29.0


def test_the_largest_manifest_is_what_the_specification_asks_for() -> None:
    assert Limits().manifest == 4 << 20


def test_every_detour_is_bounded() -> None:
    limits = Limits()
    bounds = (limits.attempts, limits.first_attempts, limits.challenges, limits.redirects)
    assert all(0 < bound <= 10 for bound in bounds)
    assert limits.backoff <= limits.backoff_max < limits.answer


def test_policies_are_values() -> None:
    assert_frozen(config)
    with pytest.raises(FrozenInstanceError):
        Config({}).ttl = None  # type: ignore[misc]
    assert Config({"a": Upstream()}) != Config({"a": Upstream(basic=True)})


def test_every_other_bound_is_what_is_said_of_it() -> None:
    assert Limits() == Limits(
        answer=28.0,
        attempts=5,
        first_attempts=3,
        backoff=0.5,
        backoff_max=8.0,
        challenges=2,
        schemes=10_000,
        questions=10_000,
        seen=200_000,
        redirects=5,
        token_margin=5.0,
        linger=10.0,
        used_resolution=60.0,
        authority=300.0,
        authorities=10_000,
        greeting=HOUR,
        quota_low=0.1,
        quota_stretch=300.0,
        limited=300.0,
        mirror_rest=10.0,
        mirror_rest_max=600.0,
        delete_retry=60.0,
        expiring=256,
        manifest=4 << 20,
        listing=32 << 20,
        pages=1000,
        redispatch=4,
    )
    assert Upstream() == Upstream(mirrors=0, immutable=(), cool_down=0.0, cool_down_except=())
