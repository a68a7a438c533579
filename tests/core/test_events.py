"""The vocabulary of what happens."""

import pytest
from attrs.exceptions import FrozenInstanceError

from distcache.core import events
from distcache.core.events import (
    BodySent,
    Challenge,
    FetchEnded,
    HeadReceived,
    Held,
    Location,
    Quota,
    Secret,
    TokenGranted,
    UpstreamHead,
)
from tests.core.vocabulary import assert_closed, assert_frozen

TOKEN = Secret("eyJhbGciOi")


def test_the_union_names_every_event() -> None:
    assert_closed(events, events.Event, {Challenge, Held, Location, Quota, UpstreamHead})


def test_events_are_frozen_values() -> None:
    assert_frozen(events)
    with pytest.raises(FrozenInstanceError):
        BodySent(1, 2).stop = 3  # type: ignore[misc]


def test_equal_events_are_equal_and_others_are_not() -> None:
    assert BodySent(1, 2) == BodySent(1, 2)
    assert BodySent(1, 2) != BodySent(2, 1)
    assert FetchEnded(1) == FetchEnded(1, None, None)
    assert len({HeadReceived(1, UpstreamHead(200)), HeadReceived(1, UpstreamHead(206))}) == 2


def test_a_token_is_never_shown() -> None:
    granted = TokenGranted(1, TOKEN, 60.0)
    for shown in (repr(TOKEN), str(TOKEN), f"{TOKEN!r}", repr(granted), str([granted])):
        assert "eyJ" not in shown
        assert "***" in shown


def test_tokens_are_told_apart_all_the_same() -> None:
    assert Secret("eyJhbGciOi") == TOKEN
    assert Secret("another") != TOKEN


def test_a_challenge_is_trusted_and_a_redirect_allowed_unless_told_otherwise() -> None:
    assert Challenge(True, "https://auth.docker.io/token").trusted
    assert Location("https://cdn/x", same_origin=False).allowed
    assert Challenge(True, "r", trusted=False) != Challenge(True, "r")
