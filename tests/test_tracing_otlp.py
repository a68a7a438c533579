"""Traces over the network: the command, as an operator runs it, and a collector that decodes what
arrives."""

import http.client
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from distcache import __version__
from tests.adapters import scripted as up
from tests.adapters.scripted import PATIENCE, Upstream, scripted
from tests.support.cache import RUNTIMES, CacheServer
from tests.support.collector import Arrived, collecting
from tests.support.footprint import awaited

LAYER = bytes(range(256)) * 400
TRACE, CLIENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HIT = "distcache; hit"
PARENT = {"traceparent": f"00-{TRACE}-{CLIENT}-01"}


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def serving(directory: Path, runtime: str, **variables: str) -> Iterator[tuple[str, Upstream]]:
    """The command with these variables of OpenTelemetry's and no others; it has ended well when
    the block has."""
    for name in os.environ:
        if name.startswith("OTEL_"):
            variables.setdefault(name, "")
    with scripted() as upstream:
        hub = {"remoteurl": f"http://127.0.0.1:{upstream.port}"}
        proxy = {"upstreams": {"docker.io": hub}}
        server = CacheServer(directory, proxy, runtime=runtime, environment=variables)
        server.start()
        try:
            yield server.address, upstream
        finally:
            status = server.stop()
        assert status == 0, server.server.text()


def pull(address: str, target: str, **headers: str) -> tuple[int, bytes, str]:
    """Status, body, and what the cache says of it."""
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    try:
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers.get("Cache-Status", "")
    finally:
        connection.close()


def test_the_spans_of_a_pull_arrive_at_a_collector(tmp_path: Path, runtime: str) -> None:
    with collecting() as collector:
        variables = {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=team",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_SERVICE_NAME": "the-cache",
        }
        with serving(tmp_path, runtime, **variables) as (address, upstream):
            tag = upstream.manifest("team/app", "1", up.manifest(LAYER))
            layer = upstream.blob("team/app", LAYER)
            missing = upstream.blob("team/app", b"lost", up.status(503))
            assert pull(address, tag, **PARENT)[0] == 200
            assert pull(address, layer, **PARENT)[:2] == (200, LAYER)
            assert pull(address, missing)[0] == 502
            # Until it is stored, and so all that was begun for it has ended.
            awaited(lambda: pull(address, layer)[2], lambda said: said == HIT)
            told = [a.headers["traceparent"].rpartition("-")[0] for a in upstream.asked]
    assert collector.problems == []
    first, second, third, *_, hit = collector.named("pull")
    (check,) = collector.named("check")
    document, blob, *lost = collector.named("fill")
    assert [one.context for one in (check, document, blob, *lost)] == told
    for one in collector.arrived:
        assert (one.headers["x-tenant"], one.headers["content-encoding"]) == ("team", "gzip")
        assert one.resource["service.name"] == "the-cache"
        assert one.resource["service.version"] == __version__
        assert one.span.end_time_unix_nano >= one.span.start_time_unix_nano
    a_pull(first, tag, 200, CLIENT)
    a_pull(second, layer, 200, CLIENT)
    a_pull(third, missing, 502, "")
    a_pull(hit, layer, 200, "")
    assert first.trace == second.trace == TRACE
    assert len({TRACE, third.trace, hit.trace}) == 3
    assert second.attributes["http.response.body.size"] == len(LAYER)
    assert hit.attributes["distcache.cache_status"] == HIT
    a_fetch(check, first, tag, 200)
    a_fetch(document, first, f"/v2/team/app/manifests/{up.digest(up.manifest(LAYER))}", 200)
    a_fetch(blob, second, layer, 200)
    assert blob.attributes["http.response.body.size"] == len(LAYER)
    assert lost
    for one in lost:
        a_fetch(one, third, missing, 503)


def a_pull(one: Arrived, target: str, status: int, parent: str) -> None:
    assert one.span.kind == Span.SPAN_KIND_SERVER
    assert one.parent == parent
    assert one.attributes["http.request.method"] == "GET"
    assert one.attributes["url.path"] == target
    assert one.attributes["http.response.status_code"] == status
    assert one.attributes["distcache.request_id"]
    assert (one.span.status.code == Status.STATUS_CODE_ERROR) == (status >= 500)


def a_fetch(one: Arrived, because: Arrived, target: str, status: int) -> None:
    assert one.span.kind == Span.SPAN_KIND_CLIENT
    assert (one.trace, one.parent) == (because.trace, because.span.span_id.hex())
    assert one.attributes["url.path"] == target
    assert one.attributes["server.address"] == "127.0.0.1"
    assert one.attributes["distcache.upstream"] == "docker.io"
    assert one.attributes["http.response.status_code"] == status
    assert (one.span.status.code == Status.STATUS_CODE_ERROR) == (status >= 400)


def test_a_collector_that_does_not_answer_holds_up_no_end(tmp_path: Path) -> None:
    """It is not waited for to the end of its patience, and what is wrong is a line of the log."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        variables = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TIMEOUT": "3600"}
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        variables |= {"OTEL_EXPORTER_OTLP_ENDPOINT": url}
        with serving(tmp_path, RUNTIMES[0], **variables) as (address, upstream):
            assert pull(address, upstream.blob("team/app", LAYER))[:2] == (200, LAYER)
    (output,) = tmp_path.rglob("*.log")
    assert "the last spans were not sent" in output.read_text()


def test_a_collector_that_is_not_there_holds_up_no_pull(tmp_path: Path) -> None:
    """And the end only for as long as the exporter may try."""
    with collecting() as collector:
        gone = collector.url
    variables = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": gone}
    variables |= {"OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    with serving(tmp_path, RUNTIMES[0], **variables) as (address, upstream):
        layer = upstream.blob("team/app", LAYER)
        assert pull(address, layer)[:2] == (200, LAYER)
