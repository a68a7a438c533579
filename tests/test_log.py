"""Log lines: readable by machines, and nothing a client sends can forge one."""

import io
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcache import log
from distcache.settings import Formatter, Level, Log


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    log.configure(Log())


def lines(settings: Log, text: str = "/v2/") -> list[str]:
    stream = io.StringIO()
    log.configure(settings, stream)
    log.note(Level.DEBUG, "small")
    log.note(Level.WARN, "something happened", {"key": text, "none": None})
    said = log.answered(
        method="GET",
        target=text,
        status=200,
        sent=12,
        agent=text,
        cache="distcache; hit",
        request="r1",
    )
    if log.access_wanted():
        log.access(said, "127.0.0.1:9", 0.0015)
    log.flush()
    return stream.getvalue().split("\n")[:-1]


def test_text_lines_are_the_registrys_kind() -> None:
    event, request = lines(Log(fields={"service": "registry"}))
    assert " level=warn " in event
    assert ' msg="something happened" service=registry key=/v2/' in event
    assert "none" not in event
    assert "http.request.method=GET" in request
    assert "http.response.status=200" in request
    assert "http.response.duration=1.500ms" in request
    assert 'cache="distcache; hit"' in request


def test_json_lines_hold_the_same() -> None:
    event, request = map(json.loads, lines(Log(formatter=Formatter.JSON)))
    assert (event["level"], event["msg"]) == ("warn", "something happened")
    assert request["http.response.written"] == 12
    assert request["time"].endswith("Z")


def test_levels_and_the_access_log_can_be_chosen() -> None:
    assert len(lines(Log(level=Level.DEBUG))) == 3
    assert len(lines(Log(access=False))) == 1
    assert len(lines(Log(level=Level.ERROR))) == 1, "requests are logged at any level"


@given(st.text(), st.sampled_from(Formatter))
def test_no_value_begins_a_line_or_a_field(text: str, formatter: Formatter) -> None:
    found = lines(Log(formatter=formatter), text)
    assert len(found) == 2
    assert all(line.isascii() and line.isprintable() for line in found)


def test_a_forged_field_stays_inside_its_quotes() -> None:
    _, request = lines(Log(), 'x" level=error msg="forged')
    assert r'http.request.useragent="x\" level=error msg=\"forged"' in request


def test_huge_values_are_cut() -> None:
    assert all(len(line) < 4000 for line in lines(Log(), "x" * 100_000))


def test_an_unforeseen_error_is_one_line_with_its_traceback() -> None:
    stream = io.StringIO()
    log.configure(Log(formatter=Formatter.JSON), stream)
    log.failure("crashed", ValueError("why"))
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: why" in json.loads(line)["error"]
