"""Whether a broken transfer is tried again, and the wait before it is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distcache.core.config import Limits
from distcache.core.events import Cause
from distcache.core.problems import WRONG_DIGEST, WRONG_RANGE, Failure
from distcache.core.retry import delay, worthwhile

LIMITS = Limits()
PASSING = (
    Failure(500),
    Failure(599),
    Failure(cause=Cause.CUT),
    WRONG_RANGE,
)
LASTING = (Failure(429), Failure(400), Failure(cause=Cause.TIMEOUT), WRONG_DIGEST)
NEVER = (Failure(404), Failure(403, cause=Cause.CUT), Failure(cause=Cause.TOO_LARGE))


@pytest.mark.parametrize("failure", [*PASSING, *LASTING, *NEVER])
def test_before_anything_came_what_passes_is_tried_again_a_few_times(failure: Failure) -> None:
    most = LIMITS.first_attempts
    tried = [worthwhile(failure, n, LIMITS, begun=False) for n in (1, most - 1, most, most + 1)]
    assert tried == [failure in PASSING, failure in PASSING, False, False]


@pytest.mark.parametrize("failure", [*PASSING, *LASTING, *NEVER])
def test_once_begun_all_is_tried_again_that_may_change(failure: Failure) -> None:
    may = failure not in NEVER
    tried = [worthwhile(failure, n, LIMITS, begun=True) for n in (1, LIMITS.attempts - 1)]
    assert tried == [may, may]
    assert not worthwhile(failure, LIMITS.attempts, LIMITS, begun=True)


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
