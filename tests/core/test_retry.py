"""The wait before a broken transfer is tried again."""

from hypothesis import given, settings
from hypothesis import strategies as st

from distcache.core.config import Limits
from distcache.core.retry import delay

LIMITS = Limits()


@settings(deadline=None, derandomize=True)
@given(st.text(), st.integers(2, 60))
def test_it_grows_within_the_bound(key: str, attempt: int) -> None:
    step = min(LIMITS.backoff * 2 ** (attempt - 2), LIMITS.backoff_max)
    assert step / 2 <= delay(key, attempt, LIMITS) <= step


def test_two_keys_do_not_come_back_together() -> None:
    assert len({delay(str(n), 2, LIMITS) for n in range(100)}) > 50


def test_they_spread_evenly_over_the_upper_half_of_the_step() -> None:
    found = {delay(str(n), 2, LIMITS) / LIMITS.backoff for n in range(20_000)}
    assert found == {0.5 + place / 2048 for place in range(1024)}


def test_upstream_s_wish_is_respected_up_to_the_bound() -> None:
    assert delay("k", 2, LIMITS, retry_after=5) == 5.0
    assert delay("k", 2, LIMITS, retry_after=3600) == LIMITS.backoff_max
