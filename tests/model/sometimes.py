"""What a walk has seen: a world that cannot misbehave proves nothing.

Every event and effect, every cell of every machine's table, and every decision that
`docs/design.md` promises must be seen sometime; and no decision that it does not promise, ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from types import ModuleType
from typing import Any, get_args

from attrs import define, field

from distcache.core import (
    blobs,
    calls,
    checks,
    exchanges,
    fills,
    grants,
    pings,
    tags,
    tokens,
    transfers,
)
from distcache.core.decision import Decision
from distcache.core.effects import AnswerHead, Effect
from distcache.core.events import Event

MACHINES: tuple[ModuleType, ...] = (tags, fills, exchanges, calls, tokens, grants, pings, blobs)
USERS: tuple[ModuleType, ...] = (*MACHINES, checks, transfers)
"""All modules that know a table by its name."""
Cell = tuple[Enum, Enum]
EVENTS: frozenset[type] = frozenset(get_args(Event))
EFFECTS: frozenset[type] = frozenset(get_args(Effect))
CELLS: frozenset[Cell] = frozenset(cell for m in MACHINES for cell in m.TRANSITIONS)
DECISIONS = frozenset(
    f"{words} {end}".strip()
    for words, ends in {
        # Served without asking; with the age of what a tag was, where that is still good, or
        # must be good enough. An error: the negative answer is still good, or none may be asked.
        "hit": ("", "ttl", "ttl stale-if-error", "error"),
        # Nothing was held under the name; or it was, and could not be confirmed before it went.
        "uri-miss": ("", "stored", "error", "stored ttl", "ttl stale-if-error"),
        "uri-miss collapsed": (
            *("", "stored", "error", "stored ttl", "stored ttl stale-if-error"),
            # What the tag has moved to cannot be had: what it was must do.
            "ttl stale-if-error",
        ),
        # A transfer held the first part.
        "partial collapsed": ("", "stored", "stored ttl", "error", "ttl stale-if-error"),
        # The tag had to be confirmed, or could not be.
        "stale": ("", "stored", "error", "ttl", "stored ttl", "ttl stale-if-error"),
        "stale collapsed": ("", "stored", "error", "ttl", "stored ttl"),
        "stale collapsed ttl": ("stale-if-error",),
        "stale collapsed stored ttl": ("stale-if-error",),
        # The store would not take it.
        "bypass": ("", "error"),
    }.items()
    for end in ends
)
"""What Cache-Status may say, numbers left out; `docs/design.md` tells when it says so."""


HAPPENINGS = frozenset(
    {
        "a check is spared: limited",
        "a check is spared: scarce",
        "a client's own authority is remembered",
        "a client's own authority is asked about again",
        "a mirror fails again",
        "a mirror that was ill is asked again",
        "something goes, and not what is pinned",
        "what is too new is refused",
        "what the tag was before is given",
        "what was too new is old enough",
        "upstream is asked past a mirror",
        "what is being read is forgotten",
        "what is forgotten must be asked for again",
    }
)
"""What machines without a table decide: mirrors, quota, authorities, an operator's wishes."""


class _Seen(dict[Any, Any]):
    """A table that remembers which of its cells were used."""

    def __init__(self, table: dict[Cell, Enum], cells: set[Cell]) -> None:
        super().__init__(table)
        self._cells = cells

    def __getitem__(self, cell: Any) -> Any:
        after = super().__getitem__(cell)
        self._cells.add(cell)
        return after


@define
class Sightings:
    effects: set[type] = field(factory=set)
    cells: set[Cell] = field(factory=set)
    decisions: set[str] = field(factory=set)
    events: set[type] = field(factory=set)
    happened: set[str] = field(factory=set)
    """Words of HAPPENINGS."""

    def decided(self, head: AnswerHead) -> None:
        self.decisions.add(said(head.decision, error=head.problem is not None))

    def add(self, other: Sightings) -> None:
        self.effects |= other.effects
        self.cells |= other.cells
        self.decisions |= other.decisions
        self.events |= other.events
        self.happened |= other.happened

    @contextmanager
    def of_tables(self) -> Iterator[None]:
        """Notice each use of a cell meanwhile."""
        tables = [(user, user.TRANSITIONS) for user in USERS]
        for user, table in tables:
            vars(user)["TRANSITIONS"] = _Seen(table, self.cells)
        try:
            yield
        finally:
            for user, table in tables:
                vars(user)["TRANSITIONS"] = table


def said(decision: Decision, *, error: bool) -> str:
    """The decision in the words of Cache-Status, numbers left out."""
    words = ["hit" if decision.fwd is None else decision.fwd.value]
    words += ["collapsed"] * decision.collapsed + ["stored"] * decision.stored
    words += ["ttl"] * (decision.ttl is not None)
    words += ["stale-if-error"] * decision.stale_if_error + ["error"] * error
    return " ".join(words)
