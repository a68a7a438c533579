import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcache.wire.headers import (
    LONGEST_DELAY,
    Headers,
    http_date,
    media_type,
    members,
    only,
    retry_after,
    sendable,
    values,
)
from tests.wire.samples import NOON

FIELDS = st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=40)), max_size=4)


def test_every_line_counts_whatever_its_letter_case() -> None:
    headers = [(b"Accept", b" a "), (b"ACCEPT", b"b"), (b"other", b"c")]
    assert values(headers, b"accept") == ["a", "b"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [([], None), ([b"5"], "5"), ([b"5", b"5 "], "5"), ([b"5", b"6"], None)],
)
def test_a_single_value_is_one_that_is_not_contradicted(
    lines: list[bytes], expected: str | None
) -> None:
    assert only([(b"Content-Length", line) for line in lines], b"content-length") == expected


def test_commas_in_quotes_do_not_separate() -> None:
    assert members(['a;x="1,2", b', ", ,c"]) == ['a;x="1,2"', "b", "c"]
    assert members(['"open, never closed']) == ['"open, never closed']


@pytest.mark.parametrize("value", ["", " a", "a ", "a\r\nb", "a\nb", "a\x00b", "a\tb", "é", "\x7f"])
def test_what_could_split_a_message_is_not_sendable(value: str) -> None:
    assert not sendable(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.index.v1+json"),
        ("application/json; charset=utf-8", "application/json"),
        ("Text/Plain ;x=y", "Text/Plain"),
        ("text", None),
        ("a/b/c", None),
        ("a/b\r\nX: y", None),
        ("*/*", None),
        ("", None),
        (None, None),
    ],
)
def test_a_media_type_has_no_parameters(value: str | None, expected: str | None) -> None:
    assert media_type(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"120", 120),
        (b"0", 0),
        (b"99999999999999999", LONGEST_DELAY),
        (b"Sun, 06 Nov 1994 08:50:37 GMT", 60),
        (b"Sunday, 06-Nov-94 08:50:37 GMT", 60),
        (b"Sun Nov  6 08:50:37 1994", 60),
        (b"Sun, 06 Nov 1994 08:00:00 GMT", 0),
        (b"-1", None),
        (b"1.5", None),
        (b"soon", None),
        (b"", None),
        ("\u0661\u0662".encode(), None),
        (b"5" * 330 + b" Oct 5 0:0", LONGEST_DELAY),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: bytes, expected: int | None) -> None:
    assert retry_after([(b"Retry-After", value)], NOON) == expected


def test_a_date_is_written_as_the_standard_does() -> None:
    assert http_date(NOON) == "Sun, 06 Nov 1994 08:49:37 GMT"


@given(FIELDS, st.binary(max_size=60))
def test_no_bytes_are_too_odd(headers: Headers, value: bytes) -> None:
    values(headers, b"x")
    members([value.decode("latin-1")])
    media_type(value.decode("latin-1"))
    delay = retry_after([(b"retry-after", value)], NOON)
    assert delay is None or 0 <= delay <= LONGEST_DELAY


@given(
    st.tuples(
        st.integers(-5, 40) | st.just(10**330),
        st.integers(-5, 999999),
        st.integers(-99, 99),
        st.integers(-99, 99),
    ),
    st.sampled_from(["Jan", "Feb", "13", ""]),
    st.sampled_from(["GMT", "+9999", "-0060", "EST", "+99999999", ""]),
)
def test_no_date_is_too_odd(numbers: tuple[int, int, int, int], month: str, zone: str) -> None:
    day, year, hour, minute = numbers
    text = f"Mon, {day} {month} {year} {hour}:{minute}:00 {zone}"
    delay = retry_after([(b"retry-after", text.encode())], NOON)
    assert delay is None or 0 <= delay <= LONGEST_DELAY
