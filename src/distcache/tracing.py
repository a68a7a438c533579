"""OpenTelemetry, where it is installed (`distcache-registry[otel]`) and wanted.

`from_environment` is for the command; a program that embeds the cache gives `OpenTelemetry` a
tracer of its own.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from threading import Thread
from typing import TYPE_CHECKING, Protocol

from . import __version__, log
from .driver.tracing import Attributes, TraceSpan, Tracing
from .settings import Level

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

VARIABLE = "OTEL_TRACES_EXPORTER"
"""Names the exporter, as for OpenTelemetry's SDKs: `otlp`, `console`; `none` or nothing: off."""

LAST = 3.0
"""Seconds that the last spans may take to be sent: a collector that is down is not to hold up the
server's end."""

SELDOM = 60.0
"""Seconds between two lines about spans that cannot be sent: a collector may be down for days."""

_OTHERS = "opentelemetry"

_MISSING = "no traces: opentelemetry is not installed, see distcache-registry[otel]"


class Tracer(Protocol):
    """The part of OpenTelemetry's tracer that is used."""

    @property
    def start_span(self) -> "Callable[..., trace.Span]": ...


class OpenTelemetry:
    """Spans of `tracer`: `pull` for each answered pull, `fill` and `check` for each request to an
    upstream. ImportError: OpenTelemetry is not installed."""

    def __init__(self, tracer: Tracer) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = tracer
        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()

    def pull(self, attributes: Attributes, context: Mapping[str, str]) -> TraceSpan:
        kind = self._trace.SpanKind.SERVER
        # An empty context, lest the thread's own become the parent.
        parent = self._propagator.extract(context, self._nothing())
        span = self._tracer.start_span("pull", parent, kind, attributes)
        return _Span(span, self)

    def fetch(self, name: str, attributes: Attributes, because: TraceSpan | None) -> TraceSpan:
        parent = self._nothing()
        if isinstance(because, _Span):
            parent = self._trace.set_span_in_context(because.span, parent)
        span = self._tracer.start_span(name, parent, self._trace.SpanKind.CLIENT, attributes)
        return _Span(span, self)

    def carried(self, span: "trace.Span") -> Mapping[str, str]:
        fields: dict[str, str] = {}
        self._propagator.inject(fields, self._trace.set_span_in_context(span, self._nothing()))
        return fields

    def failed(self, span: "trace.Span", why: str) -> None:
        span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, why))

    def _nothing(self) -> "Context":
        from opentelemetry.context import Context

        return Context()


class _Span:
    def __init__(self, span: "trace.Span", tracing: OpenTelemetry) -> None:
        self.span = span
        self._tracing = tracing

    def context(self) -> Mapping[str, str]:
        return self._tracing.carried(self.span)

    def end(self, attributes: Attributes, error: str = "") -> None:
        self.span.set_attributes(attributes)
        if error:
            self._tracing.failed(self.span, error)
        self.span.end()


def from_environment(environ: Mapping[str, str]) -> tuple[Tracing | None, Callable[[], None]]:
    """What the variables of OpenTelemetry want, and what sends the last spans at the end. What
    cannot be had is said in the log, and stops nothing."""
    wanted = environ.get(VARIABLE, "none").strip().lower()
    if wanted in ("", "none"):
        return None, _nothing_to_send
    try:
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.note(Level.WARN, _MISSING, {"variable": VARIABLE})
        return None, _nothing_to_send
    exporter = _exporter(wanted, entry_points(group="opentelemetry_traces_exporter"))
    if exporter is None:
        log.note(Level.WARN, "no traces: there is no such exporter", {VARIABLE: wanted})
        return None, _nothing_to_send
    name = environ.get("OTEL_SERVICE_NAME") or "distcache"
    resource = Resource.create({SERVICE_NAME: name, "service.version": __version__})
    _hear()
    # Ended by us, in bounded time, and not by the interpreter once more.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter.load()()))
    tracing = OpenTelemetry(provider.get_tracer("distcache", __version__))
    return tracing, partial(_send_the_last, provider)


def _send_the_last(provider: "TracerProvider") -> None:
    # A daemon, as it may go on waiting for longer than the process lives.
    sending = Thread(target=provider.shutdown, daemon=True)
    sending.start()
    sending.join(LAST)
    logging.getLogger(_OTHERS).handlers = [logging.NullHandler()]
    if sending.is_alive():
        log.note(Level.WARN, "the last spans were not sent", {"waited": f"{LAST:.0f}s"})


def _hear() -> None:
    """What OpenTelemetry has to say goes to our log, and not as it is to standard error."""
    others = logging.getLogger(_OTHERS)
    others.handlers = [_Troubles(logging.WARNING)]
    others.propagate = False


class _Troubles(logging.Handler):
    """The first of them, and then one line in SELDOM seconds. From any thread."""

    _told = float("-inf")

    def emit(self, record: logging.LogRecord) -> None:
        if record.created - self._told < SELDOM:
            return
        self._told = record.created
        error = record.exc_info[1] if record.exc_info else None
        why = record.getMessage() if error is None else f"{record.getMessage()} {error!r}"
        log.note(Level.WARN, "traces cannot be sent as they should", {"error": why})


def _exporter(name: str, there: Iterable[EntryPoint]) -> EntryPoint | None:
    """`otlp` is OTLP over HTTP where only that is installed."""
    by_name = {one.name: one for one in there}
    return by_name.get(name) or by_name.get(f"{name}_proto_http")


def _nothing_to_send() -> None:
    pass
