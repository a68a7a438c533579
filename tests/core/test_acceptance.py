"""The records of what upstream accepted an authority for."""

from distcache.core import acceptance
from distcache.core.acceptance import Accepted
from distcache.core.config import Config, Upstream
from distcache.core.oci import Repository, Secret, TagRef
from distcache.core.state import State
from tests.core.content import HUB, LAYER

ALICE = Repository(HUB, "app", "a")
NOBODY = Repository(HUB, "app", "unknown")


def test_what_is_accepted_is_kept_by_kind() -> None:
    state = State(Config({HUB: Upstream()}))
    state.authorities["a"] = Accepted(Secret("Bearer alice"), 10.0)
    tag = TagRef(ALICE, "1")
    assert acceptance.accept(state, ALICE, LAYER.content)
    assert acceptance.accept(state, ALICE, tag)
    assert state.authorities["a"].contents == {LAYER.content}
    assert state.authorities["a"].references == {tag}
    assert acceptance.authorization(state, ALICE) == Secret("Bearer alice")


def test_nothing_is_accepted_for_who_is_not_known() -> None:
    state = State(Config({HUB: Upstream()}))
    assert not acceptance.accept(state, NOBODY, LAYER.content)
    assert acceptance.authorization(state, NOBODY) is None
    assert acceptance.authorization(state, Repository(HUB, "app")) is None


def test_an_authority_is_over_when_that_was_noted_and_for_nobody_else() -> None:
    state = State(Config({HUB: Upstream()}))
    for over in (False, True):
        state.authorities["a"] = Accepted(Secret("Bearer alice"), 10.0, over=over)
        assert acceptance.over(state, ALICE) == over
    assert not acceptance.over(state, NOBODY)
    assert not acceptance.over(state, Repository(HUB, "app"))
