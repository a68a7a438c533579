"""An OTLP/HTTP collector in the test's own process: it takes spans as they come over the wire."""

import gzip
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from attrs import define, field, frozen
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATH = "/v1/traces"
CONTENT_TYPE = "application/x-protobuf"


@frozen
class Arrived:
    """`resource` and `attributes` by name. `headers` are those that it came with, in lower case."""

    span: Span
    attributes: Mapping[str, str | int]
    resource: Mapping[str, str | int]
    headers: Mapping[str, str]

    @property
    def trace(self) -> str:
        return self.span.trace_id.hex()

    @property
    def parent(self) -> str:
        """Empty for the first of a trace."""
        return self.span.parent_span_id.hex()

    @property
    def context(self) -> str:
        """As `traceparent` tells of it, but for the flags (W3C Trace Context §3.2)."""
        return f"00-{self.trace}-{self.span.span_id.hex()}"


@define(eq=False)
class Collector:
    """`problems`: what came that was no export of spans."""

    port: int = 0
    arrived: list[Arrived] = field(factory=list)
    problems: list[str] = field(factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def named(self, name: str) -> list[Arrived]:
        """In the order in which they began."""
        found = [one for one in self.arrived if one.span.name == name]
        return sorted(found, key=lambda one: one.span.start_time_unix_nano)

    def take(self, headers: Mapping[str, str], body: bytes) -> None:
        plain = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        for resource in ExportTraceServiceRequest.FromString(plain).resource_spans:
            about = _plain(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.arrived += [
                    Arrived(span, _plain(span.attributes), about, headers) for span in scope.spans
                ]


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers["content-length"]))
            if self.path == PATH and headers.get("content-type") == CONTENT_TYPE:
                collector.take(headers, body)
                self._answer(200, ExportTraceServiceResponse().SerializeToString())
            else:
                collector.problems.append(f"{self.path} {headers.get('content-type')}")
                self._answer(400, b"")

        def log_message(self, *args: object) -> None:
            pass

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        collector.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


def _plain(pairs: Iterable[KeyValue]) -> dict[str, str | int]:
    """OTLP's values, of the kinds that are used here."""
    found: dict[str, str | int] = {}
    for pair in pairs:
        kind = pair.value.WhichOneof("value")
        found[pair.key] = pair.value.int_value if kind == "int_value" else pair.value.string_value
    return found
