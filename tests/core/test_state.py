"""What the machines share: numbers never used twice, news in order, copies that are copies."""

from distcache.core.config import Config, Limits
from distcache.core.effects import Finish
from distcache.core.events import PullRequested
from distcache.core.problems import Failure
from distcache.core.pull import Method, Pull
from distcache.core.state import Look, Relay, Resolved, State
from tests.core.content import APP, IMAGE, LATEST, LAYER, held
from tests.core.scenario import config, scenario


def test_a_number_is_never_given_twice() -> None:
    state = State(config())
    other = state.fork()
    numbers = [state.number() for _ in range(3)]
    assert numbers == sorted(set(numbers))
    assert other.number() == numbers[0], "a copy counts by itself"


def test_limits_are_those_of_the_configuration() -> None:
    assert State(Config({}, limits=Limits(attempts=9))).limits.attempts == 9


def test_news_reaches_who_waits_in_the_order_it_came() -> None:
    state = State(config())
    state.wake((3, 1), Failure(404))
    state.wake((), Look())
    state.wake((2,), Resolved(IMAGE.descriptor, 200))
    assert [number for number, _ in state.woken] == [3, 1, 2]
    assert state.woken[1] == (1, Failure(404))


def test_a_copy_and_its_original_go_on_apart() -> None:
    state = State(config())
    state.emit(Finish(1))
    copy = state.fork()
    own = vars(state).items()
    containers = {n for n, v in own if hasattr(v, "copy") and not isinstance(v, frozenset)}
    assert {"effects", "exchanges", "deadlines", "lru", "woken", "blobs"} <= containers
    assert all(getattr(copy, name) is not getattr(state, name) for name in containers)
    copy.emit(Finish(2))
    assert state.effects == [Finish(1)]


def test_a_forked_cache_does_not_touch_the_first() -> None:
    s = scenario(records=held(LAYER))
    s.get(LATEST)
    before = s.cache.fingerprint(s.now)
    fork = s.cache.fork()
    assert fork.fingerprint(s.now) == before
    fork.handle(PullRequested(9, Pull(Method.GET, LAYER.under(APP))), s.now)
    fork.check()
    assert fork.fingerprint(s.now) != before
    assert s.cache.fingerprint(s.now) == before


def test_a_relay_is_one_client_s_own() -> None:
    assert Relay(1, LAYER.content) != Relay(2, LAYER.content)
    assert {Relay(1, LAYER.content), LAYER.content, IMAGE.content} != {LAYER.content}


def test_what_a_hit_is_decided_by_is_counted() -> None:
    state = State(config())
    before = state.version
    state.changed()
    assert state.version > before
