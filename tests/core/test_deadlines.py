"""The heap with lazy deletion does what a sorted list would."""

from hypothesis import given, settings
from hypothesis import strategies as st

from distcache.core.deadlines import Deadlines

STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.integers(0, 9)), max_size=30)


@settings(deadline=None, derandomize=True)
@given(STEPS, st.integers(0, 9))
def test_it_agrees_with_a_dictionary(steps: list[tuple[str, int | None]], now: int) -> None:
    """Of equal times the one that was set first is first."""
    deadlines, model = Deadlines(), dict[str, int]()
    for key, at in steps:
        if at is None:
            deadlines.clear(key)
            model.pop(key, None)
        else:
            deadlines.set(key, at)
            if model.get(key) != at:
                model.pop(key, None)
                model[key] = at
        assert deadlines.first() == min(model.values(), default=None)
        assert dict(deadlines.items()) == model
        assert [key in deadlines for key in "abc"] == [key in model for key in "abc"]
    copy = deadlines.copy()
    for each in (deadlines, copy):
        due = []
        while (key_due := each.pop_due(now)) is not None:
            assert key_due not in each
            due.append(key_due)
        assert due == sorted((key for key in model if model[key] <= now), key=model.__getitem__)
        assert dict(each.items()) == {key: at for key, at in model.items() if at > now}


def test_a_copy_goes_on_counting_where_the_first_stands() -> None:
    deadlines = Deadlines()
    for key in "ba":
        deadlines.set(key, 1.0)
    copy = deadlines.copy()
    copy.set("c", 1.0)
    assert [copy.pop_due(1.0) for _ in range(4)] == ["b", "a", "c", None]
    assert [deadlines.pop_due(1.0) for _ in range(3)] == ["b", "a", None]
