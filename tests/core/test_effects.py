"""The vocabulary of what to do."""

import pytest
from attrs.exceptions import FrozenInstanceError

from distcache.core import effects
from distcache.core.decision import Decision, Outcome
from distcache.core.effects import (
    AnswerHead,
    Code,
    Fetch,
    Finish,
    Forwarded,
    Medium,
    Note,
    Problem,
    Spool,
    Stored,
    UpstreamRequest,
)
from distcache.core.events import Secret
from distcache.core.oci import Digest
from distcache.core.pull import Method
from tests.core.content import APP, LAYER
from tests.core.vocabulary import assert_closed, assert_frozen

SPECIFIED = """
BLOB_UNKNOWN BLOB_UPLOAD_INVALID BLOB_UPLOAD_UNKNOWN DIGEST_INVALID MANIFEST_BLOB_UNKNOWN
MANIFEST_INVALID MANIFEST_UNKNOWN NAME_INVALID NAME_UNKNOWN SIZE_INVALID UNAUTHORIZED DENIED
UNSUPPORTED TOOMANYREQUESTS
"""
"""Every code that the distribution-spec knows (spec.md, Error Codes)."""


def test_the_union_names_every_effect() -> None:
    parts = {AnswerHead, Forwarded, Problem, Spool, Stored, UpstreamRequest}
    assert_closed(effects, effects.Effect, parts)


def test_effects_are_frozen_values() -> None:
    assert_frozen(effects)
    with pytest.raises(FrozenInstanceError):
        Finish(1).exchange = 2  # type: ignore[misc]


def test_error_codes_are_spelled_as_the_specification_does() -> None:
    ours = {code.value for code in Code}
    assert ours - set(SPECIFIED.split()) == {"UNAVAILABLE"}
    assert all(code.name == code.value for code in Code)


def test_a_spool_is_known_by_its_number_and_medium() -> None:
    file = Spool(1, Medium.FILE, Digest("sha256:a"))
    assert file == Spool(1, Medium.FILE, Digest("sha256:a"))
    assert file != Spool(2, Medium.FILE, Digest("sha256:a"))
    assert file != Spool(1, Medium.WINDOW, Digest("sha256:a"))
    assert len({file, Stored(Digest("sha256:a"))}) == 2


def test_an_effect_shows_no_credentials() -> None:
    secret = Secret("eyJhbGciOi")
    request = UpstreamRequest(Method.GET, APP, LAYER.content, authorization=secret)
    assert "eyJ" not in repr(Fetch(1, request, None))


def test_notes_that_say_the_same_are_equal() -> None:
    assert Note(effects.Level.INFO, "x", (("a", 1),)) == Note(effects.Level.INFO, "x", (("a", 1),))
    assert Note(effects.Level.INFO, "x") != Note(effects.Level.ERROR, "x")


def test_what_is_not_said_is_nothing() -> None:
    assert Spool(1, Medium.FILE) == Spool(1, Medium.FILE, None, first=0, limit=None, after=None)
    plain = UpstreamRequest(Method.GET, APP, LAYER.content)
    assert plain == UpstreamRequest(Method.GET, APP, LAYER.content, None, None, 0, None, None)
    head = AnswerHead(200, Decision(Outcome.HIT))
    assert (head.length, head.more) == (0, False)
