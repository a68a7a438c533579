"""What pulls and requests to upstream tell a tracer, whatever that is; without one, nothing.

A pull's span goes on in the client's trace (W3C Trace Context). A request to upstream is a child
of the pull that it is made for, and upstream is told of it.
"""

from collections.abc import Mapping
from typing import Protocol

from attrs import evolve

from ..wire.headers import Headers
from ..wire.outgoing import HttpRequest

Attributes = Mapping[str, str | int]

CONTEXT = (b"traceparent", b"tracestate")
"""Header fields that carry a trace (W3C Trace Context §3.2, §3.3)."""


class TraceSpan(Protocol):
    def context(self) -> Mapping[str, str]:
        """The header fields for what is asked because of it."""

    def end(self, attributes: Attributes, error: str = "") -> None:
        """Once. `error`: why it failed, else empty."""


class Tracing(Protocol):
    """Belongs to the loop's thread. Never raises."""

    def pull(self, attributes: Attributes, context: Mapping[str, str]) -> TraceSpan:
        """A client asks, with these header fields."""

    def fetch(self, name: str, attributes: Attributes, because: TraceSpan | None) -> TraceSpan:
        """`name`: `fill` or `check`."""


def begin_pull(tracing: Tracing, method: bytes, target: bytes, headers: Headers) -> TraceSpan:
    context = {n.lower().decode(): v.decode("latin-1") for n, v in headers if n.lower() in CONTEXT}
    attributes = {
        "http.request.method": method.decode("latin-1"),
        "url.path": _path(target.decode("latin-1")),
    }
    return tracing.pull(attributes, context)


def begin_fetch(
    tracing: Tracing, upstream: str, sent: HttpRequest, because: TraceSpan | None, *, told: bool
) -> tuple[TraceSpan, HttpRequest]:
    """And the request that upstream is `told` of the trace by."""
    attributes: dict[str, str | int] = {
        "http.request.method": sent.method,
        "server.address": sent.url.host,
        "server.port": sent.url.port,
        # Not the query: a signed URL has its secret there.
        "url.path": _path(sent.url.target),
        "distcache.upstream": upstream,
    }
    span = tracing.fetch("check" if sent.method == "HEAD" else "fill", attributes, because)
    if not told:
        return span, sent
    fields = tuple((n.encode(), v.encode()) for n, v in span.context().items())
    return span, evolve(sent, headers=(*sent.headers, *fields))


def end_fetch(span: TraceSpan, result: str, taken: int) -> None:
    """`result`: upstream's status, or why there was none."""
    answered = result.isdecimal()
    attributes: dict[str, str | int] = {"http.response.body.size": taken}
    if answered:
        attributes["http.response.status_code"] = int(result)
    span.end(attributes, "" if answered and int(result) < 400 else result)


def _path(target: str) -> str:
    return target.partition("?")[0]
