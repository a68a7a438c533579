"""Rows 1 to 5: small answers, as many as one core gives.

The server has a core of its own, the load and the origin share the other. Above some 40,000
requests a second wrk may be the limit: then the processor time per request tells more.
"""

from collections.abc import Callable, Sequence

from attrs import field, frozen

from .content import KIB, Item, Shelf
from .lab import Lab, Row
from .load import Requests, heads, verify, wrk
from .results import Case, Sample
from .subjects import Running

CLIENTS = (16, 256)
MANY = 200
"""Tags that requests go round."""


def _case(number: int, what: str, title: str) -> Case:
    return Case(f"{number}/{what}", title, "req/s", higher=True, per="request")


@frozen
class Tags:
    """Row 1, or row 2 with `checked`: GET by tag."""

    number: int
    title: str
    checked: bool
    items: list[Item] = field(factory=list)

    def stock(self, shelf: Shelf) -> None:
        layers = [shelf.layer(f"small-{place}", KIB) for place in range(7)]
        self.items.extend(shelf.image(f"tag-{n}", layers)[0] for n in range(MANY))

    def run(self, lab: Lab) -> None:
        wanted = [(f"{clients}", clients, self.items[:1]) for clients in CLIENTS]
        if self.checked:
            wanted.append(("200-tags", 16, self.items))
        cases = [
            (
                _case(self.number, what, f"{self.title}, {len(items)} tag(s), {clients} clients"),
                _gets(lab, items, clients),
            )
            for what, clients, items in wanted
        ]
        most = wanted[-1][2]
        _run(lab, cases, lambda running: _all(running, most), checked=self.checked)


@frozen
class ByDigest:
    """Row 3: GET of a manifest by its digest."""

    number: int = 3
    title: str = "manifest by digest"
    items: list[Item] = field(factory=list)

    def stock(self, shelf: Shelf) -> None:
        layers = [shelf.layer(f"small-{place}", KIB) for place in range(7)]
        self.items.append(shelf.image("by-digest", layers)[1])

    def run(self, lab: Lab) -> None:
        cases = [
            (
                _case(3, f"{clients}", f"{self.title}, {clients} clients"),
                _gets(lab, self.items, clients),
            )
            for clients in CLIENTS
        ]
        _run(lab, cases, lambda running: _all(running, self.items))


@frozen
class Heads:
    """Row 4: HEAD by tag."""

    number: int = 4
    title: str = "tag HEAD, fresh"
    items: list[Item] = field(factory=list)

    def stock(self, shelf: Shelf) -> None:
        layers = [shelf.layer(f"small-{place}", KIB) for place in range(7)]
        self.items.append(shelf.image("head", layers)[0])

    def run(self, lab: Lab) -> None:
        (item,) = self.items
        cases = [
            (_case(4, f"{clients}", f"{self.title}, {clients} clients"), _heads(lab, item, clients))
            for clients in CLIENTS
        ]
        _run(lab, cases, lambda running: _all(running, self.items))


@frozen
class SmallBlobs:
    """Row 5."""

    number: int = 5
    title: str = "small blob"

    def stock(self, shelf: Shelf) -> None:
        pass

    def run(self, lab: Lab) -> None:
        items = {size: lab.shelf.blob("small", size * KIB) for size in (4, 64)}
        cases = [
            (_case(5, f"{size}K", f"blob of {size} KiB, 16 clients"), _gets(lab, [item], 16))
            for size, item in items.items()
        ]
        _run(lab, cases, lambda running: _all(running, list(items.values())))


ROWS: tuple[Row, ...] = (
    Tags(1, "tag GET, fresh", checked=False),
    Tags(2, "tag GET, checked upstream", checked=True),
    ByDigest(),
    Heads(),
    SmallBlobs(),
)

Load = Callable[[Running], Requests]


def _run(
    lab: Lab,
    cases: Sequence[tuple[Case, Load]],
    prepare: Callable[[Running], None],
    *,
    checked: bool = False,
) -> None:
    setup = lab.setup(pinned=True, checked=checked, small=True)
    with lab.everybody(setup, [case for case, _ in cases], prepare) as there:
        for case, load in cases:
            lab.interleave(case, there, lambda running, load=load: _measure(running, load))  # type: ignore[misc]


def _measure(running: Running, load: Load) -> Sample:
    before = running.process.cpu()
    done = load(running)
    used = running.process.cpu() - before
    return Sample(done.rate, used / done.requests, running.process.peak())


def _gets(lab: Lab, items: Sequence[Item], clients: int) -> Load:
    paths = [item.path for item in items]
    return lambda running: wrk(running, paths, clients, lab.seconds, lab.directory, lab.load_cores)


def _heads(lab: Lab, item: Item, clients: int) -> Load:
    return lambda running: heads(running, item.path, clients, lab.seconds, lab.load_cores)


def _all(running: Running, items: Sequence[Item]) -> None:
    for item in items:
        verify(running, item)
