"""Traces as the environment wants them."""

import json
import logging
import os
import subprocess
import sys

import pytest

from distcache import tracing
from distcache.tracing import from_environment


@pytest.mark.parametrize("environ", [{}, {tracing.VARIABLE: ""}, {tracing.VARIABLE: " None "}])
def test_nothing_is_traced_unless_it_is_wanted(environ: dict[str, str]) -> None:
    tracer, send = from_environment(environ)
    assert tracer is None
    send()


PROGRAM = """
import os
from distcache.tracing import from_environment
tracer, send = from_environment(os.environ)
pull = tracer.pull({"url.path": "/v2/"}, {})
tracer.fetch("fill", {}, pull).end({"http.response.status_code": 200})
pull.end({})
send()
"""


def test_spans_are_sent_at_the_end_at_latest() -> None:
    environ = {tracing.VARIABLE: "console", "OTEL_SERVICE_NAME": "the-cache"}
    # A process of its own: the exporter writes to the standard output that it was loaded with.
    command = [sys.executable, "-c", PROGRAM]
    text = subprocess.check_output(command, env={**os.environ, **environ}).decode()
    fill, end = json.JSONDecoder().raw_decode(text)
    whole = json.loads(text[end:])
    assert (fill["name"], whole["name"]) == ("fill", "pull")
    assert fill["parent_id"] == whole["context"]["span_id"]
    assert whole["resource"]["attributes"]["service.name"] == "the-cache"


def test_what_opentelemetry_says_is_a_line_of_our_log_now_and_then(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    _, send = from_environment({tracing.VARIABLE: "console"})
    others = logging.getLogger("opentelemetry.exporter")
    for number in range(3):
        others.error("attempt %d failed", number)
    others.info("all is well")
    send()
    others.error("too late to be told")
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.name for record in told] == ["distcache"]
    assert "traces cannot be sent" in told[0].getMessage()
    assert vars(told[0])["fields"] == {"error": "attempt 0 failed"}
    assert capfd.readouterr().err == ""


def test_an_exporter_that_there_is_not_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert from_environment({tracing.VARIABLE: "carrier-pigeon"})[0] is None
    assert "no such exporter" in caplog.text


def test_without_opentelemetry_the_server_runs_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    assert from_environment({tracing.VARIABLE: "otlp"})[0] is None
    assert "distcache-registry[otel]" in caplog.text
