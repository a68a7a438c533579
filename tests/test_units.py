"""Durations and sizes of `config.yml`."""

from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcache.configuration.units import duration, size, spell_duration, spell_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("168h", 604800),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("500ms", 0.5),
        ("0", 0),
        ("0s", 0),
        ("1m0.5s", 60.5),
        (".5s", 0.5),
        ("10us", 0.00001),
        ("1000000000", 1),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "h", "1", "30", "1d", "-1s", "1 h", "1h 30m", "s1", "1e3s", "300000000h", "∞"]
)
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|nanoseconds"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("10GB", 10 * 1000**3),
        ("10GiB", 10 * 1024**3),
        ("1.5kb", 1500),
        ("4096", 4096),
        ("2 TiB", 2 * 1024**4),
        ("7B", 7),
    ],
)
def test_sizes(text: str, count: int) -> None:
    assert size(text) == count


@pytest.mark.parametrize("text", ["", "GB", "-1", "1.5", "1.0005kB", "10GBs", "1e9", "9999999PB"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match=r"size|bytes"):
        size(text)


@given(st.integers(0, 10**9))
def test_a_spelt_duration_reads_back(seconds: int) -> None:
    assert duration(spell_duration(seconds)) == seconds


@given(st.integers(0, 2**63 - 1))
def test_a_spelt_size_reads_back(count: int) -> None:
    assert size(spell_size(count)) == count


@given(st.lists(st.tuples(st.integers(0, 999), st.sampled_from(["h", "m", "s", "ms"])), min_size=1))
def test_the_parts_of_a_duration_add_up(parts: list[tuple[int, str]]) -> None:
    worth = {"h": Fraction(3600), "m": Fraction(60), "s": Fraction(1), "ms": Fraction(1, 1000)}
    text = "".join(f"{count}{unit}" for count, unit in parts)
    assert duration(text) == float(sum(count * worth[unit] for count, unit in parts))


@given(st.text(max_size=20))
def test_any_text_is_a_measure_or_a_value_error(text: str) -> None:
    for parse in (duration, size):
        with suppress(ValueError):
            assert parse(text) >= 0
