"""When are two states the same, as far as anything they will ever do is concerned?

Numbers given to fetches, requests and spools are replaced by the order of their owners; times
become distances from now; the LRU becomes ranks. The exchanges' numbers are the world's own
and stay: it uses few, and again.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from attrs import fields_dict, has

if TYPE_CHECKING:
    from .oci import Time
    from .state import State

TIMES = frozenset({"checked", "journalled", "until", "used", "at"})
NUMBERS = frozenset({"fetch", "request", "number"})
OLD = 10**6
"""Distances beyond it (records from before the first event) are all the same."""


def fingerprint(state: State, now: Time) -> Hashable:
    view = _View(now)
    tables = (
        state.exchanges,
        state.tags,
        state.fills,
        state.probes,
        state.calls,
        state.tokens,
        state.schemes,
        state.grants,
        state.blobs,
        state.mirrors,
        state.quotas,
        state.pings,
        state.authorities,
    )
    ranks = sorted({blob.used for blob in state.blobs.values()})
    return (
        tuple(view.table(table) for table in tables),
        tuple((d, ranks.index(b.used)) for d, b in sorted(state.blobs.items())),
        tuple(sorted((repr(k), at - now) for k, at in state.deadlines.items())),
        max(state.no_eviction_before - now, 0.0),
        state.draining,
        tuple(sorted(map(repr, state.pins))),
        tuple(sorted((k, max(until - now, 0.0)) for k, until in state.limited.items())),
    )


class _View:
    """Relabels numbers in the order met."""

    def __init__(self, now: Time) -> None:
        self._now = now
        self._labels: dict[int, int] = {}

    def table(self, table: dict[Any, Any]) -> Hashable:
        rows = sorted(table.items(), key=lambda item: repr(item[0]))
        return tuple((key, self.value(record)) for key, record in rows)

    def value(self, value: Any, name: str = "") -> Hashable:
        if value is None:
            return None
        if name in TIMES:
            return max(float(value) - self._now, -float(OLD))
        if name in NUMBERS:
            return self._labels.setdefault(value, len(self._labels))
        if isinstance(value, frozenset):
            return tuple(sorted(repr(v) for v in value))
        if isinstance(value, tuple):
            return tuple(self.value(v) for v in value)
        if has(type(value)):
            names = fields_dict(type(value))
            return (type(value).__name__, *(self.value(getattr(value, n), n) for n in names))
        frozen: Hashable = value
        return frozen
