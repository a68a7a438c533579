"""Range headers as RFC 9110 §14.1.2 and real clients write them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distcache.core.pull import RangeSpec, Span
from distcache.core.ranges import UNSATISFIABLE, parse, select


@pytest.mark.parametrize(
    ("header", "specs"),
    [
        ("bytes=0-499", (RangeSpec(0, 499),)),
        ("bytes=0-", (RangeSpec(0, None),)),
        ("bytes=-500", (RangeSpec(None, 500),)),
        ("Bytes = 5-6", (RangeSpec(5, 6),)),
        ("bytes=0-0, -1", (RangeSpec(0, 0), RangeSpec(None, 1))),
        ("bytes=,0-1,,", (RangeSpec(0, 1),)),
        ("bytes=0-99999999999999999999999", (RangeSpec(0, 1 << 62),)),
        ("bytes=abc", ()),
        ("bytes=5-4", ()),
        ("bytes=99999999999999999999999-9999999999999999999999", ()),
        ("bytes=-", ()),
        ("bytes=1-2, x", ()),
        ("bytes", ()),
        ("lines=1-2", ()),
        ("bytes=", ()),
        ("bytes=\u0661-\u0662", ()),
        ("bytes=" + "9" * 5000 + "-", ()),
    ],
)
def test_parse(header: str, specs: tuple[RangeSpec, ...]) -> None:
    assert parse(header) == specs


@pytest.mark.parametrize(
    ("header", "size", "selected"),
    [
        ("bytes=0-", 10, Span(0, 10)),
        ("bytes=2-5", 10, Span(2, 6)),
        ("bytes=2-50", 10, Span(2, 10)),
        ("bytes=-3", 10, Span(7, 10)),
        ("bytes=-30", 10, Span(0, 10)),
        ("bytes=-0", 10, UNSATISFIABLE),
        ("bytes=10-", 10, UNSATISFIABLE),
        ("bytes=0-", 0, UNSATISFIABLE),
        ("bytes=0-1,3-4", 10, None),
        ("bytes=90-,99-", 10, None),
        ("nonsense", 10, None),
    ],
)
def test_select(header: str, size: int, selected: object) -> None:
    assert select(parse(header), size) == selected


@settings(deadline=None, derandomize=True)
@given(st.text(max_size=40))
def test_any_text_is_parsed_or_ignored(text: str) -> None:
    for spec in parse("bytes=" + text):
        assert spec.first is not None or spec.last is not None


@settings(deadline=None, derandomize=True)
@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 40))
def test_what_is_selected_is_what_slicing_selects(first: int, length: int, size: int) -> None:
    body = bytes(range(size))
    span = select(parse(f"bytes={first}-{first + length}"), size)
    if first >= size:
        assert span is UNSATISFIABLE
    else:
        assert isinstance(span, Span)
        assert body[span.start : span.stop] == body[first : first + length + 1]
