"""Two Worlds that differ in what others have in the cache, of which a stranger must learn nothing.

The same happens in both: what strangers do, what upstream says to what is asked on their behalf,
and how time passes. In one of them others have the content (it is stored, or being fetched), and
may besides go on with what they are at (`others`). What strangers can see must be the same: how
they are answered, and what upstream, which may be theirs, is asked, each at the same time. Ways on
which upstream confirms that a stranger may have the content are not followed any further: who may
have it is told by time whether it is held (`docs/security.md`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator

from attrs import evolve, frozen

from distcache.core import effects as fx
from distcache.core import events as ev
from distcache.core.oci import Repository

from . import choices
from .clients import WISHES, BrokenPromise
from .keys import key
from .scene import Bound, challenge
from .sometimes import Cell, Sightings
from .world import World

SLOT = 9
"""The first of others' clients."""


@frozen
class Case:
    """`bound` is for the strangers, whose pulls are all that it has. Others: what they have done
    before (`began`, unless it is `stored` already), and the pulls that they may begin meanwhile
    (`then`), each of which goes on well, a step at a time."""

    bound: Bound
    stored: bool = False
    began: tuple[str, ...] = ()
    then: tuple[str, ...] = ()


class Twins:
    def __init__(self, case: Case) -> None:
        bound = case.bound
        more = len(case.began) + len(case.then)
        self.case = case
        self.empty = World(bound)
        self.full = World(evolve(bound, stocked=case.stored, starts=bound.starts + more))
        for action in case.began:
            self.full = self.full.act(action)
        self.coming = case.then
        self.left = bound.wakes
        self.own = frozenset(_repository(name) for name in bound.pulls)

    def fork(self) -> Twins:
        other = Twins.__new__(Twins)
        vars(other).update(vars(self))
        other.empty, other.full = self.empty.fork(), self.full.fork()
        return other

    @property
    def confirmed(self) -> bool:
        """Upstream has said that a stranger may have it."""
        return bool(self.own & (self.empty.vouched | self.full.vouched))

    def mark(self) -> Hashable:
        return key(self.empty)[0], key(self.full)[0], self.left, self.coming

    def actions(self) -> Iterator[str]:
        """The strangers', upstream's about these, and the clock's."""
        yield from (a for a in choices.actions(self.empty) if a != "wake")
        if self.left and self._due() is not None:
            yield "wake"
        if self.coming or self._theirs() is not None:
            yield "others"

    def act(self, action: str) -> Twins:
        """The twins after it. BrokenPromise: a stranger can tell them apart."""
        after = self.fork()
        seen: tuple[list[Hashable], list[Hashable]]
        if action == "others":
            seen = [], after._others()
        elif action == "wake":
            seen = after._wake()
        else:
            seen = (
                _seen(self.own, after.empty, action),
                _seen(self.own, after.full, self._translated(action)),
            )
        if after.confirmed:
            return after
        empty, full = seen
        if empty != full:
            raise BrokenPromise(f"nobody has it: {empty}\nothers have: {full}")
        here, there = (_open(self.own, world) for world in (after.empty, after.full))
        if here != there:
            raise BrokenPromise(f"under way, nobody has it: {here}\nothers have: {there}")
        return after

    def _wake(self) -> tuple[list[Hashable], list[Hashable]]:
        at = self._due()
        assert at is not None
        self.left -= 1
        seen = []
        for world in (self.empty, self.full):
            world.now = max(world.now, at)
            world.feed(ev.Woke())
            seen.append(_visible(self.own, world))
        return seen[0], seen[1]

    def _due(self) -> float | None:
        times = [w.cache.next_deadline() for w in (self.empty, self.full)]
        return min((t for t in times if t is not None), default=None)

    def _others(self) -> list[Hashable]:
        action = self._theirs()
        if action is None:
            slot = SLOT + len(self.case.then) - len(self.coming)
            action, self.coming = f"pull {slot} {self.coming[0]}", self.coming[1:]
        return _seen(self.own, self.full, action)

    def _theirs(self) -> str | None:
        """What happens next of what others are at."""
        world = self.full
        for number in sorted(world.clients):
            if number >= SLOT and world.clients[number].out is not None:
                return f"sent {number}"
        for number, sim in sorted(world.fetches.items()):
            if sim.request.repository not in self.own:
                return next(choices.goes_on(world, number))
        return next((f"job {job.digest} ok" for job in world.jobs), None)

    def _translated(self, action: str) -> str:
        """In the other world's numbers."""
        word, *rest = action.split()
        if word == "fetch":
            here, there = (_fetches(self.own, world) for world in (self.empty, self.full))
            rest[0] = str(there[here.index(int(rest[0]))])
        elif word == "token":
            here, there = (sorted(world.tokens) for world in (self.empty, self.full))
            rest[0] = str(there[here.index(int(rest[0]))])
        return " ".join([word, *rest])


def _repository(name: str) -> Repository:
    repository = WISHES[name].repository
    assert repository is not None
    return repository


def _fetches(own: frozenset[Repository], world: World) -> list[int]:
    return [n for n, sim in sorted(world.fetches.items()) if sim.request.repository in own]


def _open(own: frozenset[Repository], world: World) -> list[fx.UpstreamRequest]:
    """What upstream is being asked on strangers' behalf."""
    return [world.fetches[n].request for n in _fetches(own, world)]


def _seen(own: frozenset[Repository], world: World, action: str) -> list[Hashable]:
    world.did = ()
    world.happen(action)
    return _visible(own, world)


def _visible(own: frozenset[Repository], world: World) -> list[Hashable]:
    """What was done last that strangers can see: whatever is theirs, but for its numbers."""
    seen: list[Hashable] = []
    scopes = {challenge(repository).scope for repository in own}
    for effect in world.did:
        match effect:
            case fx.Fetch(_, request) if request.repository in own:
                seen.append(request)
            case fx.AcquireToken(_, upstream, wanted, mirror) if wanted.scope in scopes:
                seen.append((upstream, wanted, mirror))
            case fx.Respond() | fx.SendBody() | fx.Finish() | fx.Abort():
                if effect.exchange < SLOT:
                    seen.append(effect)
    return seen


@frozen
class Walked:
    """`answers`: statuses that strangers were answered with."""

    states: int
    answers: frozenset[int]
    cells: frozenset[Cell]


def walk(case: Case) -> Walked:
    """Every state of the twins within the bound. BrokenPromise names the shortest way to one in
    which a stranger can tell them apart."""
    sightings = Sightings()
    first = Twins(case)
    known = {first.mark()}
    answers: set[int] = set()
    queue: deque[tuple[tuple[str, ...], Twins]] = deque([((), first)])
    with sightings.of_tables():
        while queue:
            way, twins = queue.popleft()
            for action in twins.actions():
                try:
                    after = twins.act(action)
                except BrokenPromise as broken:
                    raise BrokenPromise(f"{broken}\nafter {[*way, action]} in\n{case}") from broken
                answers |= {e.head.status for e in after.empty.did if isinstance(e, fx.Respond)}
                mark = after.mark()
                if mark not in known and not after.confirmed:
                    known.add(mark)
                    queue.append(((*way, action), after))
    return Walked(len(known), frozenset(answers), frozenset(sightings.cells))
