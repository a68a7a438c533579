"""Answers given again are those that deciding anew gives, in every state of the World."""

from collections import Counter

import pytest

from distcache.core import hits
from distcache.core.cache import Cache
from distcache.core.effects import Effect, Finish, Respond, SendBody, Stored
from distcache.core.events import BodySent, Event, PullRequested
from distcache.core.values import evolve

from .explore import explore
from .scene import FAULTS, STORE, Bound

BOUNDS = {
    "a tag is fresh": Bound(("tag", "head-tag"), tag_ttl=600.5, starts=3, stocked=True),
    "anything breaks": Bound(("tag", "blob"), starts=3, stocked=True, kinds=FAULTS),
    "the store breaks": Bound(("blob", "manifest"), starts=3, stocked=True, kinds=STORE, closes=1),
    "parts": Bound(("blob", "range"), starts=3, stocked=True, kinds=STORE, closes=1),
    "content goes": Bound(("tag", "blob"), ttl=60.0, wakes=2, starts=3, stocked=True, faults=0),
    "strangers": Bound(("blob", "stranger", "cousin"), starts=3, stocked=True, faults=0),
    "shut down, offline": Bound(
        ("blob", "have-blob"), starts=3, stocked=True, drains=1, switches=1, faults=0
    ),
}


@pytest.mark.parametrize("name", list(BOUNDS))
def test_both_ways_do_the_same_everywhere(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    handle, again, done = Cache.handle, hits.again, hits.done
    given: Counter[bool] = Counter()

    def both(cache: Cache, event: Event, now: float) -> list[Effect]:
        other = cache.fork()
        monkeypatch.setattr(hits, "again", lambda *_: None)
        monkeypatch.setattr(hits, "done", lambda *_: None)
        decided = handle(other, event, now)
        monkeypatch.setattr(hits, "again", counted)
        monkeypatch.setattr(hits, "done", done)
        if isinstance(event, PullRequested):
            at_once(cache.fork(), cache.fork(), event, now)
            begun(cache.fork(), cache.fork(), event, now)
            if event.pull.ranges:
                part_of_it(cache.fork(), cache.fork(), event, now)
        effects = handle(cache, event, now)
        assert effects == decided
        assert cache.fingerprint(now) == other.fingerprint(now)
        assert cache.next_deadline() == other.next_deadline()
        return effects

    def at_once(cache: Cache, other: Cache, event: PullRequested, now: float) -> None:
        hit = cache.whole(event.pull, now)
        if hit is not None:
            match handle(other, event, now):
                case [Respond(head=head), Finish()]:
                    assert hit.span is None
                case [Respond(head=head), SendBody(source=Stored(digest), span=span)]:
                    assert (hit.digest, hit.span) == (digest, span)
                    assert handle(other, BodySent(event.exchange, span.stop), now) == [
                        Finish(event.exchange)
                    ]
            assert hit.head == head
        assert cache.fingerprint(now) == (other if hit else cache).fingerprint(now)
        assert cache.next_deadline() == other.next_deadline()

    def part_of_it(cache: Cache, other: Cache, event: PullRequested, now: float) -> None:
        number, pull = event.exchange, event.pull
        found = cache.part(evolve(pull, ranges=()), pull.ranges, now)
        if found is not None:
            hit, span = found
            body = SendBody(number, hit.source, span)
            assert handle(other, event, now) == [Respond(number, hits.head_of(hit, span)), body]
            lasting = cache.fork()
            assert lasting.begin(number, pull, now) is not None
            assert lasting.fingerprint(now) == other.fingerprint(now)
            handle(other, BodySent(number, span.stop), now)
        assert cache.fingerprint(now) == other.fingerprint(now)
        assert cache.next_deadline() == other.next_deadline()

    def begun(cache: Cache, other: Cache, event: PullRequested, now: float) -> None:
        hit = cache.begin(event.exchange, event.pull, now)
        if hit is not None:
            number = event.exchange
            body = Finish(number) if hit.span is None else SendBody(number, hit.source, hit.span)
            assert handle(other, event, now) == [Respond(number, hit.head), body]
        assert cache.fingerprint(now) == other.fingerprint(now)

    def counted(*arguments: object) -> list[Effect] | None:
        found = again(*arguments)  # type: ignore[arg-type]
        given[found is not None] += 1
        return found

    monkeypatch.setattr(Cache, "handle", both)
    explore(BOUNDS[name], 1500)
    assert given[True] > 0, "answers were given again"
    assert given[False] > 0
