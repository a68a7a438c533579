"""Counters and gauges for Prometheus: the registry's `registry_proxy_*` names and our own.

Counting must cost next to nothing on a warm pull, so it is a few additions in dictionaries;
prometheus-client turns them into its text only when they are asked for.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from attrs import Factory, define, frozen
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from .core.decision import Decision, Fwd, Outcome
from .core.oci import ReferrersRef, TagRef, TagsRef
from .core.pull import ByDigest, Catalog, Ping, Pull

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Bounds of the histograms' buckets."""

_Bytes = Counter[tuple[str, str]]


@frozen
class Gauges:
    """What is so right now. Sizes in bytes; `quota` by upstream: what is left
    of upstream's limit on pulls, and the limit. `sending`, `receiving`: what has gone out of
    answers and come of transfers that have not ended; their bytes count as they go and come."""

    stored_bytes: int
    stored_blobs: int
    max_bytes: int | None
    fills: int
    readers: int
    exchanges: int
    connections: int
    evictions: int
    evicted_bytes: int
    journal_failures: int
    quota: Mapping[str, tuple[int, int]]
    moved: int
    """Times that upstream was seen to have moved a tag that is not to move."""
    held_back: int
    """Pulls that did not get what upstream has, because of the cool-down."""
    sending: Sequence[tuple[Pull, Decision, int]] = ()
    receiving: Sequence[tuple[str, str, int]] = ()
    """Upstream, kind, bytes."""


@define
class _Histogram:
    """Counts by bucket, the last for what is beyond all bounds."""

    counts: list[int] = Factory(lambda: [0] * (len(SECONDS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(SECONDS, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, as Prometheus wants them."""
        found: list[tuple[str, float]] = []
        count = 0
        for bound, number in zip((*map(str, SECONDS), "+Inf"), self.counts, strict=True):
            count += number
            found.append((bound, float(count)))
        return found


class Meter(Collector):
    """One server's. All on the event loop's thread, `render` too."""

    def __init__(self, gauges: Callable[[], Gauges]) -> None:
        self._gauges = gauges
        self._requests: dict[tuple[str, str, str], int] = defaultdict(int)
        self._sent: dict[tuple[str, str], int] = defaultdict(int)
        self._held: dict[str, int] = defaultdict(int)
        self._stale = 0
        self._collapsed = 0
        self._seconds: dict[str, _Histogram] = defaultdict(_Histogram)
        self._asked: dict[tuple[str, str], int] = defaultdict(int)
        self._received: dict[tuple[str, str], int] = defaultdict(int)
        self._heads: dict[str, _Histogram] = defaultdict(_Histogram)
        self._lag = _Histogram()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def answered(
        self, pull: Pull, decision: Decision, status: int, sent: int, seconds: float
    ) -> None:
        """A pull has been answered with `sent` bytes of body."""
        kind = kind_of(pull)
        hit = decision.outcome is Outcome.HIT
        fwd = "hit" if hit or decision.fwd is None else decision.fwd.value
        self._requests[kind, fwd, str(status)] += 1
        source = _source(decision)
        self._held[kind] += source == "cache"
        self._sent[kind, source] += sent
        self._stale += decision.stale_if_error
        self._collapsed += decision.collapsed
        self._seconds["hit" if hit else "forwarded"].add(seconds)

    def asked(self, upstream: str, result: str, seconds: float) -> None:
        """Upstream answered with a status, or failed for a cause, `seconds` after the question."""
        self._asked[upstream, result] += 1
        self._heads[upstream].add(seconds)

    def received(self, upstream: str, kind: str, length: int) -> None:
        """Bytes of bodies from upstream."""
        self._received[upstream, kind] += length

    def late(self, seconds: float) -> None:
        """The event loop came so late to what was due."""
        self._lag.add(seconds)

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        now = self._gauges()
        sent, received = Counter(self._sent), Counter(self._received)
        for pull, decision, length in now.sending:
            sent[kind_of(pull), _source(decision)] += length
        for upstream, kind, length in now.receiving:
            received[upstream, kind] += length
        yield from self._of_registry(sent, received)
        yield from self._of_clients(sent, received)
        yield from self._of_upstreams(received)
        yield from self._of_now(now)

    def _of_registry(self, sent: _Bytes, received: _Bytes) -> Iterator[Metric]:
        """CNCF Distribution's own names, so that its dashboards go on working."""
        by_kind: dict[str, list[int]] = {"manifest": [0, 0, 0, 0], "blob": [0, 0, 0, 0]}
        for (kind, _, _), count in self._requests.items():
            if kind in by_kind:
                by_kind[kind][0] += count
        for kind, row in by_kind.items():
            row[1] = self._held[kind]
            row[2] = row[0] - row[1]
        for (kind, _), size in sent.items():
            if kind in by_kind:
                by_kind[kind][3] += size
        pulled: dict[str, int] = {"manifest": 0, "blob": 0}
        for (_, kind), size in received.items():
            if kind in pulled:
                pulled[kind] += size
        for name, text, at in (
            ("requests", "Pulls of this type.", 0),
            ("hits", "Pulls whose content was held, the tag checked with upstream or not.", 1),
            ("misses", "Pulls whose content was not held.", 2),
            ("pushed_bytes", "Bytes of content sent to clients.", 3),
        ):
            values = {(kind,): numbers[at] for kind, numbers in by_kind.items()}
            yield _counter(f"registry_proxy_{name}", text, ("type",), values.items())
        values = {(kind,): size for kind, size in pulled.items()}
        text = "Bytes of content received from upstream."
        yield _counter("registry_proxy_pulled_bytes", text, ("type",), values.items())

    def _of_clients(self, sent: _Bytes, received: _Bytes) -> Iterator[Metric]:
        labels = ("kind", "cache", "status")
        text = "Answered pulls, by what was asked and how the answer came about (RFC 9211)."
        yield _counter("distcache_requests", text, labels, self._requests.items())
        text = "Bytes of bodies sent to clients, by where they came from."
        yield _counter("distcache_sent_bytes", text, ("kind", "source"), sent.items())
        saved = max(0, sent.total() - received.total())
        text = "Bytes sent to clients beyond what upstream sent: transfers saved."
        yield GaugeMetricFamily("distcache_saved_bytes", text, value=saved)
        text = "Answers that upstream could not confirm, given within stale_if_error."
        yield CounterMetricFamily("distcache_stale_answers", text, value=self._stale)
        text = "Pulls that shared another pull's request to upstream."
        yield CounterMetricFamily("distcache_collapsed", text, value=self._collapsed)
        text = "Time from a request to the end of its answer."
        yield _histogram("distcache_request_seconds", text, "cache", self._seconds)

    def _of_upstreams(self, received: _Bytes) -> Iterator[Metric]:
        text = "Requests to upstreams, by status or by the cause of failure."
        labels = ("upstream", "result")
        yield _counter("distcache_upstream_requests", text, labels, self._asked.items())
        text = "Bytes of bodies received from upstreams."
        labels = ("upstream", "kind")
        yield _counter("distcache_upstream_bytes", text, labels, received.items())
        text = "Time from a request to upstream's head, or to its failure."
        yield _histogram("distcache_upstream_seconds", text, "upstream", self._heads)

    def _of_now(self, now: Gauges) -> Iterator[Metric]:
        text = "How late the event loop comes to what is due; looked at once a second."
        buckets, total = self._lag.buckets(), self._lag.total
        yield HistogramMetricFamily(
            "distcache_loop_lag_seconds", text, buckets=buckets, sum_value=total
        )
        for name, text, value in (
            ("store_bytes", "Bytes of stored content.", now.stored_bytes),
            ("store_blobs", "Stored blobs and manifests.", now.stored_blobs),
            ("fills", "Transfers from upstream under way.", now.fills),
            ("fill_readers", "Clients that read along with them.", now.readers),
            ("exchanges", "Pulls being answered.", now.exchanges),
            ("connections", "Clients' connections.", now.connections),
        ):
            yield GaugeMetricFamily(f"distcache_{name}", text, value=value)
        if now.max_bytes is not None:
            text = "proxy.max_size."
            yield GaugeMetricFamily("distcache_store_max_bytes", text, value=now.max_bytes)
        for name, text, number in (
            ("evictions", "Blobs and manifests deleted to make room.", now.evictions),
            ("evicted_bytes", "Their bytes.", now.evicted_bytes),
            ("journal_failures", "Batches that the index could not take.", now.journal_failures),
            ("immutable_tags_moved", "Tags that were not to move, and did upstream.", now.moved),
            ("held_back", "Pulls held back by the cool-down.", now.held_back),
        ):
            yield CounterMetricFamily(f"distcache_{name}", text, value=number)
        for at, name in enumerate(("remaining", "limit")):
            text = "Pulls that upstream still allows, or allows in all (ratelimit headers)."
            family = GaugeMetricFamily(f"distcache_quota_{name}", text, labels=("upstream",))
            for upstream, numbers in now.quota.items():
                family.add_metric((upstream,), numbers[at])
            yield family


def kind_of(pull: Pull) -> str:
    """The label for what a pull asks for."""
    match pull.target:
        case TagRef():
            return "manifest"
        case ByDigest():
            return pull.target.content.kind.value
        case TagsRef() | ReferrersRef():
            return "listing"
        case Catalog():
            return "catalog"
        case Ping():
            return "ping"


def _source(decision: Decision) -> str:
    """The label for where an answer's bytes come from."""
    checked = decision.fwd is Fwd.STALE and not decision.stored
    return "cache" if decision.outcome is Outcome.HIT or checked else "upstream"


def _counter(
    name: str, text: str, labels: Sequence[str], values: Iterable[tuple[tuple[str, ...], int]]
) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in sorted(values):
        family.add_metric(key, value)
    return family


def _histogram(name: str, text: str, label: str, values: Mapping[str, _Histogram]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=(label,))
    for key in sorted(values):
        family.add_metric((key,), buckets=values[key].buckets(), sum_value=values[key].total)
    return family


def names(metrics: Iterable[Metric]) -> set[str]:
    """Names as a query spells them."""
    return {sample.name for metric in metrics for sample in metric.samples}
