"""The heap with lazy deletion does what a sorted list would."""

from hypothesis import given, settings
from hypothesis import strategies as st

from distcache.core.deadlines import Deadlines

STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.integers(0, 9)), max_size=30)


@settings(deadline=None, derandomize=True)
@given(STEPS, st.integers(0, 9))
def test_it_agrees_with_a_dictionary(steps: list[tuple[str, int | None]], now: int) -> None:
    deadlines, model = Deadlines(), dict[str, int]()
    for key, at in steps:
        if at is None:
            deadlines.clear(key)
            model.pop(key, None)
        else:
            deadlines.set(key, at)
            model[key] = at
        assert deadlines.first() == min(model.values(), default=None)
        assert dict(deadlines.items()) == model
    copy = deadlines.copy()
    due = []
    while (key_due := deadlines.pop_due(now)) is not None:
        assert key_due not in deadlines
        due.append(model[str(key_due)])
    assert due == sorted(at for at in model.values() if at <= now)
    assert dict(copy.items()) == model
