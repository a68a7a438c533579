"""The ring between the network and the disk."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from distcache.driver.intake import SIZE, Intake

BODY = bytes(range(256)) * 4


@given(
    expected=st.integers(1, 40),
    turns=st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=200),
)
def test_bytes_come_out_as_they_went_in_whatever_happens_while_either_side_works(
    expected: int, turns: list[tuple[int, bool]]
) -> None:
    intake, left, out = Intake(expected), memoryview(BODY), bytearray()
    writing: memoryview | None = None
    for count, reads in turns:
        if reads:
            room = intake.room()
            # While a read is under way a write begins, or another ends.
            writing = _step(intake, writing, out)
            count = min(count, len(room), len(left))
            room[:count] = left[:count]
            intake.filled(count)
            left = left[count:]
        else:
            writing = _step(intake, writing, out)
    while writing is not None or intake.batch():
        writing = _step(intake, writing, out)
    assert bytes(out) == BODY[: len(BODY) - len(left)]


@given(expected=st.integers(1, 40))
def test_it_takes_as_much_as_it_has_room_for_and_no_more(expected: int) -> None:
    intake = Intake(expected)
    taken = sum(_fill(intake))
    assert taken == expected
    intake.written(len(intake.batch()))
    assert intake.room()


def test_its_memory_is_bounded_and_half_of_it_is_written_at_once() -> None:
    for expected in (None, 10 * SIZE):
        intake = Intake(expected)
        assert sum(_fill(intake)) == SIZE
        assert len(intake.batch()) == SIZE // 2


def _fill(intake: Intake) -> Iterator[int]:
    while count := len(intake.room()):
        intake.filled(count)
        yield count


def _step(intake: Intake, writing: memoryview | None, out: bytearray) -> memoryview | None:
    """Begin to write what is there; a write under way ends only now, with the bytes of now."""
    if writing is None:
        return intake.batch() or None
    out += writing
    intake.written(len(writing))
    return None
