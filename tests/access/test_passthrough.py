from distcache.access.passthrough import handed, shown
from distcache.core.events import Challenge, Secret
from distcache.core.oci import Repository

APP = Repository("ghcr.io", "owner/app")
REALM = "https://ghcr.io/token"


def test_upstreams_challenge_is_handed_on_with_its_own_scope() -> None:
    said = Challenge(True, REALM, "ghcr.io", "repository:owner/app:pull,push")
    assert handed([said], APP) == (
        f'Bearer realm="{REALM}",service="ghcr.io",scope="repository:owner/app:pull,push"'
    )


def test_a_scope_that_upstream_left_out_is_that_of_pulling() -> None:
    said = Challenge(True, REALM, "ghcr.io")
    assert handed([said], APP) == (
        f'Bearer realm="{REALM}",service="ghcr.io",scope="repository:owner/app:pull"'
    )
    assert handed([said], None) == f'Bearer realm="{REALM}",service="ghcr.io"'


def test_passwords_for_another_host_are_not_asked_for() -> None:
    basic = Challenge(False, "a realm")
    assert handed([basic], APP) is None
    assert handed([], APP) is None
    assert handed([basic, Challenge(True, REALM)], None) == f'Bearer realm="{REALM}"'


def test_only_a_token_is_shown_to_upstream() -> None:
    assert shown("Bearer abc") == Secret("abc")
    assert shown("Basic YTpi") is None
    assert shown(None) is None
