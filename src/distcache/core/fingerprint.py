"""When are two states the same, as far as anything they will ever do is concerned?

What is made the same:
- numbers given to fetches, token requests and spools: the order in which they are met counts;
- exchanges, where the caller says which are alike: their numbers are mere names;
- times: what counts is the distance from now, for a last use only the order (unless idle age
  evicts), and for what the journal knows whether it is old enough to be written again.

What is only told of is left out.

Records are frozen, and most of them are the same in many states: what a record is without its
numbers and times is worked out once and remembered by the record's identity.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from attrs import fields

from . import cooldown
from .effects import Spool
from .state import Relay

if TYPE_CHECKING:
    from .oci import Time
    from .state import State

NUMBERS = frozenset({"fetch", "request", "number"})
TOLD = frozenset({"answer", "client", "filled"})
"""Fields that nothing is decided by: see `provenance`."""
TABLES = (
    *("tags", "fills", "probes", "pings", "calls", "tokens", "schemes", "grants", "blobs"),
    *("mirrors", "quotas", "authorities"),
)
PLACES = tuple(enumerate(TABLES))
REMEMBERED = 200_000
"""Records whose parts are remembered; a bound on memory, nothing else."""

Part = tuple[int, tuple[tuple[str, float], ...], tuple[int, ...], tuple[int, ...], bool]
"""A number for all but: its times with their names, its numbers, its exchanges; whether there are
any."""


class Labels:
    """What a fingerprint calls the numbers of its state: for the caller's own records of them."""

    def __init__(self) -> None:
        self.exchanges: dict[int, int] = {}
        self.numbers: dict[int, int] = {}

    def number(self, number: int) -> int:
        return self.numbers.setdefault(number, len(self.numbers))


def fingerprint(
    state: State,
    now: Time,
    alike: Mapping[int, int] | None = None,
    labels: Labels | None = None,
) -> Hashable:
    """`alike` gives each exchange the number of its class: exchanges of one class may change
    places. Without it each is itself. `labels`, empty, is filled in."""
    view = _View(state, now, labels or Labels())
    view.name_exchanges(alike)
    return (
        view.exchanges(),
        view.tables(),
        view.uses(),
        view.deadlines(),
        round(max(state.no_eviction_before - now, 0.0), 3),
        (state.draining, state.stored, state.doomed, len(state.tags_of), len(state.parents)),
        tuple(sorted(map(_number_of, state.pins))),
        view.seen(),
    )


class _View:
    def __init__(self, state: State, now: Time, labels: Labels) -> None:
        self._state = state
        self._now = now
        self._labels = labels
        self._ranks: dict[float, int] | None = None
        if state.config.ttl is None:
            used = {*state.used.values()}
            order = sorted(used) if len(used) > 1 else used
            self._ranks = {at: rank for rank, at in enumerate(order)}

    def name_exchanges(self, alike: Mapping[int, int] | None) -> None:
        """In the order of their classes, then of what they are, then of who came first."""
        names = self._labels.exchanges
        exchanges = self._state.exchanges
        if alike is None:
            names.update((number, number) for number in exchanges)
        elif len(exchanges) == 1:
            names.update((number, 0) for number in exchanges)
        elif exchanges:
            places = self._places()
            order = [(alike[n], parts(x)[0], places.get(n, -1), n) for n, x in exchanges.items()]
            order.sort()
            for label, key in enumerate(order):
                names[key[-1]] = label

    def exchanges(self) -> Hashable:
        names, exchanges = self._labels.exchanges, self._state.exchanges
        order = sorted(exchanges, key=names.__getitem__)
        return tuple([self._record(parts(exchanges[n])) for n in order])

    def tables(self) -> Hashable:
        out: list[Hashable] = []
        own = vars(self._state)
        for place, name in PLACES:
            table = own[name]
            if not table:
                continue
            # Keys differ, so the records are never compared.
            rows = [(self._key(key), record) for key, record in table.items()]
            if len(rows) > 1:
                rows.sort()
            out.append(place)
            for key, record in rows:
                known = _parts.get(id(record))
                part = parts(record) if known is None else known[1]
                out.append(key)
                out.append(self._record(part) if part[4] else part[0])
        return tuple(out)

    def uses(self) -> Hashable:
        """When each blob was last used. By whom it is being read the exchanges tell."""
        used = self._state.used.items()
        rows = [(_number_of(digest), self._time("used", at)) for digest, at in used]
        rows.sort()
        return tuple(rows)

    def seen(self) -> Hashable:
        """How long each manifest has been known, as far as the cool-down wants to know."""
        rows = []
        for key, since in self._state.seen.items():
            age = min(round(self._now - since, 3), cooldown.period(self._state, key[0]))
            rows.append((_number_of(key), age))
        rows.sort()
        return tuple(rows)

    def deadlines(self) -> Hashable:
        rows = []
        for key, at in self._state.deadlines.items():
            what, owner = "", key
            if type(key) is tuple:
                what, owner = key if isinstance(key[1], int) else (key[1], key[0])
            rows.append((what, *self._key(owner), round(at - self._now, 3)))
        rows.sort()
        return tuple(rows)

    def _places(self) -> dict[int, int]:
        """Where each exchange stands in the queue that it is in."""
        state = self._state
        queues = [fill.readers for fill in state.fills.values()]
        queues += [tag.waiters for tag in state.tags.values()]
        queues += [greeting.waiters for greeting in state.pings.values()]
        queues += [probe.waiters for probe in state.probes.values()]
        return {number: i for queue in queues for i, number in enumerate(queue)}

    def _key(self, key: Any) -> tuple[int, int]:
        if type(key) is int:
            return -1, self._labels.exchanges[key]
        if type(key) is Relay:
            return parts(key)[0], self._labels.exchanges[key.exchange]
        return _number_of(key), -1

    def _record(self, part: Part) -> Hashable:
        shape, times, numbers, exchanges, more = part
        if not more:
            return shape
        row: list[Hashable] = [shape]
        row += [self._time(name, at) for name, at in times]
        if numbers:
            row += map(self._labels.number, numbers)
        if exchanges:
            row += map(self._labels.exchanges.__getitem__, exchanges)
        return tuple(row)

    def _time(self, name: str, at: float) -> Hashable:
        if at == 0.0:
            return None  # never
        if name == "used" and self._ranks is not None:
            return self._ranks[at]
        age = round(self._now - at, 3)
        if name == "journalled":
            return min(age, self._state.limits.used_resolution)
        # Python hashes -1.0 and -2.0 alike.
        return age, abs(age)


TAKEN_APART = frozenset({float, int, tuple, Relay, Spool})
"""Of these types may be what a shape leaves out; all else is its own shape."""

_shapes: dict[Hashable, int] = {}
_parts: dict[int, tuple[Any, Part]] = {}
_plans: dict[type, tuple[tuple[str, ...], Any]] = {}


def parts(record: Any) -> Part:
    """The record taken apart. It is held on to, so that its identity stays its own."""
    known = _parts.get(id(record))
    if known is not None:
        return known[1]
    walk = _Walk()
    cls = type(record)
    shape = walk.fields(record, cls) if hasattr(cls, "__attrs_attrs__") else record
    apart = tuple(walk.times), tuple(walk.numbers), tuple(walk.exchanges)
    part = (_number_of(shape), *apart, any(apart))
    if len(_parts) >= REMEMBERED:
        _parts.clear()
    _parts[id(record)] = record, part
    return part


def _number_of(shape: Hashable) -> int:
    number = _shapes.get(shape)
    return _shapes.setdefault(shape, len(_shapes)) if number is None else number


class _Walk:
    """Through one record, putting aside what its shape leaves out. A value inside that holds
    neither a time nor a number is its own shape."""

    def __init__(self) -> None:
        self.times: list[tuple[str, float]] = []
        self.numbers: list[int] = []
        self.exchanges: list[int] = []

    def fields(self, record: Any, cls: type) -> Hashable:
        plan = _plans.get(cls)
        if plan is None:
            names = tuple(field.name for field in fields(cls) if field.name not in TOLD)
            plan = _plans[cls] = names, attrgetter(*names)
        names, get = plan
        values = get(record)
        shape: list[Hashable] = [cls, *values]
        for place, value in enumerate(values):
            if type(value) in TAKEN_APART:
                shape[place + 1] = self._value(value, names[place])
        return tuple(shape)

    def _value(self, value: Any, name: str) -> Hashable:
        kind: Any = type(value)
        shape: Hashable = kind
        if kind is tuple:
            inner = "exchange" if name in ("readers", "waiters") else name
            return tuple([self._value(v, inner) for v in value])
        if kind is Relay or kind is Spool:
            return self.fields(value, kind)
        if kind is float:
            self.times.append((name, value))
        elif name in NUMBERS:
            self.numbers.append(value)
        elif kind is int and name == "exchange":
            self.exchanges.append(value)
        else:
            shape = value
        return shape
