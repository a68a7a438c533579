"""What any adapter must do for those who run the server: ids of requests, health, figures.

Taken over like `contract`.
"""

import json
import logging
import re
import socket
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client.parser import text_string_to_metric_families

from distcache.core import events as ev
from distcache.core.config import Config
from distcache.core.config import Upstream as Treatment
from distcache.settings import Debug
from distcache.tracing import OpenTelemetry
from tests.adapters import scripted as up
from tests.adapters.blocking import Answer, Client, Torn
from tests.adapters.harness import Bench, Benches
from tests.support.footprint import awaited

DEBUG = Debug("127.0.0.1", 0, "/metrics")
BODY = bytes(range(256)) * 40
MANIFEST = up.manifest(BODY)
GIVEN = "req-7/of:the+client@here"


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Fields of the access log's lines."""
    return [r.fields for r in caplog.records if r.name == "distcache.access"]  # type: ignore[attr-defined]


def told_ids(b: Bench) -> list[str]:
    """The ids that upstream was told, in order."""
    return [asked.headers.get("x-request-id", "") for asked in b.upstream.asked]


# One id per request


def test_a_request_s_id_is_the_client_s_in_the_log_and_upstream(
    benches: Benches, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "distcache")
    with benches() as b:
        tag = b.upstream.manifest("a/img", "v1", up.manifest(BODY))
        assert b.get(tag, "GET", f"X-Request-Id: {GIVEN}").status == 200
        assert len(b.upstream.asked) > 1, "the tag, then what it stands for"
        assert set(told_ids(b)) == {GIVEN}
        b.settled()
    assert [line["http.request.id"] for line in lines(caplog)] == [GIVEN]


@pytest.mark.parametrize("bad", ["", "two words", "x" * 129, 'quo"te', "ünder"])
def test_an_id_that_cannot_be_passed_on_is_replaced(
    benches: Benches, caplog: pytest.LogCaptureFixture, bad: str
) -> None:
    caplog.set_level(logging.INFO, "distcache")
    with benches() as b:
        path = b.upstream.blob("a/img", BODY)
        assert b.get(path, "GET", f"X-Request-Id: {bad}").status == 200
        assert b.get(path).status == 200
        (sent,) = told_ids(b)
        b.settled()
    first, second = (line["http.request.id"] for line in lines(caplog))
    assert sent == first != second
    assert re.fullmatch("[0-9a-f]{24}", first)


def test_what_is_fetched_for_several_goes_by_the_first_one_s_id(benches: Benches) -> None:
    gate = up.Gate()
    with benches() as b:
        path = b.upstream.blob("a/img", BODY, up.after(gate, up.cut), up.whole(BODY))
        with b.connect() as first, b.connect() as second:
            first.ask(path, "GET", "X-Request-Id: first")
            b.until(lambda: b.upstream.asked)
            second.ask(path, "GET", "X-Request-Id: second")
            b.until(lambda: len(b.ledger.of(ev.PullRequested)) == 2)
            gate.set()
            assert first.answer().body == second.answer().body == BODY
        assert told_ids(b) == ["first", "first"], "the retry too"


def test_an_id_does_not_follow_a_redirect_to_a_storage_service(benches: Benches) -> None:
    with benches() as b, up.scripted() as storage:
        there = storage.blob("elsewhere", BODY)
        url = f"http://127.0.0.1:{storage.port}{there}"
        path = b.upstream.blob("a/img", BODY, up.status(307, {"Location": url}))
        assert b.get(path).body == BODY
        assert told_ids(b) != [""]
        assert "x-request-id" not in storage.asked[0].headers


# Answers that do not come to their end

HUGE = bytes(24 * 1024 * 1024)
"""More than the kernel buffers between two sockets."""


def aborted(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int, str | None]]:
    """By whom, after how many bytes, and why, as the access log has it."""
    return [
        (line["http.response.aborted"], line["http.response.written"], line["err.message"])
        for line in lines(caplog)
        if line["http.response.aborted"] is not None
    ]


@pytest.mark.parametrize("hits", [0, 1, 3])
def test_of_a_client_that_left_the_log_says_how_much_it_was_sent(
    benches: Benches, caplog: pytest.LogCaptureFixture, hits: int
) -> None:
    caplog.set_level(logging.INFO, "distcache")
    with benches() as b:
        path = b.upstream.blob("a/img", HUGE)
        b.get(path)
        b.settled()
        for _ in range(hits):
            b.get(path, "GET", "Range: bytes=0-0")
        b.settled()
        assert aborted(caplog) == []
        with b.connect() as client:
            client.ask(path, "GET", "Range: bytes=5-")
            client.head()
            client.take(1_000_000)
        b.settled()
    ((whom, sent, why),) = aborted(caplog)
    assert (whom, why) == ("client", None)
    assert 1_000_000 <= sent < len(HUGE) - 5
    assert b.decided[-1].sent == sent


def test_of_a_client_that_left_while_it_waited_the_log_says_so(
    benches: Benches, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "distcache")
    with benches() as b:
        with b.connect() as client:
            client.ask(b.upstream.blob("a/img", BODY, up.hang))
            b.until(lambda: b.upstream.asked)
        b.until(lambda: b.ledger.of(ev.ClientClosed))
    assert aborted(caplog) == [("client", 0, None)]


def test_of_content_that_turned_out_wrong_the_log_says_that_it_was_upstream(
    benches: Benches, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "distcache")
    with benches() as b, pytest.raises(Torn):
        b.get(b.upstream.blob("a/img", BODY, up.whole(BODY[:-1] + b"!")))
    ((whom, sent, why),) = aborted(caplog)
    assert (whom, why) == ("upstream", "up sent content that does not match its digest")
    # The last piece may be known to be wrong before it is sent.
    assert 0 <= sent < len(BODY)


@pytest.mark.parametrize("hits", [0, 3])
def test_of_a_file_that_became_shorter_the_log_says_that_it_was_the_store(
    benches: Benches, caplog: pytest.LogCaptureFixture, hits: int
) -> None:
    caplog.set_level(logging.INFO, "distcache")
    with benches() as b:
        path = b.upstream.blob("a/img", HUGE)
        b.get(path)
        b.settled()
        for _ in range(hits + 1):
            b.get(path, "GET", "Range: bytes=0-0")  # it is open now, and stays open
        with b.path(path).open("r+b") as file:
            file.truncate(1_500_000)
        with pytest.raises(Torn):
            b.get(path)
        b.settled()
    ((whom, sent, why),) = aborted(caplog)
    assert (whom, sent) == ("store", 1_500_000)
    assert "cannot be read" in str(why)


def test_of_a_server_that_stopped_the_log_says_so(
    benches: Benches, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "distcache")
    with benches() as b, b.connect() as client:
        client.ask(b.upstream.blob("a/img", HUGE, up.until(HUGE, 1000, up.hang)))
        client.head()
        client.take(1000)
        b.server.stop(drain=0)
        with pytest.raises(Torn):
            client.take(1)
    assert aborted(caplog) == [("shutdown", 1000, None)]


def test_of_a_client_that_does_not_read_the_log_says_that_its_time_was_up(
    benches: Benches, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "distcache")
    with benches(clock=True) as b, b.connect() as client:
        path = b.upstream.blob("a/img", HUGE)
        b.get(path)
        b.settled()
        client.ask(path)
        client.head()

        def closed() -> bool:
            # Its time begins when the kernel takes no more, which cannot be seen from here.
            b.jump_here(61)
            return bool(b.ledger.of(ev.ClientClosed))

        b.until(closed)
    ((whom, sent, why),) = aborted(caplog)
    assert (whom, why) == ("timeout", None)
    assert 0 < sent < len(HUGE)


# Health and figures


def operator(b: Bench, path: str) -> Answer:
    with Client.to(b.debug_port) as client:
        return client.get(path)


def figure(b: Bench, name: str) -> float:
    families = text_string_to_metric_families(operator(b, "/metrics").body.decode())
    return sum(s.value for f in families for s in f.samples if s.name == name)


def test_a_server_says_that_it_lives_and_whether_it_can_store(benches: Benches) -> None:
    with benches(debug=DEBUG) as b:
        for path in ("/livez", "/readyz", "/debug/health"):
            assert operator(b, path).status == 200
        assert operator(b, "/debug/health").body == b"{}"
        # Where the probe wants to make its file.
        (b.root / ".ready").mkdir()
        assert operator(b, "/livez").status == 200
        for path in ("/readyz", "/debug/health"):
            answer = operator(b, path)
            assert answer.status == 503
            assert b"the store cannot be written" in answer.body
        (b.root / ".ready").rmdir()
        assert operator(b, "/readyz").status == 200


def test_without_a_debug_listener_nobody_is_told(benches: Benches) -> None:
    with benches() as b:
        assert b.debug_port == 0
        for path in ("/livez", "/metrics"):
            assert b.get(path).status == 404


def test_the_event_loop_s_lag_is_measured(benches: Benches) -> None:
    with benches(debug=DEBUG) as b:
        awaited(lambda: figure(b, "distcache_loop_lag_seconds_count"), bool)


def test_a_tag_that_moves_though_it_is_not_to_is_counted(
    benches: Benches, caplog: pytest.LogCaptureFixture
) -> None:
    never = Config({"up": Treatment(immutable=("v*",))}, max_size=2 * len(BODY))
    with benches(debug=DEBUG, core=never) as b:
        tag = b.upstream.manifest("a/img", "v1", up.manifest(BODY))
        for _ in range(2):
            assert b.get(tag).status == 200
            b.settled()
        assert b.upstream.count("HEAD", tag) == 1
        # Something larger takes its place, and upstream moves it.
        assert b.get(b.upstream.blob("a/img", BODY * 2)).status == 200
        b.settled()
        moved = up.manifest(BODY[1:])
        assert b.upstream.manifest("a/img", "v1", moved) == tag
        assert b.get(tag).body == moved
        b.settled()
        assert figure(b, "distcache_immutable_tags_moved_total") == 1
    (said,) = [r for r in caplog.records if "not to move" in r.message]
    assert said.fields["tag"] == "v1"  # type: ignore[attr-defined]


def test_what_is_too_new_is_held_back_and_counted(
    benches: Benches, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "distcache")
    cool = Config({"up": Treatment(cool_down=3600.0)})
    with benches(debug=DEBUG, core=cool, clock=True) as b:
        first = up.manifest(BODY)
        tag = b.upstream.manifest("a/img", "v1", first)
        refused = b.get(tag)
        assert refused.status == 403
        (error,) = json.loads(refused.body)["errors"]
        assert error["code"] == "DENIED"
        assert "is too new: known here since" in error["message"]
        assert refused.headers["cache-status"].endswith("; detail=cool-down")
        why = json.loads(operator(b, "/api/v1/why?ref=up/a/img:v1").body)
        assert why["held_back_until"] == why["known_since"] + 3600.0
        assert why["answer"].startswith("is too new")
        named = f"/api/v1/why?ref=up/a/img@{why['digest']}"
        assert json.loads(operator(b, named).body)["answer"].startswith("403: is too new")
        b.jump(3601)
        assert b.get(tag).body == first
        b.settled()
        moved = up.manifest(BODY[1:])
        assert b.upstream.manifest("a/img", "v1", moved) == tag
        meanwhile = b.get(tag)
        assert meanwhile.body == first
        assert meanwhile.headers["cache-status"].endswith("; detail=cool-down")
        assert figure(b, "distcache_held_back_total") == 2
        b.jump(3601)
        assert b.get(tag).body == moved
        b.settled()
    assert sum("held back by the cool-down" in r.message for r in caplog.records) == 2


# Traces

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def tracing() -> tuple[OpenTelemetry, Callable[[str], list[ReadableSpan]]]:
    """A tracer, and the spans of a name that have ended."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def ended(name: str) -> list[ReadableSpan]:
        return [span for span in exporter.get_finished_spans() if span.name == name]

    return OpenTelemetry(provider.get_tracer("tests")), ended


def said(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_pull_and_what_is_fetched_for_it_are_one_trace(benches: Benches) -> None:
    tracer, ended = tracing()
    with benches(tracing=tracer) as b:
        tag = b.upstream.manifest("a/img", "v1", up.manifest(BODY))
        assert b.get(f"{tag}?ns=up", "GET", f"traceparent: {PARENT}").status == 200
        b.settled()
        b.until(lambda: ended("pull"))
        asked = list(b.upstream.asked)
    (pull,), (check,), (fill,) = ended("pull"), ended("check"), ended("fill")
    trace, client, _ = PARENT.removeprefix("00-").split("-")
    assert pull.parent is not None
    assert format(pull.parent.span_id, "016x") == client
    for span, sent in zip((check, fill), asked, strict=True):
        assert span.parent is not None
        assert span.parent.span_id == pull.context.span_id
        assert sent.headers["traceparent"] == f"00-{trace}-{span.context.span_id:016x}-01"
        assert said(span)["http.response.status_code"] == 200
        assert said(span)["distcache.upstream"] == "up"
    assert said(fill)["http.response.body.size"] == len(up.manifest(BODY))
    assert said(pull)["url.path"] == tag
    assert said(pull)["http.response.status_code"] == 200
    assert said(pull)["distcache.cache_status"].startswith("distcache; fwd=uri-miss")
    assert said(pull)["distcache.request_id"] == asked[0].headers["x-request-id"]


def test_what_fails_is_marked_as_failed(benches: Benches) -> None:
    tracer, ended = tracing()
    with benches(tracing=tracer) as b:
        path = b.upstream.blob("a/img", BODY, up.status(503))
        assert b.get(path).status == 502
        b.settled()
        b.until(lambda: ended("pull"))
    for span in (*ended("pull"), *ended("fill")):
        assert span.status.status_code is StatusCode.ERROR
        assert span.status.description
    assert {said(span)["http.response.status_code"] for span in ended("fill")} == {503}


def test_a_hit_has_a_span_of_its_own_and_needs_no_trace_of_the_client(benches: Benches) -> None:
    tracer, ended = tracing()
    with benches(tracing=tracer) as b:
        path = b.upstream.blob("a/img", BODY)
        for _ in range(2):
            assert b.get(path, "GET", "traceparent: 00-nonsense").body == BODY
            b.settled()
        b.until(lambda: len(ended("pull")) == 2)
    miss, hit = ended("pull")
    assert miss.parent is hit.parent is None
    assert said(hit)["distcache.cache_status"] == "distcache; hit"
    assert len(ended("fill")) == 1


def test_a_storage_service_behind_a_redirect_is_told_of_no_trace(benches: Benches) -> None:
    tracer, ended = tracing()
    with benches(tracing=tracer) as b, up.scripted() as storage:
        there = storage.blob("elsewhere", BODY)
        url = f"http://127.0.0.1:{storage.port}{there}?signature=secret"
        storage.on(f"{there}?signature=secret", up.whole(BODY))
        path = b.upstream.blob("a/img", BODY, up.status(307, {"Location": url}))
        assert b.get(path).body == BODY
        b.settled()
        assert "traceparent" in b.upstream.asked[0].headers
        assert "traceparent" not in storage.asked[0].headers
    assert [said(span)["url.path"] for span in ended("fill")] == [path, there]


def test_without_a_tracer_nobody_is_told_of_a_trace(benches: Benches) -> None:
    with benches() as b:
        path = b.upstream.blob("a/img", BODY)
        assert b.get(path, "GET", f"traceparent: {PARENT}").body == BODY
        assert "traceparent" not in b.upstream.asked[0].headers


@pytest.mark.parametrize("how", [up.cut, up.reset])
def test_a_kept_connection_that_upstream_gives_up_makes_no_tag_stale(
    benches: Benches, how: up.Script
) -> None:
    """Idle connections are closed at moments that nobody here chooses."""
    used: set[socket.socket] = set()
    answer = up.whole(MANIFEST, {"Docker-Content-Digest": up.digest(MANIFEST)})

    def once(one: socket.socket, asked: up.Asked) -> None:
        (how if one in used else answer)(one, asked)
        used.add(one)

    with benches() as b:
        path = b.upstream.manifest("a/img", "v1", MANIFEST)
        b.upstream.on(path, once)
        for _ in range(5):
            seen = b.get(path)
            assert seen.body == MANIFEST
            assert "fwd-status=200" in seen.headers["cache-status"]
            b.settled()
