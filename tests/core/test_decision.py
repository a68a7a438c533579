"""Decisions in the words of RFC 9211."""

import pytest
from attrs.exceptions import FrozenInstanceError

from distcache.core import decision
from distcache.core.decision import HIT, Decision, Fwd, Outcome
from tests.core.vocabulary import assert_frozen

# RFC 9211 §2.2.
SPECIFIED = {"bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"}


def test_the_words_are_those_of_the_specification() -> None:
    assert {f.value for f in Fwd} <= SPECIFIED
    assert {o.value for o in Outcome} == {"hit", "fwd"}


def test_a_hit_says_nothing_of_upstream() -> None:
    assert Decision(Outcome.HIT) == HIT
    assert (HIT.fwd, HIT.fwd_status, HIT.collapsed, HIT.stored) == (None, None, False, False)
    assert not HIT.stale_if_error


def test_decisions_are_values() -> None:
    assert_frozen(decision)
    with pytest.raises(FrozenInstanceError):
        HIT.ttl = 5  # type: ignore[misc]
    miss = Decision(Outcome.FWD, Fwd.URI_MISS, 200)
    assert miss != Decision(Outcome.FWD, Fwd.URI_MISS, 404)
    assert len({miss, HIT, Decision(Outcome.FWD, Fwd.URI_MISS, 200)}) == 2
