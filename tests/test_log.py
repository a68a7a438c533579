"""Log lines: readable by machines, and nothing a client sends can forge one."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from threading import Event, Thread

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
    )
    if log.access_wanted():
        log.access(said, "127.0.0.1:9", 0.0015, "r1")
    log.flush()
    return stream.getvalue().split("\n")[:-1]


def test_text_lines_are_the_registrys_kind() -> None:
    event, request = lines(Log(fields={"service": "registry"}))
    assert " level=warn " in event
    assert ' msg="something happened" service=registry key=/v2/' in event
    assert "none" not in event
    assert "http.request.method=GET" in request
    assert "http.request.id=r1 " in request
    assert "http.response.status=200" in request
    assert "http.response.duration=1.500ms" in request
    assert 'cache="distcache; hit"' in request


def test_json_lines_hold_the_same() -> None:
    event, request = map(json.loads, lines(Log(formatter=Formatter.JSON)))
    assert (event["level"], event["msg"]) == ("warn", "something happened")
    assert request["http.response.written"] == 12
    assert request["time"].endswith("Z")


@pytest.mark.parametrize("formatter", Formatter)
def test_an_answer_that_was_ended_early_says_by_whom_and_why(formatter: Formatter) -> None:
    stream = io.StringIO()
    log.configure(Log(formatter=formatter), stream)
    common = {"method": "GET", "target": "/v2/", "status": 200}
    log.access(log.answered(sent=9, **common), "127.0.0.1:9", 0.1, "r1")  # type: ignore[arg-type]
    broken = log.answered(sent=5, aborted="upstream", reason="up broke off", **common)  # type: ignore[arg-type]
    log.access(broken, "127.0.0.1:9", 0.1, "r2")
    log.flush()
    whole, cut = stream.getvalue().splitlines()
    assert "aborted" not in whole
    assert "err.message" not in whole
    if formatter is Formatter.TEXT:
        assert cut.endswith(' http.response.aborted=upstream err.message="up broke off"')
        assert " http.response.written=5 " in cut
    else:
        said = json.loads(cut)
        assert said["http.response.written"] == 5
        assert said["http.response.aborted"] == "upstream"
        assert said["err.message"] == "up broke off"


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


def test_a_request_s_line_is_what_any_event_s_line_would_be() -> None:
    """A field that the operator calls `time` is in the way of the quick form: logging does it."""
    for formatter in Formatter:
        quick = lines(Log(formatter=formatter, fields={"service": "a b"}))[1]
        whole = lines(Log(formatter=formatter, fields={"service": "a b", "time": "x"}))[1]
        if quick.startswith("{"):
            assert {**json.loads(quick), "time": "x"} == json.loads(whole)
        else:
            assert quick.split(" ", 1)[1] == whole.split(" ", 1)[1]


@pytest.mark.parametrize("count", [1, 3, 1000])
def test_lines_come_in_the_order_in_which_things_were_said(count: int) -> None:
    stream = io.StringIO()
    log.configure(Log(), stream)
    for number in range(count):
        log.access(log.answered(method="GET", target="/", status=200, sent=number), "c", 0.0, "r1")
    log.note(Level.INFO, "last")
    *requests, last = stream.getvalue().splitlines()
    assert [line.count(f"http.response.written={n} ") for n, line in enumerate(requests)] == (
        [1] * count
    )
    assert "msg=last" in last, "whatever waited is written before an event"


def test_a_line_waits_for_no_other() -> None:
    written = Event()

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            if "/second" in text:
                written.set()
            return super().write(text)

    log.configure(Log(), Stream())
    for target in ("/first", "/second"):
        log.access(log.answered(method="GET", target=target, status=200, sent=1), "c", 0.0, "r1")
    assert written.wait(60)


def test_requests_said_before_a_change_of_format_are_said_in_the_new_one() -> None:
    log.configure(Log(), io.StringIO())
    said = log.answered(method="GET", target="/", status=200, sent=1)
    stream = io.StringIO()
    log.configure(Log(formatter=Formatter.JSON), stream)
    log.access(said, "c", 0.0, "r1")
    log.flush()
    assert json.loads(stream.getvalue())["http.request.remoteaddr"] == "c"


def test_a_reader_that_is_gone_stops_nothing() -> None:
    stream = io.StringIO()
    log.configure(Log(), stream)
    stream.close()
    log.access(log.answered(method="GET", target="/", status=200, sent=1), "c", 0.0, "r1")
    log.note(Level.ERROR, "nobody reads this")


def test_programs_that_do_their_own_logging_get_a_record_for_each_request() -> None:
    program = """
import logging
from distcache import log
logging.basicConfig(level=logging.INFO, format="%(name)s %(message)s %(fields)s")
said = log.answered(method="GET", target="/", status=200, sent=1)
log.access(said, "192.0.2.1", 0.25, "r1")
"""
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stderr
    assert told.startswith("distcache.access response completed {")
    assert "'http.request.remoteaddr': '192.0.2.1'" in told
    assert "'http.response.duration': '250.000ms'" in told


def test_what_several_threads_say_at_once_is_all_written() -> None:
    stream = io.StringIO()
    log.configure(Log(), stream)

    def say(worker: int) -> None:
        for number in range(1000):
            said = log.answered(method="GET", target=f"/{worker}", status=200, sent=number)
            log.access(said, "c", 0.0, "r1")

    workers = [Thread(target=say, args=(worker,)) for worker in range(4)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    log.flush()
    for worker in range(4):
        sent = [
            re.search(r"written=(\d+)", line)
            for line in stream.getvalue().splitlines()
            if f"uri=/{worker} " in line
        ]
        assert [int(found[1]) for found in sent if found] == list(range(1000))
