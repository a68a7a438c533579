"""What any adapter must do for those who run the server: ids of requests, health, figures.

Taken over like `contract`.
"""

import logging
import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from distcache.core import events as ev
from distcache.core.config import Config
from distcache.core.config import Upstream as Treatment
from distcache.settings import Debug
from tests.adapters import scripted as up
from tests.adapters.blocking import Answer, Client
from tests.adapters.harness import Bench, Benches

DEBUG = Debug("127.0.0.1", 0, "/metrics")
BODY = bytes(range(256)) * 40
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


# Health and figures


def operator(b: Bench, path: str) -> Answer:
    with Client.to(b.server.debug_port) as client:
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
        assert b.server.debug_port == 0
        for path in ("/livez", "/metrics"):
            assert b.get(path).status == 404


def test_the_event_loop_s_lag_is_measured(benches: Benches) -> None:
    with benches(debug=DEBUG) as b:
        while figure(b, "distcache_loop_lag_seconds_count") == 0:
            pass


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
